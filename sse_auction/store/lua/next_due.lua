-- Says when an auction is due next, unless it has become due at another moment since it was read.
-- KEYS  1 what is due (sorted set by moment)
-- ARGV  1 guid  2 the moment at which it was due, in ms ('' = it was not)  3 the next one ('' = never again)
-- Reply 1 when that was written, else 0
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if tonumber(due or '') ~= tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
end
return 1
