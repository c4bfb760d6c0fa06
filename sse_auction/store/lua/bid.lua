-- Decides one bid: applies it and logs it, or changes nothing.
-- KEYS  8 stored answer
-- ARGV  5 bidder id  6 'price' | 'max' | 'buy_now'  7 amount (minor units, '' = buy_now)  8 '1' if confirmed
--       9 life of the stored answer in ms ('' = no idempotency key)  10 hash of the request
-- Reply {verdict, replayed '1'|'0', now, price, seq, paddle, standing (or the reason of a void), values of FIELDS...};
--       all strings. Verdicts:
--       accepted, not_open, paused, own_auction, voided, no_maxima, not_for_sale, lowering, too_low, too_high,
--       not_aligned, already_leading; without a state: unknown, currency, late, damaged, key_reused
local answer_key, bidder, kind, amount = KEYS[8], ARGV[5], ARGV[6], tonumber(ARGV[7])
local confirmed, answer_life, request = ARGV[8] == '1', ARGV[9], ARGV[10]

local auction = read_auction()
if now > tonumber(ARGV[1]) then return {'late'} end -- before any stored answer: the client already got an error
local refusal = remembered(answer_key, answer_life, request) or precondition(auction)
if refusal then return refusal end

local shown, price, damage = price_of(auction)
local function answer(verdict, seq, paddle, standing)
  return remember(answer_key, answer_life, request, reply_of(verdict, shown, seq, paddle, standing))
end

-- A refusal that time or an operator can lift is not stored: the same bid sent again later must be accepted.
if not is_opened(auction) or is_closed(auction) then return reply_of('not_open', shown) end
if is_paused(auction) then return reply_of('paused', shown) end
local private = fields_of(private_key)
if private.seller == bidder then return answer('own_auction') end
local paddle = redis.call('HGET', paddles_key, bidder)
if paddle and redis.call('SISMEMBER', voided_key, paddle) == 1 then
  return answer('voided', '', paddle, private['void:' .. paddle])
end
if damage then return {'damaged', damage} end

local bidding = bidding_state(auction, private, price)
if kind == 'max' and not bidding.proxy then return answer('no_maxima') end
local sale = tonumber(auction.buy_now or '')
if sale and auction.buy_now_mode ~= 'ceiling' and price then sale = nil end
if kind == 'buy_now' and not sale then return answer('not_for_sale') end

local leads = paddle and paddle == auction.leader
paddle = paddle or text(redis.call('HLEN', paddles_key) + 1)
local buys = kind == 'buy_now' or (sale and auction.buy_now_mode == 'ceiling' and amount >= sale)
if buys then
  amount = sale
  bidding.price, bidding.leader, bidding.max = sale, paddle, sale
else
  local base = price or bidding.start
  local step = step_at(base, bidding.increments)
  local least = price and price + step or base
  if leads and bidding.proxy and amount <= bidding.max then return answer('lowering') end
  if amount < least and not (leads and bidding.proxy) then return answer('too_low') end
  if amount > least * 100 and not confirmed then return answer('too_high') end
  if auction.aligned == '1' and (amount - base) % step ~= 0 then return answer('not_aligned') end
  if leads and not bidding.proxy then return answer('already_leading') end
  resolve_bid(bidding, bidder, paddle, amount)
  meet_reserve(bidding)
end

if leads and not buys and bidding.price == price then -- the leader raised their own maximum: nothing public changes
  log_act(auction, 'raise', 'bidder', bidder, 'paddle', paddle, 'max', text(amount))
  redis.call('HSET', private_key, 'max', text(bidding.max))
  redis.call('HSET', auction_key, 'acts', auction.acts)
  if (bidding.seq or '') == '' then bidding.seq = auction.seq end -- an older release stored none
  return answer('accepted', bidding.seq, paddle, 'leading')
end

shown = decimal(bidding.price)
auction.seq = text(tonumber(auction.seq) + 1)
if bidding.leader == paddle then bidding.seq = auction.seq end
redis.call('XADD', log_key, auction.seq .. '-0', 'bidder', bidder, 'paddle', paddle, 'price', shown, 'max', text(amount),
  'at', text(now), 'buy_now', buys and '1' or '', 'leader', bidding.leader)
redis.call('HSET', paddles_key, bidder, paddle)
auction.rev, auction.bids = text(tonumber(auction.rev) + 1), text(tonumber(auction.bids) + 1)
write_bidding(auction, bidding)
local closes_at = tonumber(auction.closes_at)
if buys then end_now(auction) end
emit('bid', auction, 'seq', auction.seq, 'paddle', paddle, 'price', shown, 'leader', auction.leader)
if buys then
  close(auction, 'bought_now')
elseif (auction.window_ms or '') ~= '' and closes_at - now < tonumber(auction.window_ms) then
  local later = math.min(now + tonumber(auction.extend_ms), tonumber(auction.hard_close_at or '') or math.huge)
  local extensions = tonumber(auction.extensions or '0')
  if later > closes_at and extensions < (tonumber(auction.max_extensions or '') or math.huge) then
    auction.closes_at, auction.extensions = text(later), text(extensions + 1)
    emit('extended', auction, 'closes_at', auction.closes_at, 'extensions', auction.extensions)
  end
end
write(auction)
return answer('accepted', auction.seq, paddle, buys and 'winning' or bidding.leader == paddle and 'leading' or 'outbid')
