"""Owns the checks of plain arguments: each says what is wrong, with which argument, and what it should be."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import orjson

from .errors import UserError
from .near import hint, near

_P = ParamSpec("_P")
_R = TypeVar("_R")


def as_json(query: dict[str, Any]) -> dict[str, Any]:
    """A query as it goes over the wire: a tuple is a list there, a date its text; so that it equals itself later."""
    if not isinstance(query, dict):
        raise UserError(f"query must be a dict of NOMAD's search expression, not {type(query).__name__}")
    try:
        plain: dict[str, Any] = orjson.loads(orjson.dumps(query))
    except TypeError as error:
        advice = "use dicts, lists, texts and numbers of Python (of a numpy value its .item())"
        raise UserError(f"query holds what JSON cannot: {error}; {advice}") from error
    return plain


def whole_number(name: str, value: Any, least: int, most: int) -> None:
    """UserError unless `value` is an int from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UserError(f"{name} must be a whole number from {least} to {most}, not {value!r}")


def number(name: str, value: Any, note: str, *, zero: bool = False) -> None:
    """UserError unless `value` is a number above 0, or from 0 up with `zero`."""
    right = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (value > 0 or (zero and value == 0))
    )
    if not right:
        raise UserError(
            f"{name} must be a number {'from 0 up' if zero else 'above 0'} ({note}), not {value!r}"
        )


def text(name: str, value: Any) -> None:
    """UserError unless `value` is a text."""
    if not isinstance(value, str):
        raise UserError(f"{name} must be a text, not {value!r}")


def owner(value: Any) -> None:
    """UserError unless `value` is a text; whoever gives the query first is told how it is given."""
    if isinstance(value, dict):
        raise UserError(
            f"owner comes first, and is a text such as 'visible', not {value!r}; give query={value!r}"
        )
    text("owner", value)


def spelled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The same function, whose TypeError for an argument that it does not have names the near ones."""
    known = tuple(inspect.signature(function).parameters)[1:]
    name = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

    @wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for given in kwargs:
            if given not in known:
                raise TypeError(f"{name} has no argument {given!r}{hint(near(given, known), _all(known))}")
        return function(*args, **kwargs)

    return checked


def _all(known: tuple[str, ...]) -> str:
    return f"its arguments are {', '.join(known)}"
