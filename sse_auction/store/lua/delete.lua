-- Deletes an auction with all its keys, or leaves it. Its pending messages stay, and 'deleted' follows them.
-- KEYS  8 dead letters (stream)
-- ARGV  5 actor  6 reason
-- Reply {'deleted'} | {'not_closed', '0', now, price, '', '', '', values of FIELDS...}: it is open;
--       without a state: unknown, currency, late
local dead_key, actor, reason = KEYS[8], ARGV[5], ARGV[6]
local auction = fields_of(auction_key)
local refusal = precondition(auction)
if refusal then return refusal end
if is_opened(auction) and not is_closed(auction) then
  return reply_of('not_closed', redis.call('GET', price_key))
end
emit('deleted', auction, 'actor', actor, 'reason', reason, 'title', auction.title)
-- UNLINK frees a long log in another thread, so that other commands do not wait.
redis.call('UNLINK', price_key, auction_key, private_key, log_key, paddles_key, voided_key, dead_key)
return {'deleted'}
