"""What is told to another service: signed, in order, at least once, whatever happens to either side."""

import hmac
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Server, StoreProcess, bid, create, now_ms, running_server, server_process, until
from tests.test_cli import refusal, run_command
from tests.test_operators import act, done, edit, offer

WEBHOOK_SECRET = "a secret of at least thirty-two bytes for webhooks"


@dataclass
class Receiver:
    """A real HTTP server that notes what it is told; it answers with `status`, and first hangs for `delay_seconds`."""

    url: str = ""
    status: int = 204
    delay_seconds: float = 0.0
    taken: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    bodies: list[tuple[str, bytes]] = field(default_factory=list)

    def events(self, guid: str) -> list[str]:
        return [each["event"] for each in self.taken if each["guid"] == guid]

    def once(self, guid: str) -> list[str]:
        """Events without repeats, by id, in the order in which they came first."""
        first = {each["id"]: each["event"] for each in reversed(self.taken) if each["guid"] == guid}
        return list(reversed(first.values()))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    noted = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the name that http.server calls
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(noted.delay_seconds)
            status = noted.status
            if status == 204:
                noted.taken.append(json.loads(body))
                noted.bodies.append((self.headers["Sse-Auction-Signature"], body))
            else:
                noted.refused += 1
            self.send_response(status)
            self.send_header("content-length", "0")
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        noted.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield noted
        server.shutdown()
        thread.join()


def hooked(store: StoreProcess, receiver: Receiver, **more: str) -> dict[str, str]:
    return {
        "REDIS_URL": store.url, "SSE_AUCTION_WEBHOOK_URL": receiver.url, "SSE_AUCTION_WEBHOOK_SECRET": WEBHOOK_SECRET,
        **more,
    }  # fmt: skip


def test_everything_that_happens_is_told_in_order_and_signed(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    with running_server(directory, **hooked(own_store, receiver)) as server:
        create(server, guid, bidding="proxy", reserve="99.99", soft_close={"window_s": 7200, "extend_s": 7200})
        until(lambda: receiver.events(guid) == ["opened"], "the opening is told")
        offer(server, guid, "ann-the-bidder", max="88.88")
        done(act(server, guid, "pause"))
        done(act(server, guid, "resume"))
        done(edit(server, guid, title="Vase", reserve="95.55"))
        done(act(server, guid, "extend", closes_at=now_ms() + 10**8))
        done(act(server, guid, "void", bidder="ann-the-bidder"))
        done(act(server, guid, "close"))
        expected = ["opened", "extended", "pause", "resume", "edit", "extend", "voided", "close", "closed"]
        until(lambda: receiver.events(guid) == expected, "all of it is told")
        last = receiver.taken[-1]
        assert (last["data"]["outcome"], last["rev"]) == ("no_bids", int(receiver.taken[-2]["rev"]))
        revisions = [each["rev"] for each in receiver.taken]
        assert revisions == sorted(revisions)
        with own_store.client() as client:
            assert client.xlen(f"{{AuctionMaxPrice-{guid}}}:outbox") == 0
        assert server.metric("sse_auction_webhooks_total", result="sent") == len(expected)
    bodies = b" ".join(body for _, body in receiver.bodies)
    told = re.sub(rb"[0-9]{13}|" + guid.encode(), b"", bodies)  # moments and guids have every digit sooner or later
    assert not [secret for secret in (b"88.88", b"8888", b"99.99", b"95.55", b"9555", b"ann-the") if secret in told]
    for header, body in receiver.bodies:
        stamp, _, proof = header.removeprefix("t=").partition(",v1=")
        assert abs(int(stamp) - time.time()) < 120
        assert proof == hmac.new(WEBHOOK_SECRET.encode(), stamp.encode() + b"." + body, sha256).hexdigest()


def test_bids_are_told_only_if_wanted(own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str) -> None:
    with running_server(directory, **hooked(own_store, receiver, SSE_AUCTION_WEBHOOK_BIDS="1")) as server:
        create(server, guid)
        for number, who in enumerate(["ann", "bob"] * 10):
            assert bid(server, guid, who, f"{10 + number}.00").status_code == 201
        until(lambda: receiver.events(guid).count("bid") == 20, "each bid is told")
        prices = [each["data"]["price"] for each in receiver.taken if each["event"] == "bid"]
        assert prices == [f"{10 + number}.00" for number in range(20)]


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_is_not_taken_is_tried_again_and_holds_back_what_follows(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str, status: int
) -> None:
    receiver.status = status
    with running_server(directory, **hooked(own_store, receiver)) as server:
        create(server, guid)
        done(act(server, guid, "pause"))
        done(act(server, guid, "cancel"))
        until(lambda: receiver.refused >= 2, "it is tried again")
        receiver.status = 204
        until(lambda: receiver.events(guid) == ["opened", "pause", "cancel", "closed"] or
              receiver.events(guid) == ["pause", "cancel", "closed"], "all of it is told")  # fmt: skip
        assert server.metric("sse_auction_webhooks_total", result="failed") >= 2


def test_what_was_decided_before_a_crash_is_told_after_it(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    receiver.status = 503
    (directory / "first").mkdir()
    server = server_process(directory / "first", **hooked(own_store, receiver))
    server.start()
    create(server, guid)
    done(act(server, guid, "pause"))
    done(act(server, guid, "close"))
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    with own_store.client() as client:
        client.delete("sse-auction:outboxes")  # as if it had died before it could say that there is something
    receiver.status = 204
    with running_server(directory, **hooked(own_store, receiver)):
        until(lambda: receiver.once(guid)[-3:] == ["pause", "close", "closed"], "all of it is told")


def test_two_processes_tell_it_in_order_too(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    receiver.delay_seconds = 0.01
    settings = hooked(own_store, receiver, SSE_AUCTION_WEBHOOK_BIDS="1")
    with running_server(directory, **settings) as one, running_server(directory, **settings) as other:
        create(one, guid)
        for number in range(30):
            server: Server = (one, other)[number % 2]
            assert bid(server, guid, f"b{number % 3}", f"{10 + number}.00").status_code == 201
        until(lambda: receiver.once(guid).count("bid") == 30, "each bid is told")
        prices = [float(each["data"]["price"]) for each in receiver.taken if each["event"] == "bid"]
        assert prices == sorted(prices), "in order"
        assert len(prices) == 30, "and once, as nothing went wrong"


def test_what_nobody_takes_becomes_a_dead_letter_that_can_be_sent_again(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    receiver.status = 500
    settings = hooked(own_store, receiver, SSE_AUCTION_WEBHOOK_GIVE_UP_SECONDS="1")
    with running_server(directory, **settings) as server:
        create(server, guid)
        done(act(server, guid, "pause"))
        until(lambda: server.metric("sse_auction_webhooks_total", result="dead") >= 2, "both are given up")
        letters = [json.loads(line) for line in run_command("webhooks", REDIS_URL=own_store.url).stdout.splitlines()]
        assert sorted((each["guid"], each["event"]) for each in letters) == [(guid, "opened"), (guid, "pause")]
        receiver.status = 204
        assert run_command("webhooks", "--retry", guid, REDIS_URL=own_store.url).stdout == ""
        again = [each["event"] for each in letters]
        until(lambda: receiver.events(guid) == again, "they are told after all")
        assert "has no dead letters" in refusal(run_command("webhooks", "--retry", "x", REDIS_URL=own_store.url))


def test_nothing_is_kept_for_nobody(service: Server, valkey: StoreProcess, guid: str) -> None:
    create(service, guid)
    assert bid(service, guid, "ann", "10.00").status_code == 201
    done(act(service, guid, "close"))
    with valkey.client() as client:
        assert client.exists(f"{{AuctionMaxPrice-{guid}}}:outbox") == 0
        assert client.exists("sse-auction:outboxes") == 0
