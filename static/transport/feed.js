// @ts-check
// The feed: the newest state of one or more auctions, by the best way there is.
//
// Rule: trust the browser's own EventSource reconnect first; poll only while the stream does not
// deliver; go back to the stream as soon as it does. Knows nothing of the DOM of a page.
//
// Events: see FeedEvents. Call open() once listeners are attached, close() at the end.

/** @import { State } from './state.js' */
/** @import { ServiceEvent } from './stream.js' */
/** @import { Connection } from './verdict.js' */

import { ServerClock } from './clock.js';
import { Poller } from './poller.js';
import { followPresence } from './presence.js';
import { auctionUrl, serviceUrl } from './service.js';
import { isFinal, isNews } from './state.js';
import { Stream } from './stream.js';
import { Verdict } from './verdict.js';

const POLL_IF_NO_FIRST_EVENT_MS = 5_000;
// The server asks browsers to retry after 2-4 s: give them that and one round trip.
const POLL_IF_NOT_RECONNECTED_MS = 8_000;
const PROBE_STREAM_AGAIN_MS = 30_000;
export const MAX_GUIDS_PER_STREAM = 50;

/**
 * The events of a feed, with what each brings.
 * @typedef {object} FeedEvents
 * @property {State} state
 * @property {Connection} connection
 */

export class Feed extends EventTarget {
  /** @type {Map<string, State>} */
  #latest = new Map();
  /** @type {Stream | null} */
  #stream = null;
  /** @type {Poller | null} */
  #poller = null;
  /** @type {(() => void) | null} */
  #stopPresence = null;
  #guids; #verdict; #pollSoon = 0; #probe = 0;
  #watched = false; #finished = false; #pathProven = false; #storeLive = true;

  /** @param {string[]} guids */
  constructor(guids = []) {
    super();
    this.#guids = [...guids];
    this.clock = new ServerClock();
    this.#verdict = new Verdict((connection) => this.#emit('connection', connection));
  }

  get connection() { return this.#verdict.current; }
  get guids() { return this.#guids; }

  /** @param {string} guid */
  latest(guid) { return this.#latest.get(guid) ?? null; }

  /**
   * Calls `react` with what each event of this type brings.
   * @template {keyof FeedEvents} T
   * @param {T} type
   * @param {(detail: FeedEvents[T]) => void} react
   */
  on(type, react) {
    this.addEventListener(type, (event) => react(/** @type {CustomEvent<FeedEvents[T]>} */ (event).detail));
  }

  open() {
    this.#stopPresence ??= followPresence({
      wake: () => this.#wake(), sleep: () => this.#sleep(),
      online: () => this.#networkReturned(), offline: () => this.#networkLeft(),
    });
    this.#wake();
  }

  close() {
    this.#stopPresence?.();
    this.#stopPresence = null;
    this.#watched = false;
    this.#rest();
    this.#verdict.forget();
  }

  /**
   * Watches these auctions instead; states already known stay known.
   * @param {string[]} guids
   */
  watch(guids) {
    const wanted = new Set(guids);
    if (wanted.size === this.#guids.length && this.#guids.every((guid) => wanted.has(guid))) return;
    this.#guids = [...wanted];
    for (const guid of this.#latest.keys()) if (!wanted.has(guid)) this.#latest.delete(guid);
    this.#finished = false;
    // Where streams do not get through, other guids change nothing about that: go on polling.
    const polling = this.#poller !== null;
    this.#stopPolling();
    this.#connect({ probing: polling });
    if (polling) this.#startPolling();
  }

  /**
   * Takes a state from anywhere (a bid's reply, a list); older ones than shown are ignored.
   * @param {State} state
   */
  accept(state) {
    if (!this.#guids.includes(state.guid)) return;
    const shown = this.#latest.get(state.guid);
    if (!isNews(state, shown)) return;
    this.#latest.set(state.guid, state);
    this.#emit('state', state);
    if (this.#guids.length === 1 && isFinal(state)) this.#finish();
  }

  /**
   * Takes one reading of the server's clock, if there is one.
   * @param {number | undefined} serverNow epoch ms
   * @param {number} roundTripMs of the request that this answers
   */
  observeClock(serverNow, roundTripMs = 0) {
    if (typeof serverNow === 'number') this.clock.observe(serverNow, roundTripMs);
  }

  // -- watched, unwatched, done ----------------------------------------------------------------

  #wake() {
    if (this.#watched) return;
    this.#watched = true;
    this.#connect();
  }

  #sleep() {
    if (!this.#watched) return;
    this.#watched = false;
    this.#rest();
    // Whoever looks again must not take an old price for a live one; a final one stays true.
    if (!this.#finished) this.#verdict.bad();
  }

  #rest() {
    this.#hangUp();
    this.#stopPolling();
  }

  #finish() {
    this.#finished = true;
    this.#rest();
    this.#verdict.settle(); // no doubt can arise any more
  }

  #networkLeft() {
    if (this.#watched && !this.#finished) this.#verdict.doubt();
  }

  #networkReturned() {
    if (this.#watched && this.#verdict.current !== 'live') {
      this.#stopPolling();
      this.#connect();
    }
  }

  // -- the stream ------------------------------------------------------------------------------

  #connect({ probing = false } = {}) {
    this.#hangUp();
    if (!this.#watched || this.#finished || !this.#guids.length) return;
    if (typeof EventSource === 'undefined') return this.#fallBack();
    if (!probing) this.#verdict.doubt();
    // A probe asks for the state even if it is known: only a delivered event proves the path.
    const tag = probing ? '' : this.#resumeTag();
    this.#stream = new Stream(streamUrl(this.#guids, tag), {
      mayStaySilent: tag !== '',
      opened: () => this.#opened(),
      heard: (event) => this.#heard(event),
      interrupted: () => this.#interrupted(),
      failed: (reason) => this.#failed(reason),
    });
    this.#pollUnlessHeard(POLL_IF_NO_FIRST_EVENT_MS);
  }

  #resumeTag() {
    return this.#guids.length === 1 ? this.latest(this.#guids[0])?.tag ?? '' : '';
  }

  #opened() {
    this.#storeLive = true;
    // A viewer who is up to date may be sent nothing for a while: on a path that has delivered
    // before, an open stream is a live one (the stream's own watchdog still doubts it).
    if (this.#pathProven && !this.#poller) {
      clearTimeout(this.#pollSoon);
      this.#verdict.good('live');
    }
  }

  /** @param {ServiceEvent} event */
  #heard({ type, payload }) {
    this.observeClock(payload.now);
    if (type === 'busy') return this.#busy(payload.reason);
    this.#pathProven = true;
    this.#stopPolling();
    if (type === 'hb') this.#storeLive = payload.live !== false;
    if (this.#storeLive) this.#verdict.good('live'); else this.#verdict.bad();
    if (type !== 'hb') this.accept(payload);
  }

  /** @param {string} reason */
  #busy(reason) {
    // The browser comes back after the long `retry:` it was given; until then, poll.
    if (reason === 'store_unavailable') this.#verdict.bad(); else this.#verdict.doubt();
    this.#startPolling();
  }

  #interrupted() {
    if (this.#verdict.current !== 'polling') this.#verdict.doubt();
    if (!this.#poller) this.#pollUnlessHeard(POLL_IF_NOT_RECONNECTED_MS);
  }

  /** @param {'swallowed' | 'silent' | 'refused'} reason */
  #failed(reason) {
    this.#stream = null;
    if (reason === 'silent') return this.#connect();
    this.#pathProven = false;
    this.#fallBack();
  }

  #hangUp() {
    clearTimeout(this.#pollSoon);
    clearTimeout(this.#probe);
    this.#stream?.close();
    this.#stream = null;
  }

  // -- polling ---------------------------------------------------------------------------------

  #fallBack() {
    this.#startPolling();
    clearTimeout(this.#probe);
    this.#probe = setTimeout(() => this.#connect({ probing: true }), PROBE_STREAM_AGAIN_MS);
  }

  /** @param {number} delayMs */
  #pollUnlessHeard(delayMs) {
    clearTimeout(this.#pollSoon);
    this.#pollSoon = setTimeout(() => this.#startPolling(), delayMs);
  }

  #startPolling() {
    if (this.#poller || !this.#watched) return;
    if (this.#verdict.current !== 'offline') this.#verdict.doubt();
    this.#poller = new Poller(this.#guids, {
      tagOf: (guid) => this.latest(guid)?.tag ?? '',
      isFinal: (guid) => isFinal(this.latest(guid)),
      answered: () => this.#verdict.good('polling'),
      heard: (state, roundTripMs) => {
        this.observeClock(state.now, roundTripMs);
        this.accept(state);
      },
      storeLost: () => this.#verdict.bad(),
      unreachable: () => this.#verdict.doubt(),
    });
    this.#poller.start();
  }

  #stopPolling() {
    clearTimeout(this.#pollSoon);
    this.#poller?.stop();
    this.#poller = null;
  }

  /**
   * @template {keyof FeedEvents} T
   * @param {T} type
   * @param {FeedEvents[T]} detail
   */
  #emit(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}

/**
 * @param {string[]} guids
 * @param {string} tag where a single auction's stream resumes; empty to begin anew
 */
function streamUrl(guids, tag) {
  if (guids.length === 1) return auctionUrl(guids[0], 'stream', tag ? { last_event_id: tag } : {});
  return serviceUrl('auctions/stream', guids.slice(0, MAX_GUIDS_PER_STREAM).map((guid) => ['guid', guid]));
}
