// @ts-check
// The line under the bid form: the outcome of an attempt, and the actions that it leaves.
//
// Rule: the words are about an attempt and about a state. When another state is shown, a function that
// came with the words says whether they still hold, so that they never contradict the price above.

/** @import { State } from '../transport/state.js' */

import { find, setHidden, setText } from './page.js';

/** @typedef {'' | 'info' | 'pending' | 'success' | 'error'} Kind how CSS shows the words */

/** @typedef {[label: string, act: () => void]} Action */

/**
 * Called with each later state: true if the words still hold, otherwise the words that replace them, '' for none.
 * @typedef {(state: State) => true | string} Later
 */

export class Message {
  #line; #words; #buttons; #fallback;

  /** @type {Later | null} */
  #later = null;

  /**
   * @param {HTMLElement} line
   * @param {HTMLElement} fallback gets the focus of a button that is hidden
   */
  constructor(line, fallback) {
    this.#line = line;
    this.#words = find(line, '.words', HTMLElement);
    this.#buttons = [...line.querySelectorAll('button')];
    this.#fallback = fallback;
  }

  /**
   * @param {Kind} kind
   * @param {string} words
   * @param {{actions?: Action[], later?: Later}} options up to as many actions as there are buttons
   */
  say(kind, words, { actions = [], later = () => true } = {}) {
    this.#later = later;
    this.#line.dataset.kind = kind;
    setText(this.#words, words);
    this.#buttons.forEach((button, index) => {
      const [label, act] = actions[index] ?? ['', null];
      button.onclick = act;
      setText(button, label);
      setHidden(button, !act, this.#fallback);
    });
  }

  clear() { this.say('', ''); }

  /** @param {State} state */
  review(state) {
    const later = this.#later;
    if (later === null) return;
    const words = later(state);
    if (words !== true) this.say(words === '' ? '' : 'info', words, { later });
  }
}
