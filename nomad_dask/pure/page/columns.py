"""Owns the rows of the page's schema table: the leaves of Arrow schemas, and what parts showed of them.

A leaf is what Parquet stores as one column: a cell of a wide table, be it a list, and what stands at the ends of a
nested one's sections. Leaves are numbered as Parquet numbers its columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from .. import paths, types
from ..errors import UserError
from ..schema import is_json

_LONGEST, _MOST_ITEMS = 80, 4


@dataclass(frozen=True, slots=True)
class Leaf:
    """One row of the schema table."""

    path: str
    type: str
    unit: str = ""
    description: str = ""
    listed: bool = False
    """Whether it is a list or stands in one: Parquet's statistics count the nulls among the items, and an empty list too."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What some parts of one table showed of its leaves, by their numbers."""

    parts: int = 0
    """How many parts' footers were read."""
    rows: int = 0
    nulls: Mapping[int, int] = field(default_factory=dict)
    places: Mapping[int, int] = field(default_factory=dict)
    """Values and nulls together: as many as rows, but for what lists of sections hold."""
    examples: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Columns:
    """The schema table: the leaves of each table, and what is known of their values."""

    leaves: Mapping[str, tuple[Leaf, ...]]
    """By the layout's keys."""
    glimpses: Mapping[str, Glimpse]
    parts: int
    """Parts that there are; of tables, of each."""


def leaves(schema: pa.Schema) -> tuple[Leaf, ...]:
    """The leaves of a table, in Parquet's order."""
    return tuple(leaf for one in schema for leaf in _leaves(one.name, one))


def _leaves(path: str, one: pa.Field, listed: bool = False) -> Iterator[Leaf]:
    inner = one
    while pa.types.is_list(inner.type):
        inner = inner.type.value_field
    listed = listed or inner is not one
    if pa.types.is_struct(inner.type):
        for below in inner.type:
            yield from _leaves(f"{path}.{paths.escape(below.name)}", below, listed)
    else:
        unit, description = _fact(one, inner, b"unit"), _fact(one, inner, b"description")
        yield Leaf(path, _type(one, inner), unit, description, listed)


def _fact(one: pa.Field, inner: pa.Field, name: bytes) -> str:
    found = (one.metadata or {}).get(name) or (inner.metadata or {}).get(name) or b""
    return str(found.decode())


def _type(one: pa.Field, inner: pa.Field) -> str:
    if is_json(one) or is_json(inner):
        return "JSON text"
    try:
        return types.parse(one.type)
    except UserError:
        return str(one.type)


def leaf_arrays(array: pa.Array) -> Iterable[pa.Array]:
    """The leaves of one column's values, in the order of `leaves`; items of lists of sections one after the other."""
    inner = array.type
    while pa.types.is_list(inner):
        inner = inner.value_type
    if not pa.types.is_struct(inner):
        return [array]
    while pa.types.is_list(array.type):
        array = array.flatten()
    return [leaf for below in array.flatten() for leaf in leaf_arrays(below)]


def example(array: pa.Array) -> str | None:
    """The first value that is there, in at most 80 characters."""
    at = array.is_valid().index(True).as_py()
    if at < 0:
        return None
    text = _text(_head(array[at]))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


_CUT = "\0"


def _head(value: pa.Scalar) -> Any:
    """A value, of its lists the first few items alone: there may be millions."""
    if not isinstance(value, pa.ListScalar):
        return value.as_py()
    if not value.is_valid:
        return None
    items: list[Any] = [_head(item) for item in value.values[:_MOST_ITEMS]]
    return items if len(value.values) <= _MOST_ITEMS else [*items, _CUT]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join('…' if item is _CUT else _item(item) for item in value)}]"
    return value if isinstance(value, str) else _item(value)


def _item(value: Any) -> str:
    if isinstance(value, list):
        return _text(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return orjson.dumps(value, default=str).decode()
