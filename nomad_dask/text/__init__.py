"""Safe printing of text from outside: control characters are shown as escapes.

A server's error, a name or a unit may contain control characters, which move the cursor, colour, hide or
reverse text. Messages are made printable when they are received, names and values when they are printed; data
is never altered.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

import orjson

_CONTROL = (
    "\x00-\x1f\x7f-\x9f"  # control characters, escape sequences among them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of writing
    "\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # line ends, invisible marks
    "\U000e0000-\U000e007f"  # invisible tags
    "\ud800-\udfff"  # surrogates, which no stream encodes
)
_ANY_CONTROL = re.compile(f"[{_CONTROL}]")
_CONTROL_IN_LINE = re.compile(f"(?![\n\t])[{_CONTROL}]")


def one_line(text: str, *, max_length: int | None = None) -> str:
    """The text in one line, cut to `max_length` characters."""
    if max_length is not None and len(text) > 4 * max_length:
        text = text[: 4 * max_length]
    line = _ANY_CONTROL.sub(_escaped, " ".join(text.split()))
    return line if max_length is None or len(line) <= max_length else line[: max_length - 1] + "…"


def shown(value: Any, *, max_length: int = 300) -> str:
    """The `repr` of a value in one line; one longer than `max_length` is cut and followed by its length."""
    text = repr(value)
    if len(text) <= max_length:
        return one_line(text)
    return f"{one_line(text[:max_length])}… ({len(text):,} characters)"


def printable(text: str) -> str:
    """The text with control characters escaped, except line ends and tabs."""
    return _CONTROL_IN_LINE.sub(_escaped, text.replace("\r\n", "\n"))


def json_text(tree: Any) -> str:
    """JSON in one printable line; file names in it need not be UTF-8."""
    try:
        text = orjson.dumps(tree).decode()
    except TypeError:
        text = json.dumps(tree)
    return _ANY_CONTROL.sub(_json_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def near(name: str, candidates: Iterable[str], *, limit: int = 3) -> tuple[str, ...]:
    """Up to `limit` candidates similar to a mistyped `name`, the nearest first; case is ignored."""
    alike: dict[str, list[str]] = {}
    for candidate in sorted(set(candidates)):
        alike.setdefault(candidate.casefold(), []).append(candidate)
    found = difflib.get_close_matches(name.casefold(), alike, n=limit, cutoff=0.6)
    return tuple(candidate for folded in found for candidate in alike[folded])[:limit]


def hint(refused: str, suggestions: Iterable[str], otherwise: str = "") -> str:
    """The end of an error message: `; did you mean 'a' or 'b'?`, or `otherwise` without suggestions.

    The rejected name itself is never suggested, and no name twice.
    """
    names = " or ".join(repr(name) for name in dict.fromkeys(suggestions) if name != refused)
    advice = f"did you mean {names}?" if names else otherwise
    return f"; {advice}" if advice else ""
