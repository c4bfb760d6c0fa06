// @ts-check
// Parts of every page: its words in the viewer's language, and a badge that says whether it is live.
//
// Rule: an element names its words by data-text="key" (or data-label="key" for aria-label), and this
// module writes them. Tests and CSS read document.documentElement.dataset.connection.

/** @import { Feed } from '../transport/feed.js' */
/** @import { Connection } from '../transport/verdict.js' */
/** @import { WordsKey } from './strings.js' */

import { text, wordsLanguage } from './strings.js';

/**
 * The element at a selector. Throws an error if the page does not have it.
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} type
 */
export function find(root, selector, type) {
  const found = root.querySelector(selector);
  if (found instanceof type) return found;
  throw new Error(`the page has no ${type.name} at ${selector}`);
}

/**
 * Writes the words into a document or into the clone of a template.
 * @param {ParentNode} root
 */
export function localise(root) {
  for (const element of root.querySelectorAll('[data-text]')) element.textContent = wordsAt(element, 'data-text');
  for (const element of root.querySelectorAll('[data-label]')) {
    element.setAttribute('aria-label', wordsAt(element, 'data-label'));
  }
}

/**
 * The words for the key in an attribute.
 * @param {Element} element
 * @param {'data-text' | 'data-label'} attribute
 */
function wordsAt(element, attribute) { return text[/** @type {WordsKey} */ (element.getAttribute(attribute))]; }

export function openPage() {
  document.documentElement.lang = wordsLanguage;
  localise(document);
  sayConnection('connecting');
}

/**
 * Shows the connection of a feed in the badge and in the page's state.
 * @param {Feed} feed
 */
export function followConnection(feed) { feed.on('connection', showConnection); }

/** @param {Connection} connection */
export function showConnection(connection) {
  document.documentElement.dataset.connection = connection;
  sayConnection(connection);
}

/** @param {Connection | 'connecting'} connection */
function sayConnection(connection) {
  const badge = find(document, '#connection', HTMLElement);
  badge.dataset.state = connection;
  badge.title = text.connectionHint[connection];
  setText(find(badge, '.words', HTMLElement), text.connection[connection]);
}

/**
 * Writes the text only if it differs, so that it disturbs no selection and no screen reader.
 * @param {Element} element
 * @param {string} words
 */
export function setText(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/** @type {{from: HTMLElement, to: HTMLElement, focused: Element | null} | null} the focus that was moved away last */
let movedFocus = null;

/**
 * Hides or shows an element. If the focus is within the element it moves to `fallback`, because otherwise the keyboard
 * loses its place on the page. When the element is shown again, the focus returns unless it has moved elsewhere.
 * @param {HTMLElement} element
 * @param {boolean} hidden
 * @param {HTMLElement} fallback
 */
export function setHidden(element, hidden, fallback) {
  if (element.hidden === hidden) return;
  const focused = document.activeElement;
  const hadFocus = element.contains(focused);
  element.hidden = hidden;
  if (hidden && hadFocus) {
    fallback.focus({ preventScroll: true });
    movedFocus = { from: element, to: fallback, focused };
  } else if (!hidden && movedFocus?.from === element) {
    const isWaiting = focused === movedFocus.to || focused === document.body;
    if (isWaiting && movedFocus.focused instanceof HTMLElement) movedFocus.focused.focus({ preventScroll: true });
    movedFocus = null;
  }
}

// A burst of prices must not flicker: WCAG 2.3.1 allows at most three flashes a second.
const MIN_MS_BETWEEN_FLASHES = 400;
/** @type {WeakMap<HTMLElement, number>} */
const flashedAt = new WeakMap();

/**
 * Marks an element as just changed, for CSS to show.
 * @param {HTMLElement} element
 */
export function flash(element) {
  const now = performance.now();
  if (now - (flashedAt.get(element) ?? -Infinity) < MIN_MS_BETWEEN_FLASHES) return;
  flashedAt.set(element, now);
  // One animation with two names: a change of the name starts it again.
  element.dataset.flash = element.dataset.flash === 'a' ? 'b' : 'a';
}
