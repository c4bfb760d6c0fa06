-- Sets when an auction is due next, unless it has become due at another moment since it was read.
-- KEYS  1 due auctions (sorted set by moment)
-- ARGV  1 guid  2 the moment when it was due, in ms ('' = it was not)  3 the next moment ('' = never again)
-- Reply 1 when the moment was written, else 0
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if tonumber(due or '') ~= tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
end
return 1
