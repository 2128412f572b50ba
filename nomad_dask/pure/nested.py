"""Owns the layout **nested**: one row per entry, one column per required path, its subtree as Arrow structs (SPEC 6).

A column is named by its path as written (`run[-1].calculation.energy`). Each list crossed on the way, above the
path's end, is a list in the column, positions kept; a dict on the way leaves no trace::

    {"run": [{"calculation": [{"energy": {"fermi": 1.5}}, {}]}]}  ->  [[{"fermi": 1.5}, null]]

Null is "not there". What a column cannot tell (a null that is there, a value outside its shape) is in `_more` of its
row, by its name as the wide layout spells it, so `to_json_rows` gives back just what `required_part` says is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
import pyarrow as pa

from nomad_dask.pure import paths, selection, shapes, types
from nomad_dask.pure.crossing import along, asked, part_of, required_part
from nomad_dask.pure.errors import UnknownValueError, UserError
from nomad_dask.pure.flatten import OnNew
from nomad_dask.pure.parts import Parts
from nomad_dask.pure.places import Place
from nomad_dask.pure.rebuilt import CROSSED, PATH, joined, to_json_rows
from nomad_dask.pure.required import Node, Required
from nomad_dask.pure.schema import RESERVED, Schema
from nomad_dask.pure.sections import Definitions, Member
from nomad_dask.pure.tables import Way, repeats, ways

__all__ = ["Nested", "NestedColumn", "NestedSchema", "infer_nested", "required_part", "to_json_rows"]

MOST_ROWS = 1024
MOST_BYTES = 2**22
"""What may wait as Python values before it becomes Arrow, in rows (an eighth of these where their size is not told) and
in bytes of JSON."""


@dataclass(frozen=True)
class NestedColumn:
    """One required path."""

    path: str
    """As written."""
    shape: shapes.Shape
    """What stands at the path's end, or at the section where its first `*` stands."""
    crossed: tuple[int, ...] = ()
    """The places of the keys on the way (less their slices) that hold lists, which are lists in the column."""


@dataclass(frozen=True)
class NestedSchema:
    """The columns of a nested frame or dataset, in the order of `required`."""

    columns: tuple[NestedColumn, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names: the paths, `entry_id_2` for one that the table itself has taken."""
        written = [column.path for column in self.columns]
        return tuple(selection.distinct(written, written, taken=RESERVED))

    @cached_property
    def _arrow(self) -> pa.Schema:
        plain = Schema().to_arrow()
        fields = [_field(name, column) for name, column in zip(self.names, self.columns, strict=True)]
        return pa.schema([plain.field(0), plain.field(1), *fields, plain.field(2)], plain.metadata)

    def to_arrow(self) -> pa.Schema:
        """`entry_id`, `upload_id`, the columns, `_more`; units and descriptions in the fields' metadata at all levels."""
        return self._arrow

    def to_json(self) -> dict[str, Any]:
        """A plain JSON value; `from_json` undoes it."""
        return {
            "nested": [
                {"path": c.path, "crossed": [*c.crossed], "shape": shapes.to_json(c.shape)}
                for c in self.columns
            ]
        }

    def __dask_tokenize__(self) -> tuple[str, bytes]:
        """See `Schema`."""
        return "nested schema", orjson.dumps(self.to_json())

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NestedSchema:
        """The schema that `to_json` wrote. Raises UserError where it is something else."""
        try:
            return cls(
                tuple(
                    NestedColumn(c["path"], shapes.from_json(c["shape"]), tuple(c["crossed"]))
                    for c in value["nested"]
                )
            )
        except (TypeError, KeyError) as exc:
            raise UserError(f"schema: not a stored nested schema: {exc}") from exc

    def __reduce__(self) -> tuple[Any, ...]:
        return NestedSchema, (self.columns,)


def infer_nested(
    samples: Iterable[Mapping[str, Any]],
    required: Required,
    *,
    definitions: Definitions | None = None,
    documents: bool = False,
) -> NestedSchema:
    """The narrowest schema that holds every value of the samples; only nulls in sections remain for `_more`.

    Data wins over the server's schema, which adds units, descriptions, and types where the samples leave them open;
    `documents` as in `described`.
    """
    archives = list(samples)
    told = shapes.told_by(definitions, documents=documents)
    columns = []
    for way in ways(required):
        above = range(len(way.keys) - (not way.is_open)) if way.keys else ()
        crossed = tuple(n for n in above if _crosses(archives, way, n, told(way.keys[: n + 1])))
        seen = shapes.Seen()
        for archive in archives:
            for value in _ends(archive, way, crossed, asked(way.required)):
                seen.add(value)
        columns.append(NestedColumn(way.path, seen.shape(told, way.keys), crossed))
    return NestedSchema(tuple(columns))


class Nested:
    """Builds one nested table, entry by entry. Memory: the table, and about `MOST_BYTES` of archives that wait.

    What a column cannot hold goes to `_more` of its row, as a JSON object by name, counted in `n_more`;
    `on_new="raise"` makes the first value outside the schema (a null is none) an UnknownValueError.
    """

    def __init__(self, schema: NestedSchema, required: Required, *, on_new: OnNew = "more") -> None:
        if on_new not in ("more", "raise"):
            raise UserError(f"on_new is 'more' or 'raise', not {on_new!r}")
        self.schema = schema
        self.n_more = 0
        self._on_new = on_new
        by_path = {way.path: way for way in ways(required)}
        fields = [*schema.to_arrow()][2:-1]
        self._columns = [
            along(required, by_path[column.path], column.shape, column.crossed, field.type)
            for column, field in zip(schema.columns, fields, strict=True)
        ]
        self._entries: list[str] = []
        self._uploads: list[str | None] = []
        self._archives: list[Mapping[str, Any] | None] = []
        self._more: dict[int, dict[str, Any]] = {}
        self._bytes = 0
        self._parts = Parts(schema.to_arrow())

    def append(
        self, entry_id: str, upload_id: str | None, archive: Mapping[str, Any] | None, *, n_bytes: int = 0
    ) -> None:
        """Add one entry's row; None, for an entry without archive, is a row of nulls.

        The archive waits as it is until the next flush. `n_bytes`, the size of its JSON where that is known, bounds
        what waits in memory more tightly.
        """
        self._entries.append(entry_id)
        self._uploads.append(upload_id)
        self._archives.append(archive)
        self._bytes += n_bytes
        most = MOST_ROWS if n_bytes else MOST_ROWS // 8
        if self._bytes > MOST_BYTES or len(self._entries) >= most:
            self.flush()

    def flush(self) -> None:
        """Turn the rows that wait into Arrow now."""
        n_rows = len(self._entries)
        if not n_rows:
            return
        for number, column in enumerate(self._columns, 2):
            rows = Place(self._put_aside)
            self._parts.add(number, column.build(self._archives, rows))
        more = [types.dumps(self._more[row]) if row in self._more else None for row in range(n_rows)]
        for number, texts in ((0, self._entries), (1, self._uploads), (-1, more)):
            self._parts.add(number, pa.array(texts, pa.string()))
        self._parts.end_block(n_rows)
        self._entries, self._uploads, self._archives, self._more, self._bytes = [], [], [], {}, 0

    def finish(self) -> pa.Table:
        """The table, rows in the order of appending. The builder is empty afterwards."""
        self.flush()
        table = self._parts.table()
        self._parts = Parts(self.schema.to_arrow())
        return table

    def _put_aside(self, row: int, keys: tuple[str, ...], value: Any, is_new: bool) -> None:
        name = paths.join(keys)
        if is_new and self._on_new == "raise":
            text = types.dumps(value)
            short = text if len(text) <= 60 else text[:57] + "..."
            raise UnknownValueError(
                f"entry {self._entries[row]}: {name} does not fit the schema, and the value is {short}; "
                "keep such values in the column _more with on_new='more'"
            )
        more = self._more.setdefault(row, {})
        # What stands on the way to several required paths is met on the way to each.
        self.n_more += name not in more
        more[name] = joined(more.get(name), value)


def _field(name: str, column: NestedColumn) -> pa.Field:
    field = shapes.to_field(name, column.shape)
    facts = {**(field.metadata or {}), PATH: column.path.encode(), CROSSED: orjson.dumps(column.crossed)}
    arrow = field.type
    for _ in column.crossed:
        arrow = pa.list_(arrow)
    return pa.field(name, arrow, metadata=facts)


def _crosses(archives: list[Mapping[str, Any]], way: Way, place: int, member: Member | None) -> bool:
    """Whether the key at a place of the way holds lists: so the samples say, else the path's slice or the server."""
    held = Counter(type(value) for archive in archives for value in _held(archive, way.keys[: place + 1]))
    if held[list] or held[dict]:
        return held[list] >= held[dict]
    return place in way.sliced or repeats(member)


def _held(section: Any, keys: tuple[str, ...]) -> Iterator[Any]:
    """What stands at the end of a way, whatever lists are crossed."""
    value = section.get(keys[0]) if type(section) is dict else None
    if len(keys) == 1:
        yield value
        return
    for below in value if type(value) is list else (value,):
        yield from _held(below, keys[1:])


def _ends(section: Any, way: Way, crossed: tuple[int, ...], node: Node, place: int = 0) -> Iterator[Any]:
    """What stands at the end of a way, of the lists that are crossed."""
    if type(section) is not dict:
        return
    if place == len(way.keys):
        yield from filter(None, [part_of(section, node)])
        return
    key = way.keys[place]
    below = node.child(key)
    if key not in section or below is None:
        return
    value = section[key]
    if place + 1 == len(way.keys) and not way.is_open:
        yield value
    elif place not in crossed:
        yield from _ends(value, way, crossed, below, place + 1)
    elif type(value) is list:
        for item in value:
            yield from _ends(item, way, crossed, below, place + 1)
