"""The nested layout: one row per entry, one column per required path, with its subtree as Arrow structs.

The name of a column is its path as written (`run[-1].calculation.energy`). Each list on the path above its
end is a list in the column, with the same positions; dicts on the path are omitted::

    {"run": [{"calculation": [{"energy": {"fermi": 1.5}}, {}]}]}  ->  [[{"fermi": 1.5}, null]]

Null means that there is no value. Values that a column cannot hold (an explicit null, a value outside its
shape) are in `_more` of the row, by their name in the wide layout, so that `to_json_rows` returns exactly
`required_part`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
import pyarrow as pa

from nomad_dask.common import paths, stored_fields, types
from nomad_dask.errors import UnknownValueError, UserError
from nomad_dask.layouts import select, shapes
from nomad_dask.layouts.column_limit import MOST_COLUMNS, ColumnLimit
from nomad_dask.layouts.declared import repeats
from nomad_dask.layouts.nested_cells import ColumnCells, Keys, end_of, leading_tree, name_of, required_part
from nomad_dask.layouts.schema import JSON_MARK, MORE, RESERVED, Schema, is_json, more_cell
from nomad_dask.layouts.tables import RequiredPath, required_paths
from nomad_dask.layouts.wide import OnNew, shortened
from nomad_dask.metainfo.definitions import Definitions, Member
from nomad_dask.request.references import merge
from nomad_dask.request.required import Required

__all__ = ["Nested", "NestedColumn", "NestedSchema", "infer_nested", "required_part", "to_json_rows"]

PATH, CROSSED = b"nomad_dask.path", b"nomad_dask.crossed"
"""Keys in the metadata of a column: its required path as written, and the positions of its keys that hold
lists."""

_READ_TOGETHER = 64
_ABSENT: Any = object()

MOST_ROWS = 2**8
MOST_BYTES = 2**22
"""Limits of the rows and of the bytes of JSON that are kept as Python values before they become Arrow."""


@dataclass(frozen=True)
class NestedColumn:
    """One required path."""

    path: str
    """As written."""
    shape: shapes.Shape
    """The shape at the end of the path, or at the section of its first `*`."""
    crossed: tuple[int, ...] = ()
    """The positions of the keys on the path that hold lists, which are lists in the column."""


@dataclass(frozen=True)
class NestedSchema:
    """The columns of a nested frame or dataset, in the order of `required`."""

    columns: tuple[NestedColumn, ...] = ()
    left_out: int = 0
    """Number of sampled cells left out by the column limit; their values go to `_more`."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The required paths as written."""
        return tuple(column.path for column in self.columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The column names: the paths, and `entry_id_2` for a reserved name."""
        written = [column.path for column in self.columns]
        return tuple(select.distinct(written, written, taken=RESERVED))

    @cached_property
    def _arrow(self) -> pa.Schema:
        plain = Schema().to_arrow()
        fields = [_field(name, column) for name, column in zip(self.names, self.columns, strict=True)]
        return pa.schema([plain.field(0), plain.field(1), *fields, plain.field(2)], plain.metadata)

    def to_arrow(self) -> pa.Schema:
        """`entry_id`, `upload_id`, the columns, `_more`; units and descriptions in the fields' metadata at
        all levels."""
        return self._arrow

    def to_json(self) -> dict[str, Any]:
        """The schema as a JSON value, for `from_json`."""
        return {
            "nested": [
                {"path": c.path, "crossed": [*c.crossed], "shape": shapes.to_json(c.shape)}
                for c in self.columns
            ]
        } | ({"left_out": self.left_out} if self.left_out else {})

    def __dask_tokenize__(self) -> tuple[str, bytes]:
        """Token for Dask; see `Schema`."""
        return "nested schema", orjson.dumps(self.to_json())

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NestedSchema:
        """The schema from its JSON value. Raises UserError if the value is invalid."""
        of = stored_fields.fields(value, "schema")
        left_out = of.get("left_out", stored_fields.whole, default=0)
        return cls(of.get("nested", stored_fields.items(_stored_column)), left_out)

    def __reduce__(self) -> tuple[Any, ...]:
        return NestedSchema, (self.columns, self.left_out)


def _stored_column(value: Any, name: str) -> NestedColumn:
    of = stored_fields.fields(value, name)
    crossed = of.get("crossed", stored_fields.items(stored_fields.whole))
    return NestedColumn(of.get("path", stored_fields.text), of.get("shape", shapes.from_json), crossed)


def infer_nested(
    samples: Iterable[Mapping[str, Any]],
    required: Required,
    *,
    definitions: Definitions | None = None,
    max_columns: int | None = MOST_COLUMNS,
) -> NestedSchema:
    """The narrowest schema that holds every value of the samples; only nulls in sections are left for
    `_more`.

    All columns together have at most `max_columns` cells; other values go to `_more`. Data wins over the
    server's schema, which adds units, descriptions, and types that the samples leave open.
    """
    archives = list(samples)
    member_of = shapes.member_lookup(definitions, documents=required.documents)
    found: list[tuple[RequiredPath, tuple[int, ...], shapes.ObservedValues]] = []
    for path in required_paths(required):
        above = range(len(path.keys) - (not path.is_open)) if path.keys else ()
        crossed = tuple(n for n in above if _crosses(archives, path, n, member_of(path.keys[: n + 1])))
        seen = shapes.ObservedValues()
        column = ColumnCells(leading_tree(required), path, crossed, lambda value, at: seen.add(value))  # noqa: B023
        for archive in archives:
            column.cell(archive)
        found.append((path, crossed, seen))
    left_out = _fit(
        [(path.keys, seen) for path, _, seen in found], ColumnLimit(required, definitions, max_columns)
    )
    columns = (
        NestedColumn(path.written, seen.shape(member_of, path.keys, len(crossed)), crossed)
        for path, crossed, seen in found
    )
    return NestedSchema(tuple(columns), left_out)


def _fit(found: Iterable[tuple[tuple[str, ...], shapes.ObservedValues]], limit: ColumnLimit) -> int:
    """Drop the cells beyond the column limit; returns the number of cells left out."""
    found = list(found)
    ends = {end: (*above, *keys) for above, seen in found for keys, end in seen.ends()}
    skipped = sum(seen.skipped for _, seen in found)
    if limit.allows(len(ends)):
        return skipped
    kept = limit.choose({end: end.n for end in ends}, lambda end: paths.join(ends[end]))
    for _, seen in found:
        seen.keep(kept)
    return len(ends) - len(kept) + skipped


class Nested:
    """Builds a nested table, entry by entry. Memory: the table twice, and the last `MOST_ROWS` rows or
    `MOST_BYTES` of JSON.

    Values that a column cannot hold go to `_more` of their row, as a JSON object by name, and are counted in
    `n_more`; `on_new="raise"` raises UnknownValueError for the first value outside the schema (nulls are
    inside).
    """

    def __init__(self, schema: NestedSchema, required: Required, *, on_new: OnNew = "more") -> None:
        if on_new not in ("more", "raise"):
            raise UserError(f"on_new must be 'more' or 'raise' (got {on_new!r})")
        self.schema = schema
        self.n_more = 0
        self._on_new = on_new
        by_path = {path.written: path for path in required_paths(required)}
        whole = leading_tree(required)
        report = self._add_to_more
        self._columns = [
            ColumnCells(whole, by_path[column.path], column.crossed, end_of(column.shape, report), report)
            for column in schema.columns
        ]
        self._parts: list[pa.Table] = []
        self._begin_part()

    def _begin_part(self) -> None:
        self._entries: list[str] = []
        self._uploads: list[str | None] = []
        self._more: list[str | None] = []
        self._cells: list[list[Any]] = [[] for _ in self._columns]
        self._bytes = 0

    def append(
        self, entry_id: str, upload_id: str | None, archive: Mapping[str, Any] | None, *, n_bytes: int = 0
    ) -> None:
        """Add the row of one entry; a row of nulls for an entry without archive (None).

        `n_bytes`, the size of its JSON if known, makes the memory bound tighter.
        """
        self._entries.append(entry_id)
        self._uploads.append(upload_id)
        self._row_more: dict[str, Any] = {}
        for column, cells in zip(self._columns, self._cells, strict=True):
            cells.append(column.cell(archive))
        self._more.append(more_cell(self._row_more))
        self._bytes += n_bytes
        if self._bytes > MOST_BYTES or len(self._entries) >= MOST_ROWS:
            self.flush()

    def flush(self) -> None:
        """Convert the pending rows to Arrow."""
        if not self._entries:
            return
        columns = [self._entries, self._uploads, *self._cells, self._more]
        schema = self.schema.to_arrow()
        arrays = [pa.array(cells, kind) for cells, kind in zip(columns, schema.types, strict=True)]
        self._parts.append(pa.Table.from_arrays(arrays, schema=schema))
        self._begin_part()

    def finish(self) -> pa.Table:
        """The table, with rows in the order of `append`. The builder is empty afterwards."""
        self.flush()
        parts, self._parts = self._parts or [self.schema.to_arrow().empty_table()], []
        return pa.concat_tables(parts).combine_chunks()

    def _add_to_more(self, at: Keys, value: Any, is_new: bool) -> None:
        name = name_of(at)
        if is_new and self._on_new == "raise":
            raise UnknownValueError(
                f"entry {self._entries[-1]}: {name} does not fit the schema, and the value is "
                f"{shortened(value)}; keep such values in the column _more with on_new='more'"
            )
        # A value above several required paths is met once for each of them.
        self.n_more += name not in self._row_more
        self._row_more[name] = joined(self._row_more.get(name), value)


def _field(name: str, column: NestedColumn) -> pa.Field:
    """The Arrow field of a column: metadata of the cells outside, the mark of JSON text at the innermost
    items."""
    field = shapes.to_field(name, column.shape)
    facts = {**(field.metadata or {}), PATH: column.path.encode(), CROSSED: orjson.dumps(column.crossed)}
    item = pa.field("item", field.type)
    if column.crossed and is_json(field):
        item = item.with_metadata({JSON_MARK: facts.pop(JSON_MARK)})
    for _ in column.crossed:
        item = pa.field("item", pa.list_(item))
    return pa.field(name, item.type, metadata=facts)


def _crosses(
    archives: list[Mapping[str, Any]], path: RequiredPath, place: int, member: Member | None
) -> bool:
    """True if a key of the path holds lists: by the samples, else by the path's slices or the server's
    schema."""
    held = Counter(type(value) for archive in archives for value in _held(archive, path.keys[: place + 1]))
    if held[list] or held[dict]:
        return held[list] >= held[dict]
    return place in path.sliced or repeats(member)


def _held(section: Any, keys: tuple[str, ...]) -> Iterator[Any]:
    """The values at the end of keys, in all lists."""
    value = section.get(keys[0]) if type(section) is dict else None
    if len(keys) == 1:
        yield value
        return
    for below in value if type(value) is list else (value,):
        yield from _held(below, keys[1:])


def to_json_rows(table: pa.Table, required: Required) -> Iterator[dict[str, Any]]:
    """The archive of each row, equal to `nested.required_part`. Costs about as much as `to_pylist`.

    Integers in a column of floats become floats; a row without archive is `{}`. Requires all columns of the
    table and the metadata of its fields, which Parquet keeps.
    """
    by_path = {path.written: path for path in required_paths(required)}
    readers = [
        (field.name, _Reader(field, by_path[field.metadata[PATH].decode()]))
        for field in table.schema
        if field.metadata and PATH in field.metadata
    ]
    for batch in table.to_batches(max_chunksize=_READ_TOGETHER):
        cells = [(reader, batch.column(name).to_pylist()) for name, reader in readers]
        for row, more in enumerate(batch.column(MORE).to_pylist()):
            archive: Any = {}
            for reader, column in cells:
                archive = reader.merge(archive, column[row])
            for name, value in (types.loads(more) if more else {}).items():
                _patch(archive, paths.split(name), value)
            yield archive


class _Reader:
    """Puts the cells of one column into archives."""

    def __init__(self, field: pa.Field, path: RequiredPath) -> None:
        self._keys = path.keys
        self._crossed = frozenset(orjson.loads(field.metadata[CROSSED]))
        end = field
        for _ in self._crossed:
            end = end.type.value_field
        # Older datasets have the mark of JSON text at the column, outside of its lists.
        self._plain = _plain(end.type, is_json(end) or is_json(field))

    def merge(self, found: Any, cell: Any, place: int = 0) -> Any:
        """A section with a cell put in; `found` unchanged for a null cell."""
        if cell is None:
            return found
        if place == len(self._keys):
            value = self._plain(cell) if self._plain else cell
            # Paths with a `*` may share sections, of which each has a part.
            return joined(found, value)
        section = {} if found is _ABSENT else found
        key = self._keys[place]
        if place in self._crossed:
            before = section.get(key) or [_ABSENT] * len(cell)
            merged = [self.merge(one, item, place + 1) for one, item in zip(before, cell, strict=True)]
            section[key] = [{} if item is _ABSENT else item for item in merged]
        elif (below := self.merge(section.get(key, _ABSENT), cell, place + 1)) is not _ABSENT:
            section[key] = below
        return section


def _plain(arrow: pa.DataType, is_text: bool) -> Callable[[Any], Any] | None:
    """The conversion of cells from pyarrow to JSON; None if they are equal."""
    if is_text:
        return types.loads
    if pa.types.is_list(arrow):
        item = _plain(arrow.value_type, is_json(arrow.value_field))
        return item and (lambda cell: [None if one is None else item(one) for one in cell])
    if not pa.types.is_struct(arrow):
        return None
    below = {field.name: _plain(field.type, is_json(field)) or _same for field in arrow}
    return lambda cell: {key: below[key](value) for key, value in cell.items() if value is not None}


def _same(cell: Any) -> Any:
    return cell


def _patch(archive: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    holder: Any = archive
    for key in keys[:-1]:
        holder = holder[int(key)] if type(holder) is list else holder.setdefault(key, {})
    if type(holder) is list:
        holder[int(keys[-1])] = joined(holder[int(keys[-1])], value)
    else:
        holder[keys[-1]] = joined(holder.get(keys[-1]), value)


def joined(found: Any, value: Any) -> Any:
    """Two parts of one value merged; the first may be missing or empty."""
    return value if found is _ABSENT or found is None or found == {} else merge((found, value))
