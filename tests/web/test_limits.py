"""Limits of requests and their error sentences are the same by HTTP, on the command line and from a file."""

import json
import os
import pwd
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.commands import refusal, run_command
from tests.support.harness import OPERATOR, Server, StoreProcess, bidder, create, now_ms
from tests.support.openapi_client import problem

LONG = "x" * 300
TERMS = {"title": "Desk", "start_price": "10.00"}
TEXTS = [
    (" ", "is blank"),
    ("\u200b\u3000", "is blank"),
    ("a\nb", "has a line break or a control character in it"),
    ("a\u2028b", "has a line break or a control character in it"),
    ("a\u0085b", "has a line break or a control character in it"),
    (LONG, "has 300 characters"),
]


def detail(reply: httpx.Response) -> str:
    assert (reply.status_code, problem(reply)["code"]) == (422, "invalid")
    said: str = problem(reply)["detail"]
    return said


def of_file(directory: Path, store: StoreProcess, terms: dict[str, Any]) -> str:
    path = directory / "lots.ndjson"
    path.write_text(json.dumps(terms))
    done = run_command("create", "--from", str(path), REDIS_URL=store.url)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()[-1].removeprefix("line 1: ")


def test_a_title_may_have_the_separators_of_unicode(
    service: Server, valkey: StoreProcess, directory: Path, guid: str
) -> None:
    title = "\u6771\u4eac\u2028Tokyo\u2029 \u201cx\u201d"
    where = {"REDIS_URL": valkey.url}
    made = run_command("create", title, "--guid", f"{guid}-c", "--start-price", "1", "--closes", "+1h", **where)
    assert made.returncode == 0
    body = {**TERMS, "title": title, "closes_at": now_ms() + 10**7}
    create(service, f"{guid}-h", title=title)
    for kind, text in (
        ("ndjson", json.dumps({**body, "guid": f"{guid}-n"}, ensure_ascii=False)),
        ("csv", f"guid,title,start_price,closes_at\n{guid}-t,{title},1.00,+1h\n"),
    ):
        path = directory / f"lots.{kind}"
        path.write_text(text)
        assert run_command("create", "--from", str(path), **where).stderr == ""
    for name in "chnt":
        assert httpx.get(f"{service.url}/auctions/{guid}-{name}").json()["terms"]["title"] == title


@pytest.mark.parametrize(("text", "said"), TEXTS)
@pytest.mark.parametrize(("field", "option"), [("title", ""), ("seller", "--seller"), ("priority", "--priority")])
def test_texts_of_a_new_auction(
    service: Server, valkey: StoreProcess, directory: Path, field: str, option: str, text: str, said: str
) -> None:
    if field == "title":
        text = text.replace("\u2028", "\u0085")  # the former is taken in titles
    title = text if field == "title" else "Desk"
    arguments = ["create", title, "--start-price", "10.00", "--closes", "+1h", *([option, text] if option else [])]
    sentence = refusal(run_command(*arguments, REDIS_URL=valkey.url))
    assert said in sentence
    body = {**TERMS, "closes_at": now_ms() + 10**7, field: [text] if field == "priority" else text}
    assert detail(httpx.post(f"{service.url}/auctions", json=body, headers=OPERATOR)) == sentence
    assert of_file(directory, valkey, body) == sentence


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (kind, text, said)
        for number, kind in enumerate(["cancel", "close", "pause", "resume", "extend", "void", "rename"])
        for text, said in [*TEXTS, *TEXTS][number % len(TEXTS) :][:2]
    ],
)
def test_reasons_and_what_acts_name(
    service: Server, valkey: StoreProcess, guid: str, kind: str, text: str, said: str
) -> None:
    create(service, guid)
    later = now_ms() + 10**7
    needed: dict[str, tuple[list[str], dict[str, Any]]] = {
        "extend": (["--closes", str(later)], {"closes_at": later}),
        "void": (["ann"], {"bidder": "ann"}),
        "rename": (["Chair"], {"title": "Chair"}),
    }
    words, more = needed.get(kind, ([], {}))

    def both(words: list[str], body: dict[str, Any]) -> str:
        sentence = refusal(run_command(kind, guid, *words, REDIS_URL=valkey.url))
        method, path = ("PATCH", "") if kind == "rename" else ("POST", f"/{kind}")
        reply = httpx.request(method, f"{service.url}/auctions/{guid}{path}", json=body, headers=OPERATOR)
        assert detail(reply) == sentence
        return sentence

    assert said in both([*words, "--reason", text], {**more, "reason": text})
    if kind in ("void", "rename") and "\u2028" not in text:
        (name,) = more
        assert said in both([text, "--reason", "x"], {name: text, "reason": "x"})
    assert httpx.get(f"{service.url}/auctions/{guid}").json()["state"]["rev"] == 1, "nothing was done"


@pytest.mark.parametrize("key", [" ", "a\nb", LONG, "é", " a"])
def test_keys_and_bidders_on_the_command_line(service: Server, valkey: StoreProcess, guid: str, key: str) -> None:
    create(service, guid)
    sentence = refusal(run_command("bid", guid, "10.00", "--bidder", "ann", "--key", key, REDIS_URL=valkey.url))
    assert sentence == "Idempotency-Key is not 1 to 128 printable ASCII characters"
    if key == LONG:
        headers = {**bidder("ann"), "Idempotency-Key": key}
        reply = httpx.post(f"{service.url}/auctions/{guid}/bids", json={"price": "10.00"}, headers=headers)
        assert detail(reply) == sentence
    if key.isascii():
        assert "bidder" in refusal(run_command("bid", guid, "10.00", "--bidder", f"{LONG}{key}", REDIS_URL=valkey.url))
    assert httpx.get(f"{service.url}/auctions/{guid}").json()["state"]["bids"] == 0


@pytest.mark.parametrize(
    ("terms", "change", "said"),
    [
        ({"buy_now": {"price": "90.00"}}, {"reserve": "100.00"}, "reserve 100.00 is above the buy-now price, 90.00"),
        ({}, {"reserve": "0"}, "reserve must be above 0"),
        ({}, {"reserve": "1.001"}, "reserve '1.001' has 3 decimals"),
        ({}, {"title": LONG}, "title has 300 characters"),
        ({}, {"title": " "}, "title is blank"),
        ({}, {"closes_at": 10**16}, "`$.closes_at`"),
        ({}, {"closes_at": 0}, "not later"),
    ],
)
def test_a_change_obeys_what_a_new_auction_obeys(
    service: Server, guid: str, terms: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    create(service, guid, bidding="proxy", **terms)
    body = {"reason": "a slip", **change}
    sentence = detail(httpx.patch(f"{service.url}/auctions/{guid}", json=body, headers=OPERATOR))
    assert said in sentence
    if "closes_at" not in change:
        new = {**TERMS, "currency": "CNY", "closes_at": now_ms() + 10**7, **terms, **change}
        assert detail(httpx.post(f"{service.url}/auctions", json=new, headers=OPERATOR)) == sentence
    assert httpx.get(f"{service.url}/auctions/{guid}").json()["state"]["rev"] == 1


# --- who acts --------------------------------------------------------------------------------------------------------


def test_the_command_line_names_its_user_in_the_log(valkey: StoreProcess, guid: str) -> None:
    terms = ["create", "Desk", "--start-price", "1", "--closes", "+1h", "--guid", guid]
    assert run_command(*terms, REDIS_URL=valkey.url).returncode == 0
    acts = [("pause", []), ("resume", ["--as", "Ann of the night shift"])]
    for kind, options in acts:
        assert run_command(kind, guid, "--reason", "x", *options, REDIS_URL=valkey.url).returncode == 0
    with valkey.client() as client:
        actors = [fields["actor"] for _, fields in client.xrange(f"{{AuctionMaxPrice-{guid}}}:bids")]
    user = pwd.getpwuid(os.getuid()).pw_name
    assert actors == [f"command line ({user})", f"command line ({user})", "command line (Ann of the night shift)"]
    said = refusal(run_command("pause", guid, "--reason", "x", "--as", "a\nb", REDIS_URL=valkey.url))
    assert "--as has a line break" in said
