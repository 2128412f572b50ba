"""Owns the reading of bodies: JSON with integers of any size, and what error answers say in JSON or HTML."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_LONGEST = 400


def decoded(body: bytes) -> Any:
    """The JSON of a body, with integers of any size: orjson makes floats of those past 64 bits. ValueError if none."""
    return json.loads(body) if _has_long_integer(body) else orjson.loads(body)


def _has_long_integer(body: bytes) -> bool:
    """Whether 20 digits stand in a row that are not a fraction's; costs a tenth of the decoding."""
    runs = body.translate(_RUNS)
    at = runs.find(_LONG)
    while at >= 0:
        if runs[at - 1 : at] != b".":
            return True
        end = runs.find(b" ", at)
        at = runs.find(_LONG, end) if end >= 0 else -1
    return False


_RUNS = bytes(48 if 48 <= byte < 58 else 46 if byte == 46 else 32 for byte in range(256))
_LONG = b"0" * 20


def server_words(body: bytes) -> str:
    """What an error answer says, in one line of at most 400 characters; empty when it says nothing."""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _short(_title(body.decode("utf-8", "replace")))
    return _short(_detail(tree.get("detail", tree) if isinstance(tree, dict) else tree))


def _detail(detail: Any) -> str:
    """FastAPI's and NOMAD's forms of `detail`: a text, a list of `{msg, loc}`, or an exception's story."""
    match detail:
        case str():
            return detail
        case list():
            return "; ".join(map(_detail, detail))
        case {"msg": msg, "loc": loc}:
            return f"{msg} (at {_place(loc)})"
        case {"reason": reason}:
            what = ": ".join(str(detail[k]) for k in ("exception_class", "exception") if detail.get(k))
            return f"{reason} ({what})" if what else str(reason)
    return str(detail)


def _place(loc: Any) -> str:
    return ".".join(map(_place, loc)) if isinstance(loc, list) else str(loc)


def _title(text: str) -> str:
    found = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    return found.group(1) if found else re.sub(r"<[^>]*>", " ", text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
