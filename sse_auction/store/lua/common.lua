-- The functions that all decisions share; put before the text of each script.
-- KEYS  1 price  2 auction (hash)  3 private (hash)  4 log (stream)  5 paddles (hash)  6 voided (set of paddles)
--       7 outbox (stream)
-- ARGV  1 decide before (ms)  2 what the outbox gets: 'events', 'bids' (events and bids) or '' (nothing)
--       3 currency  4 its exponent
local price_key, auction_key, private_key, log_key, paddles_key, voided_key, outbox_key = unpack(KEYS)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local exponent = tonumber(ARGV[4])

local function text(number) return string.format('%.0f', number) end

-- The start of every reply, and then the values of FIELDS, the list in `sse_auction/store/records.py`.
local function reply_of(verdict, price, seq, paddle, standing)
  local reply = {verdict, '0', text(now), price or '', seq or '', paddle or '', standing or ''}
  for _, value in ipairs(redis.call('HMGET', auction_key, unpack(FIELDS))) do reply[#reply + 1] = value or '' end
  return reply
end

local function fields_of(key)
  local flat, fields = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- The auction's hash. The first version stored no number of the last bid, and moved no closing.
local function read_auction()
  local auction = fields_of(auction_key)
  auction.seq = auction.seq or auction.bids
  auction.original_closes_at = auction.original_closes_at or auction.closes_at
  return auction
end

-- The stored answer to a request, or nil; {'key_reused'} when the key was used for another request.
local function remembered(answer_key, life, request)
  local stored = life ~= '' and redis.call('GET', answer_key)
  if not stored then return nil end
  local answer = cjson.decode(stored)
  if answer.request ~= request then return {'key_reused'} end
  answer.reply[2] = '1'
  return answer.reply
end

local function remember(answer_key, life, request, reply)
  if life ~= '' then redis.call('SET', answer_key, cjson.encode({request = request, reply = reply}), 'PX', life) end
  return reply
end

local function minor_units(decimal)
  local whole, dot, part = string.match(decimal, '^%s*(%d+)(%.?)(%d*)%s*$')
  if not whole or #part > exponent or #dot ~= math.min(#part, 1) then return nil end
  local units = tonumber(whole .. part .. string.rep('0', exponent - #part))
  return units <= 9007199254740991 and units or nil
end

local function decimal(units)
  local digits = text(units)
  if exponent == 0 then return digits end
  digits = string.rep('0', exponent + 1 - #digits) .. digits
  return string.sub(digits, 1, -exponent - 1) .. '.' .. string.sub(digits, -exponent)
end

local function step_at(price, increments)
  if increments == 'ten-percent' then return math.max(1, (price + (10 - price % 10) % 10) / 10) end
  local step
  for from, each in string.gmatch(increments, '(%d+):(%d+)') do
    if tonumber(from) <= price then step = tonumber(each) end
  end
  return step
end

-- The state of the bidding: price, and the leader's paddle, maximum, seq and priority. Without bids there is no price.
local function bidding_state(auction, private, price)
  local chosen = {}
  for _, bidder in ipairs(cjson.decode(private.priority or '[]')) do chosen[bidder] = true end
  return {
    proxy = auction.bidding == 'proxy', start = tonumber(auction.start_price), increments = auction.increments,
    reserve = tonumber(private.reserve or ''), chosen = chosen, price = price, leader = auction.leader,
    max = tonumber(private.max or '') or price, priority = private.priority_leads == '1', seq = private.leader_seq,
  }
end

-- Resolves one accepted bid: `max` is its price, or in a proxy auction the bidder's maximum.
local function resolve_bid(bidding, bidder, paddle, max)
  local price, has_priority = bidding.price, bidding.chosen[bidder] or false
  if not bidding.proxy then
    bidding.price, bidding.leader, bidding.max = max, paddle, max
  elseif paddle == bidding.leader then
    bidding.max = math.max(bidding.max, max)
  elseif not price then
    bidding.price, bidding.leader, bidding.max, bidding.priority = bidding.start, paddle, max, has_priority
  elseif max > bidding.max or (max == bidding.max and has_priority and not bidding.priority) then
    bidding.price = math.max(price, math.min(max, bidding.max + step_at(bidding.max, bidding.increments)))
    bidding.leader, bidding.max, bidding.priority = paddle, max, has_priority
  else
    bidding.price = math.max(price, math.min(bidding.max, max + step_at(max, bidding.increments)))
  end
end

-- Lifts the price to the reserve when the leader's maximum reaches it. Returns '' without a reserve, '1' when it is
-- met, else '0'.
local function meet_reserve(bidding)
  local reserve = bidding.reserve
  if not reserve then return '' end
  if bidding.price and bidding.price < reserve and bidding.max >= reserve then bidding.price = reserve end
  return bidding.price and bidding.price >= reserve and '1' or '0'
end

-- The reply when the auction cannot be decided now, or nil.
local function precondition(auction)
  if not auction.currency then return {'unknown'} end
  if auction.currency ~= ARGV[3] then return {'currency', auction.currency} end
  if now > tonumber(ARGV[1]) then return {'late'} end -- the client already got an error
end

local function is_paused(auction) return (auction.paused_at or '') ~= '' end

-- An auction with a bid has opened, even if the store's clock was set back since, and even if its bids are void.
local function is_opened(auction) return now >= tonumber(auction.opens_at) or auction.seq ~= '0' end

-- An auction with an outcome stays closed, even if the store's clock was set back since.
local function is_closed(auction)
  return (auction.outcome or '') ~= '' or (now >= tonumber(auction.closes_at) and not is_paused(auction))
end

-- The price key's text and its minor units; the third value is the invalid value, if it holds no price.
local function price_of(auction)
  local held = redis.call('TYPE', price_key).ok
  local shown = held == 'string' and redis.call('GET', price_key) or nil
  local price = shown and minor_units(shown)
  if not price and (held ~= 'none' or (auction.leader or '') ~= '') then return shown, nil, shown or held end
  return shown, price
end

local function outcome_of(auction)
  if auction.leader == '' then return 'no_bids' end
  return auction.reserve_met == '0' and 'reserve_not_met' or 'sold'
end

-- The state's revision. Opening and closing count too, though nothing is written for them (`Record.state`).
local function rev_of(auction)
  return text(tonumber(auction.rev) + (is_closed(auction) and 2 or is_opened(auction) and 1 or 0))
end

-- Puts the opening into the outbox, once and before all later messages; the first decision after the opening does it.
-- The message has the revision of before this decision, which is written last.
local function announce(auction)
  if ARGV[2] == '' or auction.announced == '1' or not (is_opened(auction) or is_closed(auction)) then return end
  auction.announced = '1'
  local rev, closes_at = unpack(redis.call('HMGET', auction_key, 'rev', 'closes_at'))
  redis.call('XADD', outbox_key, '*', 'event', 'opened', 'at', text(now), 'rev', text(rev + 1),
    'opens_at', auction.opens_at, 'closes_at', closes_at)
end

local function emit(event, auction, ...)
  announce(auction)
  if ARGV[2] == '' or (event == 'bid' and ARGV[2] ~= 'bids') then return end
  redis.call('XADD', outbox_key, '*', 'event', event, 'at', text(now), 'rev', rev_of(auction), ...)
end

-- Adds an entry that is no bid to the log: its id follows that of the last bid.
local function log_act(auction, kind, ...)
  auction.acts = text(tonumber(auction.acts or '0') + 1)
  redis.call('XADD', log_key, auction.seq .. '-' .. auction.acts, 'kind', kind, 'at', text(now), ...)
end

local function write_bidding(auction, bidding)
  auction.leader, auction.reserve_met = bidding.leader, meet_reserve(bidding)
  if bidding.price then redis.call('SET', price_key, decimal(bidding.price)) else redis.call('DEL', price_key) end
  if bidding.proxy then
    redis.call('HSET', private_key, 'max', bidding.max and text(bidding.max) or '',
      'priority_leads', bidding.priority and '1' or '', 'leader_seq', bidding.seq or '')
  end
end

local function write(auction)
  local flat = {}
  for field, value in pairs(auction) do flat[#flat + 1], flat[#flat + 2] = field, value end
  redis.call('HSET', auction_key, unpack(flat))
end

-- Ends the auction now, before its time. It must not end before it opens, so that moment moves too.
local function end_now(auction)
  auction.opens_at, auction.closes_at = text(math.min(tonumber(auction.opens_at), now)), text(now)
end

-- Writes the outcome of an auction that is over, to the log and to the outbox.
local function close(auction, outcome)
  auction.outcome, auction.settled = outcome, '1'
  local shown, price = price_of(auction)
  shown = price and decimal(price) or shown or ''
  log_act(auction, 'settled', 'outcome', outcome, 'price', shown, 'leader', auction.leader)
  emit('closed', auction, 'outcome', outcome, 'price', shown, 'leader', auction.leader, 'closes_at', auction.closes_at)
end

-- Settles an auction that time has closed, if that was not done yet.
local function settle(auction)
  if auction.settled ~= '1' then close(auction, outcome_of(auction)) end
end
