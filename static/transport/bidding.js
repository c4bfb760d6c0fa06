// Sending one bid, exactly once.
//
// Rule: a bid has one Idempotency-Key for its whole life. Where no answer came, or the store was
// away, the same key and body are sent again: the server then gives the first answer, if there was
// one. Only a refusal or an acceptance ends a bid; silence never does.

import { auctionUrl } from './service.js';
import { dropToken, tokenForBidding } from './session.js';

const ANSWER_TIMEOUT_MS = 8_000;
const PAUSES_BEFORE_RETRY_MS = [1_000, 2_000, 4_000];
const LONGEST_RETRY_AFTER_MS = 10_000;

/** A bid of `price`; `kind` says as what: 'price', 'max' (a secret maximum) or 'buy_now' (at that price). */
export function newBid(price, { kind = 'price', confirm = false } = {}) {
  return { price, kind, confirm, key: randomKey() };
}

function bodyOf({ price, kind, confirm }) {
  const offer = kind === 'buy_now' ? { buy_now: true } : { [kind ?? 'price']: price };
  return confirm ? { ...offer, confirm: true } : offer;
}

/**
 * Sends a bid until it is answered or the retries are used up; calls unsure() at each retry.
 * Returns {outcome: 'accepted', reply, replayed} | {outcome: 'refused', problem} |
 * {outcome: 'no_token'} | {outcome: 'unknown'}.
 */
export async function sendBid(guid, bid, unsure) {
  for (const pauseMs of [...PAUSES_BEFORE_RETRY_MS, null]) {
    const result = await sendOnce(guid, bid);
    if (result.outcome !== 'unknown' || pauseMs === null) return result;
    unsure();
    await new Promise((resolve) => setTimeout(resolve, Math.max(pauseMs, result.retryAfterMs)));
  }
}

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
