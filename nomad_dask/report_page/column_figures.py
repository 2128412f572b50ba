"""Rows of the page's column table: the leaves of Arrow schemas, and figures of their values.

A leaf is what Parquet stores as one column: a column of a wide table (also if it holds lists), or a quantity
in the sections of a nested one. Leaves are numbered like Parquet columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from nomad_dask.common import paths, types
from nomad_dask.errors import UserError
from nomad_dask.layouts.schema import is_json

_MAX_LENGTH, _MAX_ITEMS = 80, 4
"""Limits of an example: characters, and items of each list."""


@dataclass(frozen=True, slots=True)
class LeafFigures:
    """One row of the column table."""

    path: str
    type: str
    unit: str = ""
    description: str = ""
    listed: bool = False
    """True for lists and leaves inside of lists, where Parquet's nulls include null items and empty lists."""


@dataclass(frozen=True, slots=True)
class ColumnSample:
    """Figures of the leaves of one table, by leaf number, from a few of its parts."""

    parts: int = 0
    """Number of parts whose footers were read."""
    rows: int = 0
    nulls: Mapping[int, int] = field(default_factory=dict)
    counts: Mapping[int, int] = field(default_factory=dict)
    """Values and nulls together: the number of rows, except inside of lists of sections."""
    examples: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ColumnFigures:
    """The column table: the leaves of each table, and figures of their values."""

    leaves: Mapping[str, tuple[LeafFigures, ...]]
    """By the layout's table keys."""
    samples: Mapping[str, ColumnSample]
    parts: int
    """Number of parts with rows, of each table."""


def leaves(schema: pa.Schema) -> tuple[LeafFigures, ...]:
    """The leaves of a table, in the order of Parquet columns."""
    return tuple(leaf for column in schema for leaf in _leaves(column.name, column))


def _leaves(path: str, column: pa.Field, listed: bool = False) -> Iterator[LeafFigures]:
    inner = column
    while pa.types.is_list(inner.type):
        inner = inner.type.value_field
    listed = listed or inner is not column
    if pa.types.is_struct(inner.type):
        for below in inner.type:
            yield from _leaves(f"{path}.{paths.escape(below.name)}", below, listed)
    else:
        unit, description = _metadata(column, inner, b"unit"), _metadata(column, inner, b"description")
        yield LeafFigures(path, _type(column, inner), unit, description, listed)


def _metadata(column: pa.Field, inner: pa.Field, name: bytes) -> str:
    found = (column.metadata or {}).get(name) or (inner.metadata or {}).get(name) or b""
    return str(found.decode())


def _type(column: pa.Field, inner: pa.Field) -> str:
    if is_json(column) or is_json(inner):
        return "JSON text"
    try:
        return types.parse(column.type)
    except UserError:
        return str(column.type)


def leaf_arrays(array: pa.Array) -> Iterable[pa.Array]:
    """The leaves of one column as arrays, in the order of `leaves`. Lists of sections are flattened."""
    inner = array.type
    while pa.types.is_list(inner):
        inner = inner.value_type
    if not pa.types.is_struct(inner):
        return [array]
    while pa.types.is_list(array.type):
        array = array.flatten()
    return [leaf for below in array.flatten() for leaf in leaf_arrays(below)]


def example(array: pa.Array) -> str | None:
    """The first value that is not null, as text of at most 80 characters; None if there is none."""
    at = array.is_valid().index(True).as_py()
    if at < 0:
        return None
    text = _text(_head(array[at]))
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"


_CUT = "\0"


def _head(value: pa.Scalar) -> Any:
    """A value with only the first items of its lists, which may have millions."""
    if not isinstance(value, pa.ListScalar):
        return value.as_py()
    if not value.is_valid:
        return None
    items: list[Any] = [_head(item) for item in value.values[:_MAX_ITEMS]]
    return items if len(value.values) <= _MAX_ITEMS else [*items, _CUT]


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
