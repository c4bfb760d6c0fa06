// @ts-check
// An estimate of the server's clock.
//
// Rule: a message carries the server's time when it was sent. Its time minus our time on arrival is
// the offset of the clocks minus the transit time. The message with the largest difference had the
// shortest transit, so its difference is the estimate. Our time is the monotonic clock, which nobody
// sets. While a laptop sleeps that clock may stop; the next message then has a larger difference and
// becomes the estimate at once.

// An estimate expires after one to two windows, because clocks drift and are set back.
const WINDOW_MS = 5 * 60_000;

export class ServerClock {
  #best = -Infinity; #previousBest = -Infinity; #windowBegan = 0;

  get known() { return this.#offset > -Infinity; }

  /** The server's time in epoch ms; before the first message, the time of the viewer's own clock. */
  now() { return this.known ? performance.now() + this.#offset : Date.now(); }

  /**
   * Takes one reading of the server's clock.
   * @param {number} serverNow epoch ms
   * @param {number} roundTripMs duration of the request that brought the reading; half of it counts as transit
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
