"""Parser for scripts of faults given as text."""

from collections.abc import Callable
from typing import Any

from nomad_dask.testing.faults.actions import (
    Action,
    Delay,
    Drop,
    EndEarly,
    Garble,
    InflateTotal,
    Reorder,
    RepeatCursor,
    Reset,
    Stall,
    Status,
    Truncate,
    Unasked,
)
from nomad_dask.testing.faults.rules import Rule, share
from nomad_dask.text import hint, near

Json = dict[str, Any]


def parse_words(text: str) -> tuple[list[Rule], Json]:
    """Return the rules and the other arguments of `Faults`. ValueError names the invalid clause."""
    rules: list[Rule] = []
    settings: Json = {}
    for clause in filter(None, (part.strip() for part in text.split(";"))):
        try:
            head, *rest = (_pair(item) for item in clause.split(","))
            if head[0] not in _SETTINGS:
                rules.append(_rule(head, rest))
            elif rest:
                raise ValueError(f"{head[0]} takes no options")
            else:
                settings.update(_SETTINGS[head[0]](_needed(*head)))
        except ValueError as exc:
            raise ValueError(f"faults: {exc}, in {clause!r}") from exc
    return rules, settings


def _pair(item: str) -> tuple[str, str | None]:
    name, equals, value = item.partition("=")
    return name.strip(), value.strip() if equals else None


def _needed(name: str, value: str | None) -> str:
    if not value:
        raise ValueError(f"{name} needs a value, as in {name}=...")
    return value


def _number(name: str, kind: type = float) -> Callable[[str], Any]:
    """Return a parser of non-negative numbers whose errors contain `name`."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError(
                f"{name} must be {'an integer' if kind is int else 'a number'}, not {text!r}"
            ) from None
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be non-negative and finite, not {text}")
        return value

    return read


def _entries(name: str) -> Callable[[str], Json]:
    """Return a parser of `0.002`, `ID1+ID2`, or both joined by `+`: a number is a rate, anything else an
    id."""

    def read(text: str) -> Json:
        ids, rate = [], 0.0
        for word in text.split("+"):
            try:
                rate = share(name, float(word if len(word) != 28 else "an id"))
            except ValueError as exc:
                if str(exc).startswith(name):
                    raise
                ids.append(word)
        return {name: tuple(ids), f"{name}_rate": rate}

    return read


_SETTINGS: dict[str, Callable[[str], Json]] = {
    "latency": lambda text: {"latency": _number("latency")(text)},
    "slots": lambda text: {"slots": _number("slots", int)(text)},
    "limit": lambda text: {"requests_per_second": _number("limit")(text)},
    "seed": lambda text: {"seed": _number("seed", int)(text)},
    "missing": _entries("missing"),
    "poison": _entries("poison"),
}

_ACTIONS: dict[str, tuple[Callable[..., Action], Callable[[str], Any] | None, bool]] = {
    "status": (Status, _number("status", int), True),
    "reset": (Reset, None, False),
    "truncate": (Truncate, lambda text: share("truncate", _number("truncate")(text)), False),
    "garble": (Garble, lambda text: share("garble", _number("garble")(text)), False),
    "stall": (Stall, _number("stall"), True),
    "delay": (Delay, _number("delay"), True),
    "reorder": (Reorder, None, False),
    "repeat-cursor": (RepeatCursor, None, False),
    "inflate-total": (InflateTotal, _number("inflate-total", int), True),
    "unasked": (Unasked, lambda text: tuple(text.split("+")), True),
    "end-early": (EndEarly, None, False),
    "drop": (Drop, _number("drop", int), False),
}
"""For each action: its class, the parser of its value (None: takes no value), and whether it needs one."""

_WHEN: dict[str, Callable[[str], Any]] = {
    "rate": _number("rate"),
    "nth": lambda text: tuple(_number("nth", int)(word) for word in text.split("+")),
    "every": _number("every", int),
    "path": str,
    "times": _number("times", int),
}


def _rule(head: tuple[str, str | None], rest: list[tuple[str, str | None]]) -> Rule:
    """Return the rule of a clause."""
    name, value = head
    if name not in _ACTIONS:
        raise ValueError(_unknown("fault", name, [*_ACTIONS, *_SETTINGS]))
    make, read, needs = _ACTIONS[name]
    if read is None and value is not None:
        raise ValueError(f"{name} takes no value")
    arguments = [read(_needed(name, value))] if read and (needs or value is not None) else []
    if name == "status" and not 300 <= arguments[0] <= 599:
        raise ValueError(f"status must be between 300 and 599, not {arguments[0]}")
    extra: Json = {}
    when: Json = {}
    for key, text in rest:
        if name == "status" and key == "html":
            if text is not None:
                raise ValueError("html takes no value")
            extra["html"] = True
        elif name == "status" and key == "retry_after":
            extra["retry_after"] = _number(key)(_needed(key, text))
        elif key in _WHEN:
            when[key] = _WHEN[key](_needed(key, text))
        else:
            raise ValueError(
                _unknown("option", key, [*_WHEN, *(("html", "retry_after") if name == "status" else ())])
            )
    return Rule(make(*arguments, **extra), **when)


def _unknown(what: str, word: str, known: list[str]) -> str:
    return f"unknown {what} {word!r}{hint(word, near(word, known, limit=1), 'there are ' + ', '.join(known))}"
