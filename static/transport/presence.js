// @ts-check
// Whether the page can be visible to somebody.
//
// Rule: a page that is in the back/forward cache, frozen, or hidden for some time holds no
// connection, and connects again the moment it is shown. Phones close the sockets of such pages
// silently, and an open connection keeps a page out of the back/forward cache.

const SLEEP_AFTER_HIDDEN_MS = 30_000;

/**
 * Calls wake() and sleep() as the page is shown and hidden, online() and offline() as the network changes. Returns the
 * function that ends it.
 * @param {Record<'wake' | 'sleep' | 'online' | 'offline', () => void>} on
 */
export function followPresence({ wake, sleep, online, offline }) {
  const listening = new AbortController();
  let sleepTimer = 0;
  /** @type {(target: EventTarget, type: string, react: () => void) => void} */
  const follow = (target, type, react) => target.addEventListener(type, react, { signal: listening.signal });
  const update = () => {
    clearTimeout(sleepTimer);
    if (document.visibilityState === 'hidden') sleepTimer = setTimeout(sleep, SLEEP_AFTER_HIDDEN_MS);
    else wake();
  };
  follow(document, 'visibilitychange', update);
  follow(document, 'freeze', sleep);
  follow(document, 'resume', update);
  follow(window, 'pagehide', sleep);
  follow(window, 'pageshow', update);
  follow(window, 'online', online);
  follow(window, 'offline', offline);
  if (document.visibilityState === 'hidden') update();
  return () => {
    clearTimeout(sleepTimer);
    listening.abort();
  };
}
