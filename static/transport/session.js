// @ts-check
// Who the viewer is: a signed token, and the paddle numbers it has been given.
//
// Rule: a token comes by /lots/<guid>#token=<jwt> and leaves the address at once, so that it is not
// bookmarked or shared; in a demo a guest's token is asked for at the first bid, not before.

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

/** The token in hand, or null. */
export function currentToken() {
  const own = read(sessionStorageOrNull(), TOKEN);
  if (own) return own;
  const guest = read(localStorageOrNull(), GUEST);
  return guest && !isExpired(guest) ? guest : null;
}

/**
 * A token to bid with: the one in hand, or in a demo a new guest's. Null where there is none.
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
 * Drops a token that the server refused. True if it was a guest's, who can simply come again.
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
 * The paddle this bidder was given in this auction, or null before the first bid.
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
export function keepPaddle(guid, paddle) { write(localStorageOrNull(), paddleKey(guid), paddle === null ? null : String(paddle)); }

/**
 * A bid whose outcome is unknown survives a reload, with its key, so that it can still be settled.
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
 * The claims a token makes; the server checks them, the page only shows them.
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

// Storage throws where cookies are blocked; a page without memory still works.
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
  } catch { /* full: forgetting is better than failing */ }
}
