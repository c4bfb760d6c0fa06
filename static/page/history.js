// @ts-check
// The list of bids, newest first, growing live.
//
// Rule: only what is missing is fetched, one request at a time. A bid raises the count of bids and
// the revision by one each; where the two part, something else was decided too, such as that bids
// are void, and what is shown is fetched anew. A bid that the leader's maximum answers at once is
// two items of one seq, the bid and the automatic one above it: pages never part them, nor do we.

import { auctionUrl } from '../transport/service.js';
/** @import { State } from '../transport/state.js' */

import { find, setHidden, setText } from './page.js';
import { priceText } from './price.js';
import { text, viewerLocale } from './strings.js';

const SHOWN_AT_FIRST = 20;
const PAGE_LIMIT = 200;
// After a long absence the newest page counts, not a complete list.
const MOST_ITEMS = 400;
// A burst of bids is fetched in steps, not one request per bid.
const LEAST_MS_BETWEEN_FETCHES = 400;
const RETRY_MS = 5_000;

/** @type {('automatic' | 'voided')[]} */
const MARKS = ['automatic', 'voided'];
const timeOfDay = new Intl.DateTimeFormat(viewerLocale, { timeStyle: 'medium' });

/**
 * A bid in the public history. `price` is what the paddle is committed to by it, `at` is epoch ms.
 * @typedef {{seq: number, paddle: number, price: string, automatic: boolean, at: number, voided: boolean}} HistoryEntry
 */

/** @typedef {{bids: HistoryEntry[], next: number | null}} HistoryPage whole bids; `next` is the `after` of the next page */

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
   * Follows the number of bids and marks the viewer's own.
   * @param {State} state
   * @param {number | null} paddle
   */
  update(state, paddle) {
    this.#currency = state.currency;
    if (paddle !== this.#paddle) {
      this.#paddle = paddle;
      for (const item of this.#items) this.#markOwn(item);
    }
    if (state.bids == null) return; // there is no such auction yet, or another system keeps it
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
      const isAnew = this.#isOutdated || counted - this.#counted > MOST_ITEMS;
      this.#isOutdated = false;
      const after = isAnew ? Math.max(0, Math.min(this.#first - 1, this.#last - SHOWN_AT_FIRST), counted - MOST_ITEMS) : this.#last;
      const page = await this.#fetch(this.#first ? after : Math.max(0, counted - SHOWN_AT_FIRST), PAGE_LIMIT);
      if (page && isAnew) this.#forget();
      if (page) this.#addNewest(page.bids.filter((bid) => bid.seq > this.#last));
      if (page && page.next === null) this.#counted = counted;
      if (!page && isAnew) this.#isOutdated = true;
      this.#empty.hidden = this.#list.children.length > 0;
      await new Promise((resolve) => setTimeout(resolve, page ? LEAST_MS_BETWEEN_FETCHES : RETRY_MS));
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
      return null; // the connection badge says so already
    }
  }

  /** @param {HistoryEntry[]} bids */
  #addNewest(bids) {
    if (!bids.length) return;
    for (const bid of bids) this.#list.prepend(this.#item(bid));
    this.#last = bids[bids.length - 1].seq;
    this.#first ||= bids[0].seq;
    const items = this.#items;
    while (items.length > MOST_ITEMS || seqOf(items[items.length - 1]) < this.#first) {
      const oldest = items[items.length - 1];
      this.#first = seqOf(oldest) + 1;
      oldest.remove();
    }
    this.#offerEarlier();
  }

  /** The items on the page, newest first: the list's own, which follows each change. */
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

  #forget() {
    this.#list.replaceChildren();
    this.#last = this.#first = 0;
    this.#counted = -1;
  }
}

/** @param {HTMLLIElement} item */
function seqOf(item) { return Number(item.dataset.seq); }
