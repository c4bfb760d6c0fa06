// The linter's rules for static/ and for the tests in this folder: ESLint's recommended ones, and the order of the
// two families: transport/ imports nothing of page/.
import js from '@eslint/js';
import globals from 'globals';

export default [
  js.configs.recommended,
  { files: ['static/**/*.js'], languageOptions: { globals: globals.browser } },
  {
    files: ['static/transport/*.js'],
    rules: { 'no-restricted-imports': ['error', { patterns: [{ regex: '^[.][.]/', message: 'transport/ does not know page/.' }] }] },
  },
  { files: ['tests/javascript/*.js'], languageOptions: { globals: globals.node } },
];
