-- Carries out one act of an operator, or changes nothing.
-- ARGV  5 'cancel' | 'close' | 'extend' | 'pause' | 'resume' | 'edit' | 'void'  6 actor  7 reason
--       8 closes_at ms ('' = as it is)  9 title ('' = as it is)  10 reserve (minor units, '' = none, 'keep' = as it is)
--       11 bidder id to void ('' = by paddle)  12 his paddle
-- Reply {verdict, '0', now, price, '', '', '', values of FIELDS...}; strings all. Verdicts: done, not_open (it is over),
--       already_paused, not_paused, not_later, reserve_raised, no_such_bidder; alone: unknown, currency, late, damaged
local kind, actor, reason, closes_at, title, reserve = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]
local bidder, paddle = ARGV[11], ARGV[12]

local auction = fields_of(auction_key)
local none = standstill(auction)
if none then return none end
local shown, price, damage = price_of(auction)
local function answer(verdict) return reply_of(verdict, redis.call('GET', price_key)) end
if damage then return {'damaged', damage} end
if is_closed(auction) then return answer('not_open') end
if kind == 'pause' and is_paused(auction) then return answer('already_paused') end
if kind == 'resume' and not is_paused(auction) then return answer('not_paused') end
if closes_at and closes_at <= math.max(tonumber(auction.closes_at), now) then return answer('not_later') end

local private = fields_of(private_key)
local contest, hard = contest_of(auction, private, price), tonumber(auction.hard_close_at or '')

local details = {} -- for the log: what has changed, and to what
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
elseif kind == 'void' then
  if bidder ~= '' then paddle = redis.call('HGET', paddles_key, bidder) end
  local is_known = false
  for _, each in ipairs(redis.call('HVALS', paddles_key)) do is_known = is_known or each == paddle end
  if not is_known or redis.call('SISMEMBER', voided_key, paddle) == 1 then return answer('no_such_bidder') end
  redis.call('SADD', voided_key, paddle)
  redis.call('HSET', private_key, 'void:' .. paddle, reason)
  local gone, bids, from = {}, 0, '-'
  for _, each in ipairs(redis.call('SMEMBERS', voided_key)) do gone[each] = true end
  contest.price, contest.leader, contest.max, contest.priority, contest.seq = nil, '', nil, nil, nil
  repeat -- the contest as it would have been without him, from the log
    local entries = redis.call('XRANGE', log_key, from, '+', 'COUNT', 1000)
    for _, entry in ipairs(entries) do
      local bid = {}
      for i = 1, #entry[2], 2 do bid[entry[2][i]] = entry[2][i + 1] end
      if bid.paddle and bid.bidder and (not bid.kind or bid.kind == 'raise') and not gone[bid.paddle] then
        place(contest, bid.bidder, bid.paddle, tonumber(bid.max) or minor_units(bid.price))
        meet_reserve(contest)
        if not bid.kind then
          bids = bids + 1
          if contest.leader == bid.paddle then contest.seq = string.match(entry[1], '^%d+') end
        end
      end
      from = '(' .. entry[1]
    end
  until #entries < 1000
  auction.bids = text(bids)
  note('paddle', paddle)
end
if closes_at then
  change('closes_at', text(closes_at))
  if hard and hard < closes_at then change('hard_close_at', auction.closes_at) end
end
if kind == 'edit' then
  if title ~= '' then change('title', title) end
  local wanted = tonumber(reserve)
  if reserve ~= 'keep' and wanted ~= contest.reserve then
    if wanted and price and wanted > (contest.reserve or -1) then return answer('reserve_raised') end
    contest.reserve = wanted
    redis.call('HSET', private_key, 'reserve', reserve)
    note('reserve', reserve)
  end
end

auction.rev = text(tonumber(auction.rev) + 1)
write_contest(auction, contest)
log_act(auction, kind, 'actor', actor, 'reason', reason, unpack(details))
tell(kind == 'void' and 'voided' or kind, auction, 'actor', actor, 'reason', reason, 'closes_at', auction.closes_at,
  'title', auction.title, 'price', redis.call('GET', price_key) or '', 'leader', auction.leader, 'paddle', paddle or '')
if hammer then close(auction, hammer) end
write(auction)
return answer('done')
