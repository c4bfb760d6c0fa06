"""Texts that people write: titles, reasons, names and keys. Pure.

Rule: a text is one line with a limited number of characters, at least one of them visible. No text is cut or changed:
a wrong text is refused with a sentence, the same for HTTP, command line and files.
"""

import unicodedata

MAX_TITLE = 200
MAX_REASON = 200
MAX_BIDDER = 128
MAX_KEY = 128

_SEPARATORS = ("Zl", "Zp")  # U+2028 and U+2029: files of typesetters have them in titles; pages show them as spaces


class WrongText(Exception):
    """A text that is not accepted; the message is a sentence. (No ValueError: msgspec would wrap it in its own.)"""


def check_title(title: str) -> None:
    """Check an auction's title, in which Unicode's own line separators are allowed. Raises: `WrongText`."""
    check_text("title", title, MAX_TITLE, allowed=_SEPARATORS)


def check_text(name: str, text: str, most: int, *, allowed: tuple[str, ...] = ()) -> None:
    """Check that `text` is one line of 1 to `most` characters, one of them visible. Raises: `WrongText`."""
    if len(text) > most:
        raise WrongText(f"{name} has {len(text)} characters; at most {most} are possible")
    categories = [unicodedata.category(character) for character in text]
    if "Cs" in categories:  # a lone surrogate: bytes on the command line that are not UTF-8, or an escape in JSON
        raise WrongText(f"{name} is not valid UTF-8")
    if all(category[0] in "ZC" for category in categories):
        raise WrongText(f"{name} is blank")
    if any(category in ("Cc", *_SEPARATORS) and category not in allowed for category in categories):
        raise WrongText(f"{name} has a line break or a control character in it")


def check_key(key: str) -> None:
    """Check an `Idempotency-Key`. It has no spaces at its ends, because HTTP removes them. Raises: `WrongText`."""
    if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable() and key == key.strip()):
        raise WrongText(f"Idempotency-Key is not 1 to {MAX_KEY} printable ASCII characters")


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 bid`, `2 bids`; only for nouns with a plural in -s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
