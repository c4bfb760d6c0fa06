"""The scripts: every branch is executed on a real store, and each header names what its script uses."""

import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import sse_auction
from sse_auction.auction.decisions import BidAmount, OperatorAction, Refused
from sse_auction.store import auctions, keys
from sse_auction.store.connection import StoreUnavailable
from sse_auction.store.lease import Lease
from sse_auction.store.parts import Store
from sse_auction.store.scripts import Script, shared_by
from sse_auction.wire import refusals
from sse_auction.wire.replies import SoftCloseSeconds
from sse_auction.wire.requests import BandRequest, BuyNowRequest, CreateRequest, new_auction
from tests.support.connections import connected_store
from tests.support.harness import StoreProcess, now_ms

LUA = Path(sse_auction.__file__).parent / "store" / "lua"
PARTS = ("common", "recount", "lease", "ack", "decide")  # that decide nothing by themselves
NAMES = sorted(path.stem for path in LUA.glob("*.lua") if path.stem not in PARTS)  # those that decide
COUNTER = "the-branches-that-were-executed"


# --- branches ------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"--[^\n]*|'(?:\\.|[^'\\])*'|\b(?:if|elseif|then|else|end|function|for|while|repeat|until|do|and|or)\b|\n"
)


def instrumented(source: str, name: str) -> tuple[str, dict[str, str]]:
    """The script with a counter at the start of every block, and an `else` where an `if` has none.

    Returns it and the branches: id and the line at which each begins.
    """
    out: list[str] = []
    branches: dict[str, str] = {}
    blocks: list[str] = []  # of what is open: 'if', 'if with else', 'function', 'for', 'repeat'
    line, at = 1, 0
    lines = source.split("\n")

    def count(kind: str) -> str:
        branch = f"{name}:{line}:{kind}:{len(branches)}"
        branches[branch] = f"{name}.lua {kind} at: {lines[line - 1].strip()}"
        return f" redis.call('HINCRBY', '{COUNTER}', '{branch}', 1) "

    for match in _TOKEN.finditer(source):
        out.append(source[at : match.start()])
        at = match.end()
        word = match.group()
        if word == "\n":
            line += 1
        if word == "if" or word == "repeat":
            blocks.append(word)
        elif word in ("for", "while"):
            blocks.append("for")
        elif word == "function":
            blocks.append("function")
        if word == "else":
            blocks[-1] = "if with else"
            out.append(word + count("else"))
        elif word == "then":
            out.append(word + count("then"))
        elif word in ("do", "repeat"):
            out.append(word + count("loop"))
        elif word == "end":
            if blocks.pop() == "if":
                out.append(" else" + count("no else") + "end")
            else:
                out.append(word)
        elif word == "until":
            blocks.pop()
            out.append(word)
        elif not word.startswith("--"):
            out.append(word)
    out.append(source[at:])
    return "".join(out), branches


VERDICTS = {"delete": (b"deleted",), "erase": (b"erased", b"changed")}


class Counted(Script):
    """A script that counts its branches, in a database without other keys."""

    branches: dict[str, str]

    def __init__(self, name: str) -> None:
        super().__init__(name, verdicts=VERDICTS.get(name, ()))
        self.branches = {}
        head, rest = self.source.split("\n", 1)
        parts = []
        for part in (*shared_by(name), name):
            text = (LUA / f"{part}.lua").read_text()
            assert rest.startswith(text)
            rest = rest.removeprefix(text).removeprefix("\n")
            instrumented_text, branches = instrumented(text, part)
            parts.append(instrumented_text)
            self.branches |= branches
        self.source = "\n".join([head, *parts])
        self.sha = "0" * 40  # never in the store's cache: always sent as a whole


def _place_of(store: Store, name: str) -> tuple[object, str]:
    """The object that runs a script, and its attribute."""
    elsewhere: dict[str, tuple[object, str]] = {
        "settle": (store.settlement, "_script"),
        "next_due": (store.settlement, "_next_due_script"),
        "delete": (store.deletion, "script"),
        "erase": (store.erasure, "script"),
    }
    return elsewhere.get(name, (store.auctions, f"_{name}_script"))


@pytest.fixture
async def counted(own_store: StoreProcess) -> AsyncIterator[tuple[Store, StoreProcess]]:
    async with connected_store(own_store.url, "USD") as made:
        for name in NAMES:
            setattr(*_place_of(made, name), Counted(name))
        made.connection._outbox = "events"
        yield made, own_store


async def test_every_branch_of_every_script_is_executed(counted: tuple[Store, StoreProcess]) -> None:
    made, process = counted
    await Walk(made, process).through_everything()
    with process.client() as client:
        executed = set(client.hkeys(COUNTER))
    all_of_them: dict[str, str] = {}
    for name in NAMES:
        all_of_them |= getattr(*_place_of(made, name)).branches
    assert len(all_of_them) > 100
    missing = sorted(all_of_them[branch] for branch in all_of_them.keys() - executed)
    assert missing == []


class Walk:
    """Commands of every kind, enough to execute every branch; other tests check their results."""

    def __init__(self, made: Store, process: StoreProcess) -> None:
        self._store = made
        self._process = process
        self._number = 0
        self._deletion, self._erasure = made.deletion, made.erasure
        self._guid = ""
        self._currency = "USD"

    async def create(self, **terms: Any) -> str:
        self._number += 1
        self._guid = terms.pop("guid", f"a{self._number}")
        batch = terms.pop("batch", "")
        once = {"idempotency_key": terms.pop("key", None), "request": terms.pop("request", "")}
        usual = {"title": "x", "start_price": "10", "closes_at": now_ms() + 3_600_000, "currency": "USD"}
        new = new_auction(CreateRequest(**{**usual, **terms}), self._guid, "USD")
        self._currency = new.currency
        await self._store.auctions.create(new, "me", batch=batch, **once)
        return self._guid

    async def bid(self, bidder: str, amount: int | None, kind: Any = "price", **options: Any) -> None:
        options.setdefault("confirmed", True)
        with suppress(StoreUnavailable):  # too late, damaged, another currency: what a script replied is an answer
            await self._store.auctions.bid(self._guid, bidder, BidAmount(kind, amount), self._currency, **options)

    async def act(self, kind: Any, **details: Any) -> None:
        with suppress(StoreUnavailable):  # as above
            await self._store.auctions.act(self._guid, OperatorAction(kind, **details), "me", "because")

    def poke(self, **fields: str) -> None:
        with self._process.client() as client:
            client.hset(f"{{AuctionMaxPrice-{self._guid}}}:auction", mapping=fields)

    def forget(self, field: str) -> None:
        """As in an auction of an older release."""
        with self._process.client() as client:
            assert client.hdel(f"{{AuctionMaxPrice-{self._guid}}}:private", field)

    def set_price(self, text: str | None) -> None:
        with self._process.client() as client:
            if text is None:
                client.delete(f"AuctionMaxPrice-{self._guid}")
            else:
                client.set(f"AuctionMaxPrice-{self._guid}", text)

    async def through_everything(self) -> None:
        await self.creating()
        await self.bidding()
        await self.proxies()
        await self.acting()
        await self.correcting()
        await self.settling()
        await self.removing()

    async def creating(self) -> None:
        guid = await self.create(seller="sam", reserve="80", priority=["pia"])
        await self.create(guid=guid)
        await self.create(closes_at=5)
        for batch in ("b", "b", "another"):
            await self.create(guid="many", batch=batch, closes_at=5)
        with self._process.client() as client:
            client.set("{AuctionMaxPrice-held}:held", "b")
        await self.create(guid="held")
        for request in ("one", "one", "another"):
            await self.create(guid="once", key="k", request=request)
        await self.create(opens_at=now_ms() + 10**6)
        await self.bid("ann", 1000)
        await self.act("close")

    async def bidding(self) -> None:
        self._guid = "nowhere"
        await self.bid("ann", 1000)
        await self.create()
        self._store.connection.timeout = -10.0
        await self.bid("ann", 1000)
        await self.act("pause")
        self._store.connection.timeout = 10.0
        self._currency = "EUR"
        await self.bid("ann", 1000)
        self._currency = "USD"
        for key, amount in (("k", 1000), ("k", 1000), ("k", 2000), (None, 1500)):
            await self.bid("ann", amount, idempotency_key=key)
        await self.bid("bob", 1100, idempotency_key="other")
        await self.bid("cat", 10, confirmed=False)
        await self.bid("cat", 10**9, confirmed=False)
        await self.bid("cat", 2000, "max")
        await self.bid("cat", None, "buy_now")
        for damage in ("rubbish", "1.2345", "99999999999999999", None):
            self.set_price(damage)
            await self.bid("cat", 9000)
            await self.act("pause")
        with self._process.client() as client:
            client.rpush(f"AuctionMaxPrice-{self._guid}", "x")
        await self.bid("cat", 9000)
        await self.create(aligned=True, increments="ten-percent")
        await self.bid("ann", 1050)
        await self.bid("ann", 1000)
        await self.bid("bob", 1101)
        await self.create(currency="JPY", increments=[BandRequest("0", "1"), BandRequest("5000", "100")])
        await self.bid("ann", 10)
        await self.bid("bob", 11)
        modes: list[tuple[Any, int]] = [("ceiling", 40000), ("ceiling", 1500), ("until_first_bid", 40000)]
        for mode, amount in modes:
            await self.create(buy_now=BuyNowRequest("300", mode))
            await self.bid("ann", amount)
            await self.bid("bob", None, "buy_now")
        await self.create(buy_now=BuyNowRequest("300"))
        await self.bid("ann", None, "buy_now")
        limits: list[dict[str, Any]] = [
            {},
            {"hard_close_at": now_ms() + 3_600_500},
            {"max_extensions": 0},
            {"max_extensions": 5},
        ]
        for terms in limits:  # one of them has its hard close half a second after its closing
            await self.create(soft_close=SoftCloseSeconds(7200, 7200), **terms)
            await self.bid("ann", 1000)
        await self.create(soft_close=SoftCloseSeconds(60, 60))
        await self.bid("ann", 1000)
        self.poke(seq="", acts="")  # as in an auction of an older release

    async def proxies(self) -> None:
        await self.create(bidding="proxy", seller="sam", reserve="80", priority=["pia"])
        await self.bid("sam", 1000)
        for bidder, amount in (("ann", 5000), ("bob", 2000), ("bob", 5000), ("ann", 5000), ("ann", 6000), ("pia", 6000),
                               ("ann", 6000), ("pia", 9000), ("ann", 9000), ("cat", 20000)):  # fmt: skip
            await self.bid(bidder, amount, "max")
        self.forget("leader_seq")
        await self.bid("cat", 21000, "max")
        await self.act("void", bidder="cat")
        await self.bid("cat", 30000, "max")

    async def acting(self) -> None:
        for kind in ("resume", "pause", "pause"):
            await self.act(kind)
        await self.bid("ann", 99000)
        await self.act("extend", closes_at=now_ms() + 8_000_000)
        await self.act("extend", closes_at=5)
        await self.act("resume")
        await self.act("void", bidder="nobody")
        await self.act("void", paddle=99)
        await self.act("edit", title="y", reserve=7000)
        await self.act("edit", title="z")
        await self.act("edit", title="z")
        await self.act("edit", reserve=9_000_000)
        await self.act("edit", reserve=None, closes_at=now_ms() + 9_000_000)
        await self.act("void", paddle=1)
        await self.create(hard_close_at=now_ms() + 3_700_000, bidding="proxy")
        await self.act("edit", reserve=5000)
        await self.act("pause")
        await self.act("resume")
        await self.act("extend", closes_at=now_ms() + 3_650_000)
        await self.act("extend", closes_at=now_ms() + 8_000_000)
        await self.bid("ann", 2000)
        await self.act("void", paddle=1)
        await self.act("cancel")
        await self.act("cancel")
        self._guid = "nowhere"
        self._store.auctions._currencies["nowhere"] = "USD"
        await self.act("close")
        await self.create()
        self._store.auctions._currencies[self._guid] = "EUR"
        await self.act("close")
        await self.create(increments="flat:0.01")
        for number in range(1100):
            await self.bid(f"b{number % 3}", 1000 + number)
        self._store.connection._outbox = "bids"
        await self.bid("ann", 9000)
        self._store.connection._outbox = ""
        await self.bid("bob", 10000)
        self._store.connection._outbox = "events"
        await self.act("void", bidder="b1")

    async def correcting(self) -> None:
        """Commands after the hammer."""
        for guid, currency in (("nowhere", "USD"), (await self.create(), "EUR")):
            self._guid = guid
            for act in (OperatorAction("archive"), OperatorAction("void", paddle=1)):
                self._store.auctions._currencies[guid] = currency
                await self.act(act.kind, paddle=act.paddle)
        later = {"closes_at": now_ms() + 8_000_000}
        await self.create(bidding="proxy", reserve="15", hard_close_at=now_ms() + 3_600_500)
        await self.act("archive")
        for bidder, amount in (("ann", 5000), ("bob", 2000), ("bob", 6000), ("cat", 5500), ("dan", 5800)):
            await self.bid(bidder, amount, "max")
        self.poke(closes_at=str(now_ms() - 5))
        await self.act("void", bidder="dan")
        for kind in ("archive", "archive", "unarchive", "unpaid", "unpaid", "paid", "paid"):
            await self.act(kind)
        for paddle in (2, 9, None, None, 2, 3):
            await self.act("second_offer", paddle=paddle)
        await self.act("void", bidder="ann")
        await self.act("second_offer")
        self.set_price("rubbish")
        for kind in ("paid", "void"):
            await self.act(kind, paddle=3)
        self.set_price("55.00")
        await self.act("reopen", closes_at=5)
        await self.act("reopen", **later)
        await self.bid("bob", 7000, "max")
        await self.act("close")
        await self.act("void", bidder="bob")
        await self.act("reopen", **later)
        self.poke(closes_at=str(now_ms() - 24 * 3_600_000))
        await self.act("reopen", **later)
        await self.create(buy_now=BuyNowRequest("300", "ceiling"), reserve="20")
        await self.act("cancel")
        await self.act("second_offer")
        await self.act("reopen", **later)
        for bidder, amount in (("ann", 1000), ("bob", 2500), ("cat", 40000)):
            await self.bid(bidder, amount)
        await self.act("void", bidder="ann")
        await self.act("second_offer")
        await self.act("reopen", **later)
        await self.bid("dan", 2600)
        await self.bid("cat", 40000)
        await self.act("second_offer", paddle=4)
        await self.act("void", bidder="cat")
        await self.act("void", bidder="bob")
        await self.create(reserve="20")
        await self.bid("ann", 1500)
        await self.bid("bob", 2500)
        await self.act("close")
        await self.act("second_offer")
        await self.act("void", bidder="bob")
        await self.act("second_offer")
        await self.create()
        await self.bid("ann", 1500)
        await self.act("cancel")
        await self.act("void", bidder="ann")

    async def removing(self) -> None:
        """Deletion and erasure, in any order with other commands."""
        await self.create(seller="ugo", priority=["una"])
        await self.bid("ida", 1000)
        guid = self._guid
        await self._deletion.delete(guid, "me", "because")
        marks = ["", "", "", "000"]
        for verdict, details in (
            ("not_closed", marks), ("changed", marks), ("changed", ["3-3 4", " 0", " 0", "100"]),
        ):  # fmt: skip
            found = await self._store.auctions.decide(
                self._erasure.script, guid, "USD", ["me", "because", "ida", "x", "", "[]", *details],
                keys.dead(guid), *(f"{{AuctionMaxPrice-{guid}}}:copy-{number}" for number in range(3)),
            )  # fmt: skip
            assert (found.reason if isinstance(found, Refused) else found) == verdict
            await self.act("close")
        for bidder in ("ida", "ugo"):
            assert (await self._erasure.erase(bidder, "me", "because")).auctions == 1
        await self._deletion.delete(guid, "me", "because")
        with self._process.client() as client:
            client.xadd(keys.outbox(guid), {"event": "won", "at": "1", "rev": "1", "bidder": "dora"})
            client.sadd(keys.OUTBOXES, guid)
        assert (await self._erasure.erase("dora", "me", "because")).auctions == 1
        await self.create()
        with suppress(StoreUnavailable):
            await self._store.auctions.decide(
                self._deletion.script, self._guid, "EUR", ["me", "x"], keys.dead(self._guid)
            )
        with suppress(StoreUnavailable):
            await self._store.auctions.decide(
                self._erasure.script, self._guid, "EUR", ["me", "because", "ida", "x", "", "[]", *marks],
                *(keys.dead(self._guid) for _ in range(4)),
            )  # fmt: skip

    async def settling(self) -> None:
        endings: list[tuple[dict[str, Any], list[int]]] = [({}, []), ({}, [1000]), ({"reserve": "50"}, [1000])]
        for terms, bids in endings:
            await self.create(**terms)
            for amount in bids:
                await self.bid("ann", amount)
            await self._store.settlement.settle(self._guid)
            await self._store.settlement.settle(self._guid)
            self.poke(closes_at=str(now_ms() - 5))
            await self._store.settlement.settle(self._guid)
            await self._store.settlement.settle(self._guid)
            await self.act("close")
        since = now_ms()
        await self._store.connection.link().call("ZADD", keys.DUE, since, self._guid)
        await self._store.settlement._settle_all({self._guid: since - 1})  # it has become due again
        await self._store.settlement.settle(self._guid)
        await self.create(opens_at=now_ms() + 10**6)
        await self._store.settlement.settle(self._guid)
        self._store.connection._outbox = ""
        await self.create()
        await self._store.settlement.settle(self._guid)
        self._store.auctions._currencies["gone"] = "USD"
        await self._store.settlement.settle("gone")


async def test_a_lease_has_one_holder_at_a_time(counted: tuple[Store, StoreProcess]) -> None:
    made, process = counted
    lease = Lease(made.connection, "a-lease")
    assert not await lease.release("ann"), "it has no holder"
    assert await lease.hold("ann", 60)
    assert not await lease.hold("bob", 60)
    assert not await lease.release("bob"), "only the holder can release it"
    assert await lease.hold("ann", 30), "the holder may extend it"
    with process.client() as client:
        assert 0 < client.pttl("a-lease") <= 30_000
    assert await lease.release("ann")
    assert await lease.hold("bob", 0.05)
    while not await lease.hold("ann", 60):
        pass  # until its time is up


# --- headers -------------------------------------------------------------------------------------------------------


def described(text: str, kind: str) -> set[int]:
    """The numbers that a header's KEYS or ARGV lines describe; `11..` is 11 alone."""
    header = "\n".join(line for line in text.split("\n") if line.startswith("--"))
    found = re.search(rf"^-- {kind}\b(.*?)(?=^-- [A-Z]|\Z)", header, re.DOTALL | re.MULTILINE)
    return (
        {int(number) for number in re.findall(r"(?<![\w.'-])(\d{1,2})(?=\.\.|  ?[a-z'])", found[1])} if found else set()
    )


def used(text: str, kind: str) -> set[int]:
    code = re.sub(r"--[^\n]*", "", text)
    return {int(number) for number in re.findall(rf"{kind}\[(\d+)\]", code)}


@pytest.mark.parametrize("name", ["common", "lease", "ack", "decide", *NAMES])
def test_a_header_describes_what_its_script_uses(name: str) -> None:
    text = (LUA / f"{name}.lua").read_text()
    keys, arguments = used(text, "KEYS"), used(text, "ARGV")
    if name == "common":
        assert "unpack(KEYS)" in text
        assert described(text, "KEYS") == set(range(1, 8))
        assert described(text, "ARGV") == arguments | {2, 3} == {1, 2, 3, 4}
        return
    assert keys == described(text, "KEYS")
    if name in ("lease", "ack", "decide"):
        assert arguments == described(text, "ARGV")
        return
    assert arguments - {1, 2, 3, 4} <= described(text, "ARGV")
    assert described(text, "ARGV") - arguments <= {14}, "from 14 on a loop takes them"


def verdicts_of(name: str) -> set[str]:
    code = re.sub(r"--[^\n]*", "", (LUA / f"{name}.lua").read_text())
    return set(re.findall(r"(?:answer\(|reply_of\(|return \{)'(\w+)'", code))


@pytest.mark.parametrize("name", ["bid", "act", "void", "correct"])
def test_every_verdict_is_in_its_header_and_has_a_sentence(name: str) -> None:
    text = (LUA / f"{name}.lua").read_text()
    header = text.partition("\nlocal ")[0]
    verdicts = verdicts_of(name) | verdicts_of("common")
    if "remembered(" not in text:
        verdicts.remove("key_reused")
    for verdict in verdicts:
        assert re.search(rf"\b{verdict}\b", header), verdict
    alone = {"accepted", "done", "late", "currency", "damaged"}
    assert verdicts - alone <= {reason.decode() for reason in auctions._REFUSALS}
    assert verdicts - alone <= set(refusals._TEXTS)


def test_every_refusal_comes_from_a_script() -> None:
    replied = set().union(*(verdicts_of(name) for name in ("common", "bid", "act", "void", "correct")))
    assert {reason.decode() for reason in auctions._REFUSALS} - replied == {"external"}, (
        "an external auction has no script"
    )
