import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { Verdict } from '../../static/transport/verdict.js';

let said, verdict;
beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable();
  said = [];
  verdict = new Verdict((connection) => said.push(connection));
});

test('good and bad news count at once, and only changes are reported', () => {
  verdict.good('live');
  verdict.good('live');
  verdict.bad();
  verdict.bad();
  verdict.good('polling');
  assert.deepEqual(said, ['live', 'offline', 'polling']);
});

test('a doubt becomes bad news after its grace, counted from the first', () => {
  verdict.good('live');
  verdict.doubt();
  mock.timers.tick(2_000);
  verdict.doubt();
  mock.timers.tick(999);
  assert.deepEqual(said, ['live']);
  mock.timers.tick(1);
  assert.deepEqual(said, ['live', 'offline']);
});

test('good news in time ends a doubt, also one that was raised twice', () => {
  verdict.doubt();
  verdict.doubt();
  verdict.good('live');
  mock.timers.tick(10_000);
  assert.deepEqual(said, ['live']);
});

test('settling drops a doubt and keeps the verdict; forgetting drops both', () => {
  verdict.good('live');
  verdict.doubt();
  verdict.settle();
  mock.timers.tick(10_000);
  assert.equal(verdict.current, 'live');
  verdict.forget();
  assert.equal(verdict.current, null);
  verdict.good('live');
  assert.deepEqual(said, ['live', 'live']);
});
