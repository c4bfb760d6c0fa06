// @ts-check
// The addresses of the service: this file's own origin and path say where it is.
//
// Rule: every address is made here, so that the pages work under any path, and the embed on any site.

const ROOT = new URL('../../', import.meta.url);

/**
 * The URL of a path below the service's root.
 * @param {string} path
 * @param {Record<string, string | number> | string[][]} query
 */
export function serviceUrl(path, query = {}) {
  const url = new URL(path, ROOT);
  url.search = String(new URLSearchParams(/** @type {Record<string, string> | string[][]} */ (query)));
  return url;
}

/**
 * The URL of /auctions/<guid>, or of a part of it.
 * @param {string} guid
 * @param {'' | 'stream' | 'price' | 'bids'} what
 * @param {Record<string, string | number>} query
 */
export function auctionUrl(guid, what = '', query = {}) {
  return serviceUrl(`auctions/${encodeURIComponent(guid)}${what && `/${what}`}`, query);
}
