// Where the service is: wherever this file came from.
//
// Rule: every address is made here, so that the pages work under any path, and the embed on any site.

const ROOT = new URL('../', import.meta.url);

/** query: pairs as URLSearchParams takes them. */
export function serviceUrl(path, query = {}) {
  const url = new URL(path, ROOT);
  url.search = new URLSearchParams(query);
  return url;
}

/** /auctions/<guid>, or what of it: 'stream', 'price', 'bids'. */
export function auctionUrl(guid, what = '', query = {}) {
  return serviceUrl(`auctions/${encodeURIComponent(guid)}${what && `/${what}`}`, query);
}
