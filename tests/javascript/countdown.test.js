import './environment.js';

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { phaseOf, spellDuration } from '../../static/page/countdown.js';

const OPEN = { guid: 'a', status: 'open', closes_at: 10_000, opens_at: 1_000 };

test('an open auction counts down to its closing, and an upcoming one to its opening', () => {
  assert.deepEqual(phaseOf(OPEN, 4_000), { phase: 'closes', leftMs: 6_000 });
  assert.deepEqual(phaseOf({ ...OPEN, status: 'upcoming' }, 400), { phase: 'opens', leftMs: 600 });
});

test('when the time is up the page waits for the server: it never says closed by itself', () => {
  assert.deepEqual(phaseOf(OPEN, 10_000), { phase: 'closing', leftMs: 0 });
  assert.deepEqual(phaseOf({ ...OPEN, status: 'upcoming' }, 1_000), { phase: 'opening', leftMs: 0 });
});

test('a final auction is closed whatever the time', () => {
  for (const status of ['closed', 'cancelled']) assert.deepEqual(phaseOf({ ...OPEN, status }, 0), { phase: 'closed', leftMs: 0 });
});

test('there is no countdown without a moment, while paused, or before the auction exists', () => {
  assert.equal(phaseOf({ ...OPEN, closes_at: null }, 0).phase, 'none');
  assert.equal(phaseOf({ ...OPEN, paused: true }, 0).phase, 'none');
  assert.equal(phaseOf({ ...OPEN, status: 'unknown' }, 0).phase, 'none');
});

for (const [ms, words] of [
  [0, '0:00'], [1, '0:01'], [59_001, '1:00'], [245_000, '4:05'], [3_600_000, '1:00:00'], [3_845_000, '1:04:05'],
  [86_400_000, '1 day 00:00:00'], [2 * 86_400_000 + 3_845_000, '2 days 01:04:05'],
]) {
  test(`${ms} ms are ${words}`, () => assert.equal(spellDuration(ms), words));
}
