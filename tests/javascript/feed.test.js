import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Feed } from '../../static/transport/feed.js';
import { answerRequests, EventSource, json, openTab, settled, stopTime } from './browser.js';

const OPEN = { guid: '42', status: 'open', price: '10.00', rev: 4, tag: 'e1-4', now: 1_000 };
const NEXT = { ...OPEN, price: '11.00', rev: 5, tag: 'e1-5' };
const CLOSED = { ...NEXT, status: 'closed', rev: 6, tag: 'e1-6' };

let time, feed, reports;
beforeEach(() => {
  time = stopTime();
  openTab();
  answerRequests(new TypeError('Failed to fetch'));
});
afterEach(() => feed.close());

function open(...guids) {
  feed = new Feed(guids);
  reports = [];
  feed.on('state', ({ guid, price }) => reports.push(`${guid} ${price}`));
  feed.on('connection', (connection) => reports.push(connection));
  feed.open();
}

/** Opens a feed of lot 42; its stream has delivered the first state. */
function openLive() {
  open('42');
  EventSource.newest.open();
  EventSource.newest.bring('price', OPEN);
  assert.deepEqual(reports.splice(0), ['live', '42 10.00']);
}

function turn(visibilityState) {
  globalThis.document.visibilityState = visibilityState;
  globalThis.document.dispatchEvent(new Event('visibilitychange'));
}

test('a stream that delivers is live, and nothing is polled', async () => {
  const requests = answerRequests(json(OPEN));
  openLive();
  assert.equal(EventSource.newest.path, '/auctions/42/stream');
  await time.advance(14_000);
  EventSource.newest.bring('hb', { now: 15_000, live: true });
  await time.advance(14_000);
  assert.deepEqual([reports, requests], [[], []]);
  assert.deepEqual([feed.connection, feed.latest('42').price, feed.clock.now()], ['live', '10.00', 29_000]);
});

test('of states that are accepted from elsewhere only news is shown', () => {
  openLive();
  feed.accept(NEXT);
  feed.accept(OPEN);
  feed.accept({ ...NEXT, guid: '43' });
  EventSource.newest.bring('price', OPEN);
  assert.deepEqual(reports, ['42 11.00']);
  assert.equal(feed.latest('43'), null);
});

test('several auctions share one stream, fifty at most', () => {
  const guids = Array.from({ length: 51 }, (_, number) => `lot-${number}`);
  open(...guids);
  assert.equal(EventSource.newest.path, `/auctions/stream?${guids.slice(0, 50).map((guid) => `guid=${guid}`).join('&')}`);
});

test('without a first event for 5 s the feed polls, and returns to a stream that delivers', async () => {
  const held = ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(new Error())));
  const requests = answerRequests(json(OPEN), json(NEXT), held);
  open('42');
  const swallowed = EventSource.newest;
  swallowed.open();
  await time.advance(2_999);
  assert.deepEqual(reports, []);
  await time.advance(1);
  assert.deepEqual(reports.splice(0), ['offline'], 'three seconds of doubt');
  await time.advance(2_000);
  assert.deepEqual([swallowed.isClosed, reports.splice(0)], [true, ['polling', '42 10.00']]);
  await time.advance(1_000);
  assert.deepEqual(reports.splice(0), ['42 11.00']);
  await time.advance(29_000);
  const probe = EventSource.newest;
  assert.notEqual(probe, swallowed);
  assert.equal(probe.path, '/auctions/42/stream', 'a probe does not resume: only an event proves the path');
  probe.open();
  await time.advance(4_000);
  assert.equal(feed.connection, 'polling', 'a probe is no doubt about the polls');
  probe.bring('price', NEXT);
  assert.deepEqual(reports, ['live']);
  const before = requests.length;
  await time.advance(20_000);
  assert.equal(requests.length, before);
});

test('a reconnect within 3 s changes nothing', async () => {
  openLive();
  EventSource.newest.lose();
  await time.advance(2_999);
  EventSource.newest.open();
  await time.advance(10_000);
  assert.deepEqual(reports, []);
});

test('a longer gap is offline, then polled, until the browser reconnects', async () => {
  openLive();
  EventSource.newest.lose();
  await time.advance(3_000);
  assert.deepEqual(reports.splice(0), ['offline']);
  answerRequests(json(NEXT), new Response(null, { status: 304 }));
  await time.advance(5_000);
  assert.deepEqual(reports.splice(0), ['polling', '42 11.00']);
  EventSource.newest.open();
  assert.equal(feed.connection, 'polling');
  EventSource.newest.bring('price', NEXT);
  assert.deepEqual(reports, ['live']);
});

test('a stream that falls silent is replaced by one that resumes', async () => {
  openLive();
  const silent = EventSource.newest;
  await time.advance(40_000);
  assert.equal(silent.isClosed, true);
  assert.equal(EventSource.newest.path, '/auctions/42/stream?last_event_id=e1-4');
  EventSource.newest.open();
  await time.advance(10_000);
  assert.deepEqual(reports, []);
});

test('prices are not live while the store is away, whatever arrives, until a heartbeat says so', () => {
  openLive();
  EventSource.newest.bring('hb', { now: 1, live: false });
  EventSource.newest.bring('price', NEXT);
  assert.deepEqual(reports.splice(0), ['offline', '42 11.00']);
  EventSource.newest.bring('hb', { now: 1, live: true });
  assert.deepEqual(reports, ['live']);
});

test('a server that is too busy for a stream is polled', async () => {
  answerRequests(json(OPEN));
  open('42');
  EventSource.newest.bring('busy', { now: 1, reason: 'overloaded' });
  await settled();
  assert.deepEqual(reports, ['polling', '42 10.00']);
});

test('a browser without EventSource polls at once', async () => {
  delete globalThis.EventSource;
  answerRequests(json(OPEN));
  open('42');
  await settled();
  assert.deepEqual(reports, ['polling', '42 10.00']);
});

test('a final state ends the connection of a single auction, and stays true', async () => {
  openLive();
  EventSource.newest.bring('closed', CLOSED);
  assert.equal(EventSource.newest.isClosed, true);
  turn('hidden');
  await time.advance(60_000);
  turn('visible');
  assert.deepEqual(reports, ['42 11.00']);
  assert.equal(EventSource.newest.isClosed, true);
});

test('a page that is hidden for 30 s lets go of its stream, and resumes where it was when it is shown', async () => {
  openLive();
  const first = EventSource.newest;
  turn('hidden');
  await time.advance(29_999);
  assert.equal(first.isClosed, false);
  await time.advance(1);
  assert.deepEqual([first.isClosed, reports.splice(0)], [true, ['offline']]);
  turn('visible');
  assert.equal(EventSource.newest.path, '/auctions/42/stream?last_event_id=e1-4');
  EventSource.newest.open();
  assert.deepEqual(reports, ['live'], 'on a path that has delivered, an open stream is live');
});

for (const [leave, comeBack] of [['freeze', 'resume'], ['pagehide', 'pageshow']]) {
  test(`a page lets go of its stream at ${leave}, and connects again at ${comeBack}`, () => {
    openLive();
    const happen = (type) => globalThis[type.startsWith('page') ? 'window' : 'document'].dispatchEvent(new Event(type));
    const first = EventSource.newest;
    happen(leave);
    assert.equal(first.isClosed, true);
    happen(comeBack);
    assert.notEqual(EventSource.newest, first);
    assert.equal(EventSource.newest.isClosed, false);
  });
}

test('a page that is hidden for less keeps its stream', async () => {
  openLive();
  turn('hidden');
  await time.advance(29_999);
  turn('visible');
  await time.advance(10_000);
  assert.equal(EventSource.newest.isClosed, false);
});

test('a network that leaves is doubted for 3 s, and one that returns is tried at once', async () => {
  openLive();
  const first = EventSource.newest;
  globalThis.window.dispatchEvent(new Event('offline'));
  await time.advance(3_000);
  assert.deepEqual(reports.splice(0), ['offline']);
  globalThis.window.dispatchEvent(new Event('online'));
  assert.notEqual(EventSource.newest, first);
  EventSource.newest.open();
  assert.deepEqual(reports, ['live']);
});

test('other auctions need another stream, the same ones do not', () => {
  openLive();
  const first = EventSource.newest;
  feed.watch(['42']);
  assert.equal(EventSource.newest, first);
  feed.watch(['42', '43']);
  assert.deepEqual([first.isClosed, EventSource.newest.path], [true, '/auctions/stream?guid=42&guid=43']);
  assert.equal(feed.latest('42').price, '10.00');
  feed.watch(['43']);
  assert.equal(feed.latest('42'), null);
});

test('a closed feed holds no connection and reports nothing more', async () => {
  openLive();
  const requests = answerRequests(json(NEXT));
  feed.close();
  assert.equal(EventSource.newest.isClosed, true);
  globalThis.window.dispatchEvent(new Event('online'));
  turn('visible');
  await time.advance(120_000);
  assert.deepEqual([reports, requests, feed.connection], [[], [], null]);
});
