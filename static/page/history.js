// @ts-check
// The list of bids, newest first, which grows live.
//
// Rule: only missing bids are fetched, with one request at a time. A bid raises both the number of
// bids and the revision by one. If the two rise by different amounts, there was another decision, such
// as a void, and the shown bids are fetched again. A bid that the leader's maximum answers at once is
// two items with one seq, the bid and the automatic bid above it. A page of the service never
// separates the two, and this list does not either.

import { auctionUrl } from '../transport/service.js';
/** @import { State } from '../transport/state.js' */

import { find, setHidden, setText } from './page.js';
import { priceText } from './price.js';
import { text, viewerLocale } from './strings.js';

const SHOWN_AT_FIRST = 20;
const PAGE_LIMIT = 200;
// After a long absence the newest bids matter, not a complete list.
const MAX_ITEMS = 400;
// A burst of bids is fetched in a few requests, not in one per bid.
const MIN_MS_BETWEEN_FETCHES = 400;
const RETRY_MS = 5_000;

/** @type {('automatic' | 'voided')[]} */
const MARKS = ['automatic', 'voided'];
const timeOfDay = new Intl.DateTimeFormat(viewerLocale, { timeStyle: 'medium' });

/**
 * A bid in the public history. `price` is the amount to which it commits the paddle, `at` is epoch ms.
 * @typedef {{seq: number, paddle: number, price: string, automatic: boolean, at: number, voided: boolean}} HistoryEntry
 */

/** @typedef {{bids: HistoryEntry[], next: number | null}} HistoryPage `next` is the `after` of the next page */

export class History {
  #guid; #list; #template; #earlier; #empty; #heading;
  #bids = 0; #rev = 0; #counted = -1; #last = 0; #first = 0; #fetching = false; #isOutdated = false;

  /** @type {string | null | undefined} */
  #currency = null;

  /** @type {number | null} the viewer's own */
  #paddle = null;

  /**
   * @param {string} guid
   * @param {HTMLElement} section
   */
  constructor(guid, section) {
    this.#guid = guid;
    this.#list = find(section, '#history', HTMLOListElement);
    this.#template = find(section, 'template', HTMLTemplateElement);
    this.#earlier = find(section, '.earlier', HTMLElement);
    this.#empty = find(section, '.empty', HTMLElement);
    this.#heading = find(section, 'h2', HTMLElement);
    this.#earlier.addEventListener('click', () => this.#showEarlier());
  }

  /**
   * Fetches the bids that a state adds, and marks the viewer's own.
   * @param {State} state
   * @param {number | null} paddle
   */
  update(state, paddle) {
    this.#currency = state.currency;
    if (paddle !== this.#paddle) {
      this.#paddle = paddle;
      for (const item of this.#items) this.#markOwn(item);
    }
    if (state.bids == null) return; // the auction does not exist yet, or it is external
    const { bids } = state;
    if (bids - this.#bids !== state.rev - this.#rev) this.#isOutdated = true;
    this.#bids = bids;
    this.#rev = state.rev;
    if (!this.#fetching) this.#catchUp();
  }

  async #catchUp() {
    this.#fetching = true;
    while (this.#isOutdated || this.#counted < this.#bids) {
      const counted = this.#bids;
      const isRefetch = this.#isOutdated || counted - this.#counted > MAX_ITEMS;
      this.#isOutdated = false;
      const after = isRefetch ? Math.max(0, Math.min(this.#first - 1, this.#last - SHOWN_AT_FIRST), counted - MAX_ITEMS) : this.#last;
      const page = await this.#fetch(this.#first ? after : Math.max(0, counted - SHOWN_AT_FIRST), PAGE_LIMIT);
      if (page && isRefetch) this.#clear();
      if (page) this.#addNewer(page.bids.filter((bid) => bid.seq > this.#last));
      if (page && page.next === null) this.#counted = counted;
      if (!page && isRefetch) this.#isOutdated = true;
      this.#empty.hidden = this.#list.children.length > 0;
      await new Promise((resolve) => setTimeout(resolve, page ? MIN_MS_BETWEEN_FETCHES : RETRY_MS));
    }
    this.#fetching = false;
  }

  async #showEarlier() {
    const after = Math.max(0, this.#first - 1 - SHOWN_AT_FIRST);
    const page = await this.#fetch(after, this.#first - 1 - after);
    for (const bid of (page?.bids ?? []).reverse()) this.#list.append(this.#item(bid));
    if (page?.bids.length) this.#first = after + 1;
    this.#offerEarlier();
  }

  /**
   * @param {number} after
   * @param {number} limit
   * @returns {Promise<HistoryPage | null>}
   */
  async #fetch(after, limit) {
    try {
      const response = await fetch(auctionUrl(this.#guid, 'bids', { after, limit }));
      return response.ok ? await response.json() : null;
    } catch {
      return null; // the connection badge shows it already
    }
  }

  /** @param {HistoryEntry[]} bids */
  #addNewer(bids) {
    if (!bids.length) return;
    for (const bid of bids) this.#list.prepend(this.#item(bid));
    this.#last = bids[bids.length - 1].seq;
    this.#first ||= bids[0].seq;
    const items = this.#items;
    while (items.length > MAX_ITEMS || seqOf(items[items.length - 1]) < this.#first) {
      const oldest = items[items.length - 1];
      this.#first = seqOf(oldest) + 1;
      oldest.remove();
    }
    this.#offerEarlier();
  }

  /** The items on the page, newest first, as a live collection. */
  get #items() { return /** @type {HTMLCollectionOf<HTMLLIElement>} */ (this.#list.children); }

  #offerEarlier() { setHidden(this.#earlier, this.#first <= 1, this.#heading); }

  /** @param {HistoryEntry} bid */
  #item(bid) {
    const item = document.importNode(find(this.#template.content, 'li', HTMLLIElement), true);
    item.dataset.seq = String(bid.seq);
    item.dataset.paddle = String(bid.paddle);
    item.classList.toggle('voided', bid.voided === true);
    item.classList.toggle('automatic', bid.automatic === true);
    setText(find(item, '.amount', HTMLElement), priceText(bid.price, this.#currency));
    const at = find(item, 'time', HTMLTimeElement);
    at.dateTime = new Date(bid.at).toISOString();
    setText(at, timeOfDay.format(bid.at));
    this.#markOwn(item);
    return item;
  }

  /** @param {HTMLLIElement} item */
  #markOwn(item) {
    const own = item.dataset.paddle === String(this.#paddle);
    item.classList.toggle('own', own);
    const paddle = text.paddle(item.dataset.paddle ?? '');
    const marks = MARKS.filter((mark) => item.classList.contains(mark)).map((mark) => text[mark]);
    setText(find(item, '.paddle', HTMLElement), [paddle, own && text.you, ...marks].filter(Boolean).join(' · '));
  }

  #clear() {
    this.#list.replaceChildren();
    this.#last = this.#first = 0;
    this.#counted = -1;
  }
}

/** @param {HTMLLIElement} item */
function seqOf(item) { return Number(item.dataset.seq); }
