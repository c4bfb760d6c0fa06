// @ts-check
// The page of the open lots, /.
//
// Rule: one connection serves all lots that are shown, one page of them at a time. The list says
// which lots are open and is requested from time to time; the feed brings their prices. A lot that
// closes stays on the page, shown as closed. The browser's history has the cursors of the page.

/** @import { State } from '../transport/state.js' */

import { Feed, MAX_GUIDS_PER_STREAM } from '../transport/feed.js';
import { auctionUrl, serviceUrl } from '../transport/service.js';
import { isFinal } from '../transport/state.js';
import { showCountdown, startTicking } from './countdown.js';
import { find, flash, followConnection, localise, openPage, setText, showConnection } from './page.js';
import { bidsText, priceLabel, showPrice } from './price.js';
import { text, viewerLocale } from './strings.js';

const REFRESH_MS = 30_000;
// An empty page looks for the next lot more often.
const REFRESH_EMPTY_MS = 10_000;
const REFRESH_AFTER_CLOSING_MS = 1_500;
const RETRY_MS = 5_000;

/**
 * One page of the list. `next` is the cursor of the page after it, `before` how many lots come before.
 * @typedef {{auctions: {state: State}[], next: string | null, total: number, before: number}} LotsPage
 */

const main = find(document, 'main', HTMLElement);
const lots = find(document, '#lots', HTMLElement);
const cardTemplate = find(document, '#lot-card', HTMLTemplateElement);
const heading = find(document, 'h1', HTMLElement);
const pages = find(document, '#pages', HTMLElement);
const earlier = find(pages, '#earlier', HTMLButtonElement);
const more = find(pages, '#more', HTMLButtonElement);
const count = new Intl.NumberFormat(viewerLocale);
/** @type {Map<string, HTMLElement>} by guid */
const cards = new Map();
/** @type {Map<string, State>} by guid: the state shown */
const states = new Map();
let cursors = cursorsOf(history.state); // of all pages up to this one; the first page's is empty
/** @type {string | null} the cursor of the page after this one */
let next = null;
let requests = 0; // for the list; only the answer to the last one counts
let refreshTimer = 0;

openPage();
const feed = new Feed();
followConnection(feed);
feed.on('state', show);
find(document, '#retry', HTMLElement).addEventListener('click', refresh);
earlier.addEventListener('click', () => turnTo(cursors.slice(0, -1)));
more.addEventListener('click', () => { if (next !== null) turnTo([...cursors, next]); });
addEventListener('popstate', ({ state }) => showPage(cursorsOf(state)));
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
startTicking(() => { for (const guid of cards.keys()) tick(guid); });
feed.open();
refresh();

// -- pages -------------------------------------------------------------------------------------------

/**
 * @param {{cursors?: string[]} | null} state of an entry in the browser's history
 * @returns {string[]}
 */
function cursorsOf(state) {
  const after = new URLSearchParams(location.search).get('after');
  return state?.cursors ?? (after ? ['', after] : ['']);
}

/**
 * @param {string[]} wanted
 * @param {{replace?: boolean}} options true replaces the present entry in the browser's history
 */
function turnTo(wanted, { replace = false } = {}) {
  const url = new URL(location.href);
  const after = wanted.at(-1);
  url.search = after ? String(new URLSearchParams({ after })) : '';
  if (replace) history.replaceState({ cursors: wanted }, '', url); else history.pushState({ cursors: wanted }, '', url);
  showPage(wanted);
}

/** @param {string[]} wanted */
function showPage(wanted) {
  cursors = wanted;
  lots.replaceChildren();
  cards.clear();
  states.clear();
  earlier.disabled = more.disabled = true;
  scrollTo(0, 0);
  heading.focus({ preventScroll: true });
  refresh();
}

/** @param {LotsPage} page */
function showPosition({ before, total, auctions }) {
  const last = before + auctions.length;
  earlier.disabled = cursors.length < 2;
  more.disabled = next === null;
  pages.hidden = earlier.disabled && more.disabled;
  const words = text.whichLots(count.format(before + 1), count.format(last), count.format(Math.max(total, last)));
  setText(find(pages, '.which', HTMLElement), auctions.length ? words : '');
}

// -- the list ----------------------------------------------------------------------------------------

async function refresh() {
  refreshIn(REFRESH_MS);
  const request = ++requests;
  try {
    const began = performance.now();
    const after = cursors.at(-1);
    const url = serviceUrl('auctions', { status: 'open', limit: MAX_GUIDS_PER_STREAM, ...(after && { after }) });
    const response = await fetch(url, { cache: 'no-store' });
    if (request !== requests) return;
    // The cursor in the address is not valid any more: begin at the first page.
    if (response.status === 422 && after) return turnTo([''], { replace: true });
    if (!response.ok) throw new Error(`${response.status}`);
    /** @type {LotsPage} */
    const list = await response.json();
    if (request !== requests) return;
    // All lots from this cursor on have closed: the same.
    if (!list.auctions.length && !cards.size && after) return turnTo([''], { replace: true });
    next = list.next;
    showLots(list.auctions.map((auction) => auction.state), performance.now() - began);
    showPosition(list);
  } catch {
    if (request !== requests) return;
    main.dataset.view = cards.size ? 'lots' : 'error';
    if (!cards.size) showConnection('offline');
    refreshIn(RETRY_MS);
  }
}

/**
 * @param {State[]} open
 * @param {number} roundTripMs
 */
function showLots(open, roundTripMs) {
  const listed = new Set(open.map((state) => state.guid));
  for (const [guid, state] of states) if (!listed.has(guid) && !isFinal(state)) checkUnlisted(guid);
  /** @type {HTMLElement | null} */
  let successor = null;
  for (const { guid } of [...open].reverse()) successor = cards.get(guid) ?? addCard(guid, successor);
  feed.watch([...listed]);
  for (const state of open) {
    feed.observeClock(state.now, roundTripMs);
    feed.accept(state);
  }
  main.dataset.view = cards.size ? 'lots' : 'empty';
  if (!cards.size) showConnection('polling'); // without lots there is no stream: the page polls the list
  if (!open.length) refreshIn(REFRESH_EMPTY_MS);
}

/**
 * Checks a lot that is shown as open and is not in the list. Either its end was missed: it is shown as closed. Or newer
 * lots have moved it to the next page: it is removed.
 * @param {string} guid
 */
async function checkUnlisted(guid) {
  try {
    const response = await fetch(auctionUrl(guid, 'price'), { cache: 'no-store' });
    /** @type {State | null} */
    const state = response.ok ? await response.json() : null;
    if (state && isFinal(state)) return show(state);
    if (state === null && response.status !== 404) return;
    cards.get(guid)?.remove();
    cards.delete(guid);
    states.delete(guid);
  } catch {
    // The next list repeats the check.
  }
}

/**
 * @param {string} guid
 * @param {HTMLElement | null} successor the card that it stands before; null at the end
 */
function addCard(guid, successor) {
  const card = document.importNode(find(cardTemplate.content, '[data-guid]', HTMLElement), true);
  localise(card);
  card.dataset.guid = guid;
  find(card, 'a', HTMLAnchorElement).href = serviceUrl(`lots/${encodeURIComponent(guid)}`).href;
  cards.set(guid, card);
  lots.insertBefore(card, successor);
  return card;
}

/** @param {State} state */
function show(state) {
  const card = cards.get(state.guid);
  if (!card) return;
  const wasFinal = isFinal(states.get(state.guid));
  states.set(state.guid, state);
  card.dataset.status = state.status;
  setText(find(card, 'a', HTMLElement), state.title ?? state.guid);
  setText(find(card, '.status', HTMLElement), state.paused ? text.paused : text.status[state.status]);
  setText(find(card, '.label', HTMLElement), priceLabel(state));
  const price = find(card, '.price', HTMLElement);
  if (showPrice(price, state)) flash(price);
  setText(find(card, '.bids', HTMLElement), state.bids == null ? '' : bidsText(state.bids));
  tick(state.guid);
  if (isFinal(state) && !wasFinal) refreshIn(REFRESH_AFTER_CLOSING_MS);
}

/** @param {string} guid */
function tick(guid) {
  const card = cards.get(guid);
  const state = states.get(guid);
  if (card && state) showCountdown(find(card, '.countdown', HTMLElement), state, feed.clock.now());
}

/** @param {number} ms */
function refreshIn(ms) {
  clearTimeout(refreshTimer);
  refreshTimer = setTimeout(() => { if (!document.hidden) refresh(); }, ms);
}
