import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { Stream } from '../../static/transport/stream.js';
import { EventSource, openTab, stopTime } from './browser.js';

let time, reports, stream, source;
beforeEach(() => {
  time = stopTime();
  reports = [];
  openTab();
});

function open({ mayStaySilent = false } = {}) {
  stream = new Stream(new URL('https://auction.example/auctions/42/stream'), {
    mayStaySilent,
    opened: () => reports.push('opened'),
    received: ({ type, payload }) => reports.push([type, payload]),
    interrupted: () => reports.push('interrupted'),
    failed: (reason) => reports.push(reason),
  });
  source = EventSource.newest;
}

test('the events of the service are handed on as objects, others are not', () => {
  open();
  source.onopen();
  source.bring('price', '{"guid":"42","price":"1.00"}');
  source.bring('hb', '{"now":5,"live":true}');
  source.bring('message', '{"guid":"42"}');
  for (const rubbish of ['', '<html>', 'null', '5', '"text"']) source.bring('price', rubbish);
  assert.deepEqual(reports, ['opened', ['price', { guid: '42', price: '1.00' }], ['hb', { now: 5, live: true }]]);
});

for (const [mayStaySilent, limitMs] of [[false, 5_000], [true, 20_000]]) {
  test(`a stream that ${mayStaySilent ? 'may' : 'may not'} stay silent has ${limitMs} ms for its first event`, async () => {
    open({ mayStaySilent });
    source.onopen();
    await time.advance(limitMs - 1);
    assert.deepEqual(reports, ['opened']);
    await time.advance(1);
    assert.deepEqual(reports, ['opened', 'swallowed']);
    assert.equal(source.readyState, EventSource.CLOSED);
  });
}

test('rubbish is no first event', async () => {
  open();
  source.bring('price', '<html>');
  await time.advance(5_000);
  assert.deepEqual(reports, ['swallowed']);
});

test('heartbeats keep a stream; without any for 40 s it is silent', async () => {
  open();
  for (let beat = 0; beat < 3; beat += 1) {
    source.bring('hb', '{"now":1}');
    await time.advance(39_999);
  }
  assert.deepEqual(reports, Array(3).fill(['hb', { now: 1 }]));
  await time.advance(1);
  assert.equal(reports.at(-1), 'silent');
});

test('after busy the browser may wait for two minutes', async () => {
  open();
  source.bring('busy', '{"now":1,"reason":"overloaded"}');
  await time.advance(119_999);
  assert.equal(reports.length, 1);
  await time.advance(1);
  assert.equal(reports.at(-1), 'silent');
});

test('an interruption is reported, and a reconnect that resumes may stay silent for 20 s', async () => {
  open();
  source.bring('price', '{"guid":"42"}');
  source.lose();
  source.onopen();
  await time.advance(19_999);
  assert.deepEqual(reports.slice(1), ['interrupted', 'opened']);
  await time.advance(1);
  assert.equal(reports.at(-1), 'silent');
});

test('a stream that the browser does not reconnect is refused, once', async () => {
  open();
  source.lose({ forGood: true });
  source.lose({ forGood: true });
  await time.advance(200_000);
  assert.deepEqual(reports, ['refused']);
});

test('a closed stream reports nothing more', async () => {
  open();
  stream.close();
  source.bring('price', '{"guid":"42"}');
  source.lose();
  await time.advance(200_000);
  assert.deepEqual(reports, []);
  assert.equal(source.readyState, EventSource.CLOSED);
});
