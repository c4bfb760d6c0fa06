// @ts-check
// The bid form: what is typed or chosen, and what is sent.
//
// Rule: what the viewer typed is theirs: no update ever changes the amount. What a press will do is
// written on the button, as understood, before it is done; an amount that was offered is sent as the
// server wrote it; and what came of it is said in words. No element that has the focus is taken away.

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
 * @property {(state: State) => void} answered the state in the service's answer to a bid
 * @property {(reason: string | null) => void} voided a bid was refused, since the viewer's bids are void
 */

export class BidForm {
  #guid; #on; #form; #amount; #label; #submit; #quick; #field; #hint; #proxyHint; #buyNow; #bidder; #message; #note;
  #isBarred = false; #sending = false; #pendingOffered = false;

  /** @type {State} */
  #state;

  /** @type {Terms | null} */
  #terms = null;

  /** @type {{written: string, decimal: string | null}} the amount that was offered, and how it stands in the field */
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
    this.#buyNow.addEventListener('click', () => this.#askToBuy());
    this.#amount.addEventListener('input', () => { this.#message.clear(); this.#showUnderstood(); });
    for (const button of this.#quick) button.addEventListener('click', () => this.#choose(button.value));
    this.#form.addEventListener('submit', (event) => { event.preventDefault(); this.#place(); });
    this.#showBidder();
  }

  /**
   * What an amount means here: a price or a secret maximum, and whether a high one buys. Until then there is no form.
   * @param {Terms | null} terms
   */
  setTerms(terms) {
    this.#terms = terms;
    this.#proxyHint.hidden = !this.#isProxy;
    setText(this.#label, this.#isProxy ? text.yourMaximum : text.yourBid);
    this.update(this.#state);
  }

  /**
   * Takes the form away from somebody who may not bid here any more.
   * @param {boolean} isBarred
   */
  bar(isBarred) { this.#isBarred = isBarred; }

  /** @param {State} state */
  update(state) {
    this.#state = state;
    this.#message.review(state);
    if (state.status !== 'unknown') this.#offerPending();
    const least = leastOf(state);
    const isOpen = state.status === 'open' && !state.paused && !this.#isBarred && this.#terms !== null;
    const isShown = isOpen && (least ?? state.buy_now) != null;
    if (isShown) this.#showOffers(state, least);
    setHidden(this.#form, !isShown, this.#note);
  }

  /**
   * @param {State} state
   * @param {string | undefined} least
   */
  #showOffers(state, least) {
    if (state.buy_now != null) setText(this.#buyNow, text.buyNow(this.#shown(state.buy_now)));
    setHidden(this.#buyNow, state.buy_now == null, this.#submit);
    setHidden(this.#field, least === undefined, this.#buyNow); // where every bid would buy, there is one button to buy
    this.#quick.forEach((button, rung) => {
      const offered = state.next_bids?.[rung];
      button.value = offered ?? '';
      setText(button, offered ? this.#shown(offered) : '');
      setHidden(button, !offered, this.#submit);
    });
    setText(this.#hint, least ? text.nextBid(this.#shown(least)) : '');
    this.#amount.placeholder = least ? this.#written(least) : '';
    this.#showUnderstood();
  }

  /** @param {string} decimal */
  #choose(decimal) {
    this.#chosen = { written: this.#written(decimal), decimal };
    this.#amount.value = this.#chosen.written;
    this.#message.clear();
    this.#showUnderstood();
    this.#submit.focus();
  }

  /** @returns {ParsedAmount} */
  #understood() {
    const { written, decimal } = this.#chosen;
    if (decimal !== null && this.#amount.value === written) return { decimal };
    return parseAmount(this.#amount.value, fractionDigits(this.#example), this.#state.currency, viewerLocale);
  }

  /** Says on the button what pressing it would do, and under the field where that stands. */
  #showUnderstood() {
    const { decimal, error } = this.#understood();
    const price = this.#priceToBuyBy(decimal);
    const raises = this.#isProxy && this.#leads(this.#state); // one's own maximum: only the service knows from where
    const low = decimal !== undefined && price === null && !raises && isLower(decimal, this.#example);
    const label = price !== null ? text.buyNow(this.#shown(price)) : decimal && !low ? text.bidAmount(this.#shown(decimal)) : text.placeBid;
    setText(this.#submit, label);
    this.#hint.dataset.low = String(low);
    this.#amount.setAttribute('aria-invalid', String(low || (error !== undefined && error !== 'empty')));
    for (const button of this.#quick) button.setAttribute('aria-pressed', String(button.value === decimal));
  }

  #place() {
    if (this.#sending) return;
    const { decimal, error, readings } = this.#understood();
    if (this.#priceToBuyBy(decimal) !== null) return this.#askToBuy();
    if (decimal) {
      this.#send(this.#newBid(decimal));
      return;
    }
    this.#amount.focus();
    if (error === 'empty') return this.#say('info', text.typeAnAmount);
    if (error === 'unclear') {
      return this.#say('error', text.unclear(this.#amount.value.trim(), readings.map((each) => this.#shown(each))),
        { actions: readings.map((each) => [this.#shown(each), () => this.#choose(each)]) });
    }
    if (error === 'too_precise') return this.#say('error', text.tooPrecise(fractionDigits(this.#example)));
    this.#say('error', `${text.notANumber} ${this.#written(this.#example)}`);
  }

  /**
   * The price at which this amount would buy the lot, or null. Such an amount is no bid: buying is asked about, and never
   * done by the way.
   * @param {string | undefined} decimal
   */
  #priceToBuyBy(decimal) {
    const { buy_now: price } = this.#state;
    const isCeiling = price != null && this.#terms?.buy_now?.mode === 'ceiling';
    return decimal !== undefined && isCeiling && !isLower(decimal, price) ? price : null;
  }

  #askToBuy() {
    const price = this.#state.buy_now;
    if (price == null || this.#sending) return;
    this.#say('info', text.buyNowQuestion(this.#shown(price)), {
      actions: [[text.buyNowConfirm(this.#shown(price)), () => this.#send(newBid(price, { kind: 'buy_now' }))]],
      later: (state) => (state.buy_now === price ? true : ''),
    });
  }

  /** @param {Bid} bid */
  async #send(bid) {
    if (this.#sending) return;
    this.#setSending(true);
    this.#message.say('pending', text.sending);
    keepPendingBid(this.#guid, bid);
    const result = await sendBid(this.#guid, bid, () => this.#message.say('pending', text.outcomeUnknown(this.#shown(bid.price))));
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
    const price = this.#shown(bid.price);
    if (result.outcome === 'no_token') return this.#say('error', text.needsToken);
    if (result.outcome === 'unknown') return this.#sayUnknown(bid);
    if (result.outcome === 'refused') return this.#sayRefusal(bid, result.problem);
    const { reply, replayed } = result;
    keepPaddle(this.#guid, reply.paddle);
    // Cleared only if it is still what was sent: the viewer may be typing the next one already.
    if (this.#understood().decimal === bid.price) this.#amount.value = '';
    this.#on.answered(reply.state);
    const said = { about: reply.state }; // "You lead" is true only as long as nothing else has been decided
    const mine = (/** @type {State} */ state) => (state.leader === reply.paddle ? true : '');
    if (reply.standing === 'winning') this.#say('success', text.bought(this.#shown(reply.state.price ?? bid.price)), { later: mine });
    else if (this.#state.leader !== reply.paddle) this.#say('info', text.acceptedThenOutbid(price));
    else this.#say('success', replayed ? text.acceptedBefore(price) : text.accepted(price), said);
  }

  /**
   * @param {Bid} bid
   * @param {Problem} problem
   */
  #sayRefusal(bid, problem) {
    if (problem.state) this.#on.answered(problem.state);
    const price = this.#shown(bid.price);
    const about = problem.state ?? this.#state;
    const least = leastOf(about);
    const next = least ?? about.next_bid; // none where only buying is left
    if (this.#leads(about) && !this.#isProxy && ['too_low', 'too_high', 'not_aligned'].includes(problem.code)) {
      return this.#say('info', text.alreadyLeading, { about });
    }
    switch (problem.code) {
      case 'too_low': {
        if (this.#leads(about)) return this.#say('info', text.notAboveYourMaximum, { about });
        const afterwards = text.wasTooLow(price);
        const words = next == null ? afterwards : text.tooLow(this.#shown(next));
        return this.#say('error', words, { about, actions: this.#instead(least), afterwards });
      }
      case 'too_high':
        return this.#say('error', text.tooHigh(price), {
          actions: [[text.confirmBid(price), () => this.#send(this.#newBid(bid.price, { confirm: true }))]],
        });
      case 'not_aligned': return this.#say('error', text.notAligned, { about, actions: this.#instead(least), afterwards: text.notAligned });
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
   * What can be done instead of a bid that was refused.
   * @param {string | undefined} offered the least amount to bid
   * @returns {Action[]}
   */
  #instead(offered) {
    if (offered) return [[text.bidInstead(this.#shown(offered)), () => this.#send(this.#newBid(offered))]];
    return this.#state.buy_now == null ? [] : [[text.buyNow(this.#shown(this.#state.buy_now)), () => this.#askToBuy()]];
  }

  /**
   * Says what came of an attempt. It is over when the lot is, or when the viewer has come to lead by
   * another way; and what was said `about` a state, when that is not the state any more: then
   * `afterwards` remains true, if anything.
   * @param {Kind} kind
   * @param {string} words
   * @param {{actions?: Action[], about?: State | null, afterwards?: string, later?: Later | null}} options
   */
  #say(kind, words, { actions = [], about = null, afterwards = '', later = null } = {}) {
    const led = this.#leads(this.#state);
    this.#message.say(kind, words, {
      actions,
      later: later ?? ((state) => {
        if (state.status !== 'open' || (this.#leads(state) && !led)) return '';
        return about === null || isSameRevision(state, about) ? true : afterwards;
      }),
    });
    this.#message.review(this.#state); // which may be a later one than the answer's already
  }

  /** Once: a bid sent before this page was loaded anew may still be without an answer. */
  #offerPending() {
    if (this.#pendingOffered) return;
    this.#pendingOffered = true;
    const bid = pendingBid(this.#guid);
    if (bid) this.#sayUnknown(bid);
  }

  /** @param {Bid} bid */
  #sayUnknown(bid) {
    this.#message.say('error', text.stillUnknown(this.#shown(bid.price)), { actions: [[text.sendAgain, () => this.#send(bid)]] });
  }

  /** @param {boolean} sending */
  #setSending(sending) {
    this.#sending = sending;
    this.#submit.setAttribute('aria-disabled', String(sending)); // a button that is disabled loses the focus
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

  /** An amount with the currency's decimals: the least to bid, while there is one. */
  get #example() { return leastOf(this.#state) ?? this.#state.next_bid ?? this.#state.buy_now ?? this.#state.price ?? ''; }

  /** @param {string} price */
  #shown(price) { return priceText(price, this.#state.currency); }

  /** @param {string} price */
  #written(price) { return formatAmount(price, this.#state.currency, viewerLocale); }
}

/**
 * The least amount to bid, if any can be bid.
 * @param {State} state
 * @returns {string | undefined}
 */
function leastOf(state) { return state.next_bids?.[0]; }
