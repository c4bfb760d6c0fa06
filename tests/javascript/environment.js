// What the modules of static/ read from a browser when they are loaded: the viewer's languages.
// Import this before them.

Object.defineProperty(globalThis, 'navigator', { value: { language: 'en-GB', languages: ['en-GB', 'zh-CN'] }, configurable: true });
