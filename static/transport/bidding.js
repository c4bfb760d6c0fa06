// @ts-check
// Sending one bid, exactly once.
//
// Rule: a bid has one Idempotency-Key for its whole life. Where no answer came, or the store was
// away, the same key and body are sent again: the server then gives the first answer, if there was
// one. Only a refusal or an acceptance ends a bid; silence never does.

/** @import { State } from './state.js' */

import { auctionUrl } from './service.js';
import { dropToken, tokenForBidding } from './session.js';

const ANSWER_TIMEOUT_MS = 8_000;
const PAUSES_BEFORE_RETRY_MS = [1_000, 2_000, 4_000];
const LONGEST_RETRY_AFTER_MS = 10_000;

/**
 * One bid for its whole life: its amount, and the key by which the service recognises it.
 * @typedef {object} Bid
 * @property {string} price a decimal string
 * @property {'price' | 'max' | 'buy_now'} kind as what the amount is bid: a price, a secret maximum, the buy-now price
 * @property {boolean} confirm the viewer has confirmed an amount far above the next bid
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
 * What came of a bid. 'unknown': no answer came, so that it may have arrived or not.
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
 * Sends a bid until it is answered or the retries are used up.
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
 * @param {number} guestsLeft how many more times a new guest may try
 * @returns {Promise<BidResult>}
 */
async function sendOnce(guid, bid, guestsLeft = 1) {
  try {
    const token = await tokenForBidding();
    if (!token) return { outcome: 'no_token' };
    const response = await post(guid, bid, token);
    // A 401 took no bid. A demo that restarted knows its old guests no more: come as a new one.
    if (response.status === 401 && dropToken(token) && guestsLeft) return sendOnce(guid, bid, guestsLeft - 1);
    return await readAnswer(response);
  } catch {
    return { outcome: 'unknown', retryAfterMs: 0 }; // it may have arrived all the same
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
    return { outcome: 'unknown', retryAfterMs: Math.min(retryAfterMs, LONGEST_RETRY_AFTER_MS) };
  }
  const problem = await response.json().catch(() => ({ code: '', detail: '' }));
  return { outcome: 'refused', problem };
}

function randomKey() {
  // randomUUID exists on https and localhost only; a demo in a local network is neither.
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
