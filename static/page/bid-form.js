// @ts-check
// The bid form: the amount that the viewer types or chooses, and the bid that is sent.
//
// Rule: no update changes the amount that the viewer has typed. The button says what a press will do,
// with the amount as the page reads it. An offered amount is sent as the server wrote it. The outcome
// is said in words. An element that has the focus is not taken away.

/** @import { Bid, BidResult, Problem } from '../transport/bidding.js' */
/** @import { State, Terms } from '../transport/state.js' */
/** @import { Action, Kind, Later } from './message.js' */
/** @import { ParsedAmount } from './money.js' */

import { newBid, sendBid } from '../transport/bidding.js';
import { bidderName, keepPaddle, keepPendingBid, paddleOf, pendingBid } from '../transport/session.js';
import { isSameRevision, unknownState } from '../transport/state.js';
import { Message } from './message.js';
import { formatAmount, fractionDigits, isLower, parseAmount } from './money.js';
import { find, setHidden, setText } from './page.js';
import { priceText } from './price.js';
import { text, viewerLocale } from './strings.js';

/**
 * What a bid form reports.
 * @typedef {object} BidFormEvents
 * @property {(state: State) => void} answered called with the state in the service's answer to a bid
 * @property {(reason: string | null) => void} voided called when a bid is refused because the viewer's bids are void
 */

export class BidForm {
  #guid; #on; #form; #amount; #label; #submit; #quick; #field; #hint; #proxyHint; #buyNow; #bidder; #message; #note;
  #isBarred = false; #sending = false; #pendingOffered = false;

  /** @type {State} */
  #state;

  /** @type {Terms | null} */
  #terms = null;

  /** @type {{written: string, decimal: string | null}} the offered amount that was chosen, and its text in the field */
  #chosen = { written: '', decimal: null };

  /**
   * @param {string} guid
   * @param {HTMLElement} root
   * @param {BidFormEvents} on
   */
  constructor(guid, root, on) {
    this.#guid = guid;
    this.#on = on;
    this.#state = unknownState(guid);
    this.#form = find(root, '#bid-form', HTMLFormElement);
    this.#field = find(root, '.field', HTMLElement);
    this.#amount = find(root, '#amount', HTMLInputElement);
    this.#label = find(root, '#amount-label', HTMLElement);
    this.#submit = find(root, '#bid-submit', HTMLButtonElement);
    this.#proxyHint = find(root, '#proxy-hint', HTMLElement);
    this.#buyNow = find(root, '#buy-now', HTMLButtonElement);
    this.#hint = find(root, '#amount-hint', HTMLElement);
    this.#bidder = find(root, '#bidder', HTMLElement);
    this.#note = find(root, '#note', HTMLElement);
    this.#quick = [.../** @type {NodeListOf<HTMLButtonElement>} */ (root.querySelectorAll('.quick button'))];
    this.#message = new Message(find(root, '#message', HTMLElement), this.#submit);
    this.#buyNow.addEventListener('click', () => this.#askBeforeBuying());
    this.#amount.addEventListener('input', () => { this.#message.clear(); this.#showAmount(); });
    for (const button of this.#quick) button.addEventListener('click', () => this.#choose(button.value));
    this.#form.addEventListener('submit', (event) => { event.preventDefault(); this.#place(); });
    this.#showBidder();
  }

  /**
   * Sets the terms. They say what an amount means: a price or a secret maximum, and whether a high one buys the lot.
   * Without terms the form is hidden.
   * @param {Terms | null} terms
   */
  setTerms(terms) {
    this.#terms = terms;
    this.#proxyHint.hidden = !this.#isProxy;
    setText(this.#label, this.#isProxy ? text.yourMaximum : text.yourBid);
    this.update(this.#state);
  }

  /**
   * Hides the form from the next update on, for a bidder who may no longer bid on this lot.
   * @param {boolean} isBarred
   */
  bar(isBarred) { this.#isBarred = isBarred; }

  /** @param {State} state */
  update(state) {
    this.#state = state;
    this.#message.review(state);
    if (state.status !== 'unknown') this.#offerPending();
    const lowest = lowestBidOf(state);
    const isOpen = state.status === 'open' && !state.paused && !this.#isBarred && this.#terms !== null;
    const isShown = isOpen && (lowest ?? state.buy_now) != null;
    if (isShown) this.#showOffers(state, lowest);
    setHidden(this.#form, !isShown, this.#note);
  }

  /**
   * @param {State} state
   * @param {string | undefined} lowest
   */
  #showOffers(state, lowest) {
    if (state.buy_now != null) setText(this.#buyNow, text.buyNow(this.#priceText(state.buy_now)));
    setHidden(this.#buyNow, state.buy_now == null, this.#submit);
    setHidden(this.#field, lowest === undefined, this.#buyNow); // if every bid would buy the lot, only the buy button stays
    this.#quick.forEach((button, index) => {
      const offered = state.next_bids?.[index];
      button.value = offered ?? '';
      setText(button, offered ? this.#priceText(offered) : '');
      setHidden(button, !offered, this.#submit);
    });
    setText(this.#hint, lowest ? text.nextBid(this.#priceText(lowest)) : '');
    this.#amount.placeholder = lowest ? this.#amountText(lowest) : '';
    this.#showAmount();
  }

  /** @param {string} decimal */
  #choose(decimal) {
    this.#chosen = { written: this.#amountText(decimal), decimal };
    this.#amount.value = this.#chosen.written;
    this.#message.clear();
    this.#showAmount();
    this.#submit.focus();
  }

  /** @returns {ParsedAmount} */
  #readAmount() {
    const { written, decimal } = this.#chosen;
    if (decimal !== null && this.#amount.value === written) return { decimal };
    return parseAmount(this.#amount.value, fractionDigits(this.#example), this.#state.currency, viewerLocale);
  }

  /** Writes on the button what a press will do, and marks an amount that is too low. */
  #showAmount() {
    const { decimal, error } = this.#readAmount();
    const price = this.#buyNowPriceFor(decimal);
    const raises = this.#isProxy && this.#leads(this.#state); // only the service knows the leader's present maximum
    const low = decimal !== undefined && price === null && !raises && isLower(decimal, this.#example);
    const bids = decimal && !low ? text.bidAmount(this.#priceText(decimal)) : text.placeBid;
    setText(this.#submit, price === null ? bids : text.buyNow(this.#priceText(price)));
    this.#hint.dataset.low = String(low);
    this.#amount.setAttribute('aria-invalid', String(low || (error !== undefined && error !== 'empty')));
    for (const button of this.#quick) button.setAttribute('aria-pressed', String(button.value === decimal));
  }

  #place() {
    if (this.#sending) return;
    const { decimal, error, readings } = this.#readAmount();
    if (this.#buyNowPriceFor(decimal) !== null) return this.#askBeforeBuying();
    if (decimal) {
      this.#send(this.#newBid(decimal));
      return;
    }
    this.#amount.focus();
    if (error === 'empty') return this.#say('info', text.typeAnAmount);
    if (error === 'unclear') {
      return this.#say('error', text.unclear(this.#amount.value.trim(), readings.map((each) => this.#priceText(each))),
        { actions: readings.map((each) => [this.#priceText(each), () => this.#choose(each)]) });
    }
    if (error === 'too_precise') return this.#say('error', text.tooPrecise(fractionDigits(this.#example)));
    this.#say('error', `${text.notANumber} ${this.#amountText(this.#example)}`);
  }

  /**
   * The buy-now price if this amount reaches it, else null. Such an amount is not sent as a bid: the page asks the viewer
   * first whether to buy.
   * @param {string | undefined} decimal
   */
  #buyNowPriceFor(decimal) {
    const { buy_now: price } = this.#state;
    const isCeiling = price != null && this.#terms?.buy_now?.mode === 'ceiling';
    return decimal !== undefined && isCeiling && !isLower(decimal, price) ? price : null;
  }

  #askBeforeBuying() {
    const price = this.#state.buy_now;
    if (price == null || this.#sending) return;
    this.#say('info', text.buyNowQuestion(this.#priceText(price)), {
      actions: [[text.buyNowConfirm(this.#priceText(price)), () => this.#send(newBid(price, { kind: 'buy_now' }))]],
      later: (state) => (state.buy_now === price ? true : ''),
    });
  }

  /** @param {Bid} bid */
  async #send(bid) {
    if (this.#sending) return;
    this.#setSending(true);
    this.#message.say('pending', text.sending);
    keepPendingBid(this.#guid, bid);
    const unsure = () => this.#message.say('pending', text.outcomeUnknown(this.#priceText(bid.price)));
    const result = await sendBid(this.#guid, bid, unsure);
    this.#setSending(false);
    if (result.outcome !== 'unknown') keepPendingBid(this.#guid, null);
    this.#showBidder();
    this.#sayOutcome(bid, result);
  }

  /**
   * @param {Bid} bid
   * @param {BidResult} result
   */
  #sayOutcome(bid, result) {
    const price = this.#priceText(bid.price);
    if (result.outcome === 'no_token') return this.#say('error', text.needsToken);
    if (result.outcome === 'unknown') return this.#sayUnknown(bid);
    if (result.outcome === 'refused') return this.#sayRefusal(bid, result.problem);
    const { reply, replayed } = result;
    keepPaddle(this.#guid, reply.paddle);
    // Clear the field only if it still has the amount that was sent: the viewer may be typing the next one.
    if (this.#readAmount().decimal === bid.price) this.#amount.value = '';
    this.#on.answered(reply.state);
    const said = { about: reply.state }; // "You lead" is true only until the next decision
    const mine = (/** @type {State} */ state) => (state.leader === reply.paddle ? true : '');
    const paid = this.#priceText(reply.state.price ?? bid.price);
    if (reply.standing === 'winning') this.#say('success', text.bought(paid), { later: mine });
    else if (this.#state.leader !== reply.paddle) this.#say('info', text.acceptedThenOutbid(price));
    else this.#say('success', replayed ? text.acceptedBefore(price) : text.accepted(price), said);
  }

  /**
   * @param {Bid} bid
   * @param {Problem} problem
   */
  #sayRefusal(bid, problem) {
    if (problem.state) this.#on.answered(problem.state);
    const price = this.#priceText(bid.price);
    const about = problem.state ?? this.#state;
    const lowest = lowestBidOf(about);
    const next = lowest ?? about.next_bid; // none if no bid can be higher
    if (this.#leads(about) && !this.#isProxy && ['too_low', 'too_high', 'not_aligned'].includes(problem.code)) {
      return this.#say('info', text.alreadyLeading, { about });
    }
    switch (problem.code) {
      case 'too_low': {
        if (this.#leads(about)) return this.#say('info', text.notAboveYourMaximum, { about });
        const afterwards = text.wasTooLow(price);
        const words = next == null ? afterwards : text.tooLow(this.#priceText(next));
        return this.#say('error', words, { about, actions: this.#alternatives(lowest), afterwards });
      }
      case 'too_high':
        return this.#say('error', text.tooHigh(price), {
          actions: [[text.confirmBid(price), () => this.#send(this.#newBid(bid.price, { confirm: true }))]],
        });
      case 'not_aligned':
        return this.#say('error', text.notAligned, { about, actions: this.#alternatives(lowest), afterwards: text.notAligned });
      case 'already_leading': return this.#say('info', text.alreadyLeading, { about });
      case 'not_open': return this.#say('error', text.notOpen, { later: (state) => (state.status === 'open' && !state.paused ? '' : true) });
      case 'voided':
        this.#message.clear();
        return this.#on.voided(problem.reason ?? null);
      case 'rate_limited': return this.#say('error', text.rateLimited(Math.ceil(problem.retry_after ?? 1)));
      default: return this.#say('error', text.refusal[problem.code] ?? (problem.detail || problem.title || text.refusedOtherwise));
    }
  }

  /**
   * What the viewer can do instead of a refused bid.
   * @param {string | undefined} offered the lowest amount that can be bid
   * @returns {Action[]}
   */
  #alternatives(offered) {
    if (offered) return [[text.bidInstead(this.#priceText(offered)), () => this.#send(this.#newBid(offered))]];
    const { buy_now: price } = this.#state;
    return price == null ? [] : [[text.buyNow(this.#priceText(price)), () => this.#askBeforeBuying()]];
  }

  /**
   * Says the outcome of an attempt. The words end when the lot closes, or when the viewer takes the lead in another
   * way. Words `about` a state also end at the next decision; `afterwards` then replaces them.
   * @param {Kind} kind
   * @param {string} words
   * @param {{actions?: Action[], about?: State | null, afterwards?: string, later?: Later | null}} options
   */
  #say(kind, words, { actions = [], about = null, afterwards = '', later = null } = {}) {
    const hadLead = this.#leads(this.#state);
    this.#message.say(kind, words, {
      actions,
      later: later ?? ((state) => {
        if (state.status !== 'open' || (this.#leads(state) && !hadLead)) return '';
        return about === null || isSameRevision(state, about) ? true : afterwards;
      }),
    });
    this.#message.review(this.#state); // the shown state may be newer than the answer's
  }

  /** Offers, once, to send a bid again that was left without an answer before a reload of the page. */
  #offerPending() {
    if (this.#pendingOffered) return;
    this.#pendingOffered = true;
    const bid = pendingBid(this.#guid);
    if (bid) this.#sayUnknown(bid);
  }

  /** @param {Bid} bid */
  #sayUnknown(bid) {
    const words = text.stillUnknown(this.#priceText(bid.price));
    this.#message.say('error', words, { actions: [[text.sendAgain, () => this.#send(bid)]] });
  }

  /** @param {boolean} sending */
  #setSending(sending) {
    this.#sending = sending;
    this.#submit.setAttribute('aria-disabled', String(sending)); // a disabled button would lose the focus
    this.#form.dataset.sending = String(sending);
  }

  #showBidder() {
    const name = bidderName();
    setText(this.#bidder, name ? text.biddingAs(name) : '');
  }

  /**
   * @param {string} price
   * @param {{confirm?: boolean}} options
   */
  #newBid(price, options = {}) { return newBid(price, { kind: this.#isProxy ? 'max' : 'price', ...options }); }

  /** @param {State} state */
  #leads(state) { return state.leader != null && state.leader === paddleOf(this.#guid); }

  get #isProxy() { return this.#terms?.bidding === 'proxy'; }

  /** An amount with the decimals of the currency: the lowest bid that is possible, if there is one. */
  get #example() {
    const { next_bid: next, buy_now: buyNow, price } = this.#state;
    return lowestBidOf(this.#state) ?? next ?? buyNow ?? price ?? '';
  }

  /** @param {string} price */
  #priceText(price) { return priceText(price, this.#state.currency); }

  /** @param {string} price */
  #amountText(price) { return formatAmount(price, this.#state.currency, viewerLocale); }
}

/**
 * The lowest amount that can be bid; undefined if no bid is possible.
 * @param {State} state
 * @returns {string | undefined}
 */
function lowestBidOf(state) { return state.next_bids?.[0]; }
