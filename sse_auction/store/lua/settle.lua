-- Announces an opening and settles an auction that has closed, once each, when their time has come.
-- Reply {when it is due again in ms ('' = never), '0', now, price, '', '', '', values of FIELDS...}; {''} = no auction
local auction = read_auction()
if not auction.currency then return {''} end
if auction.settled == '1' then return reply_of('', (price_of(auction))) end
local was = auction.announced
announce(auction)
local is_over = is_closed(auction)
if is_over then close(auction, outcome_of(auction)) end
if is_over or auction.announced ~= was then write(auction) end

-- A paused auction is looked at every second. A look that came some ms early is not repeated at once.
local due_at = is_paused(auction) and now + 1000 or math.max(tonumber(auction.closes_at), now + 10)
if not is_opened(auction) then due_at = tonumber(auction.opens_at) end
return reply_of(is_over and '' or text(due_at), (price_of(auction)))
