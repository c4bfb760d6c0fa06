import './environment.js';

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { bidsText, priceLabel, priceText } from '../../static/page/price.js';
import { text, viewerLocale, wordsLanguage } from '../../static/page/strings.js';
import { auctionUrl, serviceUrl } from '../../static/transport/service.js';

const OPEN = { guid: 'a', status: 'open', price: '10.00', rev: 4, tag: 'e1-4', next_bid: '11.00' };

test('the first of the viewer’s languages that the pages know gives the words, the very first the numbers', () => {
  assert.equal(wordsLanguage, 'en');
  assert.equal(viewerLocale, 'en-GB');
  assert.equal(text.placeBid, 'Place bid');
});

for (const [languages, language, words] of [
  [['zh-TW', 'en'], 'zh-Hans', '出价'], [['fr', 'ZH-cn', 'en'], 'zh-Hans', '出价'], [['fr', 'de'], 'en', 'Place bid'],
]) {
  test(`a viewer of ${languages} reads ${language}`, async () => {
    Object.defineProperty(globalThis, 'navigator', { value: { languages }, configurable: true });
    const loadedAnew = await import(`../../static/page/strings.js?${languages}`);
    assert.equal(loadedAnew.wordsLanguage, language);
    assert.equal(loadedAnew.text.placeBid, words);
    assert.equal(loadedAnew.viewerLocale, languages[0]);
  });
}

test('one is written in the singular', () => {
  assert.equal(bidsText(1), '1 bid');
  assert.equal(bidsText(1_234), '1,234 bids');
  assert.equal(text.extended(1), 'extended once');
  assert.equal(text.extended(3), 'extended 3 times');
});

test('the label says what the number is', () => {
  assert.equal(priceLabel(OPEN), 'Current bid');
  assert.equal(priceLabel({ ...OPEN, price: null }), 'Bidding starts at');
  assert.equal(priceLabel({ ...OPEN, price: null, next_bid: null }), 'No bids yet');
  assert.equal(priceLabel({ ...OPEN, rev: 0 }), 'Maximum price');
  assert.equal(priceLabel({ ...OPEN, status: 'closed' }), 'Hammer price');
  assert.equal(priceLabel({ ...OPEN, status: 'closed', reserve_met: false }), 'Last bid');
  assert.equal(priceLabel({ ...OPEN, status: 'cancelled' }), 'Last bid');
  assert.equal(priceLabel({ ...OPEN, status: 'unknown' }), '');
  assert.equal(priceText('10.00', 'GBP'), '£10.00');
});

test('a guid is one segment of the path, whatever is in it', () => {
  assert.ok(auctionUrl('a/b ?#', 'stream', { last_event_id: 'e-1' }).href.endsWith('/auctions/a%2Fb%20%3F%23/stream?last_event_id=e-1'));
  assert.ok(auctionUrl('42').href.endsWith('/auctions/42'));
  assert.ok(serviceUrl('auctions/stream', [['guid', 'a'], ['guid', 'b']]).href.endsWith('/auctions/stream?guid=a&guid=b'));
});

for (const page of ['index.html', 'lot.html']) {
  test(`every key that ${page} names has words in each language`, async () => {
    const html = await readFile(new URL(`../../static/${page}`, import.meta.url), 'utf8');
    const keys = [...html.matchAll(/data-(?:text|label)="(\w+)"/g)].map((match) => match[1]);
    assert.ok(keys.length > 5);
    Object.defineProperty(globalThis, 'navigator', { value: { languages: ['zh'] }, configurable: true });
    const { text: chinese } = await import('../../static/page/strings.js?zh');
    for (const key of keys) for (const words of [text, chinese]) assert.equal(typeof words[key], 'string', key);
  });
}

test('both languages have the same words, and none is empty in one of them alone', async () => {
  Object.defineProperty(globalThis, 'navigator', { value: { languages: ['zh'] }, configurable: true });
  const { text: chinese } = await import('../../static/page/strings.js?zh');
  const shape = (words) => Object.entries(words).map(([key, value]) => (
    typeof value === 'object' ? [key, shape(value)] : [key, value === '' ? 'empty' : typeof value]));
  assert.deepEqual(shape(chinese), shape(text));
});
