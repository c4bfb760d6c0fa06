// The page of the open lots, /.
//
// Rule: one connection for all of them, however many. The list says which lots there are and is
// asked now and then; the feed says what they cost. A lot that closes stays, shown as closed.

import { showCountdown, startTicking } from './countdown.js';
import { Feed, MAX_GUIDS_PER_STREAM } from './feed.js';
import { flash, followConnection, localise, openPage, setText, showConnection } from './page.js';
import { bidsText, priceLabel, showPrice } from './price.js';
import { serviceUrl } from './service.js';
import { isFinal } from './state.js';
import { text } from './strings.js';

const REFRESH_MS = 30_000;
// With nothing to watch, the next lot should not keep its viewers waiting so long.
const REFRESH_EMPTY_MS = 10_000;
const REFRESH_AFTER_CLOSING_MS = 1_500;
const RETRY_MS = 5_000;

const main = document.querySelector('main');
const lots = document.getElementById('lots');
const cardTemplate = document.getElementById('lot-card');
const cards = new Map(); // guid -> element
const states = new Map(); // guid -> the state shown
let refreshTimer = 0;

openPage();
const feed = new Feed();
followConnection(feed);
feed.addEventListener('state', ({ detail }) => show(detail));
document.getElementById('retry').addEventListener('click', refresh);
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
startTicking(() => { for (const guid of cards.keys()) tick(guid); });
feed.open();
refresh();

async function refresh() {
  refreshIn(REFRESH_MS);
  try {
    const asked = performance.now();
    const url = serviceUrl('auctions', { status: 'open', limit: MAX_GUIDS_PER_STREAM });
    const response = await fetch(url, { cache: 'no-store' });
    if (!response.ok) throw new Error(`${response.status}`);
    const { auctions } = await response.json();
    take(auctions.map((auction) => auction.state), performance.now() - asked);
  } catch {
    main.dataset.view = cards.size ? 'lots' : 'error';
    if (!cards.size) showConnection('offline');
    refreshIn(RETRY_MS);
  }
}

function take(open, roundTripMs) {
  const listed = new Set(open.map((state) => state.guid));
  for (const [guid, state] of states) {
    // Neither open nor seen to end: its end was missed, so the stream is asked about it once more.
    if (!listed.has(guid) && !isFinal(state)) listed.add(guid);
  }
  for (const { guid } of open) if (!cards.has(guid)) addCard(guid);
  feed.watch([...listed].slice(0, MAX_GUIDS_PER_STREAM));
  for (const state of open) {
    feed.observeClock(state.now, roundTripMs);
    feed.accept(state);
  }
  main.dataset.view = cards.size ? 'lots' : 'empty';
  if (!cards.size) showConnection('polling'); // nothing to stream: the list itself is asked
  if (!open.length) refreshIn(REFRESH_EMPTY_MS);
}

function addCard(guid) {
  const fragment = cardTemplate.content.cloneNode(true);
  localise(fragment);
  const card = fragment.querySelector('[data-guid]');
  card.dataset.guid = guid;
  card.querySelector('a').href = serviceUrl(`lots/${encodeURIComponent(guid)}`);
  cards.set(guid, card);
  lots.append(fragment);
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
