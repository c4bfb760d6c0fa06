// @ts-check
// One EventSource, and the cases in which it does not deliver.
//
// Rule: the browser reconnects by itself; this module reports when that is not enough. The stream
// then ends, once, with failed(reason):
//   'swallowed'  no first event in time: a proxy holds the stream back, or there is no server
//   'silent'     it delivered before, then nothing, not even a heartbeat: a dead socket
//   'refused'    the browser does not reconnect (the status was not 200)

const FIRST_EVENT_MS = 5_000;
// A resumed stream that is up to date receives nothing before the first heartbeat, at 15 s.
const FIRST_EVENT_WHEN_RESUMED_MS = 20_000;
// Two and a half heartbeats.
const SILENCE_MS = 40_000;
// After `busy` the browser waits for the time that the server asks for; a script cannot read it.
const SILENCE_AFTER_BUSY_MS = 120_000;

/** @type {ServiceEvent['type'][]} */
const EVENT_TYPES = ['price', 'closed', 'hb', 'busy'];

/** @import { State } from './state.js' */

/**
 * An event as the service sent it. `now` is the service's clock, in epoch ms.
 * @typedef {{type: 'price' | 'closed', payload: State}
 *   | {type: 'hb', payload: {now: number, live?: boolean}}
 *   | {type: 'busy', payload: {now: number, reason: string}}} ServiceEvent
 */

/**
 * What a stream reports.
 * @typedef {object} StreamEvents
 * @property {boolean} mayStaySilent true if the first event may be the first heartbeat
 * @property {() => void} opened
 * @property {(event: ServiceEvent) => void} received
 * @property {() => void} interrupted the browser reconnects by itself
 * @property {(reason: 'swallowed' | 'silent' | 'refused') => void} failed called once, after the stream has ended
 */

export class Stream {
  #source; #watchdog = 0; #hasDelivered = false;

  /** @type {StreamEvents | null} null once it has ended */
  #on;

  /**
   * @param {URL} url
   * @param {StreamEvents} on
   */
  constructor(url, on) {
    this.#on = on;
    this.#source = new EventSource(url);
    this.#source.onopen = () => this.#onOpen();
    this.#source.onerror = () => this.#onError();
    for (const type of EVENT_TYPES) {
      this.#source.addEventListener(type, (event) => this.#onEvent(type, event.data));
    }
    this.#expectEvent(on.mayStaySilent ? FIRST_EVENT_WHEN_RESUMED_MS : FIRST_EVENT_MS);
  }

  close() {
    clearTimeout(this.#watchdog);
    this.#source.onopen = this.#source.onerror = null;
    this.#source.close();
    this.#on = null;
  }

  #onOpen() {
    // A reconnect by the browser resumes the stream, so it may stay silent as long.
    if (this.#hasDelivered) this.#expectEvent(FIRST_EVENT_WHEN_RESUMED_MS);
    this.#on?.opened();
  }

  /**
   * @param {ServiceEvent['type']} type
   * @param {string} text
   */
  #onEvent(type, text) {
    const payload = parsed(text);
    if (!this.#on || !payload) return;
    this.#hasDelivered = true;
    this.#expectEvent(type === 'busy' ? SILENCE_AFTER_BUSY_MS : SILENCE_MS);
    this.#on.received(/** @type {ServiceEvent} */ ({ type, payload }));
  }

  #onError() {
    if (!this.#on) return;
    if (this.#source.readyState === EventSource.CLOSED) this.#fail('refused');
    else this.#on.interrupted();
  }

  /** @param {number} withinMs */
  #expectEvent(withinMs) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#fail(this.#hasDelivered ? 'silent' : 'swallowed'), withinMs);
  }

  /** @param {'swallowed' | 'silent' | 'refused'} reason */
  #fail(reason) {
    const on = this.#on;
    this.close();
    on?.failed(reason);
  }
}

/**
 * The object in a text of JSON, or null where there is none.
 * @param {string} text
 * @returns {object | null}
 */
function parsed(text) {
  try {
    const payload = JSON.parse(text);
    return payload && typeof payload === 'object' ? payload : null;
  } catch {
    return null; // for example a proxy's page in the middle of a stream
  }
}
