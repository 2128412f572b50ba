"""Validation of arguments. Each error names the argument, the valid values and the value."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar, get_args

import orjson

from nomad_dask.errors import UserError
from nomad_dask.text import hint, near, shown

Owner: TypeAlias = Literal["visible", "public", "user", "shared", "staging", "all", "admin"]
OWNERS: tuple[Owner, ...] = get_args(Owner)
"""NOMAD's names for the groups of entries that a query may ask for."""
API_KEYS = ("pagination", "aggregations", "statistics", "files")
"""Keys of the body of an API request that a query in bulk does not need."""
USE_FROM_API = "for the body of an API request, use ArchiveQuery.from_api(body)"
_P = ParamSpec("_P")
_R = TypeVar("_R")


def as_json(query: dict[str, Any]) -> dict[str, Any]:
    """A query as JSON values, with tuples as lists and dates as strings, to compare with stored queries."""
    if not isinstance(query, dict):
        raise UserError(f"query must be a dict of NOMAD's search expression, not {type(query).__name__}")
    try:
        plain: dict[str, Any] = orjson.loads(orjson.dumps(query))
    except TypeError as error:
        advice = "use Python's dicts, lists, strings and numbers (.item() of a numpy value)"
        raise UserError(f"query must be serializable as JSON: {error}; {advice}") from error
    return plain


def integer(name: str, value: Any, minimum: int, maximum: int) -> None:
    """Raise UserError unless `value` is an int from `minimum` to `maximum`."""
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise UserError(f"{name} must be an integer between {minimum} and {maximum} (got {shown(value)})")


def number(name: str, value: Any, note: str, *, zero: bool = False) -> None:
    """Raise UserError unless `value` is a positive number; `zero` allows 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (value > 0 or (zero and value == 0)):
        sign = "non-negative" if zero else "positive"
        raise UserError(f"{name} must be a {sign} number, {note} (got {shown(value)})")


def string(name: str, value: Any) -> None:
    """Raise UserError unless `value` is a string."""
    if not isinstance(value, str):
        raise UserError(f"{name} must be a string (got {shown(value)})")


def owner(value: Any) -> None:
    """Raise UserError unless `value` is one of `OWNERS`; for a query in its place, say how to pass it."""
    if isinstance(value, dict):
        raise UserError(
            f"owner, the first argument, must be a string such as 'visible'; use query={shown(value)}"
        )
    string("owner", value)
    if value not in OWNERS:
        suggestion = hint(value, near(value, OWNERS, limit=1))
        raise UserError(f"owner must be one of {', '.join(OWNERS)} (got {shown(value)}){suggestion}")


def readable_signature(function: Callable[..., Any]) -> inspect.Signature:
    """A signature whose types are values, so that `help` shows the choices and not the name of a type."""

    def value(annotation: str) -> Any:
        try:
            return eval(annotation, function.__globals__)
        except NameError:  # imported only for type checks
            return annotation

    found = inspect.signature(function)
    return found.replace(
        parameters=[
            one if one.annotation is one.empty else one.replace(annotation=value(one.annotation))
            for one in found.parameters.values()
        ]
    )


def check_keywords(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorator: a TypeError for an unknown keyword argument suggests similar ones."""
    known = tuple(inspect.signature(function).parameters)[1:]
    from_api = function.__name__ == "__init__" and "from_api" in known
    name = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

    @wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for given in kwargs:
            if given not in known:
                if from_api and given in API_KEYS:
                    raise TypeError(f"{name} has no argument {given!r}; {USE_FROM_API}")
                advice = hint(given, near(given, known), f"its arguments are {', '.join(known)}")
                raise TypeError(f"{name} has no argument {given!r}{advice}")
        return function(*args, **kwargs)

    checked.__signature__ = readable_signature(function)  # type: ignore[attr-defined]
    return checked
