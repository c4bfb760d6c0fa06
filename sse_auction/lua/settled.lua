-- Takes an auction that is over out of what is due, unless it has become due again.
-- KEYS  1 what is due (sorted set by moment)
-- ARGV  1 guid  2 the moment at which it was due, in ms
-- Reply 1 when it was taken out, else 0
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not due or tonumber(due) ~= tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
