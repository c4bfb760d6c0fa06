-- Counts the bids of the log again, for scripts that take bids out; put between common.lua and such a script.

local function voided_paddles()
  local gone = {}
  for _, paddle in ipairs(redis.call('SMEMBERS', voided_key)) do gone[paddle] = true end
  return gone
end

-- Adds one bid or raise of the log to the count.
local function count_in(counted, id, bid, gone, passed)
  local bidding, paddle, max = counted.bidding, bid.paddle, tonumber(bid.max) or minor_units(bid.price)
  if gone[paddle] then return end
  if bid.buy_now == '1' then
    counted.purchase = {paddle = paddle, price = max, seq = string.match(id, '^%d+')}
    return
  end
  counted.committed[paddle] = math.max(counted.committed[paddle] or 0, max)
  if passed[paddle] then return end
  resolve_bid(bidding, bid.bidder, paddle, max)
  meet_reserve(bidding)
  if bid.kind then return end
  counted.bids = counted.bids + 1
  if bidding.leader == paddle then bidding.seq = string.match(id, '^%d+') end
end

-- The state of the bidding without the paddles of `gone` and `passed`, how many bids count in it, and the highest
-- commitment of each paddle that is not in `gone`. A purchase is kept apart, and does not count after a reopening.
local function recount(auction, private, gone, passed)
  local bidding, from = bidding_state(auction, private), '-'
  bidding.leader, bidding.max, bidding.priority, bidding.seq = '', nil, nil, nil
  local counted = {bidding = bidding, bids = 0, committed = {}}
  repeat
    local entries = redis.call('XRANGE', log_key, from, '+', 'COUNT', 1000)
    for _, entry in ipairs(entries) do
      local bid = {}
      for i = 1, #entry[2], 2 do bid[entry[2][i]] = entry[2][i + 1] end
      if bid.kind == 'reopen' then counted.purchase = nil end
      if bid.paddle and bid.bidder and (not bid.kind or bid.kind == 'raise') then
        count_in(counted, entry[1], bid, gone, passed)
      end
      from = '(' .. entry[1]
    end
  until #entries < 1000
  local purchase = counted.purchase
  if purchase then counted.committed[purchase.paddle] = purchase.price end
  return counted
end

local function buy(bidding, purchase)
  bidding.price, bidding.leader, bidding.max = purchase.price, purchase.paddle, purchase.price
  bidding.seq = purchase.seq
end
