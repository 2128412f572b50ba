"""Owns the layout **tables**: one table for each required path, one row for each occurrence of it (SPEC 6).

An occurrence is cut out of its archive as a part: the archive with nothing in it but the way there and what stands
at its end, each repeating section on the way replaced by the one section crossed::

    run.calculation.energy, 0 and 3:  {"run": {"calculation": {"energy": {"total": {"value": -1.0}}}}}

A part is flattened as any archive is in the wide layout; so types, odd values and `_more` follow the same rules, and
the names that it gives (`run.calculation.energy.total.value`), cut at the path, are the table's columns.

The way to a path is its keys less their slices, down to its end or to the section where its first `*` stands: from
there on the columns begin with the keys that `*` stood for. Of the lists on the way those made only of dicts are
repeating sections, that at the path's end too, and an empty one has no occurrence; below the end the wide rule
holds and lists are numbered.
A reference on the way that could not be resolved is a row of the tables of all paths that lead through it, with its
string in the column of its own path.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from nomad_dask.pure import flatten, paths, selection
from nomad_dask.pure.described import described, idle
from nomad_dask.pure.flatten import OnNew, Wide
from nomad_dask.pure.kinds import kinds_of
from nomad_dask.pure.leaves import is_numbered, leaves
from nomad_dask.pure.required import IN_PLACE, REF_ARCHIVES, Required
from nomad_dask.pure.schema import MORE, RESERVED, Schema, schema_of
from nomad_dask.pure.sections import Definitions, Member, Quantity, SubSection


@dataclass(frozen=True)
class Way:
    """One required path, as archives are walked along it."""

    path: str
    """As written."""
    keys: tuple[str, ...]
    """The plain keys down to the path's end, or to the section where its first `*` stands."""
    is_open: bool
    """True where the way ends at a `*`."""
    sliced: frozenset[int]
    """The places of keys written with a slice, which only lists have."""
    required: Required
    """The tree with this path alone."""

    @cached_property
    def sections(self) -> tuple[str, ...]:
        """The whole plain name of each key."""
        return tuple(paths.join(self.keys[: place + 1]) for place in range(len(self.keys)))

    @property
    def name(self) -> str:
        """The whole plain name of the way's end; empty for the archive itself."""
        return self.sections[-1] if self.keys else ""


class Occurrence(NamedTuple):
    """One row: the numbers of the repeating sections crossed, and the archive cut down to what they lead to."""

    numbers: tuple[int | None, ...]
    """One for each key of the way; None where no list was crossed."""
    part: Mapping[str, Any]


def ways(required: Required) -> tuple[Way, ...]:
    """The way to each required path, in the order of `required.paths`."""
    return tuple(_way(required, path) for path in required.paths)


def occurrences(
    archive: Mapping[str, Any], way: Way, *, crossing: Iterable[str] | None = None
) -> Iterator[Occurrence]:
    """Each occurrence of a path, in the archive's order.

    Only the lists named in `crossing` are taken for repeating sections (None: all that may be). Another one stays in
    its row as it is, where its values have numbered names.
    """
    if not way.keys:
        yield Occurrence((), archive)
    elif way.keys[0] != REF_ARCHIVES:
        places = [crossing is None or name in crossing for name in way.sections]
        yield from _along(archive, way, places, ())


@dataclass(frozen=True)
class TableSchema:
    """The schema of one table: which sections repeat on the way, and the columns of values, by their whole names."""

    path: str
    """The required path as written."""
    end: str
    """Its plain name, at which the columns' names are cut; empty for the archive itself."""
    levels: tuple[str, ...] = ()
    """The whole plain names of the repeating sections on the way, in its order."""
    values: Schema = Schema()
    """The columns, under the whole names that parts give them: `run.calculation.energy.total.value`."""

    @cached_property
    def level_names(self) -> tuple[str, ...]:
        """One integer column each, named after its section; equal names are replaced by whole plain paths."""
        short = [paths.join(paths.split(name)[-1:]) for name in self.levels]
        return tuple(selection.distinct(short, self.levels, taken=RESERVED))

    def names(self, *, taken: Iterable[str] = RESERVED) -> tuple[str, ...]:
        """The columns' names, relative to the path; whole where two would collide.

        A value at the path's very end is named by the last key; what stands above it keeps its whole name.
        """
        whole = self.values.names
        short = [self._short(name) for name in whole]
        return tuple(selection.distinct(short, whole, taken={*taken, *self.level_names}))

    def _short(self, name: str) -> str:
        if not self.end or not paths.below(name, self.end):
            return name
        return name[len(self.end) + 1 :] or paths.join(paths.split(self.end)[-1:])

    @cached_property
    def arrow(self) -> pa.Schema:
        """`entry_id`, `upload_id`, the levels (null where no list was crossed), the columns, `_more`."""
        inner = self.values.to_arrow()
        fields = [field.with_name(name) for field, name in zip(list(inner)[2:-1], self.names(), strict=True)]
        levels = [pa.field(name, pa.int64()) for name in self.level_names]
        return pa.schema([*list(inner)[:2], *levels, *fields, inner.field(MORE)], inner.metadata)

    def to_json(self) -> dict[str, Any]:
        """A plain JSON value; `from_json` undoes it."""
        return {"path": self.path, "end": self.end, "levels": [*self.levels], "values": self.values.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TableSchema:
        """The schema that `to_json` wrote."""
        return cls(value["path"], value["end"], tuple(value["levels"]), Schema.from_json(value["values"]))


def infer_tables(
    samples: Iterable[Mapping[str, Any]],
    required: Required,
    *,
    definitions: Definitions | None = None,
    documents: bool = False,
) -> dict[str, TableSchema]:
    """The narrowest schema of each required path's table that holds every value of the samples, by path as written.

    A section repeats where a sample has a list of it, the path a slice, or the server's schema says so, which gives
    units, descriptions and types too (`described`, `documents` as there).
    """
    archives = list(samples)
    return {way.path: _inferred(archives, way, definitions, documents) for way in ways(required)}


class Tables:
    """Builds one table for each required path, entry by entry: `flatten.Wide` over the occurrences of each.

    What lies outside a schema, a repeating section not known to repeat included, goes to `_more` of its row under
    its whole name, counted in `n_more`; `on_new="raise"` makes the first of it an UnknownValueError.
    """

    def __init__(
        self, schemas: Mapping[str, TableSchema], required: Required, *, on_new: OnNew = "more"
    ) -> None:
        self._tables = [_Table(way, schemas[way.path], on_new) for way in ways(required)]
        self._bytes = 0

    @property
    def n_more(self) -> int:
        """How many values went to `_more` so far, over all tables."""
        return sum(table.wide.n_more for table in self._tables)

    def append(
        self, entry_id: str, upload_id: str | None, archive: Mapping[str, Any] | None, *, n_bytes: int = 0
    ) -> None:
        """Add one entry's rows; an entry without archive (None) has none.

        `n_bytes`, the size of its JSON where that is known, bounds what waits in memory over all tables.
        """
        if archive is None:
            return
        for table in self._tables:
            table.append(entry_id, upload_id, archive)
        self._bytes += n_bytes
        if self._bytes > flatten.MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Turn the rows that wait into Arrow now."""
        self._bytes = 0
        for table in self._tables:
            table.wide.flush()

    def finish(self) -> dict[str, pa.Table]:
        """The tables by required path as written, rows in the order of appending. The builder is empty afterwards."""
        return {table.schema.path: table.finish() for table in self._tables}


class _Table:
    """One table while it grows: its values, and beside them the numbers of its levels."""

    def __init__(self, way: Way, schema: TableSchema, on_new: OnNew) -> None:
        self.schema = schema
        self.wide = Wide(schema.values, way.required, on_new=on_new)
        self._way = way
        self._places = [way.sections.index(name) for name in schema.levels]
        self._numbers = [array("q") for _ in schema.levels]

    def append(self, entry_id: str, upload_id: str | None, archive: Mapping[str, Any]) -> None:
        for numbers, part in occurrences(archive, self._way, crossing=self.schema.levels):
            for place, column in zip(self._places, self._numbers, strict=True):
                number = numbers[place]
                column.append(-1 if number is None else number)
            self.wide.append(entry_id, upload_id, part)

    def finish(self) -> pa.Table:
        values = self.wide.finish()
        found = [np.array(numbers, np.int64) for numbers in self._numbers]
        levels = [pa.array(numbers, mask=numbers < 0) for numbers in found]
        self._numbers = [array("q") for _ in levels]
        columns = [*values.columns[:2], *levels, *values.columns[2:]]
        return pa.Table.from_arrays(columns, schema=self.schema.arrow)


def _way(required: Required, path: str) -> Way:
    written = paths.split(path)
    depth = written.index("*") if "*" in written else len(written)
    plain = tuple(key[: key.index("[")] if key.endswith("]") else key for key in written[:depth])
    sliced = frozenset(place for place, key in enumerate(written[:depth]) if key.endswith("]"))
    tree = required.tree
    alone = required.like(_alone(tree, written)) if isinstance(tree, dict) else required
    return Way(path, plain, depth < len(written), sliced, alone)


def _alone(tree: Any, keys: tuple[str, ...]) -> Any:
    """The tree with one path in it; what `*` stands for leaves out the keys that are named beside it."""
    if not keys:
        return tree
    key = keys[0]
    named = [other for other in tree if key == "*" and other not in ("*", IN_PLACE)]
    return {key: _alone(tree[key], keys[1:]), **dict.fromkeys(named, "exclude")}


def _along(
    section: Mapping[str, Any], way: Way, crossing: list[bool], numbers: tuple[int | None, ...]
) -> Iterator[Occurrence]:
    place = len(numbers)
    if place == len(way.keys):
        yield _occurrence(way, numbers, section)
        return
    key = way.keys[place]
    if key not in section:
        return
    value = section[key]
    if value == []:
        return
    is_end = place + 1 == len(way.keys) and not way.is_open
    crossed = crossing[place] and is_numbered(value)
    for number, item in enumerate(value) if crossed else ((None, value),):
        if is_end:
            yield _occurrence(way, (*numbers, number), item)
        elif type(item) is dict:
            yield from _along(item, way, crossing, (*numbers, number))
        else:
            # A reference as its string, or a list that is not crossed; it counts where it holds something required.
            found = _occurrence(way, (*numbers, number), item)
            if next(leaves(found.part, way.required), None) is not None:
                yield found


def _occurrence(way: Way, numbers: tuple[int | None, ...], value: Any) -> Occurrence:
    for key in reversed(way.keys[: len(numbers)]):
        value = {key: value}
    return Occurrence(numbers + (None,) * (len(way.keys) - len(numbers)), value)


def _inferred(
    archives: list[Mapping[str, Any]], way: Way, definitions: Definitions | None, documents: bool
) -> TableSchema:
    found = [occurrence for archive in archives for occurrence in occurrences(archive, way)]
    crossed = {place for numbers, _ in found for place, number in enumerate(numbers) if number is not None}
    repeating = crossed | way.sliced
    kinds = kinds_of((part for _, part in found), way.required)
    values = schema_of(kinds)
    if definitions is not None:
        repeating |= {place for place, name in enumerate(way.sections) if repeats(definitions.find(name))}
        values = described(values, definitions, seen=idle(kinds), documents=documents)
    levels = tuple(name for place, name in enumerate(way.sections) if place in repeating)
    return TableSchema(way.path, way.name, levels, values)


def repeats(member: Member | None) -> bool:
    """True for a repeating section, and for a list of references, in whose places sections may stand."""
    if isinstance(member, SubSection):
        return member.repeats
    return isinstance(member, Quantity) and member.is_reference and bool(member.shape)
