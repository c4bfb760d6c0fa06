"""What people write: titles, reasons, names and keys. Pure.

Rule: a text is one line of 1 to so many characters, of which at least one can be seen. Nothing is cut or replaced:
what does not fit is refused with a sentence, which is the same whichever way the text came.
"""

import unicodedata

MAX_TITLE = 200
MAX_REASON = 200
MAX_BIDDER = 128
MAX_KEY = 128

_SEPARATORS = ("Zl", "Zp")  # U+2028 and U+2029: typesetters' files have them in titles, and pages show them as spaces


class WrongText(Exception):
    """A text that cannot be taken; the message is a sentence. (No ValueError: msgspec would put it into its own.)"""


def check_title(title: str) -> None:
    """`WrongText` unless `title` can be an auction's; it may have Unicode's own line separators in it."""
    check_text("title", title, MAX_TITLE, allowed=_SEPARATORS)


def check_text(name: str, text: str, most: int, *, allowed: tuple[str, ...] = ()) -> None:
    """`WrongText` unless `text` is one line of 1 to `most` characters with something to see in it."""
    if len(text) > most:
        raise WrongText(f"{name} has {len(text)} characters; at most {most} are possible")
    categories = [unicodedata.category(character) for character in text]
    if "Cs" in categories:  # a lone surrogate: bytes on the command line that are no UTF-8, or an escape in JSON
        raise WrongText(f"{name} has half a character in it; it is not UTF-8")
    if all(category[0] in "ZC" for category in categories):
        raise WrongText(f"{name} is blank")
    if any(category in ("Cc", *_SEPARATORS) and category not in allowed for category in categories):
        raise WrongText(f"{name} has a line break or a control character in it")


def check_key(key: str) -> None:
    """`WrongText` unless `key` can be an `Idempotency-Key`. HTTP takes spaces at its ends away, so it has none."""
    if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable() and key == key.strip()):
        raise WrongText(f"Idempotency-Key is not 1 to {MAX_KEY} printable ASCII characters")


def counted(number: int, noun: str) -> str:
    """`1 bid`, `2 bids`: for nouns whose plural takes an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
