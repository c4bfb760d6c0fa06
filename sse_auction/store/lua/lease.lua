-- Takes, keeps or gives back a lease, which one of many processes has at a time.
-- KEYS  1 the lease
-- ARGV  1 who wants it  2 life in ms ('' = give it back)
-- Reply 1 when he has it, or had it and gave it back; 0 when another has it, or nobody
local lease, wanted_by, life = KEYS[1], ARGV[1], ARGV[2]
local holder = redis.call('GET', lease)
if life == '' then return holder == wanted_by and redis.call('DEL', lease) or 0 end
if holder and holder ~= wanted_by then return 0 end
redis.call('SET', lease, wanted_by, 'PX', life)
return 1
