"""Owns the choice of a layout, wide, nested or tables, behind one protocol for all that need not know which (SPEC 6).

A layout infers a schema, makes builders for it, and names the tables that come out: one under the key `""` in wide
and nested, one for each required path as written in tables::

    builder = WIDE.builder(schema, required)
    builder.append(entry_id, upload_id, archive)
    WIDE.tables(builder.finish())[""]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

from nomad_dask.pure import paths, shapes
from nomad_dask.pure.described import described, idle
from nomad_dask.pure.errors import UserError
from nomad_dask.pure.flatten import OnNew, Wide
from nomad_dask.pure.kinds import kinds_of
from nomad_dask.pure.near import hint, near
from nomad_dask.pure.nested import Nested, NestedSchema, infer_nested
from nomad_dask.pure.required import Required
from nomad_dask.pure.schema import ENTRY_ID, GivenTypes, Schema, schema_of
from nomad_dask.pure.sections import Definitions
from nomad_dask.pure.tables import Tables, TableSchema, infer_tables

ONLY = ""
"""The key of the one table of the wide and the nested layout."""


@dataclass(frozen=True)
class TablesSchema:
    """The schemas of all tables, in the order of `required`."""

    tables: tuple[TableSchema, ...] = ()

    @cached_property
    def by_path(self) -> dict[str, TableSchema]:
        """By required path as written."""
        return {table.path: table for table in self.tables}

    def __reduce__(self) -> tuple[Any, ...]:
        return TablesSchema, (self.tables,)


AnySchema: TypeAlias = Schema | NestedSchema | TablesSchema


class Builder(Protocol):
    """Grows tables, entry by entry."""

    @property
    def n_more(self) -> int:
        """How many values went to `_more` so far."""

    def append(
        self, entry_id: str, upload_id: str | None, archive: Mapping[str, Any] | None, *, n_bytes: int = 0
    ) -> None:
        """Add one entry; None for one without archive."""

    def flush(self) -> None:
        """Turn what waits into Arrow now."""

    def finish(self) -> Any:
        """What `Layout.tables` takes. The builder is empty afterwards."""


class Layout(Protocol):
    """What workers, planners, manifests and frames need of a layout. Plain values: they compare, hash and pickle."""

    @property
    def name(self) -> str:
        """`wide`, `nested` or `tables`."""

    def infer(
        self,
        samples: Iterable[Mapping[str, Any]],
        required: Required,
        definitions: Definitions | None = None,
    ) -> Any:
        """The narrowest schema that holds the samples, with what the server's own says of it."""

    def with_types(self, schema: Any, given: GivenTypes) -> Any:
        """The schema with types that the user gives; they go before all others, and a value that does not fit to `_more`.

        By column in wide; in tables by the whole name of a quantity, less numbers; in nested by required path, as the
        Arrow type of the whole column. Raises UserError for a name or a type that cannot be.
        """

    def builder(self, schema: Any, required: Required, on_new: OnNew = "more") -> Builder:
        """A builder of tables with this schema."""

    def tables(self, finished: Any) -> dict[str, pa.Table]:
        """The tables of a finished builder by their keys."""

    def arrow(self, schema: Any) -> dict[str, pa.Schema]:
        """Their Arrow schemas, by the same keys, in the same order."""

    def index(self, schema: Any) -> dict[str, tuple[str, ...]]:
        """The columns that name a row of each: `entry_id`, and the levels of tables."""

    def schema_to_json(self, schema: Any) -> dict[str, Any]:
        """A plain JSON value."""

    def schema_from_json(self, value: Mapping[str, Any]) -> Any:
        """The schema that `schema_to_json` wrote. Raises UserError where it is something else."""

    def folders(self, schema: Any) -> dict[str, str]:
        """Where a dataset keeps the parts of each table, below `data/` (SPEC 9)."""


class _OneTable:
    """What the wide and the nested layout share: one table, under the key `""`."""

    def tables(self, finished: pa.Table) -> dict[str, pa.Table]:
        return {ONLY: finished}

    def arrow(self, schema: Any) -> dict[str, pa.Schema]:
        return {ONLY: schema.to_arrow()}

    def index(self, schema: Any) -> dict[str, tuple[str, ...]]:
        return {ONLY: (ENTRY_ID,)}

    def schema_to_json(self, schema: Any) -> dict[str, Any]:
        return schema.to_json()

    def folders(self, schema: Any) -> dict[str, str]:
        return {ONLY: ""}


def wide_schema(
    kinds: Mapping[str, str], required: Required, definitions: Definitions | None = None
) -> Schema:
    """The schema of the types that were found in samples (`kinds_of`), with what the server's says of them."""
    schema = schema_of(kinds)
    if definitions is None:
        return schema
    return described(schema, definitions, seen=idle(kinds), documents=required.documents)


@dataclass(frozen=True)
class _Wide(_OneTable):
    name: str = "wide"

    def infer(
        self,
        samples: Iterable[Mapping[str, Any]],
        required: Required,
        definitions: Definitions | None = None,
    ) -> Schema:
        return wide_schema(kinds_of(samples, required), required, definitions)

    def with_types(self, schema: Schema, given: GivenTypes) -> Schema:
        return schema.with_types(given)

    def builder(self, schema: Schema, required: Required, on_new: OnNew = "more") -> Wide:
        return Wide(schema, required, on_new=on_new)

    def schema_from_json(self, value: Mapping[str, Any]) -> Schema:
        return Schema.from_json(value)


@dataclass(frozen=True)
class _Nested(_OneTable):
    name: str = "nested"

    def infer(
        self,
        samples: Iterable[Mapping[str, Any]],
        required: Required,
        definitions: Definitions | None = None,
    ) -> NestedSchema:
        return infer_nested(samples, required, definitions=definitions, documents=required.documents)

    def with_types(self, schema: NestedSchema, given: GivenTypes) -> NestedSchema:
        types = {f.name: f.type for f in given} if isinstance(given, pa.Schema) else dict(given)
        columns = []
        for name, column in zip(schema.names, schema.columns, strict=True):
            chosen = types.pop(name, None)
            if chosen is not None:
                column = replace(column, shape=shapes.of_type(chosen, below=len(column.crossed)))
            columns.append(column)
        _refuse_unknown(types, schema.names)
        return NestedSchema(tuple(columns))

    def builder(self, schema: NestedSchema, required: Required, on_new: OnNew = "more") -> Nested:
        return Nested(schema, required, on_new=on_new)

    def schema_from_json(self, value: Mapping[str, Any]) -> NestedSchema:
        return NestedSchema.from_json(value)


@dataclass(frozen=True)
class _Tables:
    name: str = "tables"

    def infer(
        self,
        samples: Iterable[Mapping[str, Any]],
        required: Required,
        definitions: Definitions | None = None,
    ) -> TablesSchema:
        found = infer_tables(samples, required, definitions=definitions, documents=required.documents)
        return TablesSchema(tuple(found.values()))

    def with_types(self, schema: TablesSchema, given: GivenTypes) -> TablesSchema:
        fields = {f.name: f for f in given} if isinstance(given, pa.Schema) else dict(given)
        tables, left = [], dict(fields)
        for table in schema.tables:
            mine = {n: given for n, given in fields.items() if not table.end or paths.below(n, table.end)}
            left = {name: given for name, given in left.items() if name not in mine}
            mine_given = pa.schema(list(mine.values())) if isinstance(given, pa.Schema) else mine
            tables.append(replace(table, values=table.values.with_types(mine_given)))
        _refuse_unknown(left, [table.end for table in schema.tables])
        return TablesSchema(tuple(tables))

    def builder(self, schema: TablesSchema, required: Required, on_new: OnNew = "more") -> Tables:
        return Tables(schema.by_path, required, on_new=on_new)

    def tables(self, finished: dict[str, pa.Table]) -> dict[str, pa.Table]:
        return finished

    def arrow(self, schema: TablesSchema) -> dict[str, pa.Schema]:
        return {table.path: table.arrow for table in schema.tables}

    def index(self, schema: TablesSchema) -> dict[str, tuple[str, ...]]:
        return {table.path: (ENTRY_ID, *table.level_names) for table in schema.tables}

    def schema_to_json(self, schema: TablesSchema) -> dict[str, Any]:
        return {"tables": [table.to_json() for table in schema.tables]}

    def schema_from_json(self, value: Mapping[str, Any]) -> TablesSchema:
        try:
            return TablesSchema(tuple(TableSchema.from_json(table) for table in value["tables"]))
        except (TypeError, KeyError) as exc:
            raise UserError(f"schema: not a stored schema of tables: {exc}") from exc

    def folders(self, schema: TablesSchema) -> dict[str, str]:
        return {table.path: paths.folder(table.path) for table in schema.tables}


def _refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    for name in given:
        meant = near(name, known) or tuple(known)[:3]
        raise UserError(f"schema: {name!r} is in no table; there are {', '.join(map(repr, meant))}")


WIDE: Layout = _Wide()
NESTED: Layout = _Nested()
TABLES: Layout = _Tables()
LAYOUTS = {one.name: one for one in (WIDE, NESTED, TABLES)}


def layout(name: str) -> Layout:
    """The layout of that name. Raises UserError, naming the choices, for any other."""
    found = LAYOUTS.get(name) if isinstance(name, str) else None
    if found is None:
        meant = near(str(name), LAYOUTS, most=1)
        raise UserError(f"layout is one of {', '.join(LAYOUTS)}, not {name!r}{hint(meant)}")
    return found


def empty(chosen: Layout, schema: Any) -> dict[str, pa.Table]:
    """The tables of no entries: typed, without rows."""
    return {key: arrow.empty_table() for key, arrow in chosen.arrow(schema).items()}
