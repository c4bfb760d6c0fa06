-- Executes one act of an operator, or changes nothing.
-- ARGV  5 'cancel' | 'close' | 'extend' | 'pause' | 'resume' | 'edit'  6 actor  7 reason
--       8 closes_at ms ('' = as it is)  9 title ('' = as it is)  10 reserve (minor units, '' = none, 'keep' = as it is)
-- Reply {verdict, '0', now, price, '', '', '', values of FIELDS...}; all strings. Verdicts: done, not_open (over),
--       already_paused, not_paused, not_later, reserve_raised; without a state: unknown, currency, late, damaged
local kind, actor, reason, closes_at, title, reserve = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]

local auction = read_auction()
local refusal = precondition(auction)
if refusal then return refusal end
local shown, price, damage = price_of(auction)
local function answer(verdict) return reply_of(verdict, redis.call('GET', price_key)) end
if damage then return {'damaged', damage} end
if is_closed(auction) then return answer('not_open') end
if kind == 'pause' and is_paused(auction) then return answer('already_paused') end
if kind == 'resume' and not is_paused(auction) then return answer('not_paused') end
if closes_at and closes_at <= math.max(tonumber(auction.closes_at), now) then return answer('not_later') end

local private = fields_of(private_key)
local bidding, hard = bidding_state(auction, private, price), tonumber(auction.hard_close_at or '')

local details = {} -- for the log: the changed fields and their new values
local function note(field, value) details[#details + 1], details[#details + 2] = field, value end
local function change(field, value)
  if auction[field] ~= value then note(field, value) end
  auction[field] = value
end

local hammer
if kind == 'cancel' or kind == 'close' then
  end_now(auction)
  auction.paused_at = ''
  hammer = kind == 'cancel' and 'cancelled' or outcome_of(auction)
elseif kind == 'pause' then
  auction.paused_at = text(now)
elseif kind == 'resume' then
  local lost = math.max(0, now - math.max(tonumber(auction.paused_at), tonumber(auction.opens_at)))
  auction.paused_at = ''
  change('closes_at', text(tonumber(auction.closes_at) + lost))
  if hard then change('hard_close_at', text(hard + lost)) end
end
if closes_at then
  change('closes_at', text(closes_at))
  if hard and hard < closes_at then change('hard_close_at', auction.closes_at) end
end
if kind == 'edit' then
  if title ~= '' then change('title', title) end
  local wanted = tonumber(reserve)
  if reserve ~= 'keep' and wanted ~= bidding.reserve then
    if wanted and price and wanted > (bidding.reserve or -1) then return answer('reserve_raised') end
    bidding.reserve = wanted
    redis.call('HSET', private_key, 'reserve', reserve)
    note('reserve', reserve)
  end
end

auction.rev = text(tonumber(auction.rev) + 1)
write_bidding(auction, bidding)
log_act(auction, kind, 'actor', actor, 'reason', reason, unpack(details))
emit(kind, auction, 'actor', actor, 'reason', reason, 'closes_at', auction.closes_at, 'title', auction.title,
  'price', redis.call('GET', price_key) or '', 'leader', auction.leader)
if hammer then close(auction, hammer) end
write(auction)
return answer('done')
