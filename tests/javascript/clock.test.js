import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { ServerClock } from '../../static/transport/clock.js';

let here = 0; // what the monotonic clock shows
Object.defineProperty(globalThis, 'performance', { value: { now: () => here }, configurable: true });

beforeEach(() => { here = 0; });

test('before the first message the viewer’s own clock counts', () => {
  const clock = new ServerClock();
  assert.equal(clock.known, false);
  assert.ok(Math.abs(clock.now() - Date.now()) < 1_000);
});

test('the message with the shortest transit is the estimate, in any order of arrival', () => {
  const clock = new ServerClock();
  clock.observe(1_000);
  assert.equal(clock.now(), 1_000);
  here = 500;
  clock.observe(1_100); // 400 ms in transit
  assert.equal(clock.now(), 1_500);
  here = 600;
  clock.observe(1_650); // 50 ms sooner than the best so far
  assert.equal(clock.now(), 1_650);
});

test('half of a round trip counts as transit', () => {
  const clock = new ServerClock();
  clock.observe(1_000, 80);
  assert.equal(clock.now(), 1_040);
});

test('a server’s clock that was set back is followed after two windows at most', () => {
  const clock = new ServerClock();
  clock.observe(100_000);
  here = 5 * 60_000 + 1;
  clock.observe(here);
  assert.equal(clock.now(), here + 100_000, 'the estimate before still counts');
  here = 10 * 60_000 + 2;
  clock.observe(here);
  assert.equal(clock.now(), here);
});
