"""Bearer tokens over HTTP: which are accepted, and why others are not; a token without proof changes nothing."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from tests.support.harness import SECRET, TOKENS, Server, StoreProcess, create
from tests.support.openapi_client import problem

ANOTHER_SECRET = "another secret of at least thirty-two bytes"
NOT_OURS = "the token was not signed by this service's secret with HS256"


def signed(secret: str = SECRET, **claims: Any) -> str:
    """A token; claims given as None are left out."""
    wanted = {"sub": "ann", "exp": int(time.time()) + 600, **claims}
    return jwt.encode({name: value for name, value in wanted.items() if value is not None}, secret, "HS256")


def base64_of(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def handmade(header: Any, claims: Any, algorithm: str = "") -> str:
    """A token of any parts, signed with the service's secret by any algorithm, or not signed."""
    text = ".".join(base64_of(json.dumps(part).encode()) for part in (header, claims))
    signature = hmac.digest(SECRET.encode(), text.encode(), algorithm) if algorithm else b""
    return f"{text}.{base64_of(signature)}"


CLAIMS = {"sub": "ann", "exp": 4_000_000_000, "role": "operator"}

USELESS = {
    "none": ("", "this needs a token"),
    "another scheme": ("Basic YW5uOnB3", "this needs a token"),
    "no token": ("Bearer", "this needs a token"),
    "rubbish": ("Bearer rubbish", "cannot be used"),
    "two parts": ("Bearer a.b", "cannot be used"),
    "latin-1": ("Bearer caf\xe9.x.y", "cannot be used"),
    "header is no object": (f"Bearer {handmade([], CLAIMS)}", "cannot be used"),
    "header is nested": (f"Bearer {base64_of(b'[' * 5001)}.e30.", "cannot be used"),
    "expired": (f"Bearer {signed(exp=int(time.time()) - 1)}", "expired"),
    "expires as true": (f"Bearer {signed(exp=True)}", "'exp' is not a number"),
    "expires never": (f"Bearer {signed(exp=float('inf'))}", "'exp' is not a number"),
    "not yet": (f"Bearer {signed(nbf=int(time.time()) + 600)}", "'nbf'"),
    "foreign": (f"Bearer {signed(ANOTHER_SECRET)}", NOT_OURS),
    "unsigned": (f"Bearer {handmade({'alg': 'none', 'typ': 'JWT'}, CLAIMS)}", NOT_OURS),
    "unsigned None": (f"Bearer {handmade({'alg': 'None', 'typ': 'JWT'}, CLAIMS)}", NOT_OURS),
    "signature cut": (f"Bearer {signed().rpartition('.')[0]}.", NOT_OURS),
    "claims swapped": (
        "Bearer " + ".".join([signed().split(".")[0], handmade({}, CLAIMS).split(".")[1], signed().split(".")[2]]),
        NOT_OURS,
    ),
    "HS512": (f"Bearer {handmade({'alg': 'HS512', 'typ': 'JWT'}, CLAIMS, 'sha512')}", NOT_OURS),
    "HS384 by the name of RS256": (f"Bearer {handmade({'alg': 'RS256', 'typ': 'JWT'}, CLAIMS, 'sha384')}", NOT_OURS),
    "no exp": (f"Bearer {signed(exp=None)}", "no claim 'exp'"),
    "no sub": (f"Bearer {signed(sub=None)}", "no claim 'sub'"),
    "exp is text": (f"Bearer {signed(exp='tomorrow')}", "exp"),
    "exp is infinite": (f"Bearer {signed(exp=float('inf'))}", "exp"),
    "exp is a list": (f"Bearer {signed(exp=[])}", "exp"),
    "exp is no number": (f"Bearer {signed(exp=float('nan'))}", "'exp' is not a number of seconds"),
    "exp has 400 digits": (f"Bearer {signed(exp=10**400)}", "'exp' is not a number of seconds"),
    "nbf is null": (
        f"Bearer {handmade({'alg': 'HS256', 'typ': 'JWT'}, {**CLAIMS, 'nbf': None}, 'sha256')}",
        "'nbf' is not a number",
    ),
    "role is null": (
        f"Bearer {handmade({'alg': 'HS256', 'typ': 'JWT'}, {**CLAIMS, 'role': None}, 'sha256')}",
        "'role' is neither 'bidder' nor 'operator'",
    ),
    "nbf is a list": (f"Bearer {signed(nbf=[])}", "nbf"),
    "sub is a number": (f"Bearer {signed(sub=5)}", "Subject"),
    "sub is empty": (f"Bearer {signed(sub='')}", "'sub'"),
    "sub is long": (f"Bearer {signed(sub='x' * 129)}", "'sub'"),
    "sub is half a character": (f"Bearer {signed(sub=chr(0xD800))}", "'sub'"),
    "sub has a line end": (f"Bearer {signed(sub='ann' + chr(10))}", "'sub'"),
    "for others": (f"Bearer {signed(aud='another-service')}", "audience"),
    "role unknown": (f"Bearer {signed(role='admin')}", "'role'"),
    "role is a list": (f"Bearer {signed(role=['operator'])}", "'role'"),
    "name is a number": (f"Bearer {signed(name=5)}", "'name'"),
    "auctions is text": (f"Bearer {signed(auctions='lot')}", "'auctions'"),
    "auctions has numbers": (f"Bearer {signed(auctions=[1])}", "'auctions'"),
}


@pytest.fixture(scope="module")
def auction(service: Server, valkey: StoreProcess) -> Iterator[str]:
    """An auction in which such tokens cannot bid."""
    guid = "tokens-prove-who-bids"
    create(service, guid)
    yield guid
    with valkey.client() as store:
        kinds = {key.rpartition(":")[2] for key in store.keys(f"*{guid}*")}
        assert kinds == {"auction", "private", "bids"}, "the keys of an auction without bids"
        assert store.xlen(f"{{AuctionMaxPrice-{guid}}}:bids") == 1, "its creation"


@pytest.mark.parametrize("kind", USELESS)
def test_a_token_that_proves_nothing(client: httpx.Client, auction: str, kind: str) -> None:
    header, said = USELESS[kind]
    headers: dict[str, Any] = {"Authorization": header.encode("latin-1")}
    for path in (f"/auctions/{auction}/bids", "/auctions", f"/auctions/{auction}/refresh"):
        refused = client.post(path, json={"price": "10.00"}, headers=headers)
        assert (refused.status_code, problem(refused)["code"]) == (401, "unauthorized")
        assert said in problem(refused)["detail"]
        assert refused.headers["www-authenticate"] == "Bearer"
        assert SECRET not in refused.text


def test_a_token_for_other_auctions_is_refused(client: httpx.Client, auction: str) -> None:
    for auctions in ([], ["other", f"{auction}x"]):
        headers = {"Authorization": f"Bearer {TOKENS.issue('ann', auctions=auctions)}"}
        refused = client.post(f"/auctions/{auction}/bids", json={"price": "10.00"}, headers=headers)
        assert (refused.status_code, problem(refused)["code"]) == (403, "forbidden")
        assert repr(auction) in problem(refused)["detail"]


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {signed()}",
        f"bearer  {signed(role='bidder', name='Ann 安')}",
        f"BEARER {signed(sub='安 an@example.com', iat=4_000_000_000)}",
        f"Bearer {signed(exp=4e9, jti='x', iss='house', more={'a': [1]})}",
    ],
)
def test_a_good_token_is_accepted_in_any_spelling_of_the_scheme(
    client: httpx.Client, service: Server, guid: str, authorization: str
) -> None:
    create(service, guid)
    headers = {"Authorization": authorization}
    taken = client.post(f"/auctions/{guid}/bids", json={"price": "10.00"}, headers=headers)
    assert (taken.status_code, taken.json()["paddle"]) == (201, 1)


def test_the_token_alone_says_who_bids(client: httpx.Client, service: Server, valkey: StoreProcess, guid: str) -> None:
    create(service, guid)
    headers = {"Authorization": f"Bearer {signed(auctions=[guid])}", "X-User": "bob", "Cookie": "user=bob"}
    assert client.post(f"/auctions/{guid}/bids?sub=bob", json={"price": "10.00"}, headers=headers).status_code == 201
    with valkey.client() as store:
        _, (_, entry) = store.xrange(f"{{AuctionMaxPrice-{guid}}}:bids")  # after its creation
    assert entry["bidder"] == "ann"


def test_watching_needs_no_token(client: httpx.Client, service: Server, guid: str) -> None:
    create(service, guid)
    headers = {"Authorization": "Bearer rubbish"}
    for path in (f"/auctions/{guid}/price", f"/auctions/{guid}", f"/auctions/{guid}/bids", "/auctions"):
        assert client.get(path, headers=headers).status_code == 200
