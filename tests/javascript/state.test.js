import assert from 'node:assert/strict';
import { test } from 'node:test';

import { operatorActionsOf, epochOf, isFinal, isNews, isExternal, isSameRevision, standingOf } from '../../static/transport/state.js';

const OPEN = { guid: 'a', status: 'open', price: '10.00', rev: 4, bids: 3, tag: 'e1-4', leader: 2 };

test('the epoch is what stands before the first dash of a tag; no tag has the empty one', () => {
  assert.equal(epochOf('e1-4'), 'e1');
  assert.equal(epochOf('e1-4-5'), 'e1');
  assert.equal(epochOf(''), '');
  assert.equal(epochOf(null), '');
  assert.equal(epochOf(undefined), '');
});

test('the first state is news, and so is a later revision', () => {
  assert.equal(isNews(OPEN, null), true);
  assert.equal(isNews({ ...OPEN, rev: 5, tag: 'e1-5' }, OPEN), true);
});

test('an earlier revision of the same epoch is no news', () => {
  assert.equal(isNews({ ...OPEN, rev: 3, tag: 'e1-3' }, OPEN), false);
});

test('another epoch is always news, also with an earlier revision and a lower price', () => {
  assert.equal(isNews({ ...OPEN, rev: 1, price: '1.00', tag: 'e2-1' }, OPEN), true);
});

test('the same tag is news only where time has changed the status', () => {
  assert.equal(isNews({ ...OPEN }, OPEN), false);
  assert.equal(isNews({ ...OPEN, status: 'closed' }, OPEN), true);
});

test('a closed and a cancelled auction are final, others are not', () => {
  for (const status of ['closed', 'cancelled']) assert.equal(isFinal({ ...OPEN, status }), true);
  for (const status of ['unknown', 'upcoming', 'open']) assert.equal(isFinal({ ...OPEN, status }), false);
  assert.equal(isFinal(null), false);
});

test('only an open auction without a revision is external', () => {
  assert.equal(isExternal({ ...OPEN, rev: 0 }), true);
  assert.equal(isExternal(OPEN), false);
  assert.equal(isExternal({ ...OPEN, rev: 0, status: 'unknown' }), false);
});

test('two states are of one revision if their epoch and rev are the same', () => {
  assert.equal(isSameRevision(OPEN, { ...OPEN, status: 'closed' }), true);
  assert.equal(isSameRevision(OPEN, { ...OPEN, rev: 5 }), false);
  assert.equal(isSameRevision(OPEN, { ...OPEN, tag: 'e2-4' }), false);
});

test('a bid is no operator’s action; a void and another epoch are', () => {
  assert.equal(operatorActionsOf({ ...OPEN, rev: 5, bids: 4 }), operatorActionsOf(OPEN));
  assert.notEqual(operatorActionsOf({ ...OPEN, rev: 5 }), operatorActionsOf(OPEN));
  assert.notEqual(operatorActionsOf({ ...OPEN, tag: 'e2-4' }), operatorActionsOf(OPEN));
});

test('opening and closing, each a revision by time, are no actions either', () => {
  const upcoming = { ...OPEN, status: 'upcoming', rev: 1, bids: 0 };
  assert.equal(operatorActionsOf({ ...upcoming, status: 'open', rev: 2 }), operatorActionsOf(upcoming));
  assert.equal(operatorActionsOf({ ...OPEN, status: 'closed', rev: 5 }), operatorActionsOf(OPEN));
});

test('the leader leads while the auction is open and wins when it closes', () => {
  assert.equal(standingOf(OPEN, 2), 'leading');
  assert.equal(standingOf(OPEN, 1), 'outbid');
  assert.equal(standingOf({ ...OPEN, status: 'closed' }, 2), 'winning');
  assert.equal(standingOf({ ...OPEN, status: 'closed', reserve_met: true }, 2), 'winning');
  assert.equal(standingOf({ ...OPEN, status: 'closed' }, 1), 'outbid');
});

test('nobody wins below the reserve, without a leader, or in a cancelled auction', () => {
  assert.equal(standingOf({ ...OPEN, status: 'closed', reserve_met: false }, 2), 'none');
  assert.equal(standingOf({ ...OPEN, status: 'closed', leader: null }, 2), 'none');
  assert.equal(standingOf({ ...OPEN, status: 'cancelled' }, 2), 'none');
});

test('a bidder without a paddle has no standing', () => {
  assert.equal(standingOf(OPEN, null), 'none');
  assert.equal(standingOf({ ...OPEN, leader: null }, undefined), 'none');
});
