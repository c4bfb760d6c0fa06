-- Removes a message from an outbox. The outbox itself is deleted with its last message if its auction was deleted.
-- KEYS  1 outbox (stream)  2 auction (hash)
-- ARGV  1 id of the message
-- Reply how many were removed
local taken = redis.call('XDEL', KEYS[1], ARGV[1])
if redis.call('XLEN', KEYS[1]) == 0 and redis.call('EXISTS', KEYS[2]) == 0 then redis.call('DEL', KEYS[1]) end
return taken
