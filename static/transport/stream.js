// @ts-check
// One EventSource and the doubts one must have about it.
//
// Rule: the browser reconnects by itself; this only says when that is not enough. It ends itself,
// once, with failed(reason):
//   'swallowed'  no first event in time: a proxy holds the stream back, or nothing is there
//   'silent'     it delivered before, then nothing at all, not even a heartbeat: a dead socket
//   'refused'    the browser gave up for good (any status but 200)

const FIRST_EVENT_MS = 5_000;
// A resumed viewer who is up to date hears nothing before the first heartbeat, at 15 s.
const FIRST_EVENT_WHEN_RESUMED_MS = 20_000;
// Two heartbeats and a half.
const SILENCE_MS = 40_000;
// After `busy` the browser waits as long as the server asked for; scripts cannot see how long.
const SILENCE_AFTER_BUSY_MS = 120_000;

/** @type {ServiceEvent['type'][]} */
const EVENT_TYPES = ['price', 'closed', 'hb', 'busy'];

/** @import { State } from './state.js' */

/**
 * An event of the service, as it wrote it. `now` is its clock, in epoch ms.
 * @typedef {{type: 'price' | 'closed', payload: State}
 *   | {type: 'hb', payload: {now: number, live?: boolean}}
 *   | {type: 'busy', payload: {now: number, reason: string}}} ServiceEvent
 */

/**
 * What a stream reports.
 * @typedef {object} StreamEvents
 * @property {boolean} mayStaySilent the first event may come as late as the first heartbeat
 * @property {() => void} opened
 * @property {(event: ServiceEvent) => void} heard
 * @property {() => void} interrupted the browser reconnects by itself
 * @property {(reason: 'swallowed' | 'silent' | 'refused') => void} failed called once, after the stream has ended
 */

export class Stream {
  #source; #watchdog = 0; #delivered = false;

  /** @type {StreamEvents | null} null once it has ended */
  #on;

  /**
   * @param {URL} url
   * @param {StreamEvents} on
   */
  constructor(url, on) {
    this.#on = on;
    this.#source = new EventSource(url);
    this.#source.onopen = () => this.#opened();
    this.#source.onerror = () => this.#erred();
    for (const type of EVENT_TYPES) {
      this.#source.addEventListener(type, (event) => this.#received(type, event.data));
    }
    this.#expect(on.mayStaySilent ? FIRST_EVENT_WHEN_RESUMED_MS : FIRST_EVENT_MS);
  }

  close() {
    clearTimeout(this.#watchdog);
    this.#source.onopen = this.#source.onerror = null;
    this.#source.close();
    this.#on = null;
  }

  #opened() {
    // A reconnect by the browser resumes too, so that it may stay silent as long.
    if (this.#delivered) this.#expect(FIRST_EVENT_WHEN_RESUMED_MS);
    this.#on?.opened();
  }

  /**
   * @param {ServiceEvent['type']} type
   * @param {string} text
   */
  #received(type, text) {
    const payload = parsed(text);
    if (!this.#on || !payload) return;
    this.#delivered = true;
    this.#expect(type === 'busy' ? SILENCE_AFTER_BUSY_MS : SILENCE_MS);
    this.#on.heard(/** @type {ServiceEvent} */ ({ type, payload }));
  }

  #erred() {
    if (!this.#on) return;
    if (this.#source.readyState === EventSource.CLOSED) this.#fail('refused');
    else this.#on.interrupted();
  }

  /** @param {number} withinMs */
  #expect(withinMs) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#fail(this.#delivered ? 'silent' : 'swallowed'), withinMs);
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
    return null; // a proxy's page in the middle of a stream is not news
  }
}
