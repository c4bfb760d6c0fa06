// @ts-check
// The meaning of a state for a client. It does not depend on the transport or on the page.
//
// Rule: within one epoch, a state with a lower rev than the shown one is old. A state of another epoch
// is always new, even with a lower price, because then the store lost its data or failed over.

/**
 * One auction at one moment. Prices are decimal strings, times are epoch milliseconds.
 * @typedef {object} State
 * @property {string} guid
 * @property {'unknown' | 'upcoming' | 'open' | 'closed' | 'cancelled'} status
 * @property {string | null} price the maximum price; null before the first bid
 * @property {number} rev
 * @property {string} tag `<epoch>-<...>`; empty for an unknown auction
 * @property {string | null} [currency]
 * @property {string | null} [title]
 * @property {boolean} [paused]
 * @property {number | null} [bids] absent where another system keeps the price
 * @property {number | null} [leader] the leader's paddle
 * @property {number | null} [opens_at]
 * @property {number | null} [closes_at]
 * @property {string | null} [next_bid]
 * @property {string[] | null} [next_bids]
 * @property {string | null} [buy_now]
 * @property {boolean | null} [reserve_met]
 * @property {number | null} [extensions]
 * @property {'sold' | 'reserve_not_met' | 'no_bids' | 'bought_now' | 'cancelled' | null} [outcome]
 * @property {number} [now] the server's clock when the message was sent
 */

/**
 * The terms of a managed auction, as far as a client needs them.
 * @typedef {object} Terms
 * @property {'manual' | 'proxy'} bidding whether an amount is a price or a secret maximum
 * @property {{price: string, mode: 'until_first_bid' | 'ceiling'} | null} buy_now
 */

/**
 * The state of an auction that the service does not know.
 * @param {string} guid
 * @returns {State}
 */
export function unknownState(guid) { return { guid, status: 'unknown', price: null, rev: 0, tag: '' }; }

/**
 * The epoch of a tag: its part before the first '-'.
 * @param {string | null | undefined} tag
 */
export function epochOf(tag) { return (tag ?? '').split('-', 1)[0]; }

/**
 * True if `state` should replace `shown` on the page.
 * @param {State} state
 * @param {State | null | undefined} shown
 */
export function isNews(state, shown) {
  if (!shown) return true;
  if (state.tag === shown.tag) return state.status !== shown.status;
  return epochOf(state.tag) !== epochOf(shown.tag) || state.rev >= shown.rev;
}

/**
 * True if the auction is over: no bid and no passing of time changes its state.
 * @param {State | null | undefined} state
 * @returns {boolean}
 */
export function isFinal(state) { return state?.status === 'closed' || state?.status === 'cancelled'; }

/**
 * True for an external auction: another system keeps its price, and it takes no bids here.
 * @param {State} state
 */
export function isExternal(state) { return state.rev === 0 && state.status === 'open'; }

/**
 * True if no decision lies between two states.
 * @param {State} state
 * @param {State} other
 */
export function isSameRevision(state, other) { return epochOf(state.tag) === epochOf(other.tag) && state.rev === other.rev; }

/**
 * A key that changes with each operator action, such as a void, and with no bid: a bid raises `rev` and `bids` by one.
 * @param {State} state
 */
export function operatorActionsOf(state) {
  const byTime = Number(state.status !== 'upcoming') + Number(isFinal(state));
  return `${epochOf(state.tag)} ${state.rev - (state.bids ?? 0) - byTime}`;
}

/**
 * The standing of the bidder with this paddle; null is a bidder without one.
 * @param {State} state
 * @param {number | null | undefined} paddle
 * @returns {'leading' | 'outbid' | 'winning' | 'none'}
 */
export function standingOf(state, paddle) {
  if (paddle == null || state.status === 'unknown' || state.status === 'cancelled') return 'none';
  if (state.status === 'closed' && state.leader == null) return 'none'; // all bids are void
  if (state.leader !== paddle) return 'outbid';
  if (state.status !== 'closed') return 'leading';
  return state.reserve_met === false ? 'none' : 'winning';
}
