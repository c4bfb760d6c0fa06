// What every page has: its words in the viewer's language, and a badge that says whether it is live.
//
// Rule: elements carry data-text="key" (or data-label="key" for aria-label) and this fills them in;
// tests and CSS read the connection from document.documentElement.dataset.connection.

import { text, wordsLanguage } from './strings.js';

/** Fills in the words of a document or of a template's clone. */
export function localise(root) {
  for (const element of root.querySelectorAll('[data-text]')) element.textContent = text[element.dataset.text];
  for (const element of root.querySelectorAll('[data-label]')) element.setAttribute('aria-label', text[element.dataset.label]);
}

export function openPage() {
  document.documentElement.lang = wordsLanguage;
  localise(document);
  sayConnection('connecting');
}

/** Makes the badge and the page's state follow a feed. */
export function followConnection(feed) {
  feed.addEventListener('connection', ({ detail }) => showConnection(detail));
}

export function showConnection(connection) {
  document.documentElement.dataset.connection = connection;
  sayConnection(connection);
}

function sayConnection(connection) {
  const badge = document.getElementById('connection');
  badge.dataset.state = connection;
  badge.title = text.connectionHint[connection];
  setText(badge.querySelector('.words'), text.connection[connection]);
}

/** Writes only what changed, so that selections and screen readers are left alone. */
export function setText(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

let lent = null; // {from, to, focused}: what had the focus when it was hidden

/**
 * Hides or shows an element. Focus within it goes to `heir`, for with its element it would be lost, and
 * with it the keyboard's place on the page; it comes back if the element does before it has moved on.
 */
export function setHidden(element, hidden, heir) {
  if (element.hidden === hidden) return;
  const focused = document.activeElement;
  const hadFocus = element.contains(focused);
  element.hidden = hidden;
  if (hidden && hadFocus) {
    heir.focus({ preventScroll: true });
    lent = { from: element, to: heir, focused };
  } else if (!hidden && lent?.from === element) {
    if (focused === lent.to || focused === document.body) lent.focused.focus({ preventScroll: true });
    lent = null;
  }
}

// A burst of prices must not strobe: WCAG 2.3.1 allows three flashes a second at most.
const LEAST_MS_BETWEEN_FLASHES = 400;
const flashedAt = new WeakMap();

/** Marks an element as just changed; CSS decides how that looks. */
export function flash(element) {
  const now = performance.now();
  if (now - (flashedAt.get(element) ?? -Infinity) < LEAST_MS_BETWEEN_FLASHES) return;
  flashedAt.set(element, now);
  // Two names for one animation: changing the name is what starts it again.
  element.dataset.flash = element.dataset.flash === 'a' ? 'b' : 'a';
}
