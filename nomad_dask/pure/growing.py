"""Owns the wide table of archives whose columns nobody knows before: they are found block by block while it is built.

A block's archives are walked for their types, then for their values, while they are at hand. Where it brings new
columns or types, the rows so far stand aside as a table of the narrower schema; at the end all are brought under the last
one, which is that of `kinds_of` over all archives. Integers become floats, a column of nothing takes any type; any
other change of a type is not made afterwards, since a value's own text is gone: then the table is built again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import pyarrow as pa

from nomad_dask.pure import types
from nomad_dask.pure.flatten import Wide
from nomad_dask.pure.kinds import Kinds
from nomad_dask.pure.required import Required
from nomad_dask.pure.schema import Schema, is_json, schema_of

Entry: TypeAlias = tuple[str, str, Mapping[str, Any] | None]
"""An entry's id, its upload's id, and its archive; None where the server has none."""
Blocks: TypeAlias = Callable[[], Iterable[list[Entry]]]
"""Gives all entries in order, some at a time, as often as it is called."""


def grown(blocks: Blocks, required: Required, described: Callable[[Mapping[str, str]], Schema]) -> pa.Table:
    """One wide table of all entries, `_more` empty but for the table's own names.

    Memory: the table twice, and one block. Cost: one walk over each archive, two where blocks go on to bring what is new; one
    more in rare cases, when `blocks` is called twice.

    Args:
        blocks: the entries.
        required: what was asked for.
        described: the table's schema, of the types that were found (`kinds_of`).
    """
    growing = _Growing(required)
    for block in blocks():
        growing.add(block)
    schema, tables = described(growing.known), growing.finish()
    together = [_under(table, schema.to_arrow()) for table in tables if len(table)]
    if None not in together:
        return pa.concat_tables(together) if together else Wide(schema, required).finish()
    del tables, together
    builder = Wide(schema, required)
    for block in blocks():
        _append(builder, block)
    return builder.finish()


class _Growing:
    """Tables of consecutive rows, each of the columns known when it was begun.

    Once a block has brought nothing new the next is taken as it comes: the builder tells of what it has no place for. Then the
    block's rows are taken back, and it is walked for its types after all.
    """

    def __init__(self, required: Required) -> None:
        self.known: dict[str, str] = {}
        self._required = required
        self._kinds = Kinds(required)
        self._tables: list[pa.Table] = []
        self._settled, self._may_settle = False, True
        self._begin()

    def add(self, block: list[Entry]) -> None:
        """Add a block's rows."""
        if self._settled and self._fits(block):
            return
        self._kinds.add(archive for _, _, archive in block if archive is not None)
        found = self._kinds.found()
        self._may_settle &= not (self._settled and found == self.known)
        self._settled = self._may_settle and found == self.known and not _takes_any_list(found)
        if found != self.known:
            self.known = found
            self._end()
        _append(self._builder, block)
        self._rows += len(block)

    def finish(self) -> list[pa.Table]:
        """The tables."""
        self._end()
        return self._tables

    def _begin(self) -> None:
        untyped = {name for name, kind in self.known.items() if kind == types.NULL}
        self._builder = Wide(schema_of(self.known), self._required, untyped=untyped)
        self._rows = 0

    def _end(self) -> None:
        self._tables.append(self._builder.finish().slice(0, self._rows))
        self._begin()

    def _fits(self, block: list[Entry]) -> bool:
        self._builder.flush()
        outside = self._builder.n_more
        _append(self._builder, block)
        self._builder.flush()
        if self._builder.n_more > outside:
            self._end()
            return False
        self._rows += len(block)
        return True


def _takes_any_list(kinds: Mapping[str, str]) -> bool:
    """Whether a column has seen lists of nothing but nulls: it would take other lists as text."""
    return any(types.NULL in kind and kind != types.NULL for kind in kinds.values())


def _append(builder: Wide, block: list[Entry]) -> None:
    for entry_id, upload_id, archive in block:
        builder.append(entry_id, upload_id, archive)


def _under(table: pa.Table, schema: pa.Schema) -> pa.Table | None:
    """A table under a wider schema; None where that cannot be told from the table."""
    known = {field.name: (field, cells) for field, cells in zip(table.schema, table.columns, strict=True)}
    columns = []
    for field in schema:
        narrower, cells = known.get(field.name, (field, None))
        if cells is None or cells.null_count == len(table):
            columns.append(pa.nulls(len(table), field.type))
        elif is_json(narrower) != is_json(field) or not _widens(cells.type, field.type):
            return None
        elif cells.type == field.type:
            columns.append(cells)
        else:
            # As a builder makes a float of an integer: the nearest.
            columns.append(cells.cast(field.type, safe=False))
    return pa.Table.from_arrays(columns, schema=schema)


def _widens(kind: pa.DataType, wider: pa.DataType) -> bool:
    if kind == wider:
        return True
    if pa.types.is_list(kind) and pa.types.is_list(wider):
        return _widens(kind.value_type, wider.value_type)
    return pa.types.is_int64(kind) and pa.types.is_float64(wider)
