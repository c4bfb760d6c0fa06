// @ts-check
// The private part of the viewer's standing: the paddle, and whether the viewer's bids are void.
//
// Rule: the page asks the service once, and again only after a change that is not a bid: an
// operator's action, or another epoch. Without a token it does not ask.

/** @import { State } from './state.js' */

import { serviceUrl } from './service.js';
import { currentToken, keepPaddle, paddleOf } from './session.js';
import { operatorActionsOf } from './state.js';

/**
 * A bidder's standing in an auction, which the service sends to that bidder alone.
 * @typedef {object} StandingReply
 * @property {'leading' | 'outbid' | 'winning' | 'lost' | 'voided'} standing
 * @property {number} paddle
 * @property {string | null} reason why the bids are void; null where that is not recorded
 */

export class Standing {
  #guid; #changed;

  /** @type {string | null} the last question: a token, and the auction's operator actions at that time */
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
    const question = token && `${token} ${operatorActionsOf(state)}`;
    if (!token || question === this.#asked) return;
    this.#asked = question;
    const before = paddleOf(this.#guid);
    const standing = await ask(this.#guid, token);
    if (question !== this.#asked) return; // there is a newer question
    if (standing === undefined) this.#asked = null; // no answer: ask again at the next state
    else if (standing) this.#update(standing.paddle, standing.standing === 'voided' ? { reason: standing.reason } : null);
    else if (before === paddleOf(this.#guid)) this.#update(null, null); // it was of an earlier auction
  }

  /**
   * Notes that the viewer's bids are void, as the refusal of a bid says.
   * @param {string | null} reason
   */
  void(reason) { this.#update(paddleOf(this.#guid), { reason }); }

  /**
   * @param {number | null} paddle
   * @param {{reason: string | null} | null} voided
   */
  #update(paddle, voided) {
    if (paddle === paddleOf(this.#guid) && voided?.reason === this.voided?.reason && !voided === !this.voided) return;
    if (paddle !== paddleOf(this.#guid)) keepPaddle(this.#guid, paddle);
    this.voided = voided;
    this.#changed();
  }
}

/**
 * The viewer's standing; null if the viewer has no bids there, undefined if no answer arrived.
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
