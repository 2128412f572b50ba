"""Owns the reading of a server's error bodies: JSON details of NOMAD, HTML of the proxies before it."""

from __future__ import annotations

import re
from typing import Any

import orjson

_LONGEST = 400


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
