// What a state means to a client, apart from where it came from and how it is shown.
//
// Rule: a state of the same epoch with a lower rev than shown is old news; a new epoch is always
// news, even with a lower price, because the store lost its memory or failed over.

export function epochOf(tag) { return (tag ?? '').split('-', 1)[0]; }

/** True if `state` should replace `shown` on the page. */
export function isNews(state, shown) {
  if (!shown) return true;
  if (state.tag === shown.tag) return state.status !== shown.status;
  return epochOf(state.tag) !== epochOf(shown.tag) || state.rev >= shown.rev;
}

export function isFinal(state) { return state?.status === 'closed' || state?.status === 'cancelled'; }

/** A price that somebody else's site keeps: it can be watched, and takes no bids here. */
export function isPlain(state) { return state.rev === 0 && state.status === 'open'; }

/** True if nothing was decided between the two. */
export function isSameMoment(state, other) { return epochOf(state.tag) === epochOf(other.tag) && state.rev === other.rev; }

/** What changes with each act of an operator, such as a void, and with no bid: bids raise both numbers by one. */
export function actsOf(state) {
  const byTime = Number(state.status !== 'upcoming') + Number(isFinal(state));
  return `${epochOf(state.tag)} ${state.rev - state.bids - byTime}`;
}

/** 'leading' | 'outbid' | 'winning' | 'none', for the bidder who holds this paddle (or null). */
export function standingOf(state, paddle) {
  if (paddle == null || state.status === 'unknown' || state.status === 'cancelled') return 'none';
  if (state.status === 'closed' && state.leader == null) return 'none'; // nobody's: all bids were voided
  if (state.leader !== paddle) return 'outbid';
  if (state.status !== 'closed') return 'leading';
  return state.reserve_met === false ? 'none' : 'winning';
}
