// @ts-check
// What every page has: its words in the viewer's language, and a badge that says whether it is live.
//
// Rule: elements carry data-text="key" (or data-label="key" for aria-label) and this fills them in;
// tests and CSS read the connection from document.documentElement.dataset.connection.

/** @import { Feed } from '../transport/feed.js' */
/** @import { Connection } from '../transport/verdict.js' */
/** @import { WordsKey } from './strings.js' */

import { text, wordsLanguage } from './strings.js';

/**
 * The element that the page is known to have at a selector.
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
 * Fills in the words of a document or of a template's clone.
 * @param {ParentNode} root
 */
export function localise(root) {
  for (const element of root.querySelectorAll('[data-text]')) element.textContent = wordsAt(element, 'data-text');
  for (const element of root.querySelectorAll('[data-label]')) element.setAttribute('aria-label', wordsAt(element, 'data-label'));
}

/**
 * The words whose key stands in an attribute.
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
 * Makes the badge and the page's state follow a feed.
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
 * Writes only what changed, so that selections and screen readers are left alone.
 * @param {Element} element
 * @param {string} words
 */
export function setText(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/** @type {{from: HTMLElement, to: HTMLElement, focused: Element | null} | null} what had the focus when it was hidden */
let lent = null;

/**
 * Hides or shows an element. Focus within it goes to `heir`, for with its element it would be lost, and
 * with it the keyboard's place on the page; it comes back if the element does before it has moved on.
 * @param {HTMLElement} element
 * @param {boolean} hidden
 * @param {HTMLElement} heir
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
    const isWaiting = focused === lent.to || focused === document.body;
    if (isWaiting && lent.focused instanceof HTMLElement) lent.focused.focus({ preventScroll: true });
    lent = null;
  }
}

// A burst of prices must not strobe: WCAG 2.3.1 allows three flashes a second at most.
const LEAST_MS_BETWEEN_FLASHES = 400;
/** @type {WeakMap<HTMLElement, number>} */
const flashedAt = new WeakMap();

/**
 * Marks an element as just changed; CSS decides how that looks.
 * @param {HTMLElement} element
 */
export function flash(element) {
  const now = performance.now();
  if (now - (flashedAt.get(element) ?? -Infinity) < LEAST_MS_BETWEEN_FLASHES) return;
  flashedAt.set(element, now);
  // Two names for one animation: changing the name is what starts it again.
  element.dataset.flash = element.dataset.flash === 'a' ? 'b' : 'a';
}
