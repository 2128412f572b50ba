"""Owns the types of cells: which a JSON value has, how two meet, and their readable names (SPEC 7).

A type is a text: `bool`, `int64`, `double`, `string`, `list<double>`, `list<list<int64>>`. Two more are for
reckoning: `null` (nothing seen but nulls) and `json` (what cannot meet, kept as JSON text).
"""

from __future__ import annotations

import json
import re
from functools import cache, reduce
from itertools import chain
from typing import Any

import orjson
import pyarrow as pa

from nomad_dask.pure.errors import UserError

NULL, BOOL, INT, FLOAT, STRING, JSON = "null", "bool", "int64", "double", "string", "json"
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

_SCALARS = {BOOL: pa.bool_(), INT: pa.int64(), FLOAT: pa.float64(), STRING: pa.string()}
_ALIASES = {
    "float64": FLOAT,
    "float": FLOAT,
    "int": INT,
    "str": STRING,
    "large_string": STRING,
    "boolean": BOOL,
}
_ARROW_LIST = re.compile(r"^(?:large_)?list<(?:\w+: )?(?P<inner>.*)>$")
_LISTS = {list}
_OF_CLASS = {type(None): NULL, bool: BOOL, float: FLOAT, str: STRING, dict: JSON}


def type_of(value: Any) -> str:
    """The type that one JSON value needs. An integer past int64 and a list that holds dicts need `json`."""
    if type(value) is list:
        return list_of(_type_of_all(value))
    if type(value) is int:
        return INT if INT_MIN <= value <= INT_MAX else JSON
    return _OF_CLASS[type(value)]


def _type_of_all(values: list[Any]) -> str:
    classes = set(map(type, values))
    if int in classes and (min_max := _extremes(values, classes)) and not _fits_int(*min_max):
        return JSON
    if classes == _LISTS:
        return list_of(_type_of_all([*chain.from_iterable(values)]))
    if list in classes:
        return reduce(join, (type_of(value) for value in values))
    return reduce(join, (INT if kind is int else _OF_CLASS[kind] for kind in classes), NULL)


def _extremes(values: list[Any], classes: set[type]) -> tuple[int, int]:
    numbers = values if classes == {int} else [value for value in values if type(value) is int]
    return min(numbers), max(numbers)


def _fits_int(least: int, most: int) -> bool:
    return least >= INT_MIN and most <= INT_MAX


@cache
def list_of(inner: str) -> str:
    """The type of a list of `inner`; what is JSON inside is JSON as a whole."""
    return JSON if inner == JSON else f"list<{inner}>"


@cache
def inner_of(type_name: str) -> str | None:
    """The type of a list's elements; None where the type is no list."""
    return type_name[5:-1] if type_name.startswith("list<") else None


@cache
def join(one: str, other: str) -> str:
    """The narrowest type that holds both: int and float meet as `double`, unlike things as `json`."""
    if one == other or other == NULL:
        return one
    if one == NULL:
        return other
    if {one, other} == {INT, FLOAT}:
        return FLOAT
    a, b = inner_of(one), inner_of(other)
    return list_of(join(a, b)) if a is not None and b is not None else JSON


def fits(value: Any, type_name: str) -> bool:
    """True where a column of that type holds the value as it is (an integer may become a float)."""
    return join(type_of(value), type_name) == type_name


def settled(type_name: str) -> str:
    """A found type made final: where nothing but nulls or empty lists was seen, it is `json`."""
    return JSON if NULL in type_name else type_name


@cache
def to_arrow(type_name: str) -> pa.DataType:
    """The Arrow type: JSON text is a string, a list has 32-bit offsets."""
    inner = inner_of(type_name)
    if inner is not None:
        return pa.list_(to_arrow(inner))
    return pa.string() if type_name == JSON else _SCALARS[type_name]


def parse(given: str | pa.DataType) -> str:
    """The type that a user means: our own names, Arrow types and their names. Raises UserError for others."""
    text = str(given).strip()
    match = _ARROW_LIST.match(text)
    if match is not None:
        return list_of(parse(match["inner"]))
    text = _ALIASES.get(text, text)
    if text not in _SCALARS and text != JSON:
        known = ", ".join([*_SCALARS, JSON])
        raise UserError(f"schema: unknown type {given!s}; use {known}, or a list such as list<double>")
    return text


def dumps(value: Any) -> str:
    """A value as JSON text, integers of any size."""
    try:
        return orjson.dumps(value).decode()
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(value, separators=(",", ":"))


def loads(text: str) -> Any:
    """A JSON cell's value again, integers of any size exact (which orjson would make floats)."""
    return json.loads(text)
