// @ts-check
// Polling, for browsers and networks where no stream gets through.
//
// Rule: one auction is long-polled (one request at a time, held by the server). Several are polled
// without a hold, two at a time and paced, because a browser opens only six connections to a host.
// The poller does not know streams and does not judge freshness: it reports what it receives.

/** @import { Problem } from './bidding.js' */
/** @import { State } from './state.js' */

import { auctionUrl } from './service.js';
import { unknownState } from './state.js';

const LONG_POLL_SECONDS = 25;
const LONG_POLL_TIMEOUT_MS = 35_000;
const PLAIN_TIMEOUT_MS = 10_000;
// The minimum between two requests, in case a server answers a long poll at once.
const LONG_POLL_PACE_MS = 1_000;
const ROUND_PACE_MS = 3_000;
const UNKNOWN_PACE_MS = 3_000;
const FAILURE_PACE_MS = 2_000;
const MAX_PACE_MS = 15_000;
const MAX_CONCURRENT = 2;

/**
 * What a poller reads and reports.
 * @typedef {object} PollerEvents
 * @property {(guid: string) => string} tagOf
 * @property {(guid: string) => boolean} isFinal
 * @property {(state: State, roundTripMs: number) => void} received
 * @property {() => void} answered
 * @property {() => void} storeUnavailable
 * @property {() => void} unreachable
 */

export class Poller {
  #guids; #on; #stopping = new AbortController(); #failures = 0; #answered = false;

  /**
   * @param {string[]} guids
   * @param {PollerEvents} on
   */
  constructor(guids, on) {
    this.#guids = guids;
    this.#on = on;
  }

  start() { this.#run(); }
  stop() { this.#stopping.abort(); }

  async #run() {
    while (!this.#stopped) {
      const began = performance.now();
      const pace = this.#guids.length === 1
        ? await this.#poll(this.#guids[0], LONG_POLL_SECONDS)
        : await this.#pollAll();
      await this.#pause(pace - (performance.now() - began));
    }
  }

  async #pollAll() {
    const waiting = this.#guids.filter((guid) => !this.#on.isFinal(guid));
    let longest = ROUND_PACE_MS;
    const pollInTurn = async () => {
      while (waiting.length && !this.#stopped) {
        longest = Math.max(longest, await this.#poll(/** @type {string} */ (waiting.shift()), 0));
      }
    };
    await Promise.all(Array.from({ length: MAX_CONCURRENT }, pollInTurn));
    return longest;
  }

  /**
   * Requests one auction's state. Returns how many ms after this request the next one may start.
   * @param {string} guid
   * @param {number} waitSeconds how long the server may hold the answer
   */
  async #poll(guid, waitSeconds) {
    const began = performance.now();
    const tag = this.#on.tagOf(guid);
    // A held request stays without an answer for long: the first, and the first after a failure, is not held.
    const held = this.#answered && tag !== '' && waitSeconds > 0;
    const url = auctionUrl(guid, 'price', held ? { wait: waitSeconds } : {});
    try {
      const response = await this.#get(url, tag, held ? LONG_POLL_TIMEOUT_MS : PLAIN_TIMEOUT_MS);
      const body = response.status === 304 ? null : await response.json();
      if (this.#stopped) return 0;
      return this.#process(guid, response, body, held ? 0 : performance.now() - began);
    } catch {
      if (this.#stopped) return 0;
      this.#answered = false;
      this.#on.unreachable();
      return performance.now() - began + this.#backOff();
    }
  }

  /**
   * @param {string} guid
   * @param {Response} response
   * @param {State | Problem | null} body a problem unless the status is 200, null for 304
   * @param {number} roundTripMs
   */
  #process(guid, response, body, roundTripMs) {
    if (response.status === 503) {
      this.#answered = false;
      this.#on.storeUnavailable();
      return this.#backOff(Number(response.headers.get('Retry-After')) * 1000);
    }
    // 404: the auction does not exist yet. 422: no auction can have this guid; the page shows both alike.
    const unknown = response.status === 404 || response.status === 422;
    if (!response.ok && response.status !== 304 && !unknown) throw new Error(response.statusText);
    this.#failures = 0;
    this.#answered = true;
    this.#on.answered();
    if (unknown) {
      this.#on.received(/** @type {Problem | null} */ (body)?.state ?? unknownState(guid), roundTripMs);
      return response.status === 404 ? UNKNOWN_PACE_MS : MAX_PACE_MS;
    }
    if (body) this.#on.received(/** @type {State} */ (body), roundTripMs);
    return LONG_POLL_PACE_MS;
  }

  /**
   * @param {URL} url
   * @param {string} tag
   * @param {number} timeoutMs
   */
  async #get(url, tag, timeoutMs) {
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    const timer = setTimeout(abort, timeoutMs);
    this.#stopping.signal.addEventListener('abort', abort);
    try {
      /** @type {Record<string, string>} */
      const headers = tag ? { 'If-None-Match': `"${tag}"` } : {};
      return await fetch(url, { headers, cache: 'no-store', signal: attempt.signal });
    } finally {
      clearTimeout(timer);
      this.#stopping.signal.removeEventListener('abort', abort);
    }
  }

  #backOff(retryAfterMs = 0) {
    this.#failures += 1;
    const ownMs = FAILURE_PACE_MS * this.#failures;
    return Math.min(MAX_PACE_MS, Math.max(ownMs, retryAfterMs || 0));
  }

  /**
   * @param {number} ms
   * @returns {Promise<void>}
   */
  #pause(ms) {
    if (this.#stopped || ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#stopping.signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }

  get #stopped() { return this.#stopping.signal.aborted; }
}
