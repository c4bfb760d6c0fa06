-- Creates a managed auction, or leaves an existing one unchanged.
-- KEYS  8 index of all auctions (sorted set by this closing time)  9 due auctions (sorted set by moment)
--       10 stored answer  11 name of the batch that holds the guid
-- ARGV  5 guid  6 opens_at ms ('' = now)  7 actor  8 seller's bidder id ('' = none)  9 reserve (minor units, '' = none)
--       10 priority bidders (JSON array)  11 life of the stored answer in ms ('' = no idempotency key)
--       12 hash of the request  13 the auction's batch ('' = none), which was decided in time
--       14.. field, value, ... of the public hash, closes_at among them
-- Reply {'created', replayed '1'|'0', now, price, '', '', '', values of FIELDS...} | {'exists', now} | {'held', now} |
--       {'key_reused'} | {'past', now}: closes_at is not after now and opens_at
local index_key, due_key, answer_key, guid, opens_at = KEYS[8], KEYS[9], KEYS[10], ARGV[5], ARGV[6]
local held_key, answer_life, request, batch = KEYS[11], ARGV[11], ARGV[12], ARGV[13]
local before = remembered(answer_key, answer_life, request)
if before then return before end
local auction = {created_at = text(now), rev = '0', bids = '0', seq = '0', acts = '0', leader = '',
  reserve_met = ARGV[9] == '' and '' or '0', extensions = '0', paused_at = '', outcome = ''}
for i = 14, #ARGV, 2 do auction[ARGV[i]] = ARGV[i + 1] end
auction.original_closes_at = auction.closes_at
local closes_at = tonumber(auction.closes_at)
if opens_at == '' then opens_at = text(batch == '' and now or math.min(now, closes_at - 1)) end
auction.opens_at = opens_at

if redis.call('EXISTS', price_key, auction_key) > 0 then
  if batch ~= '' and redis.call('HGET', private_key, 'batch') == batch then
    return reply_of('created', redis.call('GET', price_key))
  end
  return {'exists', text(now)}
end
if (redis.call('GET', held_key) or batch) ~= batch then return {'held', text(now)} end
if (batch == '' and closes_at <= now) or closes_at <= tonumber(opens_at) then return {'past', text(now)} end

redis.call('DEL', held_key)
redis.call('HSET', private_key, 'batch', batch, 'seller', ARGV[8], 'reserve', ARGV[9], 'priority', ARGV[10])
redis.call('DEL', log_key, paddles_key, voided_key)
log_act(auction, 'created', 'actor', ARGV[7], 'opens_at', opens_at, 'seller', ARGV[8], 'reserve', ARGV[9],
  'priority', ARGV[10], unpack(ARGV, 14))
write(auction)
redis.call('ZADD', index_key, closes_at, guid)
redis.call('ZADD', due_key, now, guid) -- due at once, so that it is listed even if the process that creates it dies now

return remember(answer_key, answer_life, request, reply_of('created'))
