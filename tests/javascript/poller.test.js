import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Poller } from '../../static/transport/poller.js';
import { answerRequests, json, settled, stopTime } from './browser.js';

const OPEN = { guid: '42', status: 'open', price: '10.00', rev: 4, tag: 'e1-4' };

let time, poller, reports, latest;
beforeEach(() => {
  time = stopTime();
  reports = [];
  latest = new Map();
});
afterEach(() => poller.stop());

/** Polls these auctions, and keeps the newest state of each as a feed does. */
function poll(...guids) {
  poller = new Poller(guids, {
    tagOf: (guid) => latest.get(guid)?.tag ?? '',
    isFinal: (guid) => latest.get(guid)?.status === 'closed',
    received: (state, roundTripMs) => { latest.set(state.guid, state); reports.push([state.status, state.guid, roundTripMs]); },
    answered: () => reports.push('answered'),
    storeUnavailable: () => reports.push('store unavailable'),
    unreachable: () => reports.push('unreachable'),
  });
  poller.start();
  return settled();
}

test('the first request is answered at once; the next is held, and names what is known', async () => {
  const requests = answerRequests(json(OPEN), new Response(null, { status: 304 }));
  await poll('42');
  assert.deepEqual(reports, ['answered', ['open', '42', 0]]);
  assert.deepEqual([requests[0].path, requests[0].headers], ['/auctions/42/price', {}]);
  await time.advance(999);
  assert.equal(requests.length, 1);
  await time.advance(1);
  assert.deepEqual([requests[1].path, requests[1].headers], ['/auctions/42/price?wait=25', { 'If-None-Match': '"e1-4"' }]);
  assert.deepEqual(reports.slice(2), ['answered']);
});

test('a round trip is measured where the server answers at once, and is zero for a held request', async () => {
  let answer;
  const requests = answerRequests(() => new Promise((resolve) => { answer = (state) => resolve(json(state)); }));
  await poll('42');
  await time.advance(80);
  answer(OPEN);
  await time.advance(1_000 - 80);
  assert.equal(requests.length, 2, 'a pause begins with the request before it');
  await time.advance(500);
  answer({ ...OPEN, rev: 5, tag: 'e1-5' });
  await settled();
  assert.deepEqual(reports.filter(Array.isArray).map(([, , roundTripMs]) => roundTripMs), [80, 0]);
});

test('after a failure the pauses grow up to 15 s, and the next request is not held', async () => {
  const failure = new TypeError('Failed to fetch');
  const requests = answerRequests(json(OPEN), ...Array(10).fill(failure), json(OPEN), failure, json(OPEN));
  await poll('42');
  await time.advance(1_000);
  for (const pauseMs of [2_000, 4_000, 6_000, 8_000, 10_000, 12_000, 14_000, 15_000, 15_000]) {
    const before = requests.length;
    await time.advance(pauseMs - 1);
    assert.equal(requests.length, before);
    await time.advance(1);
    assert.equal(requests.length, before + 1);
    assert.equal(requests.at(-1).path, '/auctions/42/price');
  }
  assert.deepEqual(reports.slice(2), Array(10).fill('unreachable'));
  await time.advance(15_000);
  assert.deepEqual(reports.slice(12), ['answered', ['open', '42', 0]]);
  await time.advance(1_000);
  assert.equal(requests.at(-1).path, '/auctions/42/price?wait=25');
  assert.equal(reports.at(-1), 'unreachable');
  await time.advance(2_000);
  assert.deepEqual(reports.at(-1), ['open', '42', 0], 'the pauses begin anew');
});

test('a store that is not available is asked again after its Retry-After', async () => {
  const requests = answerRequests(json({ code: 'store_unavailable' }, { status: 503, headers: { 'Retry-After': '7' } }), json(OPEN));
  await poll('42');
  assert.deepEqual(reports, ['store unavailable']);
  await time.advance(6_999);
  assert.equal(requests.length, 1);
  await time.advance(1);
  assert.deepEqual(reports.slice(1), ['answered', ['open', '42', 0]]);
});

test('an auction that does not exist yet is awaited, with the state in the answer or without', async () => {
  const unknown = { ...OPEN, status: 'unknown', price: null, tag: '' };
  const requests = answerRequests(json({ code: 'unknown_auction', state: unknown }, { status: 404 }), json({ code: 'not_found' }, { status: 404 }), json(OPEN));
  await poll('42');
  await time.advance(3_000);
  await time.advance(3_000);
  assert.deepEqual(reports.filter(Array.isArray).map(([status]) => status), ['unknown', 'unknown', 'open']);
  assert.deepEqual(requests.map(({ path }) => path), Array(3).fill('/auctions/42/price'));
});

test('a guid that no auction can have is shown as unknown, and polled rarely', async () => {
  const requests = answerRequests(json({ code: 'invalid' }, { status: 422 }));
  await poll('42');
  assert.deepEqual(reports, ['answered', ['unknown', '42', 0]]);
  await time.advance(14_999);
  assert.equal(requests.length, 1);
  await time.advance(1);
  assert.equal(requests.length, 2);
});

test('another error of the server is a failure', async () => {
  answerRequests(json({ code: 'internal' }, { status: 500 }));
  await poll('42');
  assert.deepEqual(reports, ['unreachable']);
});

test('several auctions are polled two at a time, none held, and final ones no more', async () => {
  const waiting = [];
  const requests = answerRequests(({ path }) => new Promise((resolve) => {
    const guid = path.split('/')[2];
    waiting.push(() => resolve(json({ ...OPEN, guid, status: guid === 'b' ? 'closed' : 'open' })));
  }));
  await poll('a', 'b', 'c');
  assert.equal(waiting.length, 2);
  waiting.shift()();
  await settled();
  assert.equal(waiting.length, 2);
  while (waiting.length) { waiting.shift()(); await settled(); }
  assert.deepEqual([...latest.keys()].sort(), ['a', 'b', 'c']);
  await time.advance(3_000);
  while (waiting.length) { waiting.shift()(); await settled(); }
  assert.deepEqual(requests.map(({ path }) => path), ['a', 'b', 'c', 'a', 'c'].map((guid) => `/auctions/${guid}/price`));
});

test('a poller that is stopped ends its request, and reports nothing more', async () => {
  const requests = answerRequests(({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(json(OPEN)))));
  await poll('42');
  poller.stop();
  assert.equal(requests[0].signal.aborted, true);
  await time.advance(60_000);
  assert.deepEqual(reports, []);
  assert.equal(requests.length, 1);
});
