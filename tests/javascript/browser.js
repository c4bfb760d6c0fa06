// The parts of a browser that the transport modules use, as far as a test without a page needs them: storage, an address,
// streams, the answers to requests, and time that a test advances itself.

import { webcrypto } from 'node:crypto';

// Node.js 18 has these two, but not under their global names.
globalThis.crypto ??= webcrypto;
globalThis.CustomEvent ??= class extends Event {
  constructor(type, { detail } = {}) {
    super(type);
    this.detail = detail;
  }
};

/** A Storage; it throws like a full one while `isFull`. */
class Storage {
  isFull = false;
  #items = new Map();

  getItem(key) { return this.#items.get(key) ?? null; }
  removeItem(key) { this.#items.delete(key); }
  setItem(key, value) {
    if (this.isFull) throw new Error('QuotaExceededError');
    this.#items.set(key, String(value));
  }
}

/** An EventSource that does what a test says: it opens, brings events, loses its connection. */
export class EventSource extends EventTarget {
  static CLOSED = 2;
  /** @type {EventSource | null} the last one that was made */
  static newest = null;
  readyState = 0;

  constructor(url) {
    super();
    this.path = pathOf(url);
    EventSource.newest = this;
  }

  get isClosed() { return this.readyState === EventSource.CLOSED; }
  open() { this.onopen?.(); }
  bring(type, data) { this.dispatchEvent(Object.assign(new Event(type), { data: typeof data === 'string' ? data : JSON.stringify(data) })); }
  close() { this.readyState = EventSource.CLOSED; }

  lose({ forGood = false } = {}) {
    if (forGood) this.close();
    this.onerror?.();
  }
}

/** The path and query of an address of the service. */
function pathOf(url) { return String(url).replace(String(new URL('../../', import.meta.url)), '/'); }

/** A new tab, visible, at this address, with empty storage and no EventSource open. */
export function openTab(address = 'https://auction.example/lots/42') {
  const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  define('window', Object.assign(new EventTarget(), { localStorage: new Storage(), sessionStorage: new Storage() }));
  define('document', Object.assign(new EventTarget(), { visibilityState: 'visible' }));
  define('EventSource', EventSource);
  EventSource.newest = null;
  define('location', new URL(address));
  define('history', { state: null, replaceState(state, title, path) { define('location', new URL(path, globalThis.location)); } });
}

/** Time stands still until `advance`; the monotonic clock begins at zero. */
export function stopTime() {
  let here = 0;
  let lastId = 0;
  const timers = new Map(); // id -> {at, react}
  Object.defineProperty(globalThis, 'performance', { value: { now: () => here }, configurable: true });
  globalThis.clearTimeout = (id) => { timers.delete(id); };
  globalThis.setTimeout = (react, ms) => {
    lastId += 1;
    timers.set(lastId, { at: here + Math.max(0, ms), react });
    return lastId;
  };
  return {
    async advance(ms) {
      const end = here + ms;
      await settled();
      for (;;) {
        const [due] = [...timers].filter(([, { at }]) => at <= end).sort(([, one], [, other]) => one.at - other.at);
        if (!due) break;
        const [id, { at, react }] = due;
        timers.delete(id);
        here = at;
        react();
        await settled();
      }
      here = end;
    },
  };
}

/** Waits until all that is ready to run has run. */
export async function settled() {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/**
 * Answers requests in turn by `answers`: a Response, an Error, or a function of the request that returns one or a promise
 * of one; the last one repeats. Returns the list of requests, which grows.
 */
export function answerRequests(...answers) {
  const requests = [];
  globalThis.fetch = async (url, { headers = {}, body, method = 'GET', signal } = {}) => {
    const request = { method, path: pathOf(url), headers, body: body && JSON.parse(body), signal };
    const next = answers[Math.min(requests.length, answers.length - 1)];
    requests.push(request);
    const answer = await (typeof next === 'function' ? next(request) : next);
    if (answer instanceof Error) throw answer;
    return answer.clone();
  };
  return requests;
}

/** A JSON answer. */
export function json(body, { status = 200, headers = {} } = {}) {
  return new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json', ...headers } });
}

/** A token with these claims; nobody checks its signature here. */
export function tokenOf(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part(claims)}.signature`;
}
