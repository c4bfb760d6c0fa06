// @ts-check
// What the viewer's own standing has that no public state tells: their paddle, and that their bids are void.
//
// Rule: the service is asked once, and again only after what no bid explains: an operator's act, or
// another epoch. Without a token there is nobody to ask for.

/** @import { State } from './state.js' */

import { serviceUrl } from './service.js';
import { currentToken, keepPaddle, paddleOf } from './session.js';
import { actsOf } from './state.js';

/**
 * How a bidder stands in an auction, as the service says it to that bidder alone.
 * @typedef {object} StandingReply
 * @property {'leading' | 'outbid' | 'winning' | 'lost' | 'voided'} standing
 * @property {number} paddle
 * @property {string | null} reason why the bids are void
 */

export class Standing {
  #guid; #changed;

  /** @type {string | null} what was asked last: a token, and the auction's acts at that time */
  #asked = null;

  /** @type {{reason: string | null} | null} not null if the viewer's bids are void */
  voided = null;

  /**
   * @param {string} guid
   * @param {() => void} changed
   */
  constructor(guid, changed) {
    this.#guid = guid;
    this.#changed = changed;
  }

  /** @param {State} state */
  async follow(state) {
    const token = currentToken();
    const question = token && `${token} ${actsOf(state)}`;
    if (!token || question === this.#asked) return;
    this.#asked = question;
    const before = paddleOf(this.#guid);
    const standing = await ask(this.#guid, token);
    if (question !== this.#asked) return; // asked anew meanwhile
    if (standing === undefined) this.#asked = null; // no answer: the next state asks again
    else if (standing) this.#take(standing.paddle, standing.standing === 'voided' ? { reason: standing.reason } : null);
    else if (before === paddleOf(this.#guid)) this.#take(null, null); // a paddle of an auction that is no more
  }

  /**
   * Their bids are void, as the refusal of one has said.
   * @param {string | null} reason
   */
  void(reason) { this.#take(paddleOf(this.#guid), { reason }); }

  /**
   * @param {number | null} paddle
   * @param {{reason: string | null} | null} voided
   */
  #take(paddle, voided) {
    if (paddle === paddleOf(this.#guid) && voided?.reason === this.voided?.reason && !voided === !this.voided) return;
    if (paddle !== paddleOf(this.#guid)) keepPaddle(this.#guid, paddle);
    this.voided = voided;
    this.#changed();
  }
}

/**
 * The viewer's standing; null if they have not bid there, undefined without an answer.
 * @param {string} guid
 * @param {string} token
 * @returns {Promise<StandingReply | null | undefined>}
 */
async function ask(guid, token) {
  try {
    const headers = { Authorization: `Bearer ${token}` };
    const response = await fetch(serviceUrl('me/standings', { guid }), { headers, cache: 'no-store' });
    if (response.status >= 500 || response.status === 429) return undefined;
    return response.ok ? (await response.json()).standings[0] ?? null : null;
  } catch {
    return undefined;
  }
}
