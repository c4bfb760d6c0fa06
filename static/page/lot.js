// @ts-check
// The page of one lot, /lots/<guid>.
//
// Rule: this module shows states and decides nothing. The feed brings the states; the form, the
// history and the countdown each have a module of their own.

import { Feed } from '../transport/feed.js';
/** @import { State } from '../transport/state.js' */

import { auctionUrl } from '../transport/service.js';
import { paddleOf, takeTokenFromAddress } from '../transport/session.js';
import { Standing } from '../transport/standing.js';
import { epochOf, isFinal, isExternal, standingOf } from '../transport/state.js';
import { BidForm } from './bid-form.js';
import { showCountdown, startTicking } from './countdown.js';
import { History } from './history.js';
import { find, flash, followConnection, openPage, setText } from './page.js';
import { bidsText, priceLabel, priceText, showPrice } from './price.js';
import { text, viewerLocale } from './strings.js';

// A screen reader cannot read out every bid of a fast auction.
const MIN_MS_BETWEEN_SPOKEN_PRICES = 8_000;

const guid = decodeURIComponent(location.pathname.split('/').filter(Boolean).at(-1) ?? '');
const main = find(document, 'main', HTMLElement);
const byId = (/** @type {string} */ id) => find(document, `#${id}`, HTMLElement);
const dayAndTime = new Intl.DateTimeFormat(viewerLocale, { dateStyle: 'medium', timeStyle: 'medium' });

openPage();
takeTokenFromAddress();
const feed = new Feed([guid]);
const standing = new Standing(guid, showAgain);
const form = new BidForm(guid, main, {
  answered: (state) => {
    feed.accept(state);
    show(feed.latest(guid) ?? state); // show it even if the state is not new: the paddle may be
  },
  voided: (reason) => standing.void(reason),
});
const history = new History(guid, byId('bids'));
/** @type {string | null} the epoch for which the terms are known or requested */
let termsEpoch = null;
// The form is hidden until the terms are known, because they say what an amount means.
const RETRY_TERMS_MS = 2_000;

setText(byId('title'), guid);
followConnection(feed);
feed.on('state', show);
window.addEventListener('hashchange', () => { takeTokenFromAddress(); showAgain(); });
startTicking(() => tick(feed.latest(guid)));
feed.open();

function showAgain() {
  const state = feed.latest(guid);
  if (state) show(state);
}

/** @param {State} state */
function show(state) {
  main.dataset.status = state.status;
  main.dataset.external = String(isExternal(state));
  const paddle = paddleOf(guid);
  setText(byId('title'), state.title ?? guid);
  setText(byId('status'), state.paused ? text.paused : text.status[state.status]);
  main.dataset.paused = String(state.paused);
  showPriceOf(state);
  showFacts(state);
  showStanding(state, paddle);
  setText(byId('note'), noteOf(state));
  form.bar(standing.voided !== null);
  form.update(state);
  history.update(state, paddle);
  tick(state);
  if (state.bids == null) return; // the auction does not exist yet, or it is external
  if (termsEpoch !== epochOf(state.tag)) requestTerms(epochOf(state.tag));
  standing.follow(state);
}

/** @param {State} state */
function noteOf(state) {
  if (standing.voided && !isFinal(state)) return text.voidedNote;
  if (state.paused) return text.pausedNote;
  if (state.status === 'closed') return state.outcome ? text.outcome[state.outcome] : text.note.closed;
  return text.note[isExternal(state) ? 'external' : state.status];
}

/** @param {State} state */
function showPriceOf(state) {
  if (showPrice(byId('price'), state)) flash(byId('price'));
  setText(byId('price-label'), priceLabel(state));
  const known = state.price ?? state.next_bid ?? null;
  document.title = [known && priceText(known, state.currency), state.title ?? guid].filter(Boolean).join(' · ');
  if (state.price !== null) speakPrice();
}

/** @param {State} state */
function showFacts(state) {
  const facts = [];
  if (state.bids != null && state.status !== 'upcoming') facts.push(bidsText(state.bids));
  if (state.leader != null) facts.push(state.status === 'open' ? text.leads(state.leader) : text.paddle(state.leader));
  if (state.reserve_met != null) facts.push(state.reserve_met ? text.reserveMet : text.reserveNotMet);
  if (state.extensions) facts.push(text.extended(state.extensions));
  setText(byId('facts'), facts.join(' · '));
}

/**
 * @param {State} state
 * @param {number | null} paddle
 */
function showStanding(state, paddle) {
  if (standing.voided) {
    byId('standing').dataset.standing = 'voided';
    return setText(byId('standing'), text.voidedStanding(standing.voided.reason));
  }
  const current = standingOf(state, paddle);
  const over = state.status === 'closed';
  const leads = over && state.reserve_met === false && state.leader !== null && state.leader === paddle;
  const lost = over && current === 'outbid';
  const unsold = lost && state.reserve_met === false; // nobody bought it
  byId('standing').dataset.standing = current;
  setText(byId('standing'), leads ? text.standing.leadingClosed : unsold ? '' : lost ? text.standing.lost : text.standing[current]);
}

/** @param {State | null} state */
function tick(state) {
  if (!state) return;
  const phase = showCountdown(byId('countdown'), state, feed.clock.now());
  byId('clock').hidden = phase === 'none' || phase === 'closed';
  setText(byId('clock-label'), phase === 'opens' || phase === 'opening' ? text.opensIn : text.closesIn);
  /** @type {[number | null | undefined, (when: string) => string]} */
  const [at, words] = state.status === 'upcoming' ? [state.opens_at, text.opensAt]
    : [state.closes_at, state.status === 'open' ? text.closesAt : text.closedAt];
  const isShown = !state.paused && state.status !== 'unknown' && state.status !== 'cancelled';
  setText(byId('when'), isShown && at != null ? words(dayAndTime.format(at)) : '');
}

let spokenAt = -Infinity;
let speaking = 0;

/** Gives a screen reader the newest price, not every price. */
function speakPrice() {
  if (speaking) return;
  const waitMs = Math.max(0, spokenAt + MIN_MS_BETWEEN_SPOKEN_PRICES - performance.now());
  speaking = setTimeout(() => {
    speaking = 0;
    spokenAt = performance.now();
    const state = feed.latest(guid);
    if (!state || state.price === null) return;
    setText(byId('price-spoken'), text.spokenPrice(priceText(state.price, state.currency)));
  }, waitMs);
}

/**
 * Requests the terms. A later auction under the same guid has another epoch, and may have other terms.
 * @param {string} epoch
 */
async function requestTerms(epoch) {
  termsEpoch = epoch;
  form.setTerms(null);
  try {
    const asked = performance.now();
    const response = await fetch(auctionUrl(guid), { cache: 'no-store' });
    if (!response.ok) throw new Error(`${response.status}`);
    const { terms, state } = await response.json();
    // The first event of a stream may carry an old `now`; this answer is new, and its round trip is measured.
    feed.observeClock(state.now, performance.now() - asked);
    if (epochOf(state.tag) !== epoch) throw new Error('these are the terms of another epoch');
    if (epoch === termsEpoch) form.setTerms(terms);
  } catch {
    setTimeout(() => { if (epoch === termsEpoch) { termsEpoch = null; showAgain(); } }, RETRY_TERMS_MS);
  }
}
