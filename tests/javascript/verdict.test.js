import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { Verdict } from '../../static/transport/verdict.js';
import { stopTime } from './browser.js';

let said, time, verdict;
beforeEach(() => {
  time = stopTime();
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

test('a doubt becomes bad news after its grace, counted from the first', async () => {
  verdict.good('live');
  verdict.doubt();
  await time.advance(2_000);
  verdict.doubt();
  await time.advance(999);
  assert.deepEqual(said, ['live']);
  await time.advance(1);
  assert.deepEqual(said, ['live', 'offline']);
});

test('good news in time ends a doubt, also one that was raised twice', async () => {
  verdict.doubt();
  verdict.doubt();
  verdict.good('live');
  await time.advance(10_000);
  assert.deepEqual(said, ['live']);
});

test('settling drops a doubt and keeps the verdict; forgetting drops both', async () => {
  verdict.good('live');
  verdict.doubt();
  verdict.settle();
  await time.advance(10_000);
  assert.equal(verdict.current, 'live');
  verdict.forget();
  assert.equal(verdict.current, null);
  verdict.good('live');
  assert.deepEqual(said, ['live', 'live']);
});
