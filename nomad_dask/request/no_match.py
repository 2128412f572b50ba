"""What to check in a query that matches no entry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from nomad_dask.text import shown

_SYMBOL = re.compile("[A-Z][a-z]?")
_FORMULA = re.compile(r"(?:([A-Z][a-z]?)\d*)+")
_OPERATORS = ("any", "all", "none", "gt", "gte", "lt", "lte")
_MOST_NAMED = 3
"""Maximum number of conditions in one message."""


def no_match_message(owner: str, query: dict[str, Any], after: str = "") -> str:
    """The message about a query that no entry matches: what is unusual in it, and what is usual."""
    advice = list(dict.fromkeys(hint for path, value in _conditions(query) for hint in _hints(path, value)))
    advice = advice[:_MOST_NAMED]
    if query:
        advice.append("all conditions must hold, and text is compared exactly, with upper and lower case")
    if after:
        advice.append(f"only entries after {shown(after, max_length=60)} are searched")
    if owner in ("user", "shared", "staging"):
        advice.append(f"owner={owner!r} searches only entries of your login; 'visible' searches all")
    return f"no entry matches the query{': ' if advice else ''}{'; '.join(advice)}"


def _hints(path: str, value: Any) -> Iterator[str]:
    """What is unusual in one condition."""
    name, _, operator = path.partition(":")
    values = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    last = name.rpartition(".")[2]
    if last == "elements":
        for one in values:
            if not _SYMBOL.fullmatch(one):
                symbol = one.capitalize()
                yield (
                    f"{name}: an element is written as its symbol, case-sensitive: "
                    f"{shown(symbol if _SYMBOL.fullmatch(symbol) else 'Ti')}, not {shown(one, max_length=40)}"
                )
    if last == "chemical_formula_reduced":
        for one in values:
            if _FORMULA.fullmatch(one) and one != (ordered := _alphabetical(one)):
                yield f"{name}: symbols are in alphabetical order: {ordered!r}, not {one!r}"
    if isinstance(value, list) and len(value) > 1 and operator in ("", "all"):
        yield f"{name}: a list means all of its values; '{name}:any' means one or more of them"


def _alphabetical(formula: str) -> str:
    return "".join(sorted(re.findall(r"[A-Z][a-z]?\d*", formula), key=lambda part: part.rstrip("0123456789")))


def _conditions(query: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Names, with operators, and values of the conditions that entries must meet; not those below `not`."""
    if not isinstance(query, dict):
        return
    for key, value in query.items():
        if key in ("and", "or") and isinstance(value, list):
            for part in value:
                yield from _conditions(part, above)
        elif key == "not":
            continue
        elif key in _OPERATORS and above:
            yield f"{above}:{key}", value
        elif isinstance(value, dict):
            yield from _conditions(value, f"{above}.{key}" if above else key)
        else:
            yield f"{above}.{key}" if above else key, value
