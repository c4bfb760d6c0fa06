-- Does what is due by time alone, once: tells of an opening, settles what has closed.
-- Reply {when it is due again in ms, '' = never}
local auction = fields_of(auction_key)
if not auction.currency or auction.settled == '1' then return {''} end
local opens_at, was = tonumber(auction.opens_at), auction.announced
if ARGV[2] ~= '' and now >= opens_at and was ~= '1' then
  auction.announced = '1'
  tell('opened', auction, 'opens_at', auction.opens_at, 'closes_at', auction.closes_at)
end
local is_over = is_closed(auction)
if is_over then close(auction, outcome_of(auction)) end
if is_over or auction.announced ~= was then write(auction) end
if is_over then return {''} end
if now < opens_at then return {auction.opens_at} end
return {text(math.max(tonumber(auction.closes_at), now + 1000))} -- a paused one is looked at every second
