"""The identity of a client: JSON Web Tokens, HS256 with the service's secret.

Identity comes only from the token, never from a body. The auction house's own site makes the tokens (or
`sse-auction token`, or the demo for its guests); this service reads them.
"""

import math
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import jwt
import msgspec

from sse_auction.auction.texts import MAX_BIDDER, WrongText, check_text
from sse_auction.settings import Settings, SettingsError

Role: TypeAlias = Literal["bidder", "operator"]

_ALGORITHM = "HS256"
_MAX_REMEMBERED = 20_000  # tokens; about 10 MB


class InvalidToken(Exception):
    """A token that is not accepted; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The bearer of a token. The token is valid for `auctions` only; None: for all."""

    subject: str
    name: str | None
    role: Role
    auctions: frozenset[str] | None

    def may_enter(self, guid: str) -> bool:
        """Whether the token is valid for this auction."""
        return self.auctions is None or guid in self.auctions


class _Claims(msgspec.Struct, frozen=True):
    """The claims that this service reads; it ignores other claims."""

    sub: str
    exp: float
    nbf: float = 0.0
    role: Role = "bidder"
    name: str | None = None
    auctions: frozenset[str] | None = None


# The error in a claim that does not have the type in `_Claims`.
_WRONG = {
    "sub": "not a string",
    "exp": "not a number of seconds",
    "nbf": "not a number of seconds",
    "role": "neither 'bidder' nor 'operator'",
    "name": "not a string",
    "auctions": "not a list of guids",
}
_CLAIM_IN_ERROR = re.compile(r"`\$\.(" + "|".join(_WRONG) + r")\b")  # how msgspec names the wrong claim


def _wall_clock() -> int:
    return int(time.time() * 1000)


class Tokens:
    """Makes and reads tokens with one secret.

    Tokens expire by `clock` (epoch ms). A service uses the store's clock: a wrong clock on this machine must not lock
    bidders out of an auction.
    """

    def __init__(self, secret: str, clock: Callable[[], int] = _wall_clock) -> None:
        self._secret = secret
        self._clock = clock
        self._read: dict[str, tuple[Identity, float]] = {}

    def issue(
        self,
        subject: str,
        *,
        role: Role = "bidder",
        name: str | None = None,
        auctions: list[str] | None = None,
        life_seconds: int = 86_400,
    ) -> str:
        """A token for `subject` that is valid for `life_seconds`."""
        claims: dict[str, Any] = {"sub": subject, "role": role, "exp": self._clock() // 1000 + life_seconds}
        if name is not None:
            claims["name"] = name
        if auctions is not None:
            claims["auctions"] = auctions
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    def read(self, token: str) -> Identity:
        """The bearer of `token`. Raises: `InvalidToken` with the reason as a sentence.

        The result does not change until the token expires, so it is cached: a bidder's next bid costs a look-up, not
        the check of a signature.
        """
        known = self._read.get(token)
        if known is not None and known[1] > self._clock() / 1000:
            return known[0]
        identity, expires_at = self._verified(token)
        if len(self._read) >= _MAX_REMEMBERED:
            self._read.clear()  # a bound; the cache fills again by itself
        self._read[token] = (identity, expires_at)
        return identity

    def _verified(self, token: str) -> tuple[Identity, float]:
        """(the bearer of the token, when it expires in epoch seconds)."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                options={"require": ["sub", "exp"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.MissingRequiredClaimError as error:
            raise InvalidToken(f"the token has no claim {error.claim!r}") from None
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            raise InvalidToken("the token was not signed by this service's secret with HS256") from None
        except jwt.InvalidTokenError as error:
            raise InvalidToken(f"the token cannot be used: {error}") from None
        checked = _checked(claims)
        now = self._clock() / 1000
        if checked.exp <= now:
            raise InvalidToken("the token has expired; get a new one")
        if checked.nbf > now:
            raise InvalidToken("the token is not valid yet, by its claim 'nbf'")
        return Identity(checked.sub, checked.name, checked.role, checked.auctions), checked.exp


def _checked(claims: dict[str, Any]) -> _Claims:
    """The claims that this service reads. Raises: `InvalidToken`, which names a wrong claim."""
    try:
        checked = msgspec.convert(claims, _Claims)
        check_text("the token's claim 'sub'", checked.sub, MAX_BIDDER)
    except msgspec.ValidationError as error:
        named = _CLAIM_IN_ERROR.search(str(error))
        if named is None:
            raise InvalidToken(f"the token cannot be used: {error}") from None
        raise _wrong(named[1]) from None
    except WrongText as error:
        raise InvalidToken(str(error)) from None
    for name in ("exp", "nbf"):
        if not math.isfinite(getattr(checked, name)):
            raise _wrong(name)
    return checked


def _wrong(claim: str) -> InvalidToken:
    return InvalidToken(f"the token's claim {claim!r} is {_WRONG[claim]}")


def secret_of(settings: Settings) -> str:
    """The secret in the settings, or else the generated one."""
    return settings.secret or generated_secret(settings.data_dir)


def generated_secret(data_dir: Path) -> str:
    """The secret in the data directory, generated by the first process that needs it. Raises: `SettingsError`."""
    path = data_dir / "secret"
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _generate_secret(path)
        return path.read_text().strip()
    except OSError as error:
        raise SettingsError(f"SSE_AUCTION_SECRET is not set and {path} cannot be used: {error.strerror}") from None


def _generate_secret(path: Path) -> None:
    draft = path.with_name(f"secret.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        with suppress(FileExistsError):  # another process was faster: its secret is used
            os.link(draft, path)  # atomic, unlike a write
    finally:
        draft.unlink(missing_ok=True)
