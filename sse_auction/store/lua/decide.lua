-- Decides that a batch of auctions is to be created, once; what is decided never changes.
-- KEYS  1 the decision  2 the list of what is to be created
-- ARGV  1 the decision as it would be  2 the length of the list
-- Reply the decision as it is, or '': the list is not whole, and nothing is decided
local decision = redis.call('GET', KEYS[1])
if decision then return decision end
if redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[2]) then return '' end
redis.call('PERSIST', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
