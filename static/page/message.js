// @ts-check
// The line under the bid form: what came of an attempt, and what can be done about it.
//
// Rule: words belong to an attempt and to the state that they are about. As soon as another state is
// shown, whoever said them says whether they still hold; so they never contradict what stands above.

/** @import { State } from '../transport/state.js' */

import { find, setHidden, setText } from './page.js';

/** @typedef {'' | 'info' | 'pending' | 'success' | 'error'} Kind how CSS shows the words */

/** @typedef {[label: string, act: () => void]} Action */

/** @typedef {(state: State) => true | string} Later true if the words hold in a later state; else those that do, '' for none */

export class Message {
  #line; #words; #buttons; #heir;

  /** @type {Later | null} */
  #later = null;

  /**
   * @param {HTMLElement} line
   * @param {HTMLElement} heir gets the focus of a button that goes
   */
  constructor(line, heir) {
    this.#line = line;
    this.#words = find(line, '.words', HTMLElement);
    this.#buttons = [...line.querySelectorAll('button')];
    this.#heir = heir;
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
      setHidden(button, !act, this.#heir);
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
