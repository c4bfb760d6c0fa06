-- Records a new auction, or leaves an existing one untouched.
-- KEYS  1 price  2 auction (hash)  3 private (hash)  4 index of all auctions (sorted set by closing time)
-- ARGV  1 guid  2 title  3 currency  4 start price (minor units)  5 increments  6 opens_at ms ('' = now)
--       7 closes_at ms  8 seller's bidder id ('' = none)
-- Reply {'created', now, field, value, ...} | {'exists', now} | {'past', now}: closes_at is not after now and opens_at
local price_key, auction_key, private_key, index_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local guid, title, currency, start_price, increments = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local opens_at, closes_at, seller = ARGV[6], ARGV[7], ARGV[8]

local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
if opens_at == '' then opens_at = now end

if redis.call('EXISTS', price_key, auction_key) > 0 then return {'exists', now} end
if tonumber(closes_at) <= tonumber(now) or tonumber(closes_at) <= tonumber(opens_at) then return {'past', now} end

redis.call('HSET', auction_key, 'title', title, 'currency', currency, 'start_price', start_price,
  'increments', increments, 'opens_at', opens_at, 'closes_at', closes_at, 'created_at', now,
  'rev', '0', 'bids', '0', 'leader', '')
if seller ~= '' then redis.call('HSET', private_key, 'seller', seller) end
redis.call('ZADD', index_key, closes_at, guid)

local reply = {'created', now}
for _, item in ipairs(redis.call('HGETALL', auction_key)) do reply[#reply + 1] = item end
return reply
