// @ts-check
// The feed: the newest state of one or more auctions, by a stream or by polls.
//
// Rule: the browser's own EventSource reconnect comes first. The feed polls only while the stream
// does not deliver, and stops as soon as the stream delivers. It does not use the DOM of a page.
//
// Events: see FeedEvents. Call open() after the listeners are attached, and close() at the end.

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
// The server asks browsers to retry after 2-4 s; this leaves time for that and one round trip.
const POLL_IF_NOT_RECONNECTED_MS = 8_000;
const PROBE_STREAM_AGAIN_MS = 30_000;
export const MAX_GUIDS_PER_STREAM = 50;

/**
 * The events of a feed, each with its detail.
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
  #guids; #verdict; #pollTimer = 0; #probeTimer = 0;
  #isAwake = false; #isFinished = false; #isPathProven = false; #isStoreLive = true;

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
   * Calls `react` with the detail of each event of this type.
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
    this.#isAwake = false;
    this.#stop();
    this.#verdict.forget();
  }

  /**
   * Watches these auctions instead of the present ones. The states of auctions that stay are kept.
   * @param {string[]} guids
   */
  watch(guids) {
    const wanted = new Set(guids);
    if (wanted.size === this.#guids.length && this.#guids.every((guid) => wanted.has(guid))) return;
    this.#guids = [...wanted];
    for (const guid of this.#latest.keys()) if (!wanted.has(guid)) this.#latest.delete(guid);
    this.#isFinished = false;
    // If streams do not get through, they do not get through for other guids either: keep polling.
    const polling = this.#poller !== null;
    this.#stopPolling();
    this.#connect({ probing: polling });
    if (polling) this.#startPolling();
  }

  /**
   * Accepts a state from any source (a bid's reply, a list); ignores one that is older than the latest.
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
   * Passes a reading of the server's clock on; does nothing without one.
   * @param {number | undefined} serverNow epoch ms
   * @param {number} roundTripMs duration of the request that brought the reading
   */
  observeClock(serverNow, roundTripMs = 0) {
    if (typeof serverNow === 'number') this.clock.observe(serverNow, roundTripMs);
  }

  // -- awake, asleep, finished -----------------------------------------------------------------

  #wake() {
    if (this.#isAwake) return;
    this.#isAwake = true;
    this.#connect();
  }

  #sleep() {
    if (!this.#isAwake) return;
    this.#isAwake = false;
    this.#stop();
    // A viewer who returns must not mistake an old price for a live one. A final price stays true.
    if (!this.#isFinished) this.#verdict.bad();
  }

  #stop() {
    this.#disconnect();
    this.#stopPolling();
  }

  #finish() {
    this.#isFinished = true;
    this.#stop();
    this.#verdict.settle(); // a final state needs no connection
  }

  #networkLeft() {
    if (this.#isAwake && !this.#isFinished) this.#verdict.doubt();
  }

  #networkReturned() {
    if (this.#isAwake && this.#verdict.current !== 'live') {
      this.#stopPolling();
      this.#connect();
    }
  }

  // -- the stream ------------------------------------------------------------------------------

  #connect({ probing = false } = {}) {
    this.#disconnect();
    if (!this.#isAwake || this.#isFinished || !this.#guids.length) return;
    if (typeof EventSource === 'undefined') return this.#fallBack();
    if (!probing) this.#verdict.doubt();
    // A probe requests the state even if it is known: only a delivered event proves the path.
    const tag = probing ? '' : this.#resumeTag();
    this.#stream = new Stream(streamUrl(this.#guids, tag), {
      mayStaySilent: tag !== '',
      opened: () => this.#opened(),
      received: (event) => this.#received(event),
      interrupted: () => this.#interrupted(),
      failed: (reason) => this.#failed(reason),
    });
    this.#pollUnlessDelivered(POLL_IF_NO_FIRST_EVENT_MS);
  }

  #resumeTag() {
    return this.#guids.length === 1 ? this.latest(this.#guids[0])?.tag ?? '' : '';
  }

  #opened() {
    this.#isStoreLive = true;
    // The server may have nothing to send to a client that is up to date. On a path that has
    // delivered before, an open stream therefore counts as live; its watchdog still checks it.
    if (this.#isPathProven && !this.#poller) {
      clearTimeout(this.#pollTimer);
      this.#verdict.good('live');
    }
  }

  /** @param {ServiceEvent} event */
  #received({ type, payload }) {
    this.observeClock(payload.now);
    if (type === 'busy') return this.#busy(payload.reason);
    this.#isPathProven = true;
    this.#stopPolling();
    if (type === 'hb') this.#isStoreLive = payload.live !== false;
    if (this.#isStoreLive) this.#verdict.good('live'); else this.#verdict.bad();
    if (type !== 'hb') this.accept(payload);
  }

  /** @param {string} reason */
  #busy(reason) {
    // The browser reconnects after the long `retry:` that the server sent; until then the feed polls.
    if (reason === 'store_unavailable') this.#verdict.bad(); else this.#verdict.doubt();
    this.#startPolling();
  }

  #interrupted() {
    if (this.#verdict.current !== 'polling') this.#verdict.doubt();
    if (!this.#poller) this.#pollUnlessDelivered(POLL_IF_NOT_RECONNECTED_MS);
  }

  /** @param {'swallowed' | 'silent' | 'refused'} reason */
  #failed(reason) {
    this.#stream = null;
    if (reason === 'silent') return this.#connect();
    this.#isPathProven = false;
    this.#fallBack();
  }

  #disconnect() {
    clearTimeout(this.#pollTimer);
    clearTimeout(this.#probeTimer);
    this.#stream?.close();
    this.#stream = null;
  }

  // -- polling ---------------------------------------------------------------------------------

  #fallBack() {
    this.#startPolling();
    clearTimeout(this.#probeTimer);
    this.#probeTimer = setTimeout(() => this.#connect({ probing: true }), PROBE_STREAM_AGAIN_MS);
  }

  /** @param {number} delayMs */
  #pollUnlessDelivered(delayMs) {
    clearTimeout(this.#pollTimer);
    this.#pollTimer = setTimeout(() => this.#startPolling(), delayMs);
  }

  #startPolling() {
    if (this.#poller || !this.#isAwake) return;
    if (this.#verdict.current !== 'offline') this.#verdict.doubt();
    this.#poller = new Poller(this.#guids, {
      tagOf: (guid) => this.latest(guid)?.tag ?? '',
      isFinal: (guid) => isFinal(this.latest(guid)),
      answered: () => this.#verdict.good('polling'),
      received: (state, roundTripMs) => {
        this.observeClock(state.now, roundTripMs);
        this.accept(state);
      },
      storeUnavailable: () => this.#verdict.bad(),
      unreachable: () => this.#verdict.doubt(),
    });
    this.#poller.start();
  }

  #stopPolling() {
    clearTimeout(this.#pollTimer);
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
 * @param {string} tag where the stream of a single auction resumes; empty for a new stream
 */
function streamUrl(guids, tag) {
  if (guids.length === 1) return auctionUrl(guids[0], 'stream', tag ? { last_event_id: tag } : {});
  return serviceUrl('auctions/stream', guids.slice(0, MAX_GUIDS_PER_STREAM).map((guid) => ['guid', guid]));
}
