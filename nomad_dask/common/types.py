"""The types of cells: the type of a JSON value, the common type of two, and conversion to Arrow.

A type is a string: `bool`, `int64`, `double`, `string`, `list<double>`, `list<list<int64>>`. Two more are
used in inference: `null` (only nulls so far) and `json` (no common type: kept as JSON text).
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import cache, reduce
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from nomad_dask.common import stored_fields
from nomad_dask.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

NULL, BOOL, INT, FLOAT, STRING, JSON = "null", "bool", "int64", "double", "string", "json"
MAX_NESTED = 50
"""Maximum nesting of lists and structs in a column. Arrow IPC supports 63, Parquet 100."""
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

_SCALARS = (BOOL, INT, FLOAT, STRING)
_ALIASES = {
    "float64": FLOAT,
    "float": FLOAT,
    "int": INT,
    "str": STRING,
    "large_string": STRING,
    "boolean": BOOL,
}
_ARROW_LIST = re.compile(r"^(?:large_)?list<(?:\w+: )?(?P<inner>.*)>$")
_OF_CLASS = {type(None): NULL, bool: BOOL, float: FLOAT, str: STRING, dict: JSON}
_CLASSES = {BOOL: bool, INT: int, FLOAT: float, STRING: str}


def type_of(value: Any) -> str:
    """The type of a JSON value: `json` for an integer outside int64 and for a list that contains dicts."""
    if type(value) is list:
        return list_of(_type_of_all(value))
    if type(value) is int:
        return INT if INT_MIN <= value <= INT_MAX else JSON
    return _OF_CLASS[type(value)]


def _type_of_all(values: list[Any]) -> str:
    classes = set(map(type, values))
    if int in classes:
        numbers = values if classes == {int} else [value for value in values if type(value) is int]
        if min(numbers) < INT_MIN or max(numbers) > INT_MAX:
            return JSON
    if classes == {list}:
        return list_of(_type_of_all([*chain.from_iterable(values)]))
    if list in classes:
        return reduce(join, (type_of(value) for value in values))
    return reduce(join, (INT if kind is int else _OF_CLASS[kind] for kind in classes), NULL)


@cache
def list_of(inner: str) -> str:
    """The type of a list of `inner`: `json` if `inner` is `json` or already nested `MAX_NESTED` deep."""
    return JSON if inner == JSON or nesting(inner) >= MAX_NESTED else f"list<{inner}>"


def nesting(type_name: str) -> int:
    """Number of lists around the scalars of a type."""
    return type_name.count("<")


@cache
def inner_of(type_name: str) -> str | None:
    """The type of a list's elements; None if the type is not a list."""
    return type_name[5:-1] if type_name.startswith("list<") else None


@cache
def scalar_of(type_name: str) -> str:
    """The type of the scalars in a type."""
    inner = inner_of(type_name)
    return type_name if inner is None else scalar_of(inner)


@cache
def join(one: str, other: str) -> str:
    """The narrowest type that holds both: `double` for int and float, `json` for types that have none."""
    if one == other or other == NULL:
        return one
    if one == NULL:
        return other
    if {one, other} == {INT, FLOAT}:
        return FLOAT
    a, b = inner_of(one), inner_of(other)
    return list_of(join(a, b)) if a is not None and b is not None else JSON


def fits(value: Any, type_name: str) -> bool:
    """True if a column of that type can hold the value (an integer may become a float)."""
    return join(type_of(value), type_name) == type_name


def all_fit(values: list[Any], type_name: str) -> bool:
    """True if a column of that type can hold all values, which are checked together."""
    return join(_type_of_all(values), type_name) == type_name


def class_of(type_name: str) -> type | None:
    """The class of the values of a type; None for JSON text."""
    return None if type_name == JSON else _CLASSES.get(type_name, list)


def final_type(type_name: str) -> str:
    """The type of a column after inference: `json` if there were only nulls or empty lists."""
    return JSON if NULL in type_name else type_name


@cache
def to_arrow(type_name: str) -> pa.DataType:
    """The Arrow type: a string for JSON text, 32-bit offsets for lists."""
    import pyarrow as pa  # the command line reads types and needs no Arrow

    inner = inner_of(type_name)
    if inner is not None:
        return pa.list_(to_arrow(inner))
    scalars = {BOOL: pa.bool_(), INT: pa.int64(), FLOAT: pa.float64(), STRING: pa.string(), JSON: pa.string()}
    return scalars[type_name]


def of_stored(value: Any, name: str) -> str:
    """A type from a stored schema."""
    if type(value) is str:
        with suppress(KeyError, RecursionError):
            to_arrow(value)
            return value
    return stored_fields.refuse(value, name, "a type such as double or list<int64>")


def parse(given: str | pa.DataType) -> str:
    """The type for a user's type name or Arrow type. Raises UserError for unknown ones."""
    text = str(given).strip()
    if nesting(text) > MAX_NESTED:
        raise UserError(f"schema: a type is nested deeper than {MAX_NESTED} levels; use json for the column")
    match = _ARROW_LIST.match(text)
    if match is not None:
        return list_of(parse(match["inner"]))
    text = _ALIASES.get(text, text)
    if text not in _SCALARS and text != JSON:
        known = ", ".join([*_SCALARS, JSON])
        raise UserError(f"schema: unknown type {given!s}; use {known}, or a list such as list<double>")
    return text


def dumps(value: Any) -> str:
    """A value as JSON text, with integers of any size."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)


def loads(text: str) -> Any:
    """The value of a JSON cell, with exact integers of any size (orjson would return floats)."""
    return json.loads(text)
