"""JSON decoding, with the same rules for every answer and every entry.

The rules are those of RFC 8259, applied strictly, and these:

- Integers of any size are exact, up to the 4,300 digits that Python reads.
- A number with a fraction or an exponent is rounded to the nearest float64; one out of range (`1e400`) is
  rejected.
- `NaN`, `Infinity` and `-Infinity` are rejected.
- Strings are Unicode; half of a surrogate pair (`"\\ud800"`) is rejected.
- The last value of a repeated key counts.
- Objects and lists of an archive are nested at most `MAX_LEVELS` deep (real archives: 16), so that walks over
  the data can recurse; deeper nesting is rejected.
- The text is UTF-8 without a byte order mark.

An entry that breaks a rule fails (ContentError names the rule). Text that is not JSON at all may be a network
fault, and is requested again.

orjson decodes nearly everything. It turns integers over 64 bits into floats, so Python's decoder reads the
rows that contain one, with the same rules.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from math import isfinite
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import orjson


def fingerprint(tree: Mapping[str, Any]) -> str:
    """A hash of a JSON value that does not depend on the order of keys."""
    leaves, stack = list[str](), list[tuple[tuple[str, ...], Any]]([((), tree)])
    while stack:
        path, value = stack.pop()
        children: list[tuple[Any, Any]] = []
        if isinstance(value, dict | list):
            children += value.items() if isinstance(value, dict) else enumerate(value)
        stack += [((*path, str(key)), child) for key, child in children]
        if not children:
            leaves.append(f"{path} {value!r}")
    return hashlib.sha256("\n".join(sorted(leaves)).encode("utf-8", "backslashreplace")).hexdigest()


MAX_LEVELS = 100  # maximum nesting of objects and lists in an archive
ANSWER, LIST, ROW = 3, 2, 1  # number of levels above an archive in an answer, in a list of rows, in a row
_PARSER = 1024  # maximum nesting that orjson accepts


class ContentError(ValueError):
    """JSON text that breaks one of the rules; the message says which."""


TOO_DEEP = f"nested deeper than {MAX_LEVELS} levels"


def decode(text: bytes, above: int = ANSWER) -> Any:
    """The value of a JSON text with `above` levels above its archives.

    Raises ContentError or ValueError for text that breaks a rule, ValueError for text that is not JSON.
    """
    if has_long_integer(text):
        return decode_exact(text, above)
    try:
        return decode_fast(text, above)
    except orjson.JSONDecodeError as error:
        raise ValueError(error.msg) from error  # without the position, which counts the added brackets


def decode_or_explain(text: bytes, above: int) -> Any:
    """`decode` that always raises ContentError for broken rules; slower for text that is rejected."""
    try:
        return decode(text, above)
    except ContentError:
        raise
    except ValueError:
        return decode_exact(text, above)


def decode_fast(text: bytes | memoryview, above: int, before: bytes = b"", after: bytes = b"") -> Any:
    """`decode` of `before + text + after` without integers over 64 bits. Raises only ValueError."""
    # The added brackets make orjson enforce the nesting limit; counting levels here would cost more.
    opening, closing, unused = _brackets(above)
    value = orjson.loads(b"".join((opening, before, text, after, closing)))
    for _ in range(unused):
        (value,) = value
    return value


def decode_shallow(text: bytes) -> Any:
    """`decode` for text without archives, nested as deep as orjson accepts."""
    return decode_exact(text, _PARSER) if has_long_integer(text) else orjson.loads(text)


@cache
def _brackets(above: int) -> tuple[bytes, bytes, int]:
    unused = _PARSER - MAX_LEVELS - above
    return b"[" * unused, b"]" * unused, unused


def decode_exact(text: bytes, above: int) -> Any:
    """`decode` with Python's decoder: several times slower, with exact integers of any size."""
    if levels_of(text) > MAX_LEVELS + above:
        raise ContentError(TOO_DEEP)
    plain = text.decode()
    if plain.startswith("\ufeff"):
        raise ValueError("it starts with a byte order mark")
    try:
        value = json.loads(plain, parse_constant=_no_number, parse_float=_float)
        if "\\u" in plain:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ContentError("a string with half of a surrogate pair") from error
    except RecursionError as error:
        raise ContentError(TOO_DEEP) from error
    except (json.JSONDecodeError, ContentError):
        raise
    except ValueError as error:  # Python's limit on digits
        raise ContentError("an integer of more than 4,300 digits") from error
    return value


def _no_number(token: str) -> NoReturn:
    raise ContentError(f"{token}, which is not valid JSON")


def _float(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        shown = digits if len(digits) <= 20 else digits[:19] + "…"
        raise ContentError(f"the number {shown}, which is outside the range of a float64")
    return value


def has_long_integer(text: bytes | memoryview) -> bool:
    """True if the text may contain an integer over 64 bits: 20 digits in a row, or 19 after a minus.

    Also true for some texts without one. Costs a twentieth of the decoding.
    """
    return any(_starts_in_step(text, start) for start in range(0, len(text) - 18, _STEP))


def _starts_in_step(text: bytes | memoryview, start: int) -> bool:
    """True if such an integer may begin in the `_STEP` bytes from `start`."""
    step = np.frombuffer(text, np.uint8, min(_STEP + 18, len(text) - start), start)
    four = _both(_both((step - 48) < 10, 1), 2)
    sixteen = _both(_both(four, 4), 8)
    begin = np.flatnonzero(sixteen[:-3] & four[15:]) + start
    if not len(begin):
        return False
    whole = np.frombuffer(text, np.uint8)
    before = np.where(begin > 0, whole[begin - 1], 32)
    twentieth = whole[np.minimum(begin + 19, len(whole) - 1)] - 48
    longer = (begin + 19 < len(whole)) & (twentieth < 10)
    return bool(((before == 45) | (longer & np.isin(before, _BEFORE))).any())


_BEFORE = np.frombuffer(b"[:, \t\n\r", np.uint8)  # characters that may precede a number without a minus


def _both(runs: npt.NDArray[np.bool_], apart: int) -> npt.NDArray[np.bool_]:
    """Positions at which a run begins, and another one `apart` bytes later."""
    return runs[:-apart] & runs[apart:]


_STEP = 2**17  # bytes scanned at once; they fit into the processor's cache


# An unterminated string matches the rest, and so does the end of the text: no search backtracks.
_STRING = rb'"(?:[^"\\]++|\\.)*+"?'
_TOKEN = re.compile(_STRING + rb"|[][{}]", re.DOTALL)
_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([][{}]|\Z)", re.DOTALL)
_QUOTE, _OBJECT, _OPENING = b'"'[0], b"{"[0], (b"[", b"{")
_BETWEEN = re.compile(rb"[ \t\n\r]*(,?)[ \t\n\r]*")
_NAMED = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*")
_BLANK = b" \t\n\r"


def levels_of(text: bytes) -> int:
    """Maximum nesting in a text; exact for valid JSON."""
    level = deepest = 0
    for token in _BRACKET.finditer(text):
        level += 1 if token[1] in _OPENING else -1
        if level > deepest:
            deepest = level
    return deepest


def end_of(text: bytes, begin: int, end: int) -> int:
    """The end of the object or list at `begin`. Raises ValueError if it is not terminated."""
    level = 0
    for token in _BRACKET.finditer(text, begin, end):
        if not token[1]:
            break
        level += 1 if token[1] in _OPENING else -1
        if level <= 0:
            return token.end()
    raise ValueError("an unterminated object")


def objects(text: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The bounds of each object between the brackets of a list. Raises ValueError for other items."""
    at = _skipped(text, begin, end)
    while at < end:
        if text[at] != _OBJECT:
            raise ValueError("a list with an item that is not an object")
        stop = end_of(text, at, end)
        yield at, stop
        between = _BETWEEN.match(text, stop, end)
        assert between is not None
        if bool(between[1]) != (between.end() < end):
            raise ValueError("a truncated list of objects")
        at = between.end()


def may_be_object(text: bytes) -> bool:
    """True if a text begins and ends like an object: a cheap test for truncated text."""
    begin = _skipped(text, 0, len(text))
    end = len(text)
    while end > begin and text[end - 1] in _BLANK:
        end -= 1
    return text[begin : begin + 1] == b"{" and text[end - 1 : end] == b"}"


def list_under(text: bytes, name: bytes) -> tuple[int, int] | None:
    """The bounds of the items of the list `name` in a top-level object; None if there is no such list."""
    for key, begin in _members(text):
        if key == name and text[begin : begin + 1] == b"[":
            return begin + 1, end_of(text, begin, len(text)) - 1
    return None


def texts_of(text: bytes, *names: str) -> dict[str, str]:
    """The readable string members of a top-level object with these names."""
    found = {}
    for key, begin in _members(text):
        token = _TOKEN.match(text, begin)
        if token is not None and text[begin] == _QUOTE:
            try:
                name, value = orjson.loads(key), orjson.loads(token[0])
            except orjson.JSONDecodeError:
                continue
            if name in names:
                found[name] = value
    return found


def _members(text: bytes) -> Iterator[tuple[bytes, int]]:
    """The keys of a top-level object as written, and the positions of their values."""
    level = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first != _QUOTE:
            level += 1 if token[0] in _OPENING else -1
        elif level == 1:
            colon = _NAMED.match(text, token.end())
            if colon is not None:
                yield token[0], colon.end()


def _skipped(text: bytes, begin: int, end: int) -> int:
    while begin < end and text[begin] in _BLANK:
        begin += 1
    return begin
