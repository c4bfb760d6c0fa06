import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { keepPaddle, paddleOf, takeTokenFromAddress } from '../../static/transport/session.js';
import { Standing } from '../../static/transport/standing.js';
import { answerRequests, json, openTab, tokenOf } from './browser.js';

const OPEN = { guid: '42', status: 'open', price: '10.00', rev: 4, bids: 3, tag: 'e1-4', leader: 2 };
const LEADING = { guid: '42', standing: 'leading', paddle: 2, reason: null };
const VOIDED = { guid: '42', standing: 'voided', paddle: 2, reason: 'not a serious bidder' };
const listing = (...standings) => json({ standings });

let standing, changes;
beforeEach(() => {
  openTab(`https://auction.example/lots/42#token=${tokenOf({ sub: 'ann' })}`);
  takeTokenFromAddress();
  changes = 0;
  standing = new Standing('42', () => { changes += 1; });
});

test('the service is asked once, and not again for bids or for time', async () => {
  const requests = answerRequests(listing(LEADING));
  await standing.follow(OPEN);
  await standing.follow({ ...OPEN, rev: 5, bids: 4, tag: 'e1-5' });
  await standing.follow({ ...OPEN, rev: 6, bids: 4, tag: 'e1-6', status: 'closed' });
  assert.deepEqual(requests.map(({ path }) => path), ['/me/standings?guid=42']);
  assert.deepEqual([paddleOf('42'), standing.voided, changes], [2, null, 1]);
});

test('after an operator’s action it is asked again, and a void is noted with its reason', async () => {
  answerRequests(listing(LEADING), listing(VOIDED), listing(LEADING));
  await standing.follow(OPEN);
  await standing.follow({ ...OPEN, rev: 5, tag: 'e1-5' });
  assert.deepEqual([standing.voided, changes], [{ reason: 'not a serious bidder' }, 2]);
  await standing.follow({ ...OPEN, rev: 6, tag: 'e1-6' });
  assert.deepEqual([standing.voided, changes], [null, 3]);
});

test('an answer that changes nothing is not reported', async () => {
  answerRequests(listing(VOIDED));
  await standing.follow(OPEN);
  await standing.follow({ ...OPEN, rev: 5, tag: 'e1-5' });
  assert.equal(changes, 1);
});

test('without an answer the next state asks again', async () => {
  const requests = answerRequests(new TypeError('Failed to fetch'), json({}, { status: 503 }), json({}, { status: 429 }), listing(LEADING));
  for (let state = 0; state < 5; state += 1) await standing.follow(OPEN);
  assert.equal(requests.length, 4);
  assert.equal(paddleOf('42'), 2);
});

test('a paddle of an earlier auction with this guid is forgotten', async () => {
  keepPaddle('42', 9);
  answerRequests(listing());
  await standing.follow(OPEN);
  assert.deepEqual([paddleOf('42'), changes], [null, 1]);
});

test('a paddle that a bid brought in the meantime stays', async () => {
  answerRequests(() => { keepPaddle('42', 3); return listing(); });
  await standing.follow(OPEN);
  assert.deepEqual([paddleOf('42'), changes], [3, 0]);
});

test('of two questions only the answer to the newer one counts', async () => {
  let answerFirst;
  answerRequests(() => new Promise((resolve) => { answerFirst = () => resolve(listing(LEADING)); }), listing(VOIDED));
  const first = standing.follow(OPEN);
  await standing.follow({ ...OPEN, rev: 5, tag: 'e1-5' });
  answerFirst();
  await first;
  assert.deepEqual([standing.voided, changes], [{ reason: 'not a serious bidder' }, 1]);
});

test('a refused bid says too that the bids are void', () => {
  keepPaddle('42', 2);
  standing.void(null);
  standing.void(null);
  assert.deepEqual([standing.voided, paddleOf('42'), changes], [{ reason: null }, 2, 1]);
});

test('without a token nothing is asked', async () => {
  openTab();
  const requests = answerRequests(listing());
  await standing.follow(OPEN);
  assert.deepEqual(requests, []);
});
