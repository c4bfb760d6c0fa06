"""Webhooks: signed, in order, at least once, whatever happens to either side."""

import base64
import hmac
import json
import re
import signal
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from sse_auction.store import keys
from sse_auction.webhooks import standard_headers
from tests.support.auctions import act, done, edit, offer
from tests.support.commands import refusal, run_command
from tests.support.harness import Server, StoreProcess, bid, create, now_ms, running_server, server_process, until
from tests.support.receiver import WEBHOOK_SECRET, Receiver, hooked


def test_every_event_is_sent_in_order_and_signed(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    with running_server(directory, **hooked(own_store, receiver)) as server:
        create(server, guid, bidding="proxy", reserve="99.99", soft_close={"window_s": 7200, "extend_s": 7200})
        until(lambda: receiver.once(guid) == ["opened"], "the opening has arrived")
        offer(server, guid, "ann-the-bidder", max="88.88")
        done(act(server, guid, "pause"))
        done(act(server, guid, "resume"))
        done(edit(server, guid, title="Vase", reserve="95.55"))
        done(act(server, guid, "extend", closes_at=now_ms() + 10**8))
        done(act(server, guid, "void", bidder="ann-the-bidder"))
        done(act(server, guid, "close"))
        expected = ["opened", "extended", "pause", "resume", "edit", "extend", "voided", "close", "closed"]
        until(lambda: receiver.once(guid) == expected, "all messages have arrived")
        messages = receiver.messages(guid)
        assert (messages[-1]["data"]["outcome"], messages[-1]["rev"]) == ("no_bids", messages[-2]["rev"])
        revisions = [each["rev"] for each in messages]
        assert revisions == sorted(revisions)
        with own_store.client() as client:
            until(lambda: client.xlen(keys.outbox(guid)) == 0, "it leaves the outbox when it has been sent")
        until(lambda: server.metric("sse_auction_webhooks_total", result="sent") >= len(expected), "the metric follows")
    bodies = b" ".join(body for _, body in receiver.bodies)
    sent = re.sub(rb"[0-9]{13}|" + guid.encode(), b"", bodies)  # moments and guids have every digit sooner or later
    assert not [secret for secret in (b"88.88", b"8888", b"99.99", b"95.55", b"9555", b"ann-the") if secret in sent]
    for header, body in receiver.bodies:
        stamp, _, proof = header.removeprefix("t=").partition(",v1=")
        assert abs(int(stamp) - time.time()) < 120
        assert proof == hmac.new(WEBHOOK_SECRET.encode(), stamp.encode() + b"." + body, sha256).hexdigest()


def test_bids_are_sent_only_if_the_settings_say_so(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    with running_server(directory, **hooked(own_store, receiver, SSE_AUCTION_WEBHOOK_BIDS="1")) as server:
        create(server, guid)
        for number, who in enumerate(["ann", "bob"] * 10):
            assert bid(server, guid, who, f"{10 + number}.00").status_code == 201
        until(lambda: receiver.once(guid).count("bid") == 20, "each bid has arrived")
        prices = [each["data"]["price"] for each in receiver.messages(guid) if each["event"] == "bid"]
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
        until(lambda: receiver.once(guid) == ["opened", "pause", "cancel", "closed"], "all messages have arrived")
        assert server.metric("sse_auction_webhooks_total", result="failed") >= 2


def test_what_was_decided_before_a_crash_is_sent_after_it(
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
        client.delete("sse-auction:outboxes")  # as if it had died before it could announce the message
    receiver.status = 204
    with running_server(directory, **hooked(own_store, receiver)):
        until(lambda: receiver.once(guid) == ["opened", "pause", "close", "closed"], "all messages have arrived")


def test_two_processes_send_in_order_too(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    receiver.delay_seconds = 0.01
    settings = hooked(own_store, receiver, SSE_AUCTION_WEBHOOK_BIDS="1")
    with running_server(directory, **settings) as one, running_server(directory, **settings) as other:
        create(one, guid)
        for number in range(30):
            server: Server = (one, other)[number % 2]
            assert bid(server, guid, f"b{number % 3}", f"{10 + number}.00").status_code == 201
        until(lambda: receiver.once(guid).count("bid") == 30, "each bid has arrived")
        prices = [each["data"]["price"] for each in receiver.messages(guid) if each["event"] == "bid"]
        assert prices == [f"{10 + number}.00" for number in range(30)]


def test_when_the_sender_is_killed_another_continues(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    receiver.delay_seconds = 0.05  # it is killed in the middle of its work
    settings = hooked(own_store, receiver, SSE_AUCTION_WEBHOOK_BIDS="1")
    servers = []
    for number in range(2):
        (directory / str(number)).mkdir()
        servers.append(server_process(directory / str(number), **settings))
        servers[-1].start()
    try:
        lots = [f"{guid[:8]}-{number}" for number in range(20)]
        for lot in lots:
            create(servers[0], lot)
            for number in range(5):
                assert bid(servers[1], lot, f"b{number % 2}", f"{10 + number}.00").status_code == 201
            done(act(servers[0], lot, "close"))
        sent = until(
            lambda: [each.metric("sse_auction_webhooks_total", result="sent") for each in servers], "one sends"
        )
        sender, other = (servers, servers[::-1])[sent[1] > sent[0]]
        sender.stop(signal.SIGKILL)
        expected = ["opened", *["bid"] * 5, "close", "closed"]
        until(lambda: all(receiver.once(lot) == expected for lot in lots), "all messages have arrived")
        assert other.metric("sse_auction_webhooks_total", result="sent") > 0
    finally:
        for each in servers:
            if each.process is not None:
                each.stop()
    with own_store.client() as client:
        assert client.exists("sse-auction:sender") == 0, "a sender that stops cleanly releases its lease at once"


def test_lots_that_close_together_are_each_reported_once(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    settings = hooked(own_store, receiver, WEB_CONCURRENCY="2")
    with running_server(directory, **settings) as server:
        lots = [f"{guid[:8]}-{number}" for number in range(80)]
        for lot in lots:
            create(server, lot)
        with own_store.client() as client:
            for lot in lots:
                client.hset(keys.auction(lot), "closes_at", now_ms())
            client.zadd(keys.DUE, dict.fromkeys(lots, now_ms()))
        until(lambda: all(receiver.once(lot) == ["opened", "closed"] for lot in lots), "all messages have arrived")
        with own_store.client() as client:
            until(lambda: client.exists("sse-auction:outboxes") == 0, "nothing waits")
            assert not any(client.xlen(keys.outbox(lot)) for lot in lots)


def dead_letters(store: StoreProcess, guid: str) -> list[dict[str, Any]]:
    """What `sse-auction webhooks` lists of an auction."""
    listed = [json.loads(line) for line in run_command("webhooks", REDIS_URL=store.url).stdout.splitlines()]
    return [letter for letter in listed if letter["guid"] == guid]


def test_a_message_that_is_never_accepted_becomes_a_dead_letter_that_can_be_sent_again(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    receiver.status = 500
    settings = hooked(own_store, receiver, SSE_AUCTION_WEBHOOK_GIVE_UP_SECONDS="1")
    with running_server(directory, **settings) as server:
        create(server, guid)
        done(act(server, guid, "pause"))
        with own_store.client() as client:
            until(lambda: client.xlen(keys.dead(guid)) == 2, "both are given up")
        until(lambda: server.metric("sse_auction_webhooks_total", result="dead") >= 2, "the metric follows")
        letters = dead_letters(own_store, guid)
        assert [each["event"] for each in letters] == ["opened", "pause"]
        receiver.status = 204
        run_command("webhooks", "--retry", guid, REDIS_URL=own_store.url)
        assert dead_letters(own_store, guid) == []
        again = [each["event"] for each in letters]
        until(lambda: receiver.once(guid) == again, "they arrive after all")
        assert "has no dead letters" in refusal(run_command("webhooks", "--retry", "x", REDIS_URL=own_store.url))


def test_a_message_that_is_always_refused_stops_no_other(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    receiver.refuses = "pause"
    settings = hooked(own_store, receiver, SSE_AUCTION_WEBHOOK_GIVE_UP_SECONDS="1")
    with running_server(directory, **settings) as server:
        create(server, guid)
        for kind in ("pause", "resume", "close"):
            done(act(server, guid, kind))
        until(lambda: receiver.once(guid) == ["opened", "resume", "close", "closed"], "the others arrive")
    (letter,) = dead_letters(own_store, guid)
    assert letter["event"] == "pause"
    assert letter["data"]["leader"] is None


def receivers_example() -> Callable[[str, str, bytes], bool]:
    """The function that the reference shows for receivers."""
    page = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page.partition("## Webhooks")[2].partition("\n## ")[0], re.DOTALL)
    defined: dict[str, Any] = {}
    exec(example, defined)
    is_genuine: Callable[[str, str, bytes], bool] = defined["is_genuine"]
    return is_genuine


def test_while_the_secret_is_exchanged_a_receiver_with_either_can_check(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    is_genuine = receivers_example()
    new = WEBHOOK_SECRET[::-1]
    settings = hooked(own_store, receiver, SSE_AUCTION_WEBHOOK_SECRET=f"{new}, {WEBHOOK_SECRET}")
    with running_server(directory, **settings) as server:
        create(server, guid)
        until(lambda: receiver.bodies, "the opening has arrived")
    header, body = receiver.bodies[0]
    assert is_genuine(new, header, body)
    assert is_genuine(WEBHOOK_SECRET, header, body)
    assert not is_genuine("another secret of thirty-two bytes or more", header, body)
    assert not is_genuine(new, header, body + b" ")
    stamp = header.partition(",")[0].removeprefix("t=")
    assert not is_genuine(new, header.replace(stamp, str(int(stamp) - 1)), body), "its moment is signed too"
    old = str(int(stamp) - 3600)
    proof = hmac.new(new.encode(), f"{old}.".encode() + body, sha256).hexdigest()
    assert not is_genuine(new, f"t={old},v1={proof}", body), "a recorded message of an hour ago"


TEXT_SECRET = "ein Geheimnis mit Umlauten, \u00e4\u00f6\u00fc, und 32 Bytes"
STANDARD_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BROKEN_SECRET = "whsec_this is no base64, and still a secret"
# The secret for the library of Standard Webhooks, and the key for a check by hand.
STANDARD_KEYS: dict[str, tuple[str | bytes, bytes]] = {
    TEXT_SECRET: (TEXT_SECRET.encode(), TEXT_SECRET.encode()),
    STANDARD_SECRET: (STANDARD_SECRET, bytes(range(32))),
    BROKEN_SECRET: (BROKEN_SECRET.encode(), BROKEN_SECRET.encode()),
}


@pytest.mark.parametrize("secrets", [(STANDARD_SECRET, TEXT_SECRET), (TEXT_SECRET, BROKEN_SECRET), (STANDARD_SECRET,)])
def test_a_library_of_standard_webhooks_verifies_messages_by_each_secret(secrets: tuple[str, ...]) -> None:
    moment, body = int(time.time()), '{"title":"Stra\u00dfe \u5b89"}'.encode()
    headers = standard_headers(secrets, "lot-7/1795377806275-0", moment, body)
    for secret in secrets:
        given, key = STANDARD_KEYS[secret]
        assert Webhook(given).verify(body, headers) == json.loads(body)
        signed = f"lot-7/1795377806275-0.{moment}.".encode() + body
        by_hand = "v1," + base64.b64encode(hmac.digest(key, signed, sha256)).decode()
        assert by_hand in headers["webhook-signature"].split(" ")
    assert len(headers["webhook-signature"].split(" ")) == len(secrets)
    forged = [
        (b"another secret of thirty-two bytes or more", body, headers),
        (given, body + b" ", headers),
        (given, body, {**headers, "webhook-id": "lot-7/1795377806275-1"}),
        (given, body, {**headers, "webhook-timestamp": str(moment - 1)}),
        (given, body, standard_headers(secrets, "lot-7/1795377806275-0", moment - 3600, body)),
    ]
    for known, came, with_headers in forged:
        with pytest.raises(WebhookVerificationError):
            Webhook(known).verify(came, with_headers)


def test_what_is_sent_is_verified_by_the_library_with_the_new_and_the_old_secret(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    settings = hooked(own_store, receiver, SSE_AUCTION_WEBHOOK_SECRET=f"{STANDARD_SECRET},{WEBHOOK_SECRET}")
    with running_server(directory, **settings) as server:
        create(server, guid)
        until(lambda: receiver.bodies, "the opening has arrived")
    (header, body), headers = receiver.bodies[0], receiver.headers[0]
    for known in (STANDARD_SECRET, WEBHOOK_SECRET.encode()):
        assert Webhook(known).verify(body, headers)["event"] == "opened"
    assert headers["webhook-id"] == json.loads(body)["id"]
    assert header.startswith(f"t={headers['webhook-timestamp']},"), "both signatures are of one moment"
    is_genuine = receivers_example()
    assert is_genuine(STANDARD_SECRET, header, body)
    assert is_genuine(WEBHOOK_SECRET, header, body)


def test_without_a_receiver_nothing_is_kept(service: Server, valkey: StoreProcess, guid: str) -> None:
    create(service, guid)
    assert bid(service, guid, "ann", "10.00").status_code == 201
    done(act(service, guid, "close"))
    with valkey.client() as client:
        assert client.exists(f"{{AuctionMaxPrice-{guid}}}:outbox") == 0
        assert client.exists("sse-auction:outboxes") == 0
