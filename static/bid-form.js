// The bid form and its message line.
//
// Rule: what the viewer typed is theirs: no update ever changes the amount. What will be sent is
// written on the button, as understood, before it is sent; and what came of it is said in words.

import { newBid, sendBid } from './bidding.js';
import { bidLadder, fractionDigits, isLower, parseAmount } from './money.js';
import { setText } from './page.js';
import { priceText } from './price.js';
import { bidderName, keepPaddle, keepPendingBid, paddleOf, pendingBid } from './session.js';
import { text, viewerLocale } from './strings.js';

const QUICK_AMOUNTS = 3;

export class BidForm extends EventTarget {
  #guid; #form; #amount; #label; #submit; #quick; #hint; #proxyHint; #buyNow; #bidder; #message;
  #state = null; #increments = null; #kind = 'price'; #sending = false; #praised = null; #pendingOffered = false;

  /** Emits `answered` (detail: the state in the reply) whenever a bid brought one. */
  constructor(guid, root) {
    super();
    this.#guid = guid;
    this.#form = root.querySelector('#bid-form');
    this.#amount = root.querySelector('#amount');
    this.#label = root.querySelector('#amount-label');
    this.#submit = root.querySelector('#bid-submit');
    this.#proxyHint = root.querySelector('#proxy-hint');
    this.#buyNow = root.querySelector('#buy-now');
    this.#buyNow.addEventListener('click', () => this.#askToBuy());
    this.#hint = root.querySelector('#amount-hint');
    this.#bidder = root.querySelector('#bidder');
    this.#message = root.querySelector('#message');
    this.#quick = [...root.querySelectorAll('.quick button')];
    this.#amount.addEventListener('input', () => { this.#say('', ''); this.#showUnderstood(); });
    for (const button of this.#quick) button.addEventListener('click', () => this.#choose(button.value));
    this.#form.addEventListener('submit', (event) => { event.preventDefault(); this.#place(); });
    this.#showBidder();
  }

  /** The legal steps above the next bid, and whether an amount is a price or a secret maximum. */
  setTerms({ increments, bidding }) {
    this.#increments = increments;
    this.#kind = bidding === 'proxy' ? 'max' : 'price';
    this.#proxyHint.hidden = this.#kind !== 'max';
    setText(this.#label, this.#kind === 'max' ? text.yourMaximum : text.yourBid);
    if (this.#state) this.update(this.#state);
  }

  update(state) {
    this.#state = state;
    // "You lead" is true only as long as the price is the one that was bid.
    const praiseIsOver = state.rev !== this.#praised || state.status !== 'open';
    if (this.#message.dataset.kind === 'success' && praiseIsOver) this.#say('', '');
    if (state.status !== 'unknown') this.#offerPending();
    this.#form.hidden = state.status !== 'open' || state.next_bid == null || state.paused === true;
    if (this.#form.hidden) return;
    this.#buyNow.hidden = state.buy_now == null;
    if (state.buy_now != null) setText(this.#buyNow, text.buyNow(this.#shown(state.buy_now)));
    const ladder = bidLadder(state.next_bid, this.#increments, QUICK_AMOUNTS);
    this.#quick.forEach((button, rung) => {
      button.hidden = rung >= ladder.length;
      if (button.hidden) return;
      button.value = ladder[rung];
      setText(button, this.#shown(ladder[rung]));
    });
    this.#amount.placeholder = state.next_bid;
    this.#showUnderstood();
  }

  #choose(price) {
    this.#amount.value = price;
    this.#say('', '');
    this.#showUnderstood();
    this.#submit.focus();
  }

  #understood() {
    const example = this.#state.next_bid ?? this.#state.price ?? ''; // there is no next bid when it is over
    return parseAmount(this.#amount.value, fractionDigits(example), viewerLocale);
  }

  /** Says on the button what would be bid, and under the field where that stands. */
  #showUnderstood() {
    const { decimal, error } = this.#understood();
    const { next_bid: nextBid } = this.#state;
    const low = decimal !== undefined && isLower(decimal, nextBid);
    setText(this.#submit, decimal && !low ? text.bidAmount(this.#shown(decimal)) : text.placeBid);
    setText(this.#hint, text.nextBid(this.#shown(nextBid)));
    this.#hint.dataset.low = String(low);
    this.#amount.setAttribute('aria-invalid', String(low || (error !== undefined && error !== 'empty')));
    for (const button of this.#quick) button.setAttribute('aria-pressed', String(button.value === decimal));
  }

  #place() {
    if (this.#sending) return;
    const { decimal, error } = this.#understood();
    if (decimal) return this.#send(this.#newBid(decimal));
    this.#amount.focus();
    const example = this.#state.next_bid;
    if (error === 'empty') this.#say('info', text.typeAnAmount);
    else if (error === 'too_precise') this.#say('error', text.tooPrecise(fractionDigits(example)));
    else this.#say('error', `${text.notANumber} ${example}`);
  }

  #newBid(price, options = {}) { return newBid(price, { kind: this.#kind, ...options }); }

  #askToBuy() {
    const price = this.#state.buy_now;
    if (price == null || this.#sending) return;
    this.#say('info', text.buyNowQuestion(this.#shown(price)), text.buyNowConfirm(this.#shown(price)),
      () => this.#send(newBid(price, { kind: 'buy_now' })));
  }

  async #send(bid) {
    this.#setSending(true);
    this.#say('pending', text.sending);
    keepPendingBid(this.#guid, bid);
    const result = await sendBid(this.#guid, bid, () => this.#say('pending', text.outcomeUnknown(this.#shown(bid.price))));
    this.#setSending(false);
    if (result.outcome !== 'unknown') keepPendingBid(this.#guid, null);
    this.#showBidder();
    this.#sayOutcome(bid, result);
  }

  #sayOutcome(bid, { outcome, reply, problem, replayed }) {
    const price = this.#shown(bid.price);
    if (outcome === 'no_token') return this.#say('error', text.needsToken);
    if (outcome === 'unknown') {
      return this.#say('error', text.stillUnknown(price), text.sendAgain, () => this.#send(bid));
    }
    if (outcome === 'refused') return this.#sayRefusal(bid, problem);
    keepPaddle(this.#guid, reply.paddle);
    // Cleared only if it is still what was sent: the viewer may be typing the next one already.
    if (this.#understood().decimal === bid.price) this.#amount.value = '';
    this.#praised = reply.state.rev;
    this.#answered(reply.state);
    if (reply.standing === 'winning') this.#say('success', text.bought(this.#shown(reply.state.price)));
    else if (this.#state.leader !== reply.paddle) this.#say('info', text.acceptedThenOutbid(price));
    else this.#say('success', replayed ? text.acceptedBefore(price) : text.accepted(price));
  }

  #sayRefusal(bid, problem) {
    this.#answered(problem.state);
    const nextBid = problem.next_bid ?? this.#state.next_bid;
    const say = (words, action, act) => this.#say('error', words, action, act);
    switch (problem.code) {
      case 'too_low':
        if (bid.kind === 'max' && problem.state?.leader === paddleOf(this.#guid)) return this.#say('info', text.notAboveYourMaximum);
        return say(text.tooLow(this.#shown(nextBid)), text.bidInstead(this.#shown(nextBid)), () => this.#send(this.#newBid(nextBid)));
      case 'too_high':
        return say(text.tooHigh(this.#shown(bid.price)), text.confirmBid(this.#shown(bid.price)),
          () => this.#send(this.#newBid(bid.price, { confirm: true })));
      case 'not_aligned':
        return say(text.notAligned, text.bidInstead(this.#shown(nextBid)), () => this.#send(this.#newBid(nextBid)));
      case 'already_leading': return this.#say('info', text.alreadyLeading);
      case 'not_open': return say(text.notOpen);
      case 'unknown_auction': return say(text.unknownAuction);
      case 'forbidden': return say(text.forbidden);
      case 'unauthorized': return say(text.unauthorized);
      case 'invalid': return say(text.invalid);
      case 'rate_limited': return say(text.rateLimited(Math.ceil(problem.retry_after ?? 1)));
      default: return say(problem.detail || problem.title || text.refusedOtherwise);
    }
  }

  /** Once: a bid sent before this page was loaded anew may still be without an answer. */
  #offerPending() {
    if (this.#pendingOffered) return;
    this.#pendingOffered = true;
    const bid = pendingBid(this.#guid);
    if (bid) this.#say('error', text.stillUnknown(this.#shown(bid.price)), text.sendAgain, () => this.#send(bid));
  }

  #answered(state) {
    if (state) this.dispatchEvent(new CustomEvent('answered', { detail: state }));
  }

  #setSending(sending) {
    this.#sending = sending;
    this.#submit.disabled = sending;
    this.#form.dataset.sending = String(sending);
  }

  #showBidder() {
    const name = bidderName();
    setText(this.#bidder, name ? text.biddingAs(name) : '');
  }

  #say(kind, words, action, act) {
    this.#message.dataset.kind = kind;
    setText(this.#message.querySelector('.words'), words);
    const button = this.#message.querySelector('button');
    button.hidden = !action;
    button.onclick = act ?? null;
    setText(button, action ?? '');
  }

  #shown(price) { return priceText(price, this.#state.currency); }
}
