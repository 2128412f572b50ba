"""Owns one Arrow table while it grows, block of rows by block of rows."""

from __future__ import annotations

import pyarrow as pa


class Parts:
    """The columns of a table. In a block, a column without values need not be added: it is null there."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._types = schema.types
        self._cells: list[list[pa.Array]] = [[] for _ in self._types]
        self._filled = [0] * len(self._types)
        self._rows = 0
        self._nulls: dict[tuple[pa.DataType, int], pa.Array] = {}

    def add(self, number: int, cells: pa.Array) -> None:
        """A column's cells for the rows of the block that `end_block` will close."""
        self._fill(number)
        self._cells[number].append(cells)
        self._filled[number] += len(cells)

    def end_block(self, n_rows: int) -> None:
        """Close a block of rows."""
        self._rows += n_rows

    def table(self) -> pa.Table:
        """All rows so far. Each column is one chunk with its own memory: it pickles without its block."""
        return pa.Table.from_arrays(
            [self._column(number) for number in range(len(self._cells))], schema=self._schema
        )

    def _column(self, number: int) -> pa.Array:
        self._fill(number)
        cells = self._cells[number]
        return pa.concat_arrays(cells) if cells else self._null(self._types[number], 0)

    def _fill(self, number: int) -> None:
        missing = self._rows - self._filled[number]
        if missing:
            self._cells[number].append(self._null(self._types[number], missing))
            self._filled[number] = self._rows

    def _null(self, kind: pa.DataType, n_rows: int) -> pa.Array:
        if (kind, n_rows) not in self._nulls:
            self._nulls[kind, n_rows] = pa.nulls(n_rows, kind)
        return self._nulls[kind, n_rows]
