-- Replaces a bidder's id by a pseudonym in all data of an auction that is over, or changes nothing.
-- Its streams were copied without the id; a copy replaces its stream if no entry was added to that since.
-- KEYS  8 dead letters (stream)  9 copy of the log  10 copy of the outbox  11 copy of the dead letters
-- ARGV  5 actor  6 reason  7 bidder id  8 pseudonym  9 seller's bidder id from now on  10 priority bidders (JSON array)
--       11 mark of the log when it was copied  12 of the outbox  13 of the dead letters  14 which were copied, as '100'
-- Reply {'erased'} | {'changed'}: copy again | {'not_closed', '0', now, price, '', '', '', values of FIELDS...};
--       without a state: currency, late. Only messages are left of a deleted auction: they are erased too
local streams, copies = {log_key, outbox_key, KEYS[8]}, {KEYS[9], KEYS[10], KEYS[11]}
local actor, reason, bidder, pseudonym, seller, priority = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local marks, copied = {ARGV[11], ARGV[12], ARGV[13]}, ARGV[14]

local auction = fields_of(auction_key)
local refusal = precondition(auction)
local is_gone = refusal and refusal[1] == 'unknown'
if refusal and not is_gone then return refusal end
if not is_gone and not is_closed(auction) then return reply_of('not_closed', redis.call('GET', price_key)) end

-- Identifies the entries of a stream, because ids only rise.
local function mark_of(key)
  local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  return (newest and newest[1] or '') .. ' ' .. text(redis.call('XLEN', key))
end
for i, key in ipairs(streams) do
  local is_copied = string.sub(copied, i, i) == '1'
  if mark_of(key) ~= marks[i] or (is_copied and mark_of(copies[i]) ~= marks[i]) then return {'changed'} end
end

for i, key in ipairs(streams) do
  if string.sub(copied, i, i) == '1' then
    redis.call('UNLINK', key) -- it may be long, and RENAME would free it in this thread
    redis.call('RENAME', copies[i], key)
    redis.call('PERSIST', key)
  end
end
if is_gone then return {'erased'} end
local paddle = redis.call('HGET', paddles_key, bidder) or ''
if paddle ~= '' then
  redis.call('HDEL', paddles_key, bidder)
  redis.call('HSET', paddles_key, pseudonym, paddle)
end
redis.call('HSET', private_key, 'seller', seller, 'priority', priority)
log_act(auction, 'erase', 'actor', actor, 'reason', reason, 'paddle', paddle)
emit('erase', auction, 'actor', actor, 'reason', reason, 'paddle', paddle)
write(auction)
return {'erased'}
