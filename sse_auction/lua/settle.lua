-- Does what is due by time alone, once: tells of an opening, settles what has closed.
-- Reply {when it is due again in ms ('' = never), '0', now, price, '', '', '', values of FIELDS...}; {''} of no auction
local auction = read_auction()
if not auction.currency then return {''} end
if auction.settled == '1' then return reply_of('', (price_of(auction))) end
local opens_at, was = tonumber(auction.opens_at), auction.announced
if ARGV[2] ~= '' and now >= opens_at and was ~= '1' then
  auction.announced = '1'
  tell('opened', auction, 'opens_at', auction.opens_at, 'closes_at', auction.closes_at)
end
local is_over = is_closed(auction)
if is_over then close(auction, outcome_of(auction)) end
if is_over or auction.announced ~= was then write(auction) end

local due_at = text(math.max(tonumber(auction.closes_at), now + 1000)) -- a paused one is looked at every second
if now < opens_at then due_at = auction.opens_at end
return reply_of(is_over and '' or due_at, (price_of(auction)))
