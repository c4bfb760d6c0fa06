import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import * as session from '../../static/transport/session.js';
import { answerRequests, json, openTab, tokenOf } from './browser.js';

const NAME = 'Ann Ödegård 安 >>> ???'; // its base64url has both characters that base64 has not
const ANN = tokenOf({ sub: 'ann', name: NAME });
const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;
const guest = (name, life = 60) => tokenOf({ sub: name, name, exp: inSeconds(life) });

beforeEach(() => openTab());

test('a token moves from the address into the tab, and the rest of the address stays', () => {
  openTab(`https://auction.example/lots/42?from=mail#token=${ANN}&at=bids`);
  session.takeTokenFromAddress();
  assert.equal(globalThis.location.href, 'https://auction.example/lots/42?from=mail#at=bids');
  assert.equal(session.currentToken(), ANN);
  assert.match(ANN, /-.*_/);
  assert.equal(session.bidderName(), NAME);
});

test('an address without a token changes nothing', () => {
  openTab('https://auction.example/lots/42#bids');
  session.takeTokenFromAddress();
  assert.equal(globalThis.location.href, 'https://auction.example/lots/42#bids');
  assert.equal(session.currentToken(), null);
  assert.equal(session.bidderName(), '');
});

test('what is no token names nobody', () => {
  for (const rubbish of ['x', 'a.b.c', `a.${Buffer.from('no JSON').toString('base64url')}.c`]) {
    openTab(`https://auction.example/lots/42#token=${rubbish}`);
    session.takeTokenFromAddress();
    assert.equal(session.bidderName(), '');
  }
});

test('a guest’s token is requested once, and again when it has expired', async () => {
  const [short, next] = [guest('guest-1', -1), guest('guest-2')];
  const requests = answerRequests(json({ token: short }), json({ token: next }));
  assert.equal(await session.tokenForBidding(), short);
  assert.equal(session.currentToken(), null);
  assert.equal(await session.tokenForBidding(), next);
  assert.equal(await session.tokenForBidding(), next);
  assert.deepEqual(requests.map(({ method, path }) => `${method} ${path}`), ['POST /guest', 'POST /guest']);
});

test('outside a demo there is no guest', async () => {
  answerRequests(json({ code: 'not_found' }, { status: 404 }));
  assert.equal(await session.tokenForBidding(), null);
});

test('a personal token goes before a guest’s', async () => {
  answerRequests(json({ token: guest('guest-1') }));
  await session.tokenForBidding();
  openTabWithAnn();
  assert.equal(session.currentToken(), ANN);
});

test('a dropped token is gone, and only a guest can come again', async () => {
  openTabWithAnn();
  assert.equal(session.dropToken(ANN), false);
  assert.equal(session.currentToken(), null);
  const token = guest('guest-1');
  answerRequests(json({ token }));
  await session.tokenForBidding();
  assert.equal(session.dropToken(ANN), false);
  assert.equal(session.currentToken(), token);
  assert.equal(session.dropToken(token), true);
  assert.equal(session.currentToken(), null);
});

test('a paddle is that of one bidder in one auction', () => {
  openTabWithAnn();
  session.keepPaddle('42', 7);
  assert.equal(session.paddleOf('42'), 7);
  assert.equal(session.paddleOf('43'), null);
  session.dropToken(ANN);
  assert.equal(session.paddleOf('42'), null);
  openTabWithAnn({ anew: false });
  assert.equal(session.paddleOf('42'), 7);
  session.keepPaddle('42', null);
  assert.equal(session.paddleOf('42'), null);
});

test('a pending bid is read back as it was kept, for its auction alone', () => {
  const bid = { price: '12.00', kind: 'max', confirm: true, key: 'k' };
  session.keepPendingBid('42', bid);
  assert.deepEqual(session.pendingBid('42'), bid);
  assert.equal(session.pendingBid('43'), null);
  session.keepPendingBid('42', null);
  assert.equal(session.pendingBid('42'), null);
});

test('the page works without storage, and with a full one', async () => {
  globalThis.window.localStorage.isFull = globalThis.window.sessionStorage.isFull = true;
  session.keepPaddle('42', 7);
  assert.equal(session.paddleOf('42'), null);
  globalThis.window = { get localStorage() { throw new Error('SecurityError'); }, get sessionStorage() { throw new Error('SecurityError'); } };
  const token = guest('guest-1');
  answerRequests(json({ token }));
  session.keepPaddle('42', 7);
  assert.equal(session.paddleOf('42'), null);
  assert.equal(session.pendingBid('42'), null);
  assert.equal(await session.tokenForBidding(), token);
});

function openTabWithAnn({ anew = true } = {}) {
  const { window: before } = globalThis;
  openTab(`https://auction.example/lots/42#token=${ANN}`);
  if (!anew) globalThis.window = before;
  session.takeTokenFromAddress();
}
