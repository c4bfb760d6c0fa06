// The line under the bid form: what came of an attempt, and what can be done about it.
//
// Rule: words belong to an attempt and to the state that they are about. As soon as another state is
// shown, whoever said them says whether they still hold; so they never contradict what stands above.

import { setHidden, setText } from './page.js';

export class Message {
  #line; #words; #buttons; #heir; #later = null;

  /** `heir` gets the focus of a button that goes. */
  constructor(line, heir) {
    this.#line = line;
    this.#words = line.querySelector('.words');
    this.#buttons = [...line.querySelectorAll('button')];
    this.#heir = heir;
  }

  /**
   * `actions`: up to as many [label, act] as there are buttons. `later(state)`: whether the words hold
   * in a later state: true, or the words that do, without actions; '' ends them.
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

  review(state) {
    const later = this.#later;
    const words = later?.(state) ?? true;
    if (words !== true) this.say(words && 'info', words, { later });
  }
}
