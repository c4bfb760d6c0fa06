// @ts-check
// The server's clock, as well as it can be known from here.
//
// Rule: a message says what time it was when it left, so that (its time - our time on arrival) is
// the offset minus the time under way. The largest such difference had the shortest way: it wins.
// Our side is the monotonic clock, which nobody sets; where it stands still while a laptop sleeps,
// the next message shows a larger difference and wins at once.

// Estimates are forgotten after one to two windows, for clocks that drift or step back.
const WINDOW_MS = 5 * 60_000;

export class ServerClock {
  #best = -Infinity; #previousBest = -Infinity; #windowBegan = 0;

  get known() { return this.#offset > -Infinity; }

  /** Epoch ms by the server; by our own wall clock until the server has spoken. */
  now() { return this.known ? performance.now() + this.#offset : Date.now(); }

  /**
   * Takes one reading of the server's clock.
   * @param {number} serverNow epoch ms
   * @param {number} roundTripMs of the request that this answers; half of it was the way here
   */
  observe(serverNow, roundTripMs = 0) {
    const here = performance.now();
    if (here - this.#windowBegan > WINDOW_MS) {
      this.#previousBest = this.#best;
      this.#best = -Infinity;
      this.#windowBegan = here;
    }
    this.#best = Math.max(this.#best, serverNow + roundTripMs / 2 - here);
  }

  get #offset() { return Math.max(this.#best, this.#previousBest); }
}
