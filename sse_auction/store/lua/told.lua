-- Takes a message out of an outbox. With the last one goes the outbox itself, where its auction is gone.
-- KEYS  1 outbox (stream)  2 auction (hash)
-- ARGV  1 id of the message
-- Reply how many were taken out
local taken = redis.call('XDEL', KEYS[1], ARGV[1])
if redis.call('XLEN', KEYS[1]) == 0 and redis.call('EXISTS', KEYS[2]) == 0 then redis.call('DEL', KEYS[1]) end
return taken
