// The linter's rules for static/ and for the tests in this folder: ESLint's recommended ones.
import js from '@eslint/js';
import globals from 'globals';

export default [
  js.configs.recommended,
  { files: ['static/**/*.js'], languageOptions: { globals: globals.browser } },
  { files: ['tests/javascript/*.js'], languageOptions: { globals: globals.node } },
];
