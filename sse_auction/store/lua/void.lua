-- Declares all bids of a bidder void, before or after the hammer, or changes nothing.
-- ARGV  5 actor  6 reason  7 bidder id ('' = by paddle)  8 the bidder's paddle
-- Reply {verdict, '0', now, price, '', '', '', values of FIELDS...}; all strings. Verdicts: done, no_such_bidder;
--       without a state: unknown, currency, late, damaged
local actor, reason, bidder, paddle = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local auction = fields_of(auction_key)
local refusal = precondition(auction)
if refusal then return refusal end
local shown, price, damage = price_of(auction)
local function answer(verdict) return reply_of(verdict, redis.call('GET', price_key)) end
if damage then return {'damaged', damage} end
if bidder ~= '' then paddle = redis.call('HGET', paddles_key, bidder) end
local is_known = false
for _, each in ipairs(redis.call('HVALS', paddles_key)) do is_known = is_known or each == paddle end
if not is_known or redis.call('SISMEMBER', voided_key, paddle) == 1 then return answer('no_such_bidder') end

local is_over, leader = is_closed(auction), auction.leader
if is_over then settle(auction) end
redis.call('SADD', voided_key, paddle)
redis.call('HSET', private_key, 'void:' .. paddle, reason)
local counted = recount(auction, fields_of(private_key), voided_paddles(), {})
local purchase, bidding = counted.purchase, counted.bidding
auction.seq = auction.seq or auction.bids -- an older release stored none
auction.bids, auction.rev = text(counted.bids + (purchase and 1 or 0)), text(tonumber(auction.rev) + 1)
if (auction.passed or '') == '' or paddle == leader then -- there is no second offer, or this void ends it
  if purchase then buy(bidding, purchase) end
  write_bidding(auction, bidding)
  auction.passed, auction.hammer_price = '', ''
  if is_over and auction.outcome ~= 'cancelled' then
    auction.outcome = purchase and 'bought_now' or outcome_of(auction)
  end
  if auction.leader ~= leader then auction.unpaid = '' end
end

local outcome = is_over and auction.outcome or ''
local now_shown = redis.call('GET', price_key) or ''
log_act(auction, 'void', 'actor', actor, 'reason', reason, 'paddle', paddle)
emit('voided', auction, 'actor', actor, 'reason', reason, 'paddle', paddle, 'price', now_shown, 'leader', auction.leader,
  'outcome', outcome)
write(auction)
return answer('done')
