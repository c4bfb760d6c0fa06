"""Seeded random commands to a real server, each compared with the model of docs/rules.md.

`SECOND_MODEL_COMMANDS` is the number of commands, `SECOND_MODEL_SEED` the seed of the first auction.
"""

import os
import random
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.harness import OPERATOR, SECRET, StoreProcess, bidder, now_ms, running_server
from tests.support.second_rules_model import LARGEST, Command, Decision, Model, Terms, refused

COMMANDS = int(os.environ.get("SECOND_MODEL_COMMANDS", "2000"))
SEED = int(os.environ.get("SECOND_MODEL_SEED", "1"))
VERIFIED_AUCTIONS = 4  # how many auctions of a run are verified by the command, which takes a while

BIDDERS = ["ann", "bob", "carl", "dave"]
SELLER = "sel"
HEADERS = {who: bidder(who) for who in [*BIDDERS, SELLER]}
STRANGER = bidder("eve", auctions=["another"])
DIGITS = {"USD": 2, "JPY": 0, "BHD": 3}
EBAY = [(0, 5), (100, 25), (500, 50), (2500, 100), (10000, 250), (25000, 500), (50000, 1000), (100000, 2500)]
EBAY += [(250000, 5000), (500000, 10000)]
YAHOO = [(0, 10), (1000, 100), (5000, 250), (10000, 500), (50000, 1000)]
BEFORE_HAMMER = ["close", "cancel", "extend", "pause", "resume", "edit", "void"]
AFTER_HAMMER = ["reopen", "second-offer", "unpaid", "paid", "archive", "unarchive", "void"]


class Mismatch(AssertionError):
    pass


@dataclass
class Lot:
    """One auction at the server and in the model."""

    seed: int
    client: httpx.Client
    guid: str = field(default_factory=lambda: str(uuid.uuid4()))
    commands: list[str] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[Command, Any]] = field(default_factory=dict)
    used_keys: list[tuple[str, str, Command]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.currency = self.chance.choice(["USD", "USD", "JPY", "BHD"])
        self.create()

    # --- amounts ---------------------------------------------------------------------------------------------------

    def text(self, amount: int) -> str:
        digits = DIGITS[self.currency]
        return f"{Decimal(amount).scaleb(-digits):.{digits}f}"

    def minor(self, text: str | None) -> int | None:
        return None if text is None else int(Decimal(text).scaleb(DIGITS[self.currency]))

    # --- terms -----------------------------------------------------------------------------------------------------

    def create(self) -> None:
        chance = self.chance
        start = chance.choice([1, 7, 95, 100, 1000, 2450, 9900])
        increments, request = self.increments()
        now = now_ms()
        opens = chance.choice([None, None, None, None, now + 60, now + 600])
        closes = now + chance.choice([200, 500, 30_000, 60_000, 3_600_000, 3_600_000])
        if opens is not None:
            closes = max(closes, opens + 300)
        terms = Terms(start, increments, opens or 0, closes, f"Lot {self.seed}")
        terms.bidding = chance.choice(["manual", "proxy", "proxy"])
        terms.aligned = chance.random() < 0.3
        terms.priority = frozenset(chance.sample(BIDDERS, chance.choice([0, 0, 1, 2])))
        terms.seller = chance.choice([None, SELLER])
        if chance.random() < 0.5:
            terms.reserve = start + chance.randrange(1, 12) * terms.step(start)
        if chance.random() < 0.5:
            price = max(start + chance.randrange(1, 25) * terms.step(start) + chance.randrange(3), terms.reserve or 0)
            terms.buy_now = (price, chance.choice(["ceiling", "until_first_bid"]))
        if chance.random() < 0.7:
            terms.soft_close = (chance.choice([1, 30, 40, 120, 300]) * 1000, chance.choice([1, 30, 120, 300]) * 1000)
            terms.hard_close_at = chance.choice([None, closes, closes + 20_000, closes + 200_000])
            terms.max_extensions = chance.choice([None, None, 0, 1, 3])
        body = {
            "guid": self.guid, "title": terms.title, "start_price": self.text(start), "closes_at": closes,
            "currency": self.currency, "increments": request, "bidding": terms.bidding, "aligned": terms.aligned,
            "priority": sorted(terms.priority), "seller": terms.seller, "opens_at": opens,
            "reserve": terms.reserve and self.text(terms.reserve), "hard_close_at": terms.hard_close_at,
            "max_extensions": terms.max_extensions,
            "buy_now": terms.buy_now and {"price": self.text(terms.buy_now[0]), "mode": terms.buy_now[1]},
            "soft_close": terms.soft_close
            and {"window_s": terms.soft_close[0] // 1000, "extend_s": terms.soft_close[1] // 1000},
        }  # fmt: skip
        self.asked = body
        reply = self.client.post("/auctions", json=body, headers=OPERATOR)
        assert reply.status_code == 201, (self.seed, body, reply.text)
        terms.opens_at = opens or reply.json()["state"]["opens_at"]
        self.model = Model(terms)
        self.last_now: int = reply.json()["state"]["now"]
        self.compare_state(reply.json())

    def increments(self) -> tuple[list[tuple[int, int]] | None, Any]:
        kind = self.chance.choice(["ebay", "yahoo", "ten", "flat", "table"])
        if kind == "ebay" and self.currency == "USD":
            return EBAY, "ebay-us"
        if kind == "yahoo" and self.currency == "JPY":
            return YAHOO, "yahoo-jp"
        if kind == "ten":
            return None, "ten-percent"
        if kind == "table":
            bands = [(0, 3), (110, 10), (1300, 25), (2500, 70)]
            return bands, [{"from": self.text(start), "step": self.text(step)} for start, step in bands]
        return [(0, 50)], f"flat:{self.text(50)}"

    # --- commands --------------------------------------------------------------------------------------------------

    def next_command(self) -> Command:
        chance = self.chance
        over = self.model.over(now_ms())
        draw = chance.random()
        if over and draw < 0.75:
            kind = chance.choice(AFTER_HAMMER)
        elif draw < 0.84 and not over:
            kind = "resume" if self.model.paused_at is not None and chance.random() < 0.4 else "bid"
        else:
            kind = chance.choice(["bid", *BEFORE_HAMMER, *AFTER_HAMMER])
            if kind in ("close", "cancel", "void") and chance.random() < 0.5:
                kind = "bid"
        return self.bid_command() if kind == "bid" else self.act_command(kind)

    def amount(self) -> int:
        chance, model = self.chance, self.model
        first, step = model.next_bid(), model.terms.step(model.base())
        near = [first, first, *model.next_bids(), model.base(), model.count.most, 100 * first]
        near += [model.base() + chance.randrange(1, 15) * step]
        near += [bid.amount for bid in model.said[-3:]]
        if model.terms.reserve:
            near.append(model.terms.reserve)
        if model.terms.buy_now and chance.random() < 0.3:
            near.append(model.terms.buy_now[0])
        near = [amount for amount in near if amount < LARGEST // 100 or amount > LARGEST]  # no lot comes near it
        off = chance.choice([0, 0, 0, 0, 0, 1, -1, chance.randrange(-step, step + 1)])
        return max(1, chance.choice(near) + off)

    def bid_command(self) -> Command:
        chance = self.chance
        who = chance.choice(BIDDERS) if chance.random() < 0.97 else SELLER
        command: Command = {"do": "bid", "who": who}
        manual = self.model.terms.bidding == "manual"
        if chance.random() < 0.04:
            command["buy_now"] = True
        else:
            command["price" if chance.random() < (0.97 if manual else 0.3) else "max"] = self.amount()
        if chance.random() < 0.05:
            command["confirm"] = True
        if self.used_keys and chance.random() < 0.06:
            who, key, before = chance.choice(self.used_keys)
            return {**(before if chance.random() < 0.7 else command), "who": who, "key": key}
        if chance.random() < 0.15:
            command["key"] = f"key-{len(self.used_keys)}"
            self.used_keys.append((who, command["key"], {k: v for k, v in command.items() if k != "key"}))
        if chance.random() < 0.01:
            command["actor"] = chance.choice(["nobody", "stranger"])
        return command

    def act_command(self, kind: str) -> Command:
        chance, model = self.chance, self.model
        command: Command = {"do": kind, "reason": chance.choice(["because", "as requested"])}
        if kind in ("extend", "reopen") or (kind == "edit" and chance.random() < 0.4):
            base = chance.choice([model.closes_at, now_ms(), max(model.closes_at, now_ms())])
            command["closes_at"] = base + chance.choice([-50, 0, 1, 300, 30_000, 100_000, 3_600_000])
        if kind == "edit":
            if "closes_at" not in command or chance.random() < 0.3:
                command["title"] = chance.choice(["A desk", "A better desk", model.terms.title])
            if chance.random() < 0.7:
                around = model.terms.reserve or model.base()
                near = [around, around + 1, around - 1, model.count.most, around // 2, model.base() + 5]
                command["reserve"] = chance.choice([None, *(max(1, each) for each in near)])
        if kind == "void":
            if chance.random() < 0.5:
                command["bidder"] = chance.choice([*BIDDERS, SELLER])
            else:
                command["paddle"] = chance.randrange(1, 6)
        if kind == "second-offer" and chance.random() < 0.5:
            command["paddle"] = chance.randrange(1, 6)
        if chance.random() < 0.01:
            command["actor"] = chance.choice(["nobody", "bidder"])
        return command

    # --- sending and comparing -------------------------------------------------------------------------------------

    def send(self, command: Command) -> httpx.Response:
        money = ("price", "max", "reserve")
        body = {
            name: self.text(value) if name in money and value is not None else value
            for name, value in command.items()
            if name not in ("do", "who", "key", "actor")
        }
        actors = {"nobody": {}, "stranger": STRANGER, "bidder": HEADERS["ann"]}
        if command["do"] == "bid":
            headers = {**actors.get(command.get("actor", ""), HEADERS[command["who"]])}
            if "key" in command:
                headers["Idempotency-Key"] = command["key"]
            return self.client.post(f"/auctions/{self.guid}/bids", json=body, headers=headers)
        headers = actors.get(command.get("actor", ""), OPERATOR)
        if command["do"] == "edit":
            return self.client.patch(f"/auctions/{self.guid}", json=body, headers=headers)
        return self.client.post(f"/auctions/{self.guid}/{command['do']}", json=body, headers=headers)

    def step(self) -> None:
        """Send one command and compare the results."""
        if self.chance.random() < 0.02 and self.model.closes_at - now_ms() < 1000:
            time.sleep(self.chance.choice([0.02, 0.1]))
        command = self.next_command()
        self.commands.append(repr(command))
        reply = self.send(command)
        body = reply.json()
        said = (reply.status_code, body.get("code"))
        self.commands[-1] += f" -> {said[0]} {said[1] or ''} {(body.get('state') or {}).get('now', '')}"
        request = {name: value for name, value in command.items() if name != "actor"}
        if not command.get("actor") and (command.get("who"), command.get("key")) in self.answers:
            self.compare_repeat(request, body, reply)
            return
        after = body if body.get("state") else self.read()
        moments = {after["state"]["now"]} if body.get("state") else {self.last_now, after["state"]["now"]}
        decisions = {self.decide(command, moment) for moment in moments}
        expected = sorted({(each[0], each[1] or "") for each in decisions})
        if (said[0], said[1] or "") not in expected:
            raise Mismatch(self.report("the verdict", said, expected))
        if said[0] < 300:
            self.accept(command, after, body)
        if "key" in command and not command.get("actor") and not self.was_closed(said, after["state"]):
            self.answers[command["who"], command["key"]] = (request, body)
        self.last_now = after["state"]["now"]
        self.compare_state(after)

    def was_closed(self, said: tuple[int, str | None], state: dict[str, Any]) -> bool:
        """Refused because of the time or a pause: not remembered."""
        return said[1] == "not_open" and (state["status"] != "open" or state["paused"])

    def decision(self, command: Command, now: int) -> Decision:
        actor = command.get("actor")
        if actor == "nobody":
            return refused("unauthorized")
        return refused("forbidden") if actor else self.model.decide(command, now)

    def decide(self, command: Command, now: int) -> tuple[int, str | None]:
        decision = self.decision(command, now)
        return decision.status, decision.code

    def accept(self, command: Command, after: dict[str, Any], body: dict[str, Any]) -> None:
        decision = self.decision(command, after["state"]["now"])
        decision.apply()
        if decision.standing is not None:
            seq, standing = decision.standing()
            expected = {"seq": seq, "standing": standing, "paddle": self.model.paddles[command["who"]]}
            self.compare("the answer", {name: body[name] for name in expected}, expected)

    def compare_repeat(self, request: Command, body: dict[str, Any], reply: httpx.Response) -> None:
        first, answer = self.answers[request["who"], request["key"]]
        if first == request:
            self.compare("the repeat", body, answer)
            self.compare("its mark", reply.headers.get("Idempotent-Replayed"), "true")
        else:
            self.compare("another request", (reply.status_code, body.get("code")), (422, "invalid"))

    def read(self) -> dict[str, Any]:
        reply: dict[str, Any] = self.client.get(f"/auctions/{self.guid}", headers=OPERATOR).json()
        return reply

    def compare_state(self, reply: dict[str, Any]) -> None:
        state = reply["state"]
        expected = self.model.state(state["now"])
        seen = {name: state[name] for name in expected}
        for name in ("price", "next_bid", "buy_now"):
            seen[name] = self.minor(seen[name])
        seen["next_bids"] = [self.minor(each) for each in seen["next_bids"]]
        self.compare("the state", seen, expected)
        if reply.get("terms"):
            expected = self.model.seen_terms()
            self.compare("the terms", {name: reply["terms"][name] for name in expected}, expected)
        if "unpaid" in reply:
            self.compare("unpaid", reply["unpaid"], self.model.unpaid)

    def compare_all(self) -> None:
        """Terms and notes, the history, and the standing of each bidder."""
        self.compare_state(self.read())
        history = self.client.get(f"/auctions/{self.guid}/bids", params={"limit": 200}).json()["bids"]
        self.compare("the history", [{**each, "price": self.minor(each["price"])} for each in history],
                     self.model.history())  # fmt: skip
        for who in BIDDERS:
            reply = self.client.get("/me/standings", params={"guid": self.guid}, headers=HEADERS[who]).json()
            seen = [(each["standing"], each["paddle"], each["reason"], each["now"]) for each in reply["standings"]]
            now = seen[0][3] if seen else 0
            standing = self.model.standing(who, now)
            expected = [(standing, self.model.paddles[who], self.model.voided.get(who), now)] if standing else []
            self.compare(f"how {who} stands", seen, expected)

    def compare(self, what: str, seen: Any, expected: Any) -> None:
        if seen != expected:
            if isinstance(seen, dict) and isinstance(expected, dict):
                differ = [name for name in seen if seen[name] != expected.get(name)]
                what += f" ({', '.join(differ)})"
            raise Mismatch(self.report(what, seen, expected))

    def report(self, what: str, seen: Any, expected: Any) -> str:
        commands = "\n  ".join(self.commands)
        return f"{what} differs\nseed {self.seed}\nterms {self.asked}\n  {commands}\nserver: {seen}\nmodel:  {expected}"


def run_lot(lot: Lot, steps: int) -> None:
    for number in range(1, steps + 1):
        lot.step()
        if number % 10 == 0 or number == steps:
            lot.compare_all()


def verify(guid: str, store: StoreProcess) -> None:
    command = [sys.executable, "-m", "sse_auction", "verify", guid]
    environment = {**os.environ, "REDIS_URL": store.url, "SSE_AUCTION_SECRET": SECRET}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (guid, done.stdout, done.stderr)


@pytest.mark.timeout(90 + COMMANDS // 20)
def test_the_service_decides_as_the_page_of_rules_says(valkey: StoreProcess, directory: Path) -> None:
    mismatches: list[str] = []
    compared, seed = 0, SEED
    with (
        running_server(directory, REDIS_URL=valkey.url) as server,
        httpx.Client(base_url=server.url, timeout=20) as client,
    ):
        while compared < COMMANDS and len(mismatches) < 5:
            steps = min(random.Random(-seed).randrange(10, 70), COMMANDS - compared)
            lot = Lot(seed, client)
            try:
                run_lot(lot, steps)
            except Mismatch as mismatch:
                mismatches.append(str(mismatch))
            if not mismatches and compared * VERIFIED_AUCTIONS % COMMANDS < steps * VERIFIED_AUCTIONS:
                verify(lot.guid, valkey)
            compared += len(lot.commands)
            seed += 1
    sys.stdout.write(f"{compared} commands compared, seeds {SEED} to {seed - 1}\n")
    sys.stdout.write("\n\n".join(mismatches))
    assert not mismatches, f"{len(mismatches)} differences, printed above"
