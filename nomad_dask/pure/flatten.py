"""Owns the fast path from archives to Arrow, in the wide layout: one row per entry (SPEC 6, 7).

The rule is that of `leaves`. Here the required tree and the schema are compiled into `levels`: JSON key -> where its
values go, so that each costs one look-up and two appends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import pyarrow as pa

from nomad_dask.pure import types
from nomad_dask.pure.columns import Gathered, Misfit
from nomad_dask.pure.errors import UnknownValueError, UserError
from nomad_dask.pure.leaves import is_numbered, is_void
from nomad_dask.pure.levels import Level
from nomad_dask.pure.parts import Parts
from nomad_dask.pure.required import Leaf, Node, Required, prune
from nomad_dask.pure.schema import ENTRY_ID, UPLOAD_ID, Schema

OnNew = Literal["more", "raise"]

MOST_VALUES = 2**18
MOST_BYTES = 2**25
MOST_ROWS = 2**10
"""What may wait as Python values before it becomes Arrow: enough that many rows share a block's cost, and as much for
long segments of small entries as for short ones."""

SETTLED_TOGETHER = 16
"""Rows whose list cells are taken apart together: enough to share the cost, few enough not to pile up."""

_FIRST = 2  # entry_id and upload_id stand before the schema's columns


def _gathered_as(kind: str) -> str:
    """JSON text is gathered with the strings."""
    return types.STRING if kind == types.JSON else kind


def _unknown(schema: Schema, entry_id: str, name: str, value: Any) -> str:
    column = schema.by_name.get(name)
    what = "is no column of the schema" if column is None else f"is a column of {column.kind}"
    text = types.dumps(value)
    short = text if len(text) <= 60 else text[:57] + "..."
    return (
        f"entry {entry_id}: {name} {what}, and the value is {short}; "
        "give its type with schema=, or keep such values in the column _more with on_new='more'"
    )


class _To:
    """Where a key's values go that are not simply appended; compared by identity with a value's class."""


_DROP, _NEW, _UNTYPED, _CELL, _TEXT, _ABOVE = (_To() for _ in range(6))
_CLASS_OF = {types.BOOL: bool, types.INT: int, types.FLOAT: float, types.STRING: str}

_Slot = tuple[Any, Callable[[Any], None], Callable[[int], None], int]
"""The class of a value that goes straight in (or one of `_To`), the two appends, and the column's number."""


def _nowhere(_: Any) -> None:
    raise AssertionError("a value without a column")


class Wide:
    """Builds one wide table, entry by entry. Memory: the table, and the last `MOST_VALUES` values or `MOST_ROWS` rows.

    Values outside the schema go to `_more` of their row, as a JSON object by name, counted in `n_more`;
    `on_new="raise"` makes the first of them an UnknownValueError. So do all values but null of `untyped` columns, whose
    type nobody knows yet.
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
            raise UserError(f"on_new is 'more' or 'raise', not {on_new!r}")
        self.schema = schema
        self.n_more = 0
        self._on_new = on_new
        self._untyped = untyped
        kinds = sorted({_gathered_as(column.kind) for column in schema.columns})
        self._gathered = {kind: Gathered(kind) for kind in kinds}
        self._number = {column.name: number for number, column in enumerate(schema.columns)}
        self._root: Level[_Slot] = Level("", required.root, self._slot)
        self._walk = _walker(self._odd)
        self._entries: list[str] = []
        self._uploads: list[str | None] = []
        self._more: dict[int, dict[str, Any]] = {}
        self._bytes = 0
        self._parts = Parts(schema.to_arrow())

    def append(
        self, entry_id: str, upload_id: str | None, archive: Mapping[str, Any] | None, *, n_bytes: int = 0
    ) -> None:
        """Add one entry's row; None, for an entry without archive, is a row of nulls.

        `n_bytes`, the size of its JSON where that is known, bounds what waits in memory more tightly.
        """
        self._entries.append(entry_id)
        self._uploads.append(upload_id)
        if archive is not None:
            self._walk(archive, self._root)
        for gathered in self._gathered.values():
            gathered.end_row()
        self._bytes += n_bytes
        if self._bytes > MOST_BYTES or len(self._entries) >= MOST_ROWS:
            self.flush()
        elif len(self._entries) % SETTLED_TOGETHER == 0:
            waiting = sum(gathered.settle() for gathered in self._gathered.values())
            if waiting > MOST_VALUES:
                self.flush()

    def flush(self) -> None:
        """Turn the rows that wait into Arrow now."""
        if not self._entries:
            return
        misfits: list[Misfit] = []
        for gathered in self._gathered.values():
            for number, cells in gathered.block(misfits):
                self._parts.add(_FIRST + number, cells)
        for misfit in misfits:
            self._put_aside(misfit.row, self.schema.columns[misfit.column].name, misfit.value)
        n_rows = len(self._entries)
        more = [types.dumps(self._more[row]) if row in self._more else None for row in range(n_rows)]
        for number, texts in ((0, self._entries), (1, self._uploads), (-1, more)):
            self._parts.add(number, pa.array(texts, pa.string()))
        self._parts.end_block(n_rows)
        self._entries, self._uploads, self._more, self._bytes = [], [], {}, 0

    def finish(self) -> pa.Table:
        """The table, rows in the order of appending. The builder is empty afterwards."""
        self.flush()
        table = self._parts.table()
        self._parts = Parts(self.schema.to_arrow())
        return table

    def _slot(self, name: str, required: Node | None) -> _Slot:
        if required is None:
            return (_DROP, _nowhere, _nowhere, -1)
        number = self._number.get(name)
        if number is None:
            return (_NEW, _nowhere, _nowhere, -1)
        if name in self._untyped:
            return (_UNTYPED, _nowhere, _nowhere, -1)
        kind = self.schema.columns[number].kind
        gathered = self._gathered[_gathered_as(kind)]
        to: Any = _CLASS_OF.get(kind, _TEXT if kind == types.JSON else _CELL)
        if to is _CELL and not isinstance(required, Leaf):
            to = _ABOVE
        return to, gathered.put, gathered.mark, number

    def _odd(self, level: Level[_Slot], key: str, value: Any) -> None:
        """The exact path, for a value that did not go straight in."""
        to, put, mark, number = level.slots[key]
        required = level.required.child(key)
        if not isinstance(required, Leaf):
            if is_void(value):
                return
            value = prune(value, required)
        kind = type(value)
        if to is _TEXT and value is not None:
            put(types.dumps(value))
            mark(number)
        elif (to is float and kind is int and types.fits(value, types.FLOAT)) or (
            to is _ABOVE and kind is list
        ):
            put(value)
            mark(number)
        elif to is _NEW or value is not None:
            self._put_aside(len(self._entries) - 1, level.name(key), value)

    def _put_aside(self, row: int, name: str, value: Any) -> None:
        own = {ENTRY_ID: self._entries[row], UPLOAD_ID: self._uploads[row]}
        if name in own and own[name] == value:
            return
        if self._on_new == "raise":
            raise UnknownValueError(_unknown(self.schema, self._entries[row], name, value))
        self._more.setdefault(row, {})[name] = value
        self.n_more += 1


def _walker(
    odd: Callable[[Level[_Slot], str, Any], None],
) -> Callable[[Mapping[str, Any], Level[_Slot]], None]:
    """The walk over an archive. Every line runs once a value, which is why it is one function."""

    def walk(section: Mapping[str, Any], level: Level[_Slot]) -> None:
        slots, sections = level.slots, level.sections
        for key, value in section.items():
            kind = type(value)
            if kind is dict:
                below = sections[key]
                if below is not None:
                    walk(value, below)
                continue
            to, put, mark, number = slots[key]
            if kind is to:
                put(value)
                mark(number)
            elif to is _DROP:
                continue
            elif kind is list:
                if not value:
                    continue
                if type(value[0]) is dict and is_numbered(value):
                    numbered = sections[key].sections
                    for n, item in enumerate(value):
                        walk(item, numbered[n])
                elif to is _CELL:
                    put(value)
                    mark(number)
                else:
                    odd(level, key, value)
            else:
                odd(level, key, value)

    return walk
