// The page of the open lots, /.
//
// Rule: one connection for all that are shown, a page of them at a time. The list says which lots
// there are and is asked now and then; the feed says what they cost. A lot that closes stays, shown
// as closed. Which page it is, and by which it was reached, is in the browser's history.

import { Feed, MAX_GUIDS_PER_STREAM } from '../transport/feed.js';
import { auctionUrl, serviceUrl } from '../transport/service.js';
import { isFinal } from '../transport/state.js';
import { showCountdown, startTicking } from './countdown.js';
import { flash, followConnection, localise, openPage, setText, showConnection } from './page.js';
import { bidsText, priceLabel, showPrice } from './price.js';
import { text, viewerLocale } from './strings.js';

const REFRESH_MS = 30_000;
// With nothing to watch, the next lot should not keep its viewers waiting so long.
const REFRESH_EMPTY_MS = 10_000;
const REFRESH_AFTER_CLOSING_MS = 1_500;
const RETRY_MS = 5_000;

const main = document.querySelector('main');
const lots = document.getElementById('lots');
const cardTemplate = document.getElementById('lot-card');
const heading = document.querySelector('h1');
const pages = document.getElementById('pages');
const earlier = document.getElementById('earlier');
const more = document.getElementById('more');
const count = new Intl.NumberFormat(viewerLocale);
const cards = new Map(); // guid -> element
const states = new Map(); // guid -> the state shown
let cursors = cursorsOf(history.state); // of the pages up to this one; the first has none
let next = null; // the cursor of the page after this one
let asking = 0; // how often the list was asked for: only the last answer counts
let refreshTimer = 0;

openPage();
const feed = new Feed();
followConnection(feed);
feed.addEventListener('state', ({ detail }) => show(detail));
document.getElementById('retry').addEventListener('click', refresh);
earlier.addEventListener('click', () => turnTo(cursors.slice(0, -1)));
more.addEventListener('click', () => turnTo([...cursors, next]));
addEventListener('popstate', ({ state }) => showPage(cursorsOf(state)));
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
startTicking(() => { for (const guid of cards.keys()) tick(guid); });
feed.open();
refresh();

// -- pages -------------------------------------------------------------------------------------------

function cursorsOf(state) {
  const after = new URLSearchParams(location.search).get('after');
  return state?.cursors ?? (after ? ['', after] : ['']);
}

function turnTo(wanted, { instead = false } = {}) {
  const url = new URL(location);
  url.search = wanted.at(-1) && new URLSearchParams({ after: wanted.at(-1) });
  if (instead) history.replaceState({ cursors: wanted }, '', url); else history.pushState({ cursors: wanted }, '', url);
  showPage(wanted);
}

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

function sayWhich({ before, total, auctions }) {
  const last = before + auctions.length;
  earlier.disabled = cursors.length < 2;
  more.disabled = next === null;
  pages.hidden = earlier.disabled && more.disabled;
  const numbers = [before + 1, last, Math.max(total, last)].map((number) => count.format(number));
  setText(pages.querySelector('.which'), auctions.length ? text.whichLots(...numbers) : '');
}

// -- the list ----------------------------------------------------------------------------------------

async function refresh() {
  refreshIn(REFRESH_MS);
  const asked = ++asking;
  try {
    const askedAt = performance.now();
    const after = cursors.at(-1);
    const url = serviceUrl('auctions', { status: 'open', limit: MAX_GUIDS_PER_STREAM, ...(after && { after }) });
    const response = await fetch(url, { cache: 'no-store' });
    if (asked !== asking) return;
    if (response.status === 422 && after) return turnTo([''], { instead: true }); // an address of another time
    if (!response.ok) throw new Error(`${response.status}`);
    const list = await response.json();
    if (asked !== asking) return;
    // All from here on have closed since: whoever comes now begins anew.
    if (!list.auctions.length && !cards.size && after) return turnTo([''], { instead: true });
    next = list.next;
    take(list.auctions.map((auction) => auction.state), performance.now() - askedAt);
    sayWhich(list);
  } catch {
    if (asked !== asking) return;
    main.dataset.view = cards.size ? 'lots' : 'error';
    if (!cards.size) showConnection('offline');
    refreshIn(RETRY_MS);
  }
}

function take(open, roundTripMs) {
  const listed = new Set(open.map((state) => state.guid));
  for (const [guid, state] of states) if (!listed.has(guid) && !isFinal(state)) lookAgain(guid);
  let following = null;
  for (const { guid } of [...open].reverse()) {
    if (!cards.has(guid)) addCard(guid, following);
    following = cards.get(guid);
  }
  feed.watch([...listed]);
  for (const state of open) {
    feed.observeClock(state.now, roundTripMs);
    feed.accept(state);
  }
  main.dataset.view = cards.size ? 'lots' : 'empty';
  if (!cards.size) showConnection('polling'); // nothing to stream: the list itself is asked
  if (!open.length) refreshIn(REFRESH_EMPTY_MS);
}

/** Neither listed nor seen to end: its end was missed, or newer lots have moved it to the next page. */
async function lookAgain(guid) {
  try {
    const response = await fetch(auctionUrl(guid, 'price'), { cache: 'no-store' });
    const state = response.ok ? await response.json() : null;
    if (isFinal(state)) return show(state);
    if (state === null && response.status !== 404) return;
    cards.get(guid)?.remove();
    cards.delete(guid);
    states.delete(guid);
  } catch {
    // Asked again with the next list.
  }
}

function addCard(guid, following) {
  const fragment = cardTemplate.content.cloneNode(true);
  localise(fragment);
  const card = fragment.querySelector('[data-guid]');
  card.dataset.guid = guid;
  card.querySelector('a').href = serviceUrl(`lots/${encodeURIComponent(guid)}`);
  cards.set(guid, card);
  lots.insertBefore(fragment, following);
}

function show(state) {
  const card = cards.get(state.guid);
  if (!card) return;
  const wasFinal = isFinal(states.get(state.guid));
  states.set(state.guid, state);
  card.dataset.status = state.status;
  setText(card.querySelector('a'), state.title ?? state.guid);
  setText(card.querySelector('.status'), state.paused ? text.paused : text.status[state.status]);
  setText(card.querySelector('.label'), priceLabel(state));
  const price = card.querySelector('.price');
  if (showPrice(price, state)) flash(price);
  setText(card.querySelector('.bids'), state.bids == null ? '' : bidsText(state.bids));
  tick(state.guid);
  if (isFinal(state) && !wasFinal) refreshIn(REFRESH_AFTER_CLOSING_MS);
}

function tick(guid) {
  const state = states.get(guid);
  if (state) showCountdown(cards.get(guid).querySelector('.countdown'), state, feed.clock.now());
}

function refreshIn(ms) {
  clearTimeout(refreshTimer);
  refreshTimer = setTimeout(() => { if (!document.hidden) refresh(); }, ms);
}
