// @ts-check
// The viewer's identity: a signed token, and the paddle numbers that it has.
//
// Rule: a token arrives in /lots/<guid>#token=<jwt>. It is removed from the address at once, so that
// nobody bookmarks or shares it. In a demo a guest's token is requested at the first bid, not before.

/** @import { Bid } from './bidding.js' */

import { serviceUrl } from './service.js';

const TOKEN = 'sse-auction:token';
const GUEST = 'sse-auction:guest';
const PENDING = 'sse-auction:pending:';
const PADDLE = 'sse-auction:paddle:';

/** Moves a token from the address into this tab's storage. */
export function takeTokenFromAddress() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (!fragment.has('token')) return;
  write(sessionStorageOrNull(), TOKEN, fragment.get('token'));
  fragment.delete('token');
  const rest = fragment.toString();
  history.replaceState(history.state, '', location.pathname + location.search + (rest && `#${rest}`));
}

/** The stored token, or null. */
export function currentToken() {
  const own = read(sessionStorageOrNull(), TOKEN);
  if (own) return own;
  const guest = read(localStorageOrNull(), GUEST);
  return guest && !isExpired(guest) ? guest : null;
}

/**
 * A token to bid with: the stored one, or in a demo a new guest's. Null where there is none.
 * @returns {Promise<string | null>}
 */
export async function tokenForBidding() {
  const token = currentToken();
  if (token) return token;
  const response = await fetch(serviceUrl('guest'), { method: 'POST' });
  if (!response.ok) return null;
  const guest = await response.json();
  write(localStorageOrNull(), GUEST, guest.token);
  return guest.token;
}

/**
 * Removes a token that the server refused. True if it was a guest's: a guest can get a new one.
 * @param {string} token
 */
export function dropToken(token) {
  const wasGuest = read(localStorageOrNull(), GUEST) === token;
  if (wasGuest) write(localStorageOrNull(), GUEST, null);
  if (read(sessionStorageOrNull(), TOKEN) === token) write(sessionStorageOrNull(), TOKEN, null);
  return wasGuest;
}

export function bidderName() { return claimsOf(currentToken()).name ?? ''; }

/**
 * The paddle of this bidder in this auction, or null before the first bid.
 * @param {string} guid
 */
export function paddleOf(guid) {
  const paddle = read(localStorageOrNull(), paddleKey(guid));
  return paddle === null ? null : Number(paddle);
}

/**
 * @param {string} guid
 * @param {number | null} paddle
 */
export function keepPaddle(guid, paddle) {
  write(localStorageOrNull(), paddleKey(guid), paddle === null ? null : String(paddle));
}

/**
 * The bid with an unknown outcome, if there is one. It survives a reload with its key, so that it can be sent again.
 * @param {string} guid
 * @returns {Bid | null}
 */
export function pendingBid(guid) { return JSON.parse(read(sessionStorageOrNull(), PENDING + guid) ?? 'null'); }

/**
 * @param {string} guid
 * @param {Bid | null} bid
 */
export function keepPendingBid(guid, bid) { write(sessionStorageOrNull(), PENDING + guid, bid && JSON.stringify(bid)); }

/** @param {string} guid */
function paddleKey(guid) { return `${PADDLE}${guid}:${claimsOf(currentToken()).sub ?? ''}`; }

/** @param {string} token */
function isExpired(token) {
  const { exp } = claimsOf(token);
  return typeof exp === 'number' && exp * 1000 < Date.now();
}

/**
 * The claims in a token. The server checks them; the page only shows them.
 * @param {string | null} token
 * @returns {{sub?: string, name?: string, exp?: number}} empty without a token, or for one that cannot be read
 */
function claimsOf(token) {
  if (token === null) return {};
  try {
    const payload = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}

// Access to storage throws where cookies are blocked; the page works without storage too.
function sessionStorageOrNull() { try { return window.sessionStorage; } catch { return null; } }
function localStorageOrNull() { try { return window.localStorage; } catch { return null; } }

/**
 * @param {Storage | null} storage
 * @param {string} key
 */
function read(storage, key) { return storage?.getItem(key) ?? null; }

/**
 * @param {Storage | null} storage
 * @param {string} key
 * @param {string | null} value null removes it
 */
function write(storage, key, value) {
  try {
    if (value === null) storage?.removeItem(key);
    else storage?.setItem(key, value);
  } catch { /* the storage is full: the page goes on without the entry */ }
}
