// @ts-check
// Money: decimal strings outside, BigInt minor units inside; shown and read in the viewer's own format.
//
// Rule: no Number holds a price, and nothing is rounded. Intl.NumberFormat formats the string itself.
// The page reads amounts in the format in which it writes them for this viewer. If an amount is not in
// that format, or has a second meaning in another one, the page asks and does not guess.

/**
 * How many decimals a decimal string has.
 * @param {string} decimal
 */
export function fractionDigits(decimal) { return decimal.split('.')[1]?.length ?? 0; }

/**
 * True if a decimal is lower than another, compared exactly.
 * @param {string} decimal
 * @param {string} other
 */
export function isLower(decimal, other) {
  const digits = Math.max(fractionDigits(decimal), fractionDigits(other));
  return minorUnits(decimal, digits) < minorUnits(other, digits);
}

/**
 * @param {string} decimal
 * @param {number} digits
 */
function minorUnits(decimal, digits) {
  const [whole, fraction = ''] = decimal.split('.');
  return BigInt(whole + fraction.padEnd(digits, '0'));
}

/**
 * @param {bigint} minor
 * @param {number} digits
 */
function decimalOf(minor, digits) {
  const text = String(minor).padStart(digits + 1, '0');
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

// -- formatting ---------------------------------------------------------------------------------------

/** @typedef {string | null | undefined} Currency */

/** @type {Map<string, Intl.NumberFormat>} */
const formatters = new Map();

/**
 * The price in the viewer's format, with every digit of the string.
 * @param {string} decimal
 * @param {Currency} currency
 * @param {string} locale
 */
export function formatPrice(decimal, currency, locale) {
  return priceParts(decimal, currency, locale).map((part) => part.value).join('');
}

/**
 * The price in the viewer's format, in parts.
 * @param {string} decimal
 * @param {Currency} currency
 * @param {string} locale
 */
export function priceParts(decimal, currency, locale) {
  return formatterFor(currency, locale, { digits: fractionDigits(decimal) }).formatToParts(exact(decimal));
}

/**
 * Intl reads a decimal string exactly; its type accepts only string literals.
 * @param {string} decimal
 */
function exact(decimal) { return /** @type {`${number}`} */ (decimal); }

/**
 * The amount in the viewer's format without the currency, as a viewer types it.
 * @param {string} decimal
 * @param {Currency} currency
 * @param {string} locale
 */
export function formatAmount(decimal, currency, locale) {
  const kept = new Set(['integer', 'group', 'decimal', 'fraction']);
  return priceParts(decimal, currency, locale).filter((part) => kept.has(part.type)).map((part) => part.value).join('');
}

/**
 * @param {Currency} currency
 * @param {string} locale
 * @param {{digits: number} & Intl.NumberFormatOptions} options
 * @returns {Intl.NumberFormat}
 */
function formatterFor(currency, locale, { digits, ...options }) {
  const key = JSON.stringify([currency, locale, digits, options]);
  const known = formatters.get(key);
  if (known) return known;
  const made = createFormatter(currency, locale, { minimumFractionDigits: digits, maximumFractionDigits: digits, ...options });
  formatters.set(key, made);
  return made;
}

/**
 * @param {Currency} currency
 * @param {string | undefined} locale
 * @param {Intl.NumberFormatOptions} options
 * @returns {Intl.NumberFormat}
 */
function createFormatter(currency, locale, options) {
  try {
    return new Intl.NumberFormat(locale, currency ? { ...options, style: 'currency', currency } : options);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return createFormatter('', currency ? locale : undefined, options); // no such currency, or locale
  }
}

// -- parsing ---------------------------------------------------------------------------------------

// People use these as group separators in every locale, and never as a decimal mark.
const NEUTRAL_GROUPS = [' ', "'"];
const MARKS = ['.', ','];
// Names that people write and Intl does not.
/** @type {Record<string, string[]>} */
const EVERYDAY_NAMES = { CNY: ['元', 'rmb'] };

/**
 * A text read as an amount, or the reason why it is none. 'unclear': it is not in the viewer's own format, or it has
 * several readings.
 * @typedef {{decimal: string, error?: undefined, readings?: undefined}
 *   | {decimal?: undefined, error: 'unclear', readings: string[]}
 *   | {decimal?: undefined, error: 'empty' | 'not_a_number' | 'too_precise', readings?: undefined}} ParsedAmount
 */

/**
 * Reads a typed amount in `currency` as an exact decimal with `digits` decimals.
 * @param {string} typed
 * @param {number} digits
 * @param {Currency} currency
 * @param {string} locale
 * @returns {ParsedAmount}
 */
export function parseAmount(typed, digits, currency, locale) {
  if (typed.replace(/[\s\p{Cf}]/gu, '') === '') return { error: 'empty' };
  const number = withoutCurrency(typed, currency, locale);
  if (number === null) return { error: 'not_a_number' };
  const own = marksOf(currency, locale, number.isLatin);
  /** @type {Reading[]} */
  const mine = [];
  /** @type {Reading[]} */
  const others = [];
  for (const decimal of new Set([own.decimal, ...MARKS])) {
    for (const group of new Set([own.group, ...NEUTRAL_GROUPS, ...MARKS])) {
      if (group === decimal) continue;
      const isOwn = decimal === own.decimal && (group === own.group || NEUTRAL_GROUPS.includes(group));
      const reading = read(number.text, group, decimal);
      if (reading) (isOwn ? mine : others).push(reading);
    }
  }
  const amounts = (/** @type {Reading[]} */ readings) => unique(readings.filter(({ fraction }) => fraction.length <= digits)
    .map(({ whole, fraction }) => BigInt(whole + fraction.padEnd(digits, '0'))).filter((minor) => minor > 0n)
    .map((minor) => decimalOf(minor, digits)));
  const [meant] = amounts(mine);
  const readings = unique([...amounts(mine), ...amounts(others)]);
  // With all its decimals the amount is written exactly as the page writes it, so its meaning is clear.
  if (meant && (readings.length === 1 || mine[0].fraction.length === digits)) return { decimal: meant };
  if (readings.length) return { error: 'unclear', readings };
  const isTooPrecise = [...mine, ...others].some(({ fraction }) => fraction.length > digits);
  return { error: isTooPrecise ? 'too_precise' : 'not_a_number' };
}

/** @typedef {{whole: string, fraction: string}} Reading */

/**
 * Reads a text in one format; null if it is not in that format. A group has all its digits: "12,50" is never 1250.
 * @param {string} text
 * @param {string} group
 * @param {string} decimal
 * @returns {Reading | null}
 */
function read(text, group, decimal) {
  const [whole, fraction = '', ...rest] = text.split(decimal);
  const groups = whole.split(group);
  if (rest.length || (text.includes(decimal) && !/^\d+$/.test(fraction)) || !groups.every((each) => /^\d+$/.test(each))) return null;
  return isGrouped(groups) ? { whole: groups.join(''), fraction } : null;
}

/**
 * True for groups as in 1,234,567 and, in India, 12,34,567. The first group does not begin with a zero.
 * @param {string[]} groups
 */
function isGrouped(groups) {
  if (groups.length === 1) return true;
  const [first, ...rest] = groups;
  const last = /** @type {string} */ (rest.pop());
  const size = rest.length ? rest[0].length : 3;
  return last.length === 3 && (size === 2 || size === 3) && rest.every((each) => each.length === size)
    && first.length <= size && !first.startsWith('0');
}

/**
 * The number in a text, with the digits 0-9 and ASCII marks; null if the text has anything but a number and its currency.
 * @param {string} typed
 * @param {Currency} currency
 * @param {string} locale
 */
function withoutCurrency(typed, currency, locale) {
  const match = /^(\P{Nd}*)(\p{Nd}(?:.*\p{Nd})?)(\P{Nd}*)$/su.exec(typed.replace(/\p{Cf}/gu, ''));
  if (!match) return null;
  const beside = [plainName(match[1]), plainName(match[3])].filter(Boolean);
  if (beside.length > 1 || !beside.every((name) => namesOf(currency, locale).has(name))) return null;
  const digits = match[2].match(/\p{Nd}/gu) ?? [];
  const isLatin = digits.every(isLatinDigit);
  if (!isLatin && digits.some(isLatinDigit)) return null;
  return { text: plain(match[2]), isLatin };
}

/** @param {string} char */
function isLatinDigit(char) { return /[0-9０-９]/.test(char); }

/** @param {string} text */
function plain(text) {
  return text.replace(/\p{Nd}/gu, digitOf).replace(/\s/gu, ' ').replace(/[’＇`´]/g, "'").replace(/．/g, '.').replace(/[，،]/g, ',');
}

/**
 * The value of a digit of any script. In Unicode the digits of a script stand in a row that begins with its zero.
 * @param {string} char
 */
function digitOf(char) {
  const code = /** @type {number} */ (char.codePointAt(0));
  let zero = code;
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero -= 1;
  return String((code - zero) % 10);
}

/**
 * The decimal mark and the group separator in the viewer's prices, for the digits of the locale or for 0-9.
 * @param {Currency} currency
 * @param {string} locale
 * @param {boolean} isLatin
 */
function marksOf(currency, locale, isLatin) {
  const parts = formatterFor(currency, locale, { digits: 1, ...(isLatin && { numberingSystem: 'latn' }) }).formatToParts('1234567.5');
  const mark = (/** @type {string} */ type, /** @type {string} */ usual) => plain(parts.find((part) => part.type === type)?.value ?? usual).replace(/\p{Cf}/gu, '');
  const decimal = mark('decimal', '.');
  return { decimal, group: mark('group', decimal === ',' ? '.' : ',') };
}

/** @type {('symbol' | 'narrowSymbol' | 'code' | 'name')[]} */
const CURRENCY_DISPLAYS = ['symbol', 'narrowSymbol', 'code', 'name'];

/** @type {Map<string, Set<string>>} */
const names = new Map();

/**
 * The names of a currency: signs, code and words.
 * @param {Currency} currency
 * @param {string} locale
 * @returns {Set<string>}
 */
function namesOf(currency, locale) {
  const key = `${locale} ${currency}`;
  const known = names.get(key);
  if (known) return known;
  const written = [locale, 'en'].flatMap((each) => CURRENCY_DISPLAYS.flatMap((currencyDisplay) => {
    const formatter = formatterFor(currency, each, { digits: 0, currencyDisplay });
    return ['1', '2', '5', '100'].flatMap((amount) => formatter.formatToParts(exact(amount))).filter(({ type }) => type === 'currency');
  }));
  const found = new Set([...written.map(({ value }) => value), ...(EVERYDAY_NAMES[currency ?? ''] ?? [])].map(plainName));
  names.set(key, found);
  return found;
}

/** @param {string} text */
function plainName(text) { return text.normalize('NFKC').replace(/[\s\p{Cf}]/gu, '').toLowerCase(); }

/**
 * @template T
 * @param {T[]} values
 */
function unique(values) { return [...new Set(values)]; }
