// The ancestor's recipe: socket.io and one Redis client. Whoever raised the price visits /changed/<guid>; the server
// reads the price once and pushes it to each viewer whose own price is lower. Each viewer's price is remembered.
// Usage: node socketio.js <port> <store's socket>; NODE_PATH names where socket.io and ioredis are.
const http = require('http');
const Redis = require('ioredis');
const { Server } = require('socket.io');

const [port, store] = process.argv.slice(2);
const redis = new Redis({ path: store });
const viewers = new Map(); // guid: set of sockets

const server = http.createServer((request, response) => {
  const guid = (request.url.match(/^\/changed\/(.+)$/) || [])[1];
  if (!guid) return response.writeHead(404).end();
  response.writeHead(204).end();
  priceChanged(guid);
});
const io = new Server(server, { transports: ['websocket'] });

async function priceChanged(guid) {
  let price;
  try {
    price = await redis.get(`AuctionMaxPrice-${guid}`);
  } catch (error) {
    return console.error(error);
  }
  if (price === null) return;
  const now = Number(price);
  for (const socket of viewers.get(guid) || []) {
    if (now > socket.data.nowprice) {
      socket.data.nowprice = now;
      socket.emit('receive', { nowprice: price });
    }
  }
}

io.on('connection', (socket) => {
  socket.emit('greet', { id: socket.id });
  socket.on('login', (login, acknowledge) => {
    socket.data = { guid: login.guid, userid: login.userid, nowprice: Number(login.nowprice) };
    if (!viewers.has(login.guid)) viewers.set(login.guid, new Set());
    viewers.get(login.guid).add(socket);
    acknowledge({ ok: true });
  });
  socket.on('disconnect', () => viewers.get(socket.data.guid)?.delete(socket));
});

server.keepAliveTimeout = 0; // the writer's visits come on one connection, however far apart
server.listen(Number(port), '127.0.0.1', 4096);
