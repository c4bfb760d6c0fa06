-- Decides once that a batch of auctions will be created; a decision never changes.
-- KEYS  1 the decision  2 the list of auctions to create
-- ARGV  1 the proposed decision  2 the length of the list
-- Reply the present decision, or '': the list is incomplete, and nothing is decided
local decision = redis.call('GET', KEYS[1])
if decision then return decision end
if redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[2]) then return '' end
redis.call('PERSIST', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
