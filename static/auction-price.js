// @ts-check
// <auction-price guid="42"></auction-price>: a live price on any page, with one script tag:
//   <script type="module" src="https://auction.example/static/auction-price.js"></script>
//
// Rule: the price is plain text inside the element, so that the page's own CSS styles it. All elements
// of a page share as few connections as possible. The address of this module is that of the service.
//
// Attributes: guid, locale (optional). The element sets data-price, data-status, data-connection and
// data-note. Its events bubble: `auction-state` (detail: the state) and `auction-connection` (detail:
// 'live' | 'polling' | 'offline').

/** @import { State } from './transport/state.js' */
/** @import { Connection } from './transport/verdict.js' */

import { formatPrice } from './page/money.js';
import { text, viewerLocale } from './page/strings.js';
import { Feed, MAX_GUIDS_PER_STREAM } from './transport/feed.js';

// A page that adds prices row by row opens one connection, not one per row.
const REGROUP_DEBOUNCE_MS = 50;

// The rules have no specificity, so that any rule of the host page wins. A constructed sheet needs no CSP exception.
const DEFAULT_STYLE = `
  :where(auction-price) { font-variant-numeric: tabular-nums; }
  :where(auction-price[data-connection="offline"]) { opacity: .65; }
  :where(auction-price[data-connection="offline"])::after { content: " (" attr(data-note) ")"; font-size: smaller; }`;

/** @type {Map<string, Set<AuctionPrice>>} by guid: the elements on the page */
const elements = new Map();
/** @type {Feed[]} each watches up to MAX_GUIDS_PER_STREAM guids */
const feeds = [];
let regroupTimer = 0;

class AuctionPrice extends HTMLElement {
  static observedAttributes = ['guid', 'locale'];

  /** @type {string | null} the guid under which this element is registered */
  #joined = null;

  connectedCallback() { this.#join(); }
  disconnectedCallback() { this.#leave(); }

  /** @param {string} name */
  attributeChangedCallback(name) {
    if (!this.isConnected) return;
    if (name === 'locale') return this.#showLatest();
    this.#leave();
    this.#join();
  }

  /** @param {State} state */
  show(state) {
    if (state.price === null) {
      delete this.dataset.price;
      this.textContent = text.noPrice;
    } else {
      this.dataset.price = state.price;
      this.textContent = formatPrice(state.price, state.currency, this.getAttribute('locale') || viewerLocale);
    }
    this.dataset.status = state.status;
    this.dispatchEvent(new CustomEvent('auction-state', { detail: state, bubbles: true }));
  }

  /** @param {Connection | null | undefined} connection */
  showConnection(connection) {
    if (!connection || this.dataset.connection === connection) return;
    this.dataset.connection = connection;
    this.dataset.note = text.notLive;
    this.dispatchEvent(new CustomEvent('auction-connection', { detail: connection, bubbles: true }));
  }

  #join() {
    const guid = this.getAttribute('guid');
    if (!guid || this.#joined === guid) return;
    this.#joined = guid;
    elements.set(guid, (elements.get(guid) ?? new Set()).add(this));
    regroupSoon();
    this.#showLatest();
  }

  #leave() {
    const guid = this.#joined ?? '';
    const others = elements.get(guid);
    others?.delete(this);
    if (others?.size === 0) elements.delete(guid);
    this.#joined = null;
    delete this.dataset.connection;
    regroupSoon();
  }

  /** Shows the latest state, if another element watches the auction already. */
  #showLatest() {
    const guid = this.#joined;
    if (guid === null) return;
    const feed = feeds.find((candidate) => candidate.guids.includes(guid));
    const state = feed?.latest(guid);
    if (state) this.show(state);
    this.showConnection(feed?.connection);
  }
}

function regroupSoon() { regroupTimer ||= setTimeout(regroup, REGROUP_DEBOUNCE_MS); }

/** Distributes the guids over feeds. A feed keeps its connection if its guids do not change. */
function regroup() {
  regroupTimer = 0;
  const wanted = [...elements.keys()];
  for (const [number, feed] of feeds.entries()) {
    const kept = feed.guids.filter((guid) => elements.has(guid));
    const others = new Set(feeds.flatMap((other, index) => (index === number ? [] : other.guids)));
    const room = MAX_GUIDS_PER_STREAM - kept.length;
    const added = wanted.filter((guid) => !kept.includes(guid) && !others.has(guid)).slice(0, room);
    feed.watch([...kept, ...added]);
  }
  const watched = new Set(feeds.flatMap((feed) => feed.guids));
  const left = wanted.filter((guid) => !watched.has(guid));
  while (left.length) openFeed(left.splice(0, MAX_GUIDS_PER_STREAM));
  for (const feed of feeds.filter((idle) => idle.guids.length === 0)) {
    feed.close();
    feeds.splice(feeds.indexOf(feed), 1);
  }
}

/** @param {string[]} guids */
function openFeed(guids) {
  const feed = new Feed(guids);
  feed.on('state', (state) => {
    for (const element of [...elements.get(state.guid) ?? []]) element.show(state);
  });
  feed.on('connection', (connection) => {
    for (const guid of feed.guids) {
      for (const element of [...elements.get(guid) ?? []]) element.showConnection(connection);
    }
  });
  feeds.push(feed);
  feed.open();
}

// A page may load this module from two addresses; the second must not fail.
if (!customElements.get('auction-price')) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(DEFAULT_STYLE);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  customElements.define('auction-price', AuctionPrice);
}
