// @ts-check
// The page of one lot, /lots/<guid>.
//
// Rule: this only shows. The feed brings states; the form, the history and the countdown each look
// after themselves; what is true comes from the server.

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

// A screen reader that speaks every bid of a heated auction says nothing that can be understood.
const LEAST_MS_BETWEEN_SPOKEN_PRICES = 8_000;

const guid = decodeURIComponent(location.pathname.split('/').filter(Boolean).at(-1) ?? '');
const main = find(document, 'main', HTMLElement);
const by = (/** @type {string} */ id) => find(document, `#${id}`, HTMLElement);
const dayAndTime = new Intl.DateTimeFormat(viewerLocale, { dateStyle: 'medium', timeStyle: 'medium' });

openPage();
takeTokenFromAddress();
const feed = new Feed([guid]);
const standing = new Standing(guid, showAgain);
const form = new BidForm(guid, main, {
  answered: (state) => {
    feed.accept(state);
    show(feed.latest(guid) ?? state); // the paddle may be new even if the state is not
  },
  voided: (reason) => standing.void(reason),
});
const history = new History(guid, by('bids'));
/** @type {string | null} the epoch whose terms are known, or asked for */
let termsOf = null;
// The form waits for the terms: in them is what an amount means.
const LEARN_TERMS_AGAIN_MS = 2_000;

setText(by('title'), guid);
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
  main.dataset.plain = String(isExternal(state));
  const paddle = paddleOf(guid);
  setText(by('title'), state.title ?? guid);
  setText(by('status'), state.paused ? text.paused : text.status[state.status]);
  main.dataset.paused = String(state.paused);
  showPriceOf(state);
  showFacts(state);
  showStanding(state, paddle);
  setText(by('note'), noteOf(state));
  form.bar(standing.voided !== null);
  form.update(state);
  history.update(state, paddle);
  tick(state);
  if (state.bids == null) return; // there is no such auction yet, or another system keeps it
  if (termsOf !== epochOf(state.tag)) learnTerms(epochOf(state.tag));
  standing.follow(state);
}

/** @param {State} state */
function noteOf(state) {
  if (standing.voided && !isFinal(state)) return text.voidedNote;
  if (state.paused) return text.pausedNote;
  if (state.status === 'closed') return state.outcome ? text.outcome[state.outcome] : text.note.closed;
  return text.note[isExternal(state) ? 'plain' : state.status];
}

/** @param {State} state */
function showPriceOf(state) {
  if (showPrice(by('price'), state)) flash(by('price'));
  setText(by('price-label'), priceLabel(state));
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
  setText(by('facts'), facts.join(' · '));
}

/**
 * @param {State} state
 * @param {number | null} paddle
 */
function showStanding(state, paddle) {
  if (standing.voided) {
    by('standing').dataset.standing = 'voided';
    return setText(by('standing'), text.voidedStanding(standing.voided.reason));
  }
  const stands = standingOf(state, paddle);
  const over = state.status === 'closed';
  const leads = over && state.reserve_met === false && state.leader !== null && state.leader === paddle;
  const lost = over && stands === 'outbid';
  const unsold = lost && state.reserve_met === false; // it went to nobody
  by('standing').dataset.standing = stands;
  setText(by('standing'), leads ? text.standing.leadingClosed : unsold ? '' : lost ? text.standing.lost : text.standing[stands]);
}

/** @param {State | null} state */
function tick(state) {
  if (!state) return;
  const phase = showCountdown(by('countdown'), state, feed.clock.now());
  by('clock').hidden = phase === 'none' || phase === 'closed';
  setText(by('clock-label'), phase === 'opens' || phase === 'opening' ? text.opensIn : text.closesIn);
  /** @type {[number | null | undefined, (when: string) => string]} */
  const [at, words] = state.status === 'upcoming' ? [state.opens_at, text.opensAt]
    : [state.closes_at, state.status === 'open' ? text.closesAt : text.closedAt];
  const isShown = !state.paused && state.status !== 'unknown' && state.status !== 'cancelled';
  setText(by('when'), isShown && at != null ? words(dayAndTime.format(at)) : '');
}

let spokenAt = -Infinity;
let speaking = 0;

/** Tells a screen reader the newest price, not every price. */
function speakPrice() {
  if (speaking) return;
  const waitMs = Math.max(0, spokenAt + LEAST_MS_BETWEEN_SPOKEN_PRICES - performance.now());
  speaking = setTimeout(() => {
    speaking = 0;
    spokenAt = performance.now();
    const state = feed.latest(guid);
    if (state && state.price !== null) setText(by('price-spoken'), text.spokenPrice(priceText(state.price, state.currency)));
  }, waitMs);
}

/**
 * What an amount means here. An auction made anew under the same guid, which has an epoch of its own, may have other terms.
 * @param {string} epoch
 */
async function learnTerms(epoch) {
  termsOf = epoch;
  form.setTerms(null);
  try {
    const asked = performance.now();
    const response = await fetch(auctionUrl(guid), { cache: 'no-store' });
    if (!response.ok) throw new Error(`${response.status}`);
    const { terms, state } = await response.json();
    // A greeting may carry an old `now`; this answer was made for us, and its way was measured.
    feed.observeClock(state.now, performance.now() - asked);
    if (epochOf(state.tag) !== epoch) throw new Error('these are the terms of another epoch');
    if (epoch === termsOf) form.setTerms(terms);
  } catch {
    setTimeout(() => { if (epoch === termsOf) { termsOf = null; showAgain(); } }, LEARN_TERMS_AGAIN_MS);
  }
}
