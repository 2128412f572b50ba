"""The wide layout: one row per entry, one column per name of `walk`."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from nomad_dask.common import types
from nomad_dask.errors import UnknownValueError, UserError
from nomad_dask.layouts.column_limit import ColumnLimit
from nomad_dask.layouts.infer import kinds_within
from nomad_dask.layouts.schema import ENTRY_ID, UPLOAD_ID, Schema, more_cell
from nomad_dask.layouts.walk import Level, walk
from nomad_dask.request.required import Required

OnNew = Literal["more", "raise"]
Entry: TypeAlias = tuple[str, str, Mapping[str, Any] | None]
"""Entry id, upload id and archive; None if the entry has no archive."""
Blocks: TypeAlias = Callable[[], Iterable[list[Entry]]]
"""Returns all entries in order, in blocks; may be called more than once."""

MOST_ROWS = 2**8
MOST_BYTES = 2**22
"""Limits of the rows and of the bytes of JSON that are kept as Python values before they become Arrow."""

MOST_NEW = 2**17
"""Maximum number of names outside the schema that the walk keeps between flushes."""

_PART = 2**28
"""Size in bytes from which values become a part of the table: far below the limit of 32-bit offsets."""

_AT_ONCE = 2**20
"""Number of cells whose columns are cut together."""


def build_wide(
    blocks: Blocks,
    required: Required,
    make_schema: Callable[[Mapping[str, str]], Schema],
    limit: ColumnLimit | None = None,
) -> tuple[pa.Table, int]:
    """One wide table of all entries, and the number of columns left out by the limit.

    `make_schema` returns the table's schema for the types found. `_more` holds the values of columns that are
    left out or have a reserved name. Memory: the table twice, and one block. Cost: two walks over each
    archive, with two calls of `blocks`; three with more names than the limit allows.
    """

    def archives() -> Iterator[Mapping[str, Any]]:
        return (archive for block in blocks() for _, _, archive in block if archive is not None)

    kept, left_out = kinds_within(archives, limit or ColumnLimit(required))
    builder = Wide(make_schema(kept), required)
    for block in blocks():
        for entry_id, upload_id, archive in block:
            builder.append(entry_id, upload_id, archive)
        builder.flush()
    return builder.finish(), left_out


class Wide:
    """Builds a wide table, entry by entry. Memory: the table twice, and the last `MOST_ROWS` rows or
    `MOST_BYTES` of JSON.

    Values outside the schema go to `_more` of their row, as a JSON object by name, and are counted in
    `n_more`; `on_new="raise"` raises UnknownValueError for the first of them. So do all values but null of
    `untyped` columns, whose type is not yet known.
    """

    def __init__(
        self,
        schema: Schema,
        required: Required,
        *,
        on_new: OnNew = "more",
        untyped: Collection[str] = (),
    ) -> None:
        if on_new not in ("more", "raise"):
            raise UserError(f"on_new must be 'more' or 'raise' (got {on_new!r})")
        self.schema = schema
        self.n_more = 0
        self._on_new = on_new
        self._required = required
        self._of_type: dict[str, _Values] = {}
        self._places = {column.name: self._place(column.name, column.kind) for column in schema.columns}
        self._places |= {name: _Place(name, types.NULL) for name in untyped}
        self._parts: list[pa.Table] = []
        self._begin_part()
        self._begin_walk()

    def _place(self, name: str, kind: str) -> _Place:
        stored_as = types.STRING if kind == types.JSON else kind
        values = self._of_type.setdefault(stored_as, _Values(stored_as))
        values.names.append(name)
        return _Place(name, kind, values, len(values.names) - 1)

    def _begin_part(self) -> None:
        self._entries: list[str] = []
        self._uploads: list[str | None] = []
        self._more: dict[int, dict[str, Any]] = {}
        self._more_texts: dict[int, str | None] = {}
        self._bytes = self._n_flushed = 0

    def _begin_walk(self) -> None:
        self._n_new = 0
        self._root: Level[_Place] = Level(self._required.root, self._place_of)

    def _place_of(self, name: str) -> _Place:
        known = self._places.get(name)
        self._n_new += known is None
        return known or _Place(name)

    def append(
        self, entry_id: str, upload_id: str | None, archive: Mapping[str, Any] | None, *, n_bytes: int = 0
    ) -> None:
        """Add the row of one entry; a row of nulls for an entry without archive (None).

        `n_bytes`, the size of its JSON if known, makes the memory bound tighter.
        """
        self._entries.append(entry_id)
        self._uploads.append(upload_id)
        if archive is not None:
            walk(archive, self._root, self._put)
        self._bytes += n_bytes
        if self._bytes > MOST_BYTES or len(self._entries) - self._n_flushed >= MOST_ROWS:
            self.flush()

    def _put(self, place: _Place, value: Any) -> None:
        """Put a value into its column if the column can hold it, else into `_more`; a list and the size of an
        integer are checked at the next flush."""
        kind, found = place.kind, type(value)
        if found is place.holds:
            pass
        elif value is None and kind is not None:
            return
        elif kind == types.JSON:
            value = types.dumps(value)
        elif not (kind == types.FLOAT and found is int and types.fits(value, kind)):
            self._add_to_more(len(self._entries) - 1, place.name, value)
            return
        values = place.values
        values.pending.append(value)
        values.columns.append(place.number)
        values.rows.append(len(self._entries) - 1)

    def _add_to_more(self, row: int, name: str, value: Any) -> None:
        own = {ENTRY_ID: self._entries[row], UPLOAD_ID: self._uploads[row]}
        if name in own and own[name] == value:
            return
        if self._on_new == "raise":
            raise UnknownValueError(_unknown(self.schema, self._entries[row], name, value))
        self._more.setdefault(row, {})[name] = value
        self.n_more += 1

    def flush(self) -> None:
        """Convert the pending values to Arrow."""
        for values in self._of_type.values():
            for row, column, value in values.flush():
                self._add_to_more(row, values.names[column], value)
        self._more_texts |= {row: more_cell(more) for row, more in self._more.items()}
        self._more, self._bytes, self._n_flushed = {}, 0, len(self._entries)
        if self._n_new > MOST_NEW:
            self._begin_walk()
        if sum(values.n_bytes for values in self._of_type.values()) > _PART:
            self._end_part()

    def finish(self) -> pa.Table:
        """The table, with rows in the order of `append`. The builder is empty afterwards."""
        self.flush()
        self._end_part()
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else pa.concat_tables(parts).combine_chunks()

    def _end_part(self) -> None:
        n_rows = len(self._entries)
        more = [self._more_texts.get(row) for row in range(n_rows)]
        found = {name: cells for values in self._of_type.values() for name, cells in values.take(n_rows)}
        columns = [
            pa.array(self._entries, pa.string()),
            pa.array(self._uploads, pa.string()),
            *(found.pop(name) for name in self.schema.names),
            pa.array(more, pa.string()),
        ]
        self._parts.append(pa.Table.from_arrays(columns, schema=self.schema.to_arrow()))
        self._begin_part()


class _Values:
    """The values of all columns of one type. Together, since each of thousands of columns may have few."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.names: list[str] = []
        """The names of the columns."""
        self.columns = array("q")
        self.rows = array("q")
        """The column and row of each value."""
        self.cells: list[pa.Array] = []
        """The values that were flushed."""
        self.n_bytes = 0
        """Size of these."""
        self.pending: list[Any] = []
        """The values that were not."""

    def flush(self) -> Iterator[tuple[int, int, Any]]:
        """Convert the pending values to Arrow; yields the row, column and value of each that does not fit."""
        pending, self.pending = self.pending, []
        first = len(self.rows) - len(pending)
        if not types.all_fit(pending, self.kind):
            for number, value in enumerate(pending):
                if not types.fits(value, self.kind):
                    pending[number] = None
                    yield self.rows[first + number], self.columns[first + number], value
        if pending:
            self.cells.append(_to_arrow(pending, self.kind))
            self.n_bytes += self.cells[-1].nbytes

    def take(self, n_rows: int) -> Iterator[tuple[str, pa.Array]]:
        """Each column with its name. No values are left."""
        columns, rows = np.array(self.columns), np.array(self.rows)
        order = np.argsort(columns, kind="stable")
        columns, rows = columns[order], rows[order]
        cells = pa.concat_arrays(self.cells) if self.cells else pa.array([], types.to_arrow(self.kind))
        self.columns, self.rows, self.cells, self.n_bytes = array("q"), array("q"), [], 0
        step = max(1, _AT_ONCE // max(1, n_rows))
        for first in range(0, len(self.names), step):
            names = self.names[first : first + step]
            begin, end = np.searchsorted(columns, (first, first + step))
            positions = np.full(len(names) * n_rows, -1)
            positions[(columns[begin:end] - first) * n_rows + rows[begin:end]] = order[begin:end]
            together = cells.take(pa.array(positions, mask=positions < 0))
            for number, name in enumerate(names):
                # A copy, so that a column does not keep the memory of the others.
                yield name, pa.concat_arrays([together.slice(number * n_rows, n_rows)])


class _Place:
    """Where the values of a name go."""

    __slots__ = ("holds", "kind", "name", "number", "values")

    def __init__(
        self, name: str, kind: str | None = None, values: _Values | None = None, number: int = -1
    ) -> None:
        self.name = name
        self.kind = kind
        """The kind of the column, `null` if it is not yet known; None for a name outside the schema."""
        self.values: Any = values
        self.number = number
        self.holds = None if kind in (None, types.NULL) else types.class_of(kind)
        """The class of the values that need no conversion."""


def _unknown(schema: Schema, entry_id: str, name: str, value: Any) -> str:
    column = schema.by_name.get(name)
    problem = "is not in the schema" if column is None else f"is a column of {column.kind}"
    return (
        f"entry {entry_id}: {name} {problem}, and the value is {shortened(value)}; "
        "give its type with schema=, or keep such values in the column _more with on_new='more'"
    )


def shortened(value: Any) -> str:
    """At most 60 characters of the JSON text of a value."""
    text = types.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _to_arrow(values: list[Any], kind: str) -> pa.Array:
    """The values of one type; integers beyond 2**53 among floats are rounded."""
    try:
        return pa.array(values, types.to_arrow(kind))
    except pa.ArrowInvalid:
        return pa.array(list(map(_as_floats, values)), types.to_arrow(kind))


def _as_floats(value: Any) -> Any:
    if type(value) is list:
        return list(map(_as_floats, value))
    return float(value) if type(value) is int else value
