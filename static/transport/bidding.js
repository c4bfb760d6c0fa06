// @ts-check
// Sending one bid, exactly once.
//
// Rule: a bid has one Idempotency-Key for its whole life. If no answer arrives, or the store is not
// available, the page sends the same key and body again; if the server has answered this key before,
// it repeats that answer. Only a refusal or an acceptance ends a bid; silence never does.

/** @import { State } from './state.js' */

import { auctionUrl } from './service.js';
import { dropToken, tokenForBidding } from './session.js';

const ANSWER_TIMEOUT_MS = 8_000;
const PAUSES_BEFORE_RETRY_MS = [1_000, 2_000, 4_000];
const MAX_RETRY_AFTER_MS = 10_000;

/**
 * One bid: its amount, and the key by which the service recognises it when it is sent again.
 * @typedef {object} Bid
 * @property {string} price a decimal string
 * @property {'price' | 'max' | 'buy_now'} kind what the amount is: a price, a secret maximum, or the buy-now price
 * @property {boolean} confirm true if the viewer has confirmed an amount far above the next bid
 * @property {string} key the Idempotency-Key
 */

/**
 * The service's answer to a bid that it accepted.
 * @typedef {object} BidReply
 * @property {number} paddle
 * @property {'leading' | 'outbid' | 'winning'} standing
 * @property {State} state
 */

/**
 * A problem document: why the service refused a request.
 * @typedef {object} Problem
 * @property {string} code
 * @property {string} detail
 * @property {string} [title]
 * @property {State | null} [state]
 * @property {number | null} [retry_after] seconds
 * @property {string | null} [reason]
 */

/**
 * The outcome of a bid. 'unknown': no answer arrived, so the bid may be accepted or not.
 * @typedef {{outcome: 'accepted', reply: BidReply, replayed: boolean}
 *   | {outcome: 'refused', problem: Problem}
 *   | {outcome: 'no_token'}
 *   | {outcome: 'unknown', retryAfterMs: number}} BidResult
 */

/**
 * Makes a bid, with a key of its own.
 * @param {string} price
 * @param {{kind?: Bid['kind'], confirm?: boolean}} options
 * @returns {Bid}
 */
export function newBid(price, { kind = 'price', confirm = false } = {}) {
  return { price, kind, confirm, key: randomKey() };
}

/** @param {Bid} bid */
function bodyOf({ price, kind, confirm }) {
  const offer = kind === 'buy_now' ? { buy_now: true } : { [kind ?? 'price']: price };
  return confirm ? { ...offer, confirm: true } : offer;
}

/**
 * Sends a bid until an answer arrives or no retry is left.
 * @param {string} guid
 * @param {Bid} bid
 * @param {() => void} unsure called before each retry
 */
export async function sendBid(guid, bid, unsure) {
  for (const pauseMs of PAUSES_BEFORE_RETRY_MS) {
    const result = await sendOnce(guid, bid);
    if (result.outcome !== 'unknown') return result;
    const retryAfterMs = Math.max(pauseMs, result.retryAfterMs);
    unsure();
    await new Promise((resolve) => setTimeout(resolve, retryAfterMs));
  }
  return sendOnce(guid, bid);
}

/**
 * @param {string} guid
 * @param {Bid} bid
 * @param {number} guestsLeft how many more guest tokens may be requested
 * @returns {Promise<BidResult>}
 */
async function sendOnce(guid, bid, guestsLeft = 1) {
  try {
    const token = await tokenForBidding();
    if (!token) return { outcome: 'no_token' };
    const response = await post(guid, bid, token);
    // With status 401 no bid was accepted. A restarted demo refuses the tokens of its earlier guests: get a new one.
    if (response.status === 401 && dropToken(token) && guestsLeft) return sendOnce(guid, bid, guestsLeft - 1);
    return await readAnswer(response);
  } catch {
    return { outcome: 'unknown', retryAfterMs: 0 }; // the bid may have arrived
  }
}

/**
 * @param {string} guid
 * @param {Bid} bid
 * @param {string} token
 */
async function post(guid, bid, token) {
  const attempt = new AbortController();
  const timer = setTimeout(() => attempt.abort(), ANSWER_TIMEOUT_MS);
  try {
    return await fetch(auctionUrl(guid, 'bids'), {
      method: 'POST',
      headers: { 'Authorization': `Bearer ${token}`, 'Content-Type': 'application/json', 'Idempotency-Key': bid.key },
      body: JSON.stringify(bodyOf(bid)),
      signal: attempt.signal,
    });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param {Response} response
 * @returns {Promise<BidResult>}
 */
async function readAnswer(response) {
  if (response.ok) {
    const replayed = response.headers.get('Idempotent-Replayed') === 'true';
    return { outcome: 'accepted', reply: await response.json(), replayed };
  }
  if (response.status >= 500) {
    const retryAfterMs = Number(response.headers.get('Retry-After')) * 1000 || 0;
    return { outcome: 'unknown', retryAfterMs: Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) };
  }
  const problem = await response.json().catch(() => ({ code: '', detail: '' }));
  return { outcome: 'refused', problem };
}

function randomKey() {
  // randomUUID exists only on https and on localhost; a demo in a local network has neither.
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
