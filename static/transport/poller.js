// @ts-check
// Polling, for browsers and networks where no stream gets through.
//
// Rule: one auction is long-polled (one request at a time, held by the server); several are asked
// plainly, two at a time and paced, because a browser opens only six connections to a host.
// Knows nothing of streams, and decides nothing about freshness: it reports what it got.

/** @import { Problem } from './bidding.js' */
/** @import { State } from './state.js' */

import { auctionUrl } from './service.js';
import { unknownState } from './state.js';

const LONG_POLL_SECONDS = 25;
const LONG_POLL_TIMEOUT_MS = 35_000;
const PLAIN_TIMEOUT_MS = 10_000;
// The least time between two questions, should a server answer a long poll at once.
const LONG_POLL_PACE_MS = 1_000;
const ROUND_PACE_MS = 3_000;
const UNKNOWN_PACE_MS = 3_000;
const TROUBLE_PACE_MS = 2_000;
const LONGEST_PACE_MS = 15_000;
const ASKED_AT_ONCE = 2;

/**
 * What a poller asks for and reports.
 * @typedef {object} PollerEvents
 * @property {(guid: string) => string} tagOf
 * @property {(guid: string) => boolean} isFinal
 * @property {(state: State, roundTripMs: number) => void} heard
 * @property {() => void} answered
 * @property {() => void} storeLost
 * @property {() => void} unreachable
 */

export class Poller {
  #guids; #on; #stopper = new AbortController(); #troubles = 0; #answered = false;

  /**
   * @param {string[]} guids
   * @param {PollerEvents} on
   */
  constructor(guids, on) {
    this.#guids = guids;
    this.#on = on;
  }

  start() { this.#run(); }
  stop() { this.#stopper.abort(); }

  async #run() {
    while (!this.#stopped) {
      const began = performance.now();
      const pace = this.#guids.length === 1
        ? await this.#ask(this.#guids[0], LONG_POLL_SECONDS)
        : await this.#askAll();
      await this.#pause(pace - (performance.now() - began));
    }
  }

  async #askAll() {
    const waiting = this.#guids.filter((guid) => !this.#on.isFinal(guid));
    let longest = ROUND_PACE_MS;
    const askInTurn = async () => {
      while (waiting.length && !this.#stopped) {
        longest = Math.max(longest, await this.#ask(/** @type {string} */ (waiting.shift()), 0));
      }
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, askInTurn));
    return longest;
  }

  /**
   * Asks for one auction's state; returns how many ms after the question the next may come.
   * @param {string} guid
   * @param {number} waitSeconds how long the server may hold the answer
   */
  async #ask(guid, waitSeconds) {
    const began = performance.now();
    const tag = this.#on.tagOf(guid);
    // A held question says nothing for long: first, and after trouble, it is asked for an answer now.
    const held = this.#answered && tag !== '' && waitSeconds > 0;
    const url = auctionUrl(guid, 'price', held ? { wait: waitSeconds } : {});
    try {
      const response = await this.#get(url, tag, held ? LONG_POLL_TIMEOUT_MS : PLAIN_TIMEOUT_MS);
      const body = response.status === 304 ? null : await response.json();
      if (this.#stopped) return 0;
      return this.#take(guid, response, body, held ? 0 : performance.now() - began);
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
  #take(guid, response, body, roundTripMs) {
    if (response.status === 503) {
      this.#answered = false;
      this.#on.storeLost();
      return this.#backOff(Number(response.headers.get('Retry-After')) * 1000);
    }
    // 404: nobody has created it yet. 422: nobody ever will; waiting for it looks the same.
    const unknown = response.status === 404 || response.status === 422;
    if (!response.ok && response.status !== 304 && !unknown) throw new Error(response.statusText);
    this.#troubles = 0;
    this.#answered = true;
    this.#on.answered();
    if (unknown) {
      this.#on.heard(/** @type {Problem | null} */ (body)?.state ?? unknownState(guid), roundTripMs);
      return response.status === 404 ? UNKNOWN_PACE_MS : LONGEST_PACE_MS;
    }
    if (body) this.#on.heard(/** @type {State} */ (body), roundTripMs);
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
    this.#stopper.signal.addEventListener('abort', abort);
    try {
      /** @type {Record<string, string>} */
      const headers = tag ? { 'If-None-Match': `"${tag}"` } : {};
      return await fetch(url, { headers, cache: 'no-store', signal: attempt.signal });
    } finally {
      clearTimeout(timer);
      this.#stopper.signal.removeEventListener('abort', abort);
    }
  }

  #backOff(askedForMs = 0) {
    this.#troubles += 1;
    const ownMs = TROUBLE_PACE_MS * this.#troubles;
    return Math.min(LONGEST_PACE_MS, Math.max(ownMs, askedForMs || 0));
  }

  /**
   * @param {number} ms
   * @returns {Promise<void>}
   */
  #pause(ms) {
    if (this.#stopped || ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#stopper.signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }

  get #stopped() { return this.#stopper.signal.aborted; }
}
