"""socket.io as the ancestor used it: `socketio.js` on Node, WebSocket transport, one worker."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.contenders.base import PEERS, Absent, Contender, first_line

PACKAGES = PEERS / "node" / "node_modules"


class SocketIo(Contender):
    name = "socketio"
    title = "socket.io"
    kind = "socketio"
    marker = '"nowprice":"'
    needs_store = True
    path = "/socket.io/?EIO=4&transport=websocket"

    @classmethod
    def version(cls) -> str:
        node = first_line("node", "--version")
        try:
            package = json.loads((PACKAGES / "socket.io" / "package.json").read_text())
        except FileNotFoundError:
            raise Absent("socket.io is not installed: scripts/install-benchmark-peers.sh") from None
        return f"socket.io {package['version']} on Node {node}, WebSocket"

    def command(self) -> list[str]:
        assert self.store is not None
        return ["node", str(Path(__file__).with_name("socketio.js")), str(self.port), self.store.path]

    def environment(self) -> Mapping[str, str]:
        return {"NODE_PATH": os.fspath(PACKAGES), "NODE_ENV": "production"}

    @property
    def request(self) -> str:
        upgrade = "Upgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        return super().request.replace("Connection: keep-alive\r\n", f"Connection: Upgrade\r\n{upgrade}")

    def target(self) -> dict[str, Any]:
        assert self.store is not None
        return {"kind": "redis-visit", "store": self.store.path, "port": self.port}
