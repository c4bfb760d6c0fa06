// @ts-check
// Whether anybody can be looking at this page.
//
// Rule: a page in the back/forward cache, frozen, or hidden for a while holds no connection; it
// comes back the moment it is shown. Phones drop sockets of such pages silently, and an open
// connection keeps a page out of the back/forward cache.

const HIDDEN_FOR_A_WHILE_MS = 30_000;

/**
 * Calls wake(), sleep(), online(), offline(); returns the function that stops it.
 * @param {Record<'wake' | 'sleep' | 'online' | 'offline', () => void>} on
 */
export function followPresence({ wake, sleep, online, offline }) {
  const listening = new AbortController();
  let hiddenSince = 0;
  /** @type {(target: EventTarget, type: string, react: () => void) => void} */
  const follow = (target, type, react) => target.addEventListener(type, react, { signal: listening.signal });
  const look = () => {
    clearTimeout(hiddenSince);
    if (document.visibilityState === 'hidden') hiddenSince = setTimeout(sleep, HIDDEN_FOR_A_WHILE_MS);
    else wake();
  };
  follow(document, 'visibilitychange', look);
  follow(document, 'freeze', sleep);
  follow(document, 'resume', look);
  follow(window, 'pagehide', sleep);
  follow(window, 'pageshow', look);
  follow(window, 'online', online);
  follow(window, 'offline', offline);
  if (document.visibilityState === 'hidden') look();
  return () => {
    clearTimeout(hiddenSince);
    listening.abort();
  };
}
