// Money: decimal strings outside, BigInt minor units inside; shown and read in the viewer's own format.
//
// Rule: no Number ever holds a price, and nothing is rounded. Intl.NumberFormat is given the string, and
// what it writes for a viewer is what that viewer is understood to write. What is not in that format,
// or could as well be in another, is not guessed: it is asked about.

export function fractionDigits(decimal) { return decimal.split('.')[1]?.length ?? 0; }

export function isLower(decimal, other) {
  const digits = Math.max(fractionDigits(decimal), fractionDigits(other));
  return minorUnits(decimal, digits) < minorUnits(other, digits);
}

function minorUnits(decimal, digits) {
  const [whole, fraction = ''] = decimal.split('.');
  return BigInt(whole + fraction.padEnd(digits, '0'));
}

function decimalOf(minor, digits) {
  const text = String(minor).padStart(digits + 1, '0');
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

// -- shown ---------------------------------------------------------------------------------------

const formatters = new Map();

/** The price in the viewer's way of writing, with every digit the string has. */
export function formatPrice(decimal, currency, locale) {
  return priceParts(decimal, currency, locale).map((part) => part.value).join('');
}

export function priceParts(decimal, currency, locale) {
  return formatterFor(currency, locale, { digits: fractionDigits(decimal) }).formatToParts(decimal);
}

/** The same without the currency, as it is typed. */
export function formatAmount(decimal, currency, locale) {
  const kept = new Set(['integer', 'group', 'decimal', 'fraction']);
  return priceParts(decimal, currency, locale).filter((part) => kept.has(part.type)).map((part) => part.value).join('');
}

function formatterFor(currency, locale, { digits, ...options }) {
  const key = JSON.stringify([currency, locale, digits, options]);
  if (!formatters.has(key)) {
    const shown = { minimumFractionDigits: digits, maximumFractionDigits: digits, ...options };
    formatters.set(key, createFormatter(currency, locale, shown));
  }
  return formatters.get(key);
}

function createFormatter(currency, locale, options) {
  try {
    return new Intl.NumberFormat(locale, currency ? { ...options, style: 'currency', currency } : options);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return createFormatter('', currency ? locale : undefined, options); // no such currency, or locale
  }
}

// -- typed ---------------------------------------------------------------------------------------

// People group digits by these whatever their locale says; nobody means a decimal mark by them.
const NEUTRAL_GROUPS = [' ', "'"];
const MARKS = ['.', ','];
// What people write that Intl does not.
const EVERYDAY_NAMES = { CNY: ['元', 'rmb'] };

/**
 * What somebody typed, as an exact decimal with `digits` decimals, of an amount in `currency`.
 * Returns {decimal}, {error: 'empty' | 'not_a_number' | 'too_precise'}, or where it is not in the
 * viewer's own format or can be read in two ways {error: 'unclear', readings: [decimal, …]}.
 */
export function parseAmount(typed, digits, currency, locale) {
  if (typed.replace(/[\s\p{Cf}]/gu, '') === '') return { error: 'empty' };
  const number = withoutCurrency(typed, currency, locale);
  if (number === null) return { error: 'not_a_number' };
  const own = marksOf(currency, locale, number.isLatin);
  const [mine, others] = [[], []];
  for (const decimal of new Set([own.decimal, ...MARKS])) {
    for (const group of new Set([own.group, ...NEUTRAL_GROUPS, ...MARKS])) {
      if (group === decimal) continue;
      const isOwn = decimal === own.decimal && (group === own.group || NEUTRAL_GROUPS.includes(group));
      const reading = read(number.text, group, decimal);
      if (reading) (isOwn ? mine : others).push(reading);
    }
  }
  const amounts = (readings) => unique(readings.filter(({ fraction }) => fraction.length <= digits)
    .map(({ whole, fraction }) => BigInt(whole + fraction.padEnd(digits, '0'))).filter((minor) => minor > 0n)
    .map((minor) => decimalOf(minor, digits)));
  const [meant] = amounts(mine);
  const readings = unique([...amounts(mine), ...amounts(others)]);
  // With all its decimals it is written as the page writes it, and that is never in doubt.
  if (meant && (readings.length === 1 || mine[0].fraction.length === digits)) return { decimal: meant };
  if (readings.length) return { error: 'unclear', readings };
  const isTooPrecise = [...mine, ...others].some(({ fraction }) => fraction.length > digits);
  return { error: isTooPrecise ? 'too_precise' : 'not_a_number' };
}

/** {whole, fraction} of a text in one format, or null. Only whole groups are groups: "12,50" is never 1250. */
function read(text, group, decimal) {
  const [whole, fraction = '', ...rest] = text.split(decimal);
  const groups = whole.split(group);
  if (rest.length || (text.includes(decimal) && !/^\d+$/.test(fraction)) || !groups.every((each) => /^\d+$/.test(each))) return null;
  return isGrouped(groups) ? { whole: groups.join(''), fraction } : null;
}

/** 1,234,567 and, as in India, 12,34,567; a first group never begins with a zero. */
function isGrouped(groups) {
  if (groups.length === 1) return true;
  const [first, ...rest] = groups;
  const last = rest.pop();
  const size = rest.length ? rest[0].length : 3;
  return last.length === 3 && (size === 2 || size === 3) && rest.every((each) => each.length === size)
    && first.length <= size && !first.startsWith('0');
}

/** The number in a text, its digits 0-9 and its marks plain; null if anything but its currency stands beside it. */
function withoutCurrency(typed, currency, locale) {
  const match = /^(\P{Nd}*)(\p{Nd}(?:.*\p{Nd})?)(\P{Nd}*)$/su.exec(typed.replace(/\p{Cf}/gu, ''));
  if (!match) return null;
  const beside = [plainName(match[1]), plainName(match[3])].filter(Boolean);
  if (beside.length > 1 || !beside.every((name) => namesOf(currency, locale).has(name))) return null;
  const digits = match[2].match(/\p{Nd}/gu);
  const isLatin = digits.every(isLatinDigit);
  if (!isLatin && digits.some(isLatinDigit)) return null;
  return { text: plain(match[2]), isLatin };
}

function isLatinDigit(char) { return /[0-9０-９]/.test(char); }

function plain(text) {
  return text.replace(/\p{Nd}/gu, digitOf).replace(/\s/gu, ' ').replace(/[’＇`´]/g, "'").replace(/．/g, '.').replace(/[，،]/g, ',');
}

/** Unicode has the digits of every script in a row, from its zero on. */
function digitOf(char) {
  const code = char.codePointAt(0);
  let zero = code;
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero -= 1;
  return String((code - zero) % 10);
}

/** The marks with which the viewer's prices are written, in digits of his own or in 0-9. */
function marksOf(currency, locale, isLatin) {
  const parts = formatterFor(currency, locale, { digits: 1, ...(isLatin && { numberingSystem: 'latn' }) }).formatToParts('1234567.5');
  const mark = (type, usual) => plain(parts.find((part) => part.type === type)?.value ?? usual).replace(/\p{Cf}/gu, '');
  const decimal = mark('decimal', '.');
  return { decimal, group: mark('group', decimal === ',' ? '.' : ',') };
}

const names = new Map();

/** How the currency is called: its signs, its code, its names. */
function namesOf(currency, locale) {
  const key = `${locale} ${currency}`;
  if (!names.has(key)) {
    const written = [locale, 'en'].flatMap((each) => ['symbol', 'narrowSymbol', 'code', 'name'].flatMap((currencyDisplay) => {
      const formatter = formatterFor(currency, each, { digits: 0, currencyDisplay });
      return ['1', '2', '5', '100'].flatMap((amount) => formatter.formatToParts(amount)).filter(({ type }) => type === 'currency');
    }));
    names.set(key, new Set([...written.map(({ value }) => value), ...(EVERYDAY_NAMES[currency] ?? [])].map(plainName)));
  }
  return names.get(key);
}

function plainName(text) { return text.normalize('NFKC').replace(/[\s\p{Cf}]/gu, '').toLowerCase(); }

function unique(values) { return [...new Set(values)]; }
