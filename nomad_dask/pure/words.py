"""Owns the reading of bodies: JSON with integers of any size, and what error answers say in JSON or HTML."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

_LONGEST = 400


def decoded(body: bytes) -> Any:
    """The JSON of a body, with integers of any size: orjson makes floats of those past 64 bits. ValueError if none."""
    return json.loads(body) if _has_long_integer(body) else orjson.loads(body)


def _has_long_integer(body: bytes) -> bool:
    """Whether 20 digits stand in a row that are not a fraction's; costs a twentieth of the decoding."""
    return any(_begins_here(body, start) for start in range(0, len(body) - 19, _STEP))


def _begins_here(body: bytes, start: int) -> bool:
    """Whether such a row begins in the `_STEP` bytes from here on: of 2 digits, of 4, of 8, of 16, and of 4 more."""
    text = np.frombuffer(body, np.uint8, min(_STEP + 19, len(body) - start), start)
    four = _both(_both((text - 48) < 10, 1), 2)
    sixteen = _both(_both(four, 4), 8)
    for at in np.flatnonzero(sixteen[:-4] & four[16:]).tolist():
        before = body[start + at - 1 : start + at]
        if not before.isdigit() and before != b".":
            return True
    return False


def _both(runs: npt.NDArray[np.bool_], apart: int) -> npt.NDArray[np.bool_]:
    """Where one run begins, and so many bytes on another."""
    return runs[:-apart] & runs[apart:]


_STEP = 2**17
"""Bytes looked at together: they stay in the processor's cache."""


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
            place = _place(loc)
            return str(msg) if place in str(msg) else f"{msg} (at {place})"
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
