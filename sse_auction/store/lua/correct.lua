-- Corrects the outcome of an auction that is over, or changes nothing.
-- ARGV  5 'reopen' | 'second_offer' | 'unpaid' | 'paid' | 'archive' | 'unarchive'  6 actor  7 reason
--       8 closes_at ms of a reopening  9 paddle of a second offer ('' = the best underbidder)
--       10 how long after its closing an auction can be reopened (ms)
-- Reply {verdict, '0', now, price, '', '', '', values of FIELDS...}; all strings. Verdicts: done, not_closed, too_late,
--       not_later, not_sold, unchanged, no_underbidder, below_reserve; without a state: unknown, currency, late,
--       damaged
local kind, actor, reason, closes_at, paddle, reopens_ms = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]

local auction = fields_of(auction_key)
local refusal = precondition(auction)
if refusal then return refusal end
local shown, price, damage = price_of(auction)
local function answer(verdict) return reply_of(verdict, redis.call('GET', price_key)) end
if damage then return {'damaged', damage} end
if not is_closed(auction) then return answer('not_closed') end
local outcome = (auction.outcome or '') ~= '' and auction.outcome or outcome_of(auction)
local is_archived, is_unpaid = auction.archived == '1', auction.unpaid == '1'
local closed_at, was_passed = tonumber(auction.closes_at), (auction.passed or '') ~= ''
if kind == 'reopen' then
  if now - closed_at >= tonumber(reopens_ms) then return answer('too_late') end
  if closes_at <= math.max(closed_at, now) then return answer('not_later') end
elseif kind == 'archive' or kind == 'unarchive' then
  if is_archived == (kind == 'archive') then return answer('unchanged') end
elseif outcome ~= 'sold' and outcome ~= 'bought_now' then
  return answer('not_sold')
elseif kind ~= 'second_offer' and is_unpaid == (kind == 'unpaid') then
  return answer('unchanged')
end

local private, details = fields_of(private_key), {}
local counted, hammer_price, offer
if kind == 'second_offer' then
  local passed = {[auction.leader] = true}
  for each in string.gmatch(auction.passed or '', '%d+') do passed[each] = true end
  counted = recount(auction, private, voided_paddles(), passed)
  if paddle == '' then paddle = counted.bidding.leader end
  if paddle == auction.leader or not counted.committed[paddle] then return answer('no_underbidder') end
  hammer_price = tonumber(auction.hammer_price or '') or price
  offer = math.min(counted.committed[paddle], hammer_price)
  if offer < (counted.bidding.reserve or 0) then return answer('below_reserve') end
elseif kind == 'reopen' and (outcome == 'bought_now' or was_passed) then
  counted = recount(auction, private, voided_paddles(), {})
end

settle(auction)
if kind == 'reopen' then
  if counted then
    write_bidding(auction, counted.bidding)
    auction.seq = auction.seq or auction.bids -- an older release stored none
    auction.bids = text(counted.bids)
    if counted.purchase then auction.undone = (auction.undone or '') .. counted.purchase.seq .. ' ' end
  end
  auction.closes_at = text(closes_at)
  details = {'closes_at', auction.closes_at}
  if (tonumber(auction.hard_close_at or '') or math.huge) < closes_at then
    auction.hard_close_at, details[3], details[4] = auction.closes_at, 'hard_close_at', auction.closes_at
  end
  auction.opens_at, auction.extensions = text(math.min(tonumber(auction.opens_at), now)), '0'
  auction.outcome, auction.settled, auction.unpaid, auction.archived = '', '', '', ''
  auction.passed, auction.hammer_price = '', ''
  auction.rev = text(tonumber(auction.rev) + 2) -- one for the closing, which this undoes, and one for this act
elseif kind == 'second_offer' then
  local passed = ''
  for each in string.gmatch(auction.passed or '', '%d+') do
    if each ~= paddle then passed = passed .. each .. ' ' end
  end
  details = {'paddle', paddle, 'passed', auction.leader, 'price', decimal(offer)}
  auction.passed, auction.hammer_price = passed .. auction.leader .. ' ', text(hammer_price)
  counted.bidding.price, counted.bidding.leader, counted.bidding.max = offer, paddle, offer
  counted.bidding.priority, counted.bidding.seq = nil, nil
  write_bidding(auction, counted.bidding)
  auction.outcome, auction.unpaid, auction.rev = 'sold', '', text(tonumber(auction.rev) + 1)
elseif kind == 'archive' or kind == 'unarchive' then
  auction.archived = kind == 'archive' and '1' or ''
else
  auction.unpaid = kind == 'unpaid' and '1' or ''
  details = {'paddle', auction.leader}
end
log_act(auction, kind, 'actor', actor, 'reason', reason, unpack(details))
emit(kind == 'reopen' and 'reopened' or kind, auction, 'actor', actor, 'reason', reason, unpack(details))
write(auction)
return answer('done')
