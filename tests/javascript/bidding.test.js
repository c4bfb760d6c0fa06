import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { newBid, sendBid } from '../../static/transport/bidding.js';
import { takeTokenFromAddress } from '../../static/transport/session.js';
import { answerRequests, json, openTab, settled, stopTime, tokenOf } from './browser.js';

const ANN = tokenOf({ sub: 'ann' });
const REPLY = { accepted: true, seq: 1, paddle: 3, standing: 'leading', state: { guid: '42', status: 'open', price: '12.00', rev: 2, tag: 'e1-2' } };
const NO_ANSWER = new TypeError('Failed to fetch');

let time;
beforeEach(() => {
  time = stopTime();
  openTab(`https://auction.example/lots/42#token=${ANN}`);
  takeTokenFromAddress();
});

test('a bid is sent with its token and its key, and accepted', async () => {
  const requests = answerRequests(json(REPLY, { status: 201 }));
  const bid = newBid('12.00');
  assert.deepEqual(await sendBid('42', bid, assert.fail), { outcome: 'accepted', reply: REPLY, replayed: false });
  const [{ method, path, headers, body }] = requests;
  assert.deepEqual([requests.length, method, path], [1, 'POST', '/auctions/42/bids']);
  assert.deepEqual([headers.Authorization, headers['Idempotency-Key']], [`Bearer ${ANN}`, bid.key]);
  assert.deepEqual(body, { price: '12.00' });
});

for (const [options, body] of [
  [{ kind: 'max' }, { max: '12.00' }],
  [{ kind: 'buy_now' }, { buy_now: true }],
  [{ confirm: true }, { price: '12.00', confirm: true }],
]) {
  test(`a bid with ${JSON.stringify(options)} says ${JSON.stringify(body)}`, async () => {
    const requests = answerRequests(json(REPLY, { status: 201 }));
    await sendBid('42', newBid('12.00', options), assert.fail);
    assert.deepEqual(requests[0].body, body);
  });
}

test('each bid has a key of its own', () => {
  assert.notEqual(newBid('12.00').key, newBid('12.00').key);
});

test('a refusal ends a bid, with the problem that the service names', async () => {
  const problem = { status: 409, code: 'too_low', detail: 'too low', title: 'Conflict' };
  const requests = answerRequests(json(problem, { status: 409 }));
  assert.deepEqual(await sendBid('42', newBid('12.00'), assert.fail), { outcome: 'refused', problem });
  assert.equal(requests.length, 1);
});

test('a refusal that is no JSON is a refusal too', async () => {
  answerRequests(new Response('<html>', { status: 413 }));
  assert.deepEqual(await sendBid('42', newBid('12.00'), assert.fail), { outcome: 'refused', problem: { code: '', detail: '' } });
});

test('without an answer the same bid is sent again, and its first answer counts', async () => {
  const requests = answerRequests(NO_ANSWER, json(REPLY, { headers: { 'Idempotent-Replayed': 'true' } }));
  let retries = 0;
  const sent = sendBid('42', newBid('12.00'), () => { retries += 1; });
  await time.advance(999);
  assert.deepEqual([requests.length, retries], [1, 1]);
  await time.advance(1);
  assert.deepEqual(await sent, { outcome: 'accepted', reply: REPLY, replayed: true });
  assert.deepEqual([requests.length, retries], [2, 1]);
  assert.equal(requests[0].headers['Idempotency-Key'], requests[1].headers['Idempotency-Key']);
  assert.deepEqual(requests[0].body, requests[1].body);
});

test('an outcome that stays unknown is never called a refusal', async () => {
  const requests = answerRequests(NO_ANSWER, json({}, { status: 502 }), json({}, { status: 503 }), NO_ANSWER);
  let retries = 0;
  const sent = sendBid('42', newBid('12.00'), () => { retries += 1; });
  for (const pauseMs of [1_000, 2_000, 4_000]) await time.advance(pauseMs);
  assert.equal((await sent).outcome, 'unknown');
  assert.deepEqual([requests.length, retries], [4, 3]);
});

for (const [seconds, pauseMs] of [['3', 3_000], ['3600', 10_000], ['soon', 1_000]]) {
  test(`a Retry-After of ${seconds} makes a pause of ${pauseMs} ms`, async () => {
    const requests = answerRequests(json({}, { status: 503, headers: { 'Retry-After': seconds } }), json(REPLY));
    const sent = sendBid('42', newBid('12.00'), () => {});
    await time.advance(pauseMs - 1);
    assert.equal(requests.length, 1);
    await time.advance(1);
    assert.equal((await sent).outcome, 'accepted');
  });
}

test('a request that stays without an answer is ended after 8 s', async () => {
  const hanging = ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(NO_ANSWER)));
  const requests = answerRequests(hanging, json(REPLY));
  const sent = sendBid('42', newBid('12.00'), () => {});
  await time.advance(7_999);
  assert.equal(requests[0].signal.aborted, false);
  await time.advance(1);
  assert.equal(requests[0].signal.aborted, true);
  await time.advance(1_000);
  assert.equal((await sent).outcome, 'accepted');
});

test('without a token nothing is sent', async () => {
  openTab();
  const requests = answerRequests(json({}, { status: 404 }));
  assert.deepEqual(await sendBid('42', newBid('12.00'), assert.fail), { outcome: 'no_token' });
  assert.deepEqual(requests.map(({ path }) => path), ['/guest']);
});

test('a guest’s token that a restarted demo refuses is exchanged for a new one, once', async () => {
  openTab();
  const [old, young] = [tokenOf({ sub: 'guest-1' }), tokenOf({ sub: 'guest-2' })];
  const unauthorized = json({ code: 'unauthorized', detail: '' }, { status: 401 });
  const requests = answerRequests(json({ token: old }), unauthorized, json({ token: young }), unauthorized);
  const { outcome, problem } = await sendBid('42', newBid('12.00'), assert.fail);
  await settled();
  assert.deepEqual([outcome, problem.code], ['refused', 'unauthorized']);
  assert.deepEqual(requests.map(({ path }) => path), ['/guest', '/auctions/42/bids', '/guest', '/auctions/42/bids']);
  assert.equal(requests[3].headers.Authorization, `Bearer ${young}`);
});

test('a refused personal token is not exchanged for a guest’s', async () => {
  const requests = answerRequests(json({ code: 'unauthorized', detail: '' }, { status: 401 }));
  assert.equal((await sendBid('42', newBid('12.00'), assert.fail)).outcome, 'refused');
  assert.equal(requests.length, 1);
});
