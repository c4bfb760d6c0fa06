// The list of bids, newest first, growing live.
//
// Rule: only what is missing is fetched, one request at a time. How many bids came since the last
// request is the difference of two counts: `bids` counts those that stand, and voided ones keep
// their numbers. When it falls, bids were voided, and the list is fetched anew.

import { setText } from './page.js';
import { priceText } from './price.js';
import { auctionUrl } from './service.js';
import { text, viewerLocale } from './strings.js';

const SHOWN_AT_FIRST = 20;
const PAGE_LIMIT = 200;
// After a long absence the newest page counts, not a complete list.
const MOST_ITEMS = 400;
// A burst of bids is fetched in steps, not one request per bid.
const LEAST_MS_BETWEEN_FETCHES = 400;
const RETRY_MS = 5_000;

const timeOfDay = new Intl.DateTimeFormat(viewerLocale, { timeStyle: 'medium' });

export class History {
  #guid; #list; #template; #earlier; #empty;
  #bids = 0; #counted = 0; #last = 0; #first = 0; #currency = null; #fetching = false; #paddle = null;

  constructor(guid, section) {
    this.#guid = guid;
    this.#list = section.querySelector('#history');
    this.#template = section.querySelector('template');
    this.#earlier = section.querySelector('.earlier');
    this.#empty = section.querySelector('.empty');
    this.#earlier.addEventListener('click', () => this.#showEarlier());
  }

  /** Follows the number of bids and marks the viewer's own. */
  update(state, paddle) {
    this.#currency = state.currency;
    if (paddle !== this.#paddle) {
      this.#paddle = paddle;
      for (const item of this.#list.children) this.#markOwn(item);
    }
    const bids = state.bids ?? 0;
    if (bids < this.#bids) this.#forget(); // voided, or the store lost its memory
    this.#bids = bids;
    this.#empty.hidden = bids > 0 || this.#list.children.length > 0;
    if (!this.#fetching) this.#catchUp();
  }

  async #catchUp() {
    this.#fetching = true;
    while (this.#counted < this.#bids) {
      const counted = this.#bids;
      if (this.#last && counted - this.#counted > MOST_ITEMS) this.#forget();
      const after = this.#last || Math.max(0, counted - SHOWN_AT_FIRST);
      const bids = await this.#fetch(after, PAGE_LIMIT);
      if (bids) this.#addNewest(bids.filter((bid) => bid.seq > this.#last));
      if (bids?.length && bids.length < PAGE_LIMIT && counted <= this.#bids) this.#counted = counted;
      await new Promise((resolve) => setTimeout(resolve, bids?.length ? LEAST_MS_BETWEEN_FETCHES : RETRY_MS));
    }
    this.#fetching = false;
  }

  async #showEarlier() {
    const after = Math.max(0, this.#first - 1 - SHOWN_AT_FIRST);
    const bids = await this.#fetch(after, this.#first - 1 - after);
    for (const bid of (bids ?? []).reverse()) this.#list.append(this.#item(bid));
    if (bids?.length) this.#first = after + 1;
    this.#earlier.hidden = this.#first <= 1;
  }

  async #fetch(after, limit) {
    try {
      const response = await fetch(auctionUrl(this.#guid, 'bids', { after, limit }));
      return response.ok ? (await response.json()).bids : null;
    } catch {
      return null; // the connection badge says so already
    }
  }

  #addNewest(bids) {
    if (!bids.length) return;
    for (const bid of bids) this.#list.prepend(this.#item(bid));
    this.#last = bids.at(-1).seq;
    this.#first ||= bids[0].seq;
    while (this.#list.children.length > MOST_ITEMS) {
      this.#list.lastElementChild.remove();
      this.#first += 1;
    }
    this.#earlier.hidden = this.#first <= 1;
  }

  #item(bid) {
    const item = this.#template.content.firstElementChild.cloneNode(true);
    item.dataset.seq = bid.seq;
    item.dataset.paddle = bid.paddle;
    item.classList.toggle('voided', bid.voided === true);
    setText(item.querySelector('.amount'), priceText(bid.price, this.#currency));
    const at = item.querySelector('time');
    at.dateTime = new Date(bid.at).toISOString();
    setText(at, timeOfDay.format(bid.at));
    this.#markOwn(item);
    return item;
  }

  #markOwn(item) {
    const own = item.dataset.paddle === String(this.#paddle);
    item.classList.toggle('own', own);
    const paddle = text.paddle(item.dataset.paddle);
    const marks = [paddle, own && text.you, item.classList.contains('voided') && text.voided];
    setText(item.querySelector('.paddle'), marks.filter(Boolean).join(' · '));
  }

  #forget() {
    this.#list.replaceChildren();
    this.#last = this.#first = this.#counted = 0;
  }
}
