// @ts-check
// A price on the page: the decimal string in data-price, and the viewer's format of it as text.
//
// Rule: the currency sign, the space beside it and the fraction are spans, so that CSS can style them;
// the element's text is exactly the formatted price. Before the first bid, the text is the starting
// price and data-price is empty.

/** @import { State } from '../transport/state.js' */

import { isExternal } from '../transport/state.js';
import { formatPrice, priceParts } from './money.js';
import { text, viewerLocale } from './strings.js';

/**
 * Shows a state's price in an element. Returns true if it replaced another price.
 * @param {HTMLElement} element
 * @param {State} state
 */
export function showPrice(element, { price, next_bid: nextBid, currency }) {
  const before = element.dataset.price;
  const shown = price ?? nextBid ?? null;
  element.dataset.price = price ?? '';
  if (shown === null) element.textContent = text.noPrice;
  else if (element.textContent !== priceText(shown, currency)) {
    element.replaceChildren(...priceParts(shown, currency, viewerLocale).map(partNode));
    // CSS fits a price of any length into one line by this number.
    element.style.setProperty('--chars', String(element.textContent.length));
  }
  return before !== undefined && before !== element.dataset.price;
}

/**
 * A price in the viewer's format.
 * @param {string} price
 * @param {string | null | undefined} currency
 */
export function priceText(price, currency) { return formatPrice(price, currency, viewerLocale); }

/**
 * What the shown number is: a bid, the starting price, the hammer price, …
 * @param {State} state
 */
export function priceLabel(state) {
  if (state.status === 'unknown') return '';
  if (isExternal(state)) return text.maximumPrice;
  if (state.price === null) return state.next_bid == null ? text.noBidsYet : text.startingPrice;
  if (state.status === 'cancelled') return text.lastBid;
  if (state.status !== 'closed') return text.currentBid;
  return state.reserve_met === false ? text.lastBid : text.finalPrice;
}

/** @param {number} count */
export function bidsText(count) { return text.bids(count, count.toLocaleString(viewerLocale)); }

/** @param {Intl.NumberFormatPart} part */
function partNode({ type, value }) {
  if (!['currency', 'literal', 'fraction'].includes(type)) return value;
  const span = document.createElement('span');
  span.className = type;
  span.textContent = value;
  return span;
}
