// Money: decimal strings outside, BigInt minor units inside.
//
// Rule: no Number ever holds a price, and nothing is rounded. Intl.NumberFormat is given the string.

const formatters = new Map();

export function fractionDigits(decimal) { return decimal.split('.')[1]?.length ?? 0; }

export function minorUnits(decimal, digits) {
  const [whole, fraction = ''] = decimal.split('.');
  return BigInt(whole + fraction.padEnd(digits, '0'));
}

export function decimalOf(minor, digits) {
  const text = String(minor).padStart(digits + 1, '0');
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

export function isLower(decimal, other) {
  const digits = Math.max(fractionDigits(decimal), fractionDigits(other));
  return minorUnits(decimal, digits) < minorUnits(other, digits);
}

/** The next bid and the legal steps above it: `count` decimals, by the auction's increments. */
export function bidLadder(nextBid, increments, count) {
  const digits = fractionDigits(nextBid);
  const ladder = [minorUnits(nextBid, digits)];
  while (ladder.length < count && increments) {
    const last = ladder.at(-1);
    const step = stepAt(last, increments, digits);
    if (step <= 0n) break;
    ladder.push(last + step);
  }
  return ladder.map((minor) => decimalOf(minor, digits));
}

function stepAt(price, increments, digits) {
  if (increments === 'ten-percent') return price > 10n ? (price + 9n) / 10n : 1n;
  let step = 0n;
  for (const row of increments) {
    if (minorUnits(row.from, digits) <= price) step = minorUnits(row.step, digits);
  }
  return step;
}

// -- shown ---------------------------------------------------------------------------------------

/** The price in the viewer's way of writing, with every digit the string has. */
export function formatPrice(decimal, currency, locale) {
  return priceParts(decimal, currency, locale).map((part) => part.value).join('');
}

export function priceParts(decimal, currency, locale) {
  return formatterFor(currency, locale, fractionDigits(decimal)).formatToParts(decimal);
}

function formatterFor(currency, locale, digits) {
  const key = `${locale} ${currency} ${digits}`;
  if (!formatters.has(key)) formatters.set(key, createFormatter(currency, locale, digits));
  return formatters.get(key);
}

function createFormatter(currency, locale, digits) {
  const style = currency ? { style: 'currency', currency } : {};
  try {
    const usual = new Intl.NumberFormat(locale, style).resolvedOptions().minimumFractionDigits;
    const shown = Math.max(usual, digits);
    return new Intl.NumberFormat(locale, { ...style, minimumFractionDigits: shown, maximumFractionDigits: shown });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return createFormatter('', currency ? locale : undefined, digits); // no such currency, or locale
  }
}

// -- typed ---------------------------------------------------------------------------------------

/**
 * What somebody typed, as an exact decimal with `digits` decimals.
 * Returns {decimal} or {error: 'empty' | 'not_a_number' | 'too_precise'}.
 */
export function parseAmount(typed, digits, locale) {
  const { group, decimal, numerals } = separatorsOf(locale);
  let text = typed.normalize('NFKC').replace(/[\s'’]|\p{Sc}|^\p{L}+|\p{L}+$/gu, '');
  text = [...text].map((char) => (numerals.has(char) ? numerals.get(char) : char)).join('');
  if (text === '') return { error: 'empty' };
  const plain = ungrouped(text, group, decimal);
  if (plain === null) return { error: 'not_a_number' };
  const [whole, fraction = ''] = plain.split('.');
  const kept = fraction.replace(/0+$/, '').padEnd(digits, '0');
  if (kept.length > digits) return { error: 'too_precise' };
  const minor = BigInt(whole + kept);
  return minor > 0n ? { decimal: decimalOf(minor, digits) } : { error: 'not_a_number' };
}

/** Only groups that end in three digits are groups: "12,50" is never read as 1250. */
function ungrouped(text, group, decimal) {
  const [g, d] = [`\\${group}`, `\\${decimal}`];
  if (new RegExp(`^\\d{1,3}(${g}\\d{2,3})*${g}\\d{3}(${d}\\d+)?$`).test(text)) {
    return text.replaceAll(group, '').replace(decimal, '.');
  }
  if (new RegExp(`^\\d+(${d}\\d+)?$`).test(text)) return text.replace(decimal, '.');
  return /^\d+\.\d+$/.test(text) ? text : null;
}

function separatorsOf(locale) {
  const parts = new Intl.NumberFormat(locale).formatToParts(1234567.5);
  const symbol = (type, usual) => parts.find((part) => part.type === type)?.value.normalize('NFKC').trim() || usual;
  const digits = new Intl.NumberFormat(locale, { useGrouping: false }).format(9876543210);
  const numerals = new Map([...digits].reverse().map((char, value) => [char, String(value)]));
  // Groups by spaces or apostrophes are gone already; what is left to tell apart is "," and ".".
  const decimal = symbol('decimal', '.');
  const group = symbol('group', ',');
  return { decimal, numerals, group: /^[.,]$/.test(group) ? group : (decimal === ',' ? '.' : ',') };
}
