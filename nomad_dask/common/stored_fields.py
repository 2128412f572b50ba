"""Type-checked reading of stored JSON: an error for a missing or wrong field names the field.

>>> fields({"total": "many"}, "plan").get("total", whole)
Traceback (most recent call last):
...
nomad_dask.common.stored_fields.FieldError: plan.total must be a non-negative integer (got 'many')

A `Kind` is a function of a value and its name that returns the converted value or raises FieldError.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NoReturn, TypeVar

from nomad_dask.errors import UserError
from nomad_dask.text import shown

_T = TypeVar("_T")
Kind = Callable[[Any, str], _T]
_LONGEST = 60


class FieldError(UserError):
    """A field of a JSON object is missing or has the wrong type."""


class Fields:
    """The fields of a JSON object."""

    def __init__(self, tree: dict[str, Any], name: str) -> None:
        self._tree, self._name = tree, name

    def get(self, field: str, kind: Kind[_T], **default: _T) -> _T:
        """The value of a field, which is optional with `default=...`."""
        name = f"{self._name}.{field}" if self._name else field
        if field in self._tree:
            return kind(self._tree[field], name)
        if "default" not in default:
            raise FieldError(f"{name} is missing")
        return default["default"]


def fields(tree: Any, name: str = "") -> Fields:
    """The fields of a JSON object."""
    return Fields(json_object(tree, name), name)


def refuse(value: Any, name: str, wanted: str) -> NoReturn:
    """Raise FieldError for a wrong value."""
    raise FieldError(f"{name or 'it'} must be {wanted} (got {shown(value, max_length=_LONGEST)})")


def json_object(value: Any, name: str) -> dict[str, Any]:
    """A JSON object."""
    return value if type(value) is dict else refuse(value, name, "an object")


def _checked(wanted: str, is_valid: Callable[[Any], bool]) -> Kind[Any]:
    """The kind of the values for which `is_valid` is true."""
    return lambda value, name: value if is_valid(value) else refuse(value, name, wanted)


text: Kind[str] = _checked("a string", lambda value: type(value) is str)
some_text: Kind[str] = _checked("a non-empty string", lambda value: type(value) is str and value != "")
flag: Kind[bool] = _checked("true or false", lambda value: type(value) is bool)
whole: Kind[int] = _checked("a non-negative integer", lambda value: type(value) is int and value >= 0)
positive: Kind[int] = _checked("a positive integer", lambda value: type(value) is int and value > 0)


def optional(kind: Kind[_T]) -> Kind[_T | None]:
    """A value of the kind, or null."""
    return lambda value, name: None if value is None else kind(value, name)


def one_of(choices: Collection[str]) -> Kind[Any]:
    """One of the given strings."""
    return _checked(" or ".join(map(repr, choices)), lambda value: type(value) is str and value in choices)


def items(kind: Kind[_T]) -> Kind[tuple[_T, ...]]:
    """A list of values of a kind."""

    def each(value: Any, name: str) -> tuple[_T, ...]:
        if type(value) is not list:
            refuse(value, name, "a list")
        return tuple(kind(item, f"{name}[{place}]") for place, item in enumerate(value))

    return each


def mapping(kind: Kind[_T]) -> Kind[dict[str, _T]]:
    """An object whose values are of a kind."""
    return lambda value, name: {
        key: kind(item, f"{name}.{key}") for key, item in json_object(value, name).items()
    }
