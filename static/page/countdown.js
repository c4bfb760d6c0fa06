// @ts-check
// Countdowns, on the server's clock.
//
// Rule: the page never decides that a lot is closed. When the time is up it says 'closing…' until the
// server says 'closed', because a late bid may have extended the lot.

/** @import { State } from '../transport/state.js' */

import { setText } from './page.js';
import { text } from './strings.js';

const TICK_MS = 200;
const SOON_MS = 5 * 60_000;
const LAST_MS = 30_000;

/** @typedef {'none' | 'opens' | 'opening' | 'closes' | 'closing' | 'closed'} Phase */

/**
 * The phase of an auction's countdown at `now` (epoch ms), and the time that is left in it.
 * @param {State} state
 * @param {number} now
 * @returns {{phase: Phase, leftMs: number}}
 */
export function phaseOf(state, now) {
  if (state.status === 'closed' || state.status === 'cancelled') return { phase: 'closed', leftMs: 0 };
  /** @type {[Phase, Phase, number | null | undefined]} */
  const [running, over, at] = state.status === 'upcoming'
    ? ['opens', 'opening', state.opens_at]
    : ['closes', 'closing', state.status === 'open' ? state.closes_at : null];
  if (at == null || state.paused) return { phase: 'none', leftMs: 0 };
  return at > now ? { phase: running, leftMs: at - now } : { phase: over, leftMs: 0 };
}

/**
 * A duration in words: 4:05, 1:04:05, 2 days 01:04:05. A second that has begun counts as a whole one.
 * @param {number} ms
 */
export function spellDuration(ms) {
  const total = Math.ceil(ms / 1000);
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const [days, hours, minutes] = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60];
  const seconds = two(total % 60);
  if (days) return `${text.days(days)} ${two(hours)}:${two(minutes)}:${seconds}`;
  return hours ? `${hours}:${two(minutes)}:${seconds}` : `${minutes}:${seconds}`;
}

/**
 * Writes an auction's countdown into an element and its phase and urgency into the dataset.
 * @param {HTMLElement} element
 * @param {State} state
 * @param {number} now
 */
export function showCountdown(element, state, now) {
  const { phase, leftMs } = phaseOf(state, now);
  const words = {
    none: '', opening: text.opening, closing: text.closing,
    closed: text.status[state.status], opens: spellDuration(leftMs), closes: spellDuration(leftMs),
  };
  element.dataset.phase = phase;
  element.dataset.urgency = phase !== 'closes' ? '' : leftMs <= LAST_MS ? 'last' : leftMs <= SOON_MS ? 'soon' : '';
  setText(element, words[phase]);
  return phase;
}

/**
 * Calls tick() several times a second while the page is visible.
 * @param {() => void} tick
 */
export function startTicking(tick) {
  setInterval(() => { if (!document.hidden) tick(); }, TICK_MS);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) tick(); });
}
