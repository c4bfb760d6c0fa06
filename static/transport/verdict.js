// @ts-check
// What the page may say about its price: 'live', 'polling' or 'offline'.
//
// Rule: a good and a bad report count at once. A doubt becomes a bad report after a grace period, in
// which the browser usually reconnects, so that a short gap, as in a tunnel, does not make the page
// flicker.

const GRACE_MS = 3_000;

/** @typedef {'live' | 'polling' | 'offline'} Connection */

export class Verdict {
  #changed; #grace = 0;
  /** @type {Connection | null} null until the first verdict */
  current = null;

  /** @param {(connection: Connection) => void} changed called with each new verdict */
  constructor(changed) { this.#changed = changed; }

  /** @param {'live' | 'polling'} connection */
  good(connection) { this.#become(connection); }
  bad() { this.#become('offline'); }
  doubt() { this.#grace ||= setTimeout(() => this.bad(), GRACE_MS); }

  /** Drops a doubt, and keeps the verdict. */
  settle() {
    clearTimeout(this.#grace);
    this.#grace = 0;
  }

  forget() {
    this.settle();
    this.current = null;
  }

  /** @param {Connection} connection */
  #become(connection) {
    this.settle();
    if (connection === this.current) return;
    this.current = connection;
    this.#changed(connection);
  }
}
