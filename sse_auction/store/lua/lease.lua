-- Takes, renews or releases a lease, which one process at a time holds.
-- KEYS  1 the lease
-- ARGV  1 the holder's name  2 life in ms ('' = release it)
-- Reply 1 when the holder has it, or had it and released it; 0 when another holder or none has it
local lease, wanted_by, life = KEYS[1], ARGV[1], ARGV[2]
local holder = redis.call('GET', lease)
if life == '' then return holder == wanted_by and redis.call('DEL', lease) or 0 end
if holder and holder ~= wanted_by then return 0 end
redis.call('SET', lease, wanted_by, 'PX', life)
return 1
