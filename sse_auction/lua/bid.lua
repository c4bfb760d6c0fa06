-- Decides one manual bid: applies it and logs it, or changes nothing.
-- KEYS  1 price  2 auction (hash)  3 private (hash)  4 bids (stream)  5 paddles (hash)  6 stored answer
-- ARGV  1 bidder id  2 amount (decimal)  3 amount (minor units)  4 currency  5 its exponent  6 '1' if confirmed
--       7 life of the stored answer in ms ('' = no idempotency key)  8 hash of the request  9 decide before (ms)
-- Reply {verdict, replayed '1'|'0', now, price, seq, paddle, field, value, ...}; strings all. Verdicts: accepted,
--       unknown, currency, not_open, own_auction, damaged, too_low, too_high, already_leading; late, key_reused
local price_key, auction_key, private_key, bids_key, paddles_key, answer_key = unpack(KEYS)
local bidder, amount_text, amount, currency = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local exponent, confirmed, answer_life, request = tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7], ARGV[8]

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if now > tonumber(ARGV[9]) then return {'late'} end -- its sender was told that the store did not answer
if answer_life ~= '' then
  local stored = redis.call('GET', answer_key)
  if stored then
    local answer = cjson.decode(stored)
    if answer.request ~= request then return {'key_reused'} end
    answer.reply[2] = '1'
    return answer.reply
  end
end

local function answer(verdict, price, seq, paddle)
  local reply = {verdict, '0', string.format('%.0f', now), price or '', seq or '', paddle or ''}
  for _, item in ipairs(redis.call('HGETALL', auction_key)) do reply[#reply + 1] = item end
  if answer_life ~= '' then
    redis.call('SET', answer_key, cjson.encode({request = request, reply = reply}), 'PX', answer_life)
  end
  return reply
end
local function minor_units(text)
  local whole, dot, part = string.match(text, '^%s*(%d+)(%.?)(%d*)%s*$')
  if not whole or #part > exponent or #dot ~= math.min(#part, 1) then return nil end
  local units = tonumber(whole .. part .. string.rep('0', exponent - #part))
  return units <= 9007199254740991 and units or nil
end
local function step_at(price, increments)
  if increments == 'ten-percent' then return math.max(1, (price + (10 - price % 10) % 10) / 10) end
  local step
  for from, each in string.gmatch(increments, '(%d+):(%d+)') do
    if tonumber(from) <= price then step = tonumber(each) end
  end
  return step
end

local terms = redis.call('HMGET', auction_key, 'currency', 'opens_at', 'closes_at', 'start_price', 'increments',
  'bids', 'rev', 'leader')
if not terms[1] then return {'unknown'} end
if terms[1] ~= currency then return {'currency', terms[1]} end
local held = redis.call('TYPE', price_key).ok
local price_text = held == 'string' and redis.call('GET', price_key)
if now < tonumber(terms[2]) or now >= tonumber(terms[3]) then return answer('not_open', price_text) end
if redis.call('HGET', private_key, 'seller') == bidder then return answer('own_auction', price_text) end
local price = price_text and minor_units(price_text)
if not price and (held ~= 'none' or terms[6] ~= '0') then return {'damaged', price_text or held} end
local least = price and price + step_at(price, terms[5]) or tonumber(terms[4])
if amount < least then return answer('too_low', price_text) end
if amount > least * 100 and not confirmed then return answer('too_high', price_text) end
local paddle = redis.call('HGET', paddles_key, bidder)
if paddle and paddle == terms[8] then return answer('already_leading', price_text, '', paddle) end

local seq = string.format('%.0f', tonumber(terms[6]) + 1)
paddle = paddle or string.format('%.0f', redis.call('HLEN', paddles_key) + 1)
redis.call('XADD', bids_key, seq .. '-0', 'bidder', bidder, 'paddle', paddle, 'price', amount_text,
  'at', string.format('%.0f', now))
redis.call('HSET', paddles_key, bidder, paddle)
redis.call('HSET', auction_key, 'rev', string.format('%.0f', tonumber(terms[7]) + 1), 'bids', seq, 'leader', paddle)
redis.call('SET', price_key, amount_text)
return answer('accepted', amount_text, seq, paddle)
