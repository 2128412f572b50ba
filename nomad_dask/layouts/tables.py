"""The tables layout: one table for each required path, one row for each occurrence of it.

An occurrence is a part of its archive: only the keys of the path and the value at its end, with each
repeating section on the path replaced by one of its sections::

    run.calculation.energy, 0 and 3:  {"run": {"calculation": {"energy": {"total": {"value": -1.0}}}}}

A part is flattened like an archive in the wide layout, with the same rules for types, misfits and `_more`.
The columns of the table are its names (`run.calculation.energy.total.value`) relative to the path.

The keys of a path are without slices and end before the first `*`; the columns then begin with the keys that
match `*`. Lists of only dicts on the path and at its end are repeating sections, and an empty list has no
occurrence. Below the end lists are numbered as in the wide layout. An unresolved reference on a path is a row
in the tables of all paths through it, with its string in the column of its own path.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from nomad_dask.common import paths, stored_fields
from nomad_dask.layouts import select, wide
from nomad_dask.layouts.column_limit import MOST_COLUMNS, ColumnLimit
from nomad_dask.layouts.declared import repeats
from nomad_dask.layouts.infer import kinds_within
from nomad_dask.layouts.schema import MORE, RESERVED, Schema, wide_schema
from nomad_dask.layouts.walk import is_numbered, leaves
from nomad_dask.layouts.wide import OnNew, Wide
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.required import REF_ARCHIVES, Required, excluding


@dataclass(frozen=True)
class RequiredPath:
    """One required path, with the keys to walk in archives."""

    written: str
    """As written in `required`."""
    keys: tuple[str, ...]
    """The keys without slices, down to the end of the path or to the section of its first `*`."""
    is_open: bool
    """True if the path has a `*`."""
    sliced: frozenset[int]
    """The positions of keys with a slice, which are lists."""
    required: Required
    """The required tree with this path only."""

    @cached_property
    def sections(self) -> tuple[str, ...]:
        """The full name of each key, without slices."""
        return tuple(paths.join(self.keys[: place + 1]) for place in range(len(self.keys)))

    @property
    def name(self) -> str:
        """The full name of the last key; empty for the archive itself."""
        return self.sections[-1] if self.keys else ""


class Occurrence(NamedTuple):
    """One row: its numbers in the repeating sections, and its part of the archive."""

    numbers: tuple[int | None, ...]
    """One for each key of the path; None for a key without a list."""
    part: Mapping[str, Any]


def required_paths(required: Required) -> tuple[RequiredPath, ...]:
    """The required paths, in the order of `required.paths`."""
    return tuple(_required_path(required, path) for path in required.paths)


def occurrences(
    archive: Mapping[str, Any], path: RequiredPath, *, crossing: Iterable[str] | None = None
) -> Iterator[Occurrence]:
    """Each occurrence of a path, in the archive's order.

    Only the lists named in `crossing` are repeating sections (None: all lists of dicts). Values of other
    lists stay in one row, with numbered names.
    """
    if not path.keys:
        yield Occurrence((), archive)
    elif path.keys[0] != REF_ARCHIVES:
        places = [crossing is None or name in crossing for name in path.sections]
        yield from _along(archive, path, places, ())


@dataclass(frozen=True)
class TableSchema:
    """The schema of one table: the repeating sections on the path, and the value columns by full name."""

    path: str
    """The required path as written."""
    end: str
    """The path without slices, to which column names are relative; empty for the archive itself."""
    levels: tuple[str, ...] = ()
    """The full names of the repeating sections on the path, in its order."""
    values: Schema = Schema()
    """The value columns, by full name: `run.calculation.energy.total.value`."""

    @cached_property
    def level_names(self) -> tuple[str, ...]:
        """The names of the integer columns of the levels: the last key, or the full name if keys are
        equal."""
        short = [paths.join(paths.split(name)[-1:]) for name in self.levels]
        return tuple(select.distinct(short, self.levels, taken=RESERVED))

    def names(self, *, taken: Iterable[str] = RESERVED) -> tuple[str, ...]:
        """The column names relative to the path; full names where two would collide.

        A value at the end of the path has the last key as its name. A value above the end keeps its full
        name.
        """
        whole = self.values.names
        short = [self._short(name) for name in whole]
        return tuple(select.distinct(short, whole, taken={*taken, *self.level_names}))

    def _short(self, name: str) -> str:
        if not self.end or not paths.is_below(name, self.end):
            return name
        return name[len(self.end) + 1 :] or paths.join(paths.split(self.end)[-1:])

    @cached_property
    def arrow(self) -> pa.Schema:
        """`entry_id`, `upload_id`, the levels (null without a list), the columns, `_more`."""
        inner = self.values.to_arrow()
        fields = [field.with_name(name) for field, name in zip(list(inner)[2:-1], self.names(), strict=True)]
        levels = [pa.field(name, pa.int64()) for name in self.level_names]
        return pa.schema([*list(inner)[:2], *levels, *fields, inner.field(MORE)], inner.metadata)

    def to_json(self) -> dict[str, Any]:
        """The schema as a JSON value, for `from_json`."""
        return {"path": self.path, "end": self.end, "levels": [*self.levels], "values": self.values.to_json()}

    @classmethod
    def from_json(cls, value: Any, name: str = "table") -> TableSchema:
        """The schema from its JSON value. Raises UserError if the value is invalid."""
        of = stored_fields.fields(value, name)
        levels = of.get("levels", stored_fields.items(stored_fields.text))
        values = of.get("values", Schema.from_json)
        return cls(of.get("path", stored_fields.text), of.get("end", stored_fields.text), levels, values)


def infer_tables(
    samples: Iterable[Mapping[str, Any]],
    required: Required,
    *,
    definitions: Definitions | None = None,
    max_columns: int | None = MOST_COLUMNS,
) -> dict[str, TableSchema]:
    """The narrowest schemas that hold every value of the samples, by required path as written.

    Each has at most `max_columns` value columns; see `column_limit`. A section repeats if a sample has a list
    of it, the path has a slice for it, or the server's schema declares it. The server's schema also adds
    units, descriptions and types; see `annotate`.
    """
    archives = list(samples)
    return {
        path.written: _inferred(archives, path, definitions, max_columns) for path in required_paths(required)
    }


class Tables:
    """Builds one table for each required path, entry by entry, with a `wide.Wide` over its occurrences.

    Values outside a schema go to `_more` of their row under their full name and are counted in `n_more`, and
    so do values of repeating sections that the schema does not know to repeat. `on_new="raise"` raises
    UnknownValueError for the first of them.
    """

    def __init__(
        self, schemas: Mapping[str, TableSchema], required: Required, *, on_new: OnNew = "more"
    ) -> None:
        self._tables = [_Table(path, schemas[path.written], on_new) for path in required_paths(required)]
        self._bytes = 0

    @property
    def n_more(self) -> int:
        """Number of values in `_more` of all tables so far."""
        return sum(table.wide.n_more for table in self._tables)

    def append(
        self, entry_id: str, upload_id: str | None, archive: Mapping[str, Any] | None, *, n_bytes: int = 0
    ) -> None:
        """Add the rows of one entry; an entry without archive (None) has none.

        `n_bytes`, the size of its JSON if known, bounds the memory of pending rows over all tables.
        """
        if archive is None:
            return
        for table in self._tables:
            table.append(entry_id, upload_id, archive)
        self._bytes += n_bytes
        if self._bytes > wide.MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Convert the pending rows to Arrow."""
        self._bytes = 0
        for table in self._tables:
            table.wide.flush()

    def finish(self) -> dict[str, pa.Table]:
        """The tables by required path as written, with rows in the order of `append`. Empties the builder."""
        return {table.schema.path: table.finish() for table in self._tables}


class _Table:
    """The builder of one table: its values and the numbers of its levels."""

    def __init__(self, path: RequiredPath, schema: TableSchema, on_new: OnNew) -> None:
        self.schema = schema
        self.wide = Wide(schema.values, path.required, on_new=on_new)
        self._path = path
        self._places = [path.sections.index(name) for name in schema.levels]
        self._numbers = [array("q") for _ in schema.levels]

    def append(self, entry_id: str, upload_id: str | None, archive: Mapping[str, Any]) -> None:
        for numbers, part in occurrences(archive, self._path, crossing=self.schema.levels):
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


def _required_path(required: Required, path: str) -> RequiredPath:
    written = paths.split(path)
    depth = written.index("*") if "*" in written else len(written)
    plain = tuple(map(paths.without_slice, written[:depth]))
    sliced = frozenset(place for place, key in enumerate(written[:depth]) if key.endswith("]"))
    tree = required.tree
    alone = required.with_tree(_alone(tree, written)) if isinstance(tree, dict) else required
    return RequiredPath(path, plain, depth < len(written), sliced, alone)


def _alone(tree: Any, keys: tuple[str, ...]) -> Any:
    """The tree with one path only."""
    if not keys:
        return tree
    return excluding({keys[0]: _alone(tree[keys[0]], keys[1:])}, tree)


def _along(
    section: Mapping[str, Any], path: RequiredPath, crossing: list[bool], numbers: tuple[int | None, ...]
) -> Iterator[Occurrence]:
    place = len(numbers)
    if place == len(path.keys):
        yield _occurrence(path, numbers, section)
        return
    key = path.keys[place]
    if key not in section:
        return
    value = section[key]
    if value == []:
        return
    is_end = place + 1 == len(path.keys) and not path.is_open
    crossed = crossing[place] and is_numbered(value)
    for number, item in enumerate(value) if crossed else ((None, value),):
        if is_end:
            yield _occurrence(path, (*numbers, number), item)
        elif type(item) is dict:
            yield from _along(item, path, crossing, (*numbers, number))
        else:
            # An unresolved reference, or a list that is not crossed: a row only if it holds required values.
            found = _occurrence(path, (*numbers, number), item)
            if next(leaves(found.part, path.required), None) is not None:
                yield found


def _occurrence(path: RequiredPath, numbers: tuple[int | None, ...], value: Any) -> Occurrence:
    for key in reversed(path.keys[: len(numbers)]):
        value = {key: value}
    return Occurrence(numbers + (None,) * (len(path.keys) - len(numbers)), value)


def _inferred(
    archives: list[Mapping[str, Any]],
    path: RequiredPath,
    definitions: Definitions | None,
    max_columns: int | None,
) -> TableSchema:
    found = [occurrence for archive in archives for occurrence in occurrences(archive, path)]
    crossed = {place for numbers, _ in found for place, number in enumerate(numbers) if number is not None}
    repeating = crossed | path.sliced
    limit = ColumnLimit(path.required, definitions, max_columns)
    kinds, left_out = kinds_within(lambda: (part for _, part in found), limit)
    values = wide_schema(kinds, path.required, definitions, left_out)
    if definitions is not None:
        repeating |= {place for place, name in enumerate(path.sections) if repeats(definitions.find(name))}
    levels = tuple(name for place, name in enumerate(path.sections) if place in repeating)
    return TableSchema(path.written, path.name, levels, values)
