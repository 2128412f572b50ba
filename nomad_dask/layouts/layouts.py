"""The layouts wide, nested and tables, behind one protocol.

A layout infers a schema, makes builders for it, and returns the tables by key: one table with the key `""` in
wide and nested, one table for each required path in tables::

    builder = WIDE.builder(schema, required)
    builder.append(entry_id, upload_id, archive)
    WIDE.tables(builder.finish())[""]
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

from nomad_dask.common import paths, stored_fields
from nomad_dask.errors import UserError
from nomad_dask.layouts import LayoutName, shapes
from nomad_dask.layouts.column_limit import MOST_COLUMNS, ColumnLimit
from nomad_dask.layouts.declared import declared_kinds, declared_shape
from nomad_dask.layouts.infer import kinds_within
from nomad_dask.layouts.nested import Nested, NestedSchema, infer_nested
from nomad_dask.layouts.schema import ENTRY_ID, GivenTypes, Schema, wide_schema
from nomad_dask.layouts.tables import RequiredPath, Tables, TableSchema, infer_tables, required_paths
from nomad_dask.layouts.wide import OnNew, Wide
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.required import Required
from nomad_dask.text import hint, near

ONLY = ""
"""The key of the one table of the wide and the nested layout."""


@dataclass(frozen=True)
class TablesSchema:
    """The schemas of all tables of the tables layout, in the order of `required`."""

    tables: tuple[TableSchema, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The required paths as written."""
        return tuple(table.path for table in self.tables)

    @cached_property
    def by_path(self) -> dict[str, TableSchema]:
        """The schemas by required path as written."""
        return {table.path: table for table in self.tables}

    def __reduce__(self) -> tuple[Any, ...]:
        return TablesSchema, (self.tables,)


AnySchema: TypeAlias = Schema | NestedSchema | TablesSchema


class Builder(Protocol):
    """Builds tables, entry by entry."""

    @property
    def n_more(self) -> int:
        """Number of values in `_more` so far."""

    def append(
        self, entry_id: str, upload_id: str | None, archive: Mapping[str, Any] | None, *, n_bytes: int = 0
    ) -> None:
        """Add one entry; `archive` is None if it has none."""

    def flush(self) -> None:
        """Convert the pending rows to Arrow."""

    def finish(self) -> Any:
        """The argument for `Layout.tables`. The builder is empty afterwards."""


class Layout(Protocol):
    """A layout. Layouts are plain values: they compare, hash and pickle."""

    @property
    def name(self) -> LayoutName:
        """Name of the layout."""

    def infer(
        self,
        samples: Iterable[Mapping[str, Any]],
        required: Required,
        definitions: Definitions | None = None,
        max_columns: int | None = MOST_COLUMNS,
    ) -> Any:
        """The narrowest schema that holds the samples, with units, descriptions and types of the server's
        schema.

        Each table has at most `max_columns` columns (in nested: cells inside columns); see `column_limit`.
        """

    def with_declared(
        self, schema: Any, empty: Collection[str], required: Required, definitions: Definitions
    ) -> Any:
        """The schema with the columns that the server declares at required paths without a sample."""

    def with_types(self, schema: Any, given: GivenTypes) -> Any:
        """The schema with user-defined types, which replace all others; values that do not fit go to `_more`.

        Types are by column in wide, by the full name of a quantity without numbers in tables, and by required
        path (the Arrow type of the whole column) in nested. Raises UserError for an unknown name or an
        invalid type.
        """

    def builder(self, schema: Any, required: Required, on_new: OnNew = "more") -> Builder:
        """A builder for tables with this schema."""

    def tables(self, finished: Any) -> dict[str, pa.Table]:
        """The tables of a finished builder by key."""

    def arrow(self, schema: Any) -> dict[str, pa.Schema]:
        """The Arrow schemas of the tables, by the same keys in the same order."""

    def full_names(self, schema: Any) -> dict[str, dict[str, str]]:
        """By table: the full paths of columns whose names are shorter."""

    def index(self, schema: Any) -> dict[str, tuple[str, ...]]:
        """The columns that identify a row of each table: `entry_id`, and the levels of tables."""

    def schema_to_json(self, schema: Any) -> dict[str, Any]:
        """The schema as a JSON value."""

    def schema_from_json(self, value: Mapping[str, Any]) -> Any:
        """The schema from its JSON value. Raises UserError if the value is invalid."""

    def folders(self, schema: Any) -> dict[str, str]:
        """The folder of each table in a dataset, below `data/`."""


class _OneTable:
    """The methods shared by wide and nested: one table, with the key `""`."""

    def tables(self, finished: pa.Table) -> dict[str, pa.Table]:
        return {ONLY: finished}

    def arrow(self, schema: Any) -> dict[str, pa.Schema]:
        return {ONLY: schema.to_arrow()}

    def full_names(self, schema: Any) -> dict[str, dict[str, str]]:
        return {ONLY: {}}

    def index(self, schema: Any) -> dict[str, tuple[str, ...]]:
        return {ONLY: (ENTRY_ID,)}

    def schema_to_json(self, schema: Any) -> dict[str, Any]:
        return schema.to_json()

    def folders(self, schema: Any) -> dict[str, str]:
        return {ONLY: ""}


def left_out(schema: AnySchema) -> tuple[tuple[str, int, int], ...]:
    """The tables with columns left out by the limit: key, number of columns, number of columns left out."""
    if isinstance(schema, TablesSchema):
        tables = [(table.path, len(table.values.columns), table.values.left_out) for table in schema.tables]
    elif isinstance(schema, NestedSchema):
        tables = [(ONLY, sum(shapes.places(column.shape) for column in schema.columns), schema.left_out)]
    else:
        tables = [(ONLY, len(schema.columns), schema.left_out)]
    return tuple(table for table in tables if table[2])


@dataclass(frozen=True)
class _WideLayout(_OneTable):
    name: LayoutName = "wide"

    def infer(
        self,
        samples: Iterable[Mapping[str, Any]],
        required: Required,
        definitions: Definitions | None = None,
        max_columns: int | None = MOST_COLUMNS,
    ) -> Schema:
        archives = list(samples)
        found, left_out = kinds_within(lambda: archives, ColumnLimit(required, definitions, max_columns))
        return wide_schema(found, required, definitions, left_out)

    def with_declared(
        self, schema: Schema, empty: Collection[str], required: Required, definitions: Definitions
    ) -> Schema:
        declared = [declared_kinds(path.keys, definitions, numbered=True) for path in _empty(required, empty)]
        return _with_columns(schema, declared, required, definitions)

    def with_types(self, schema: Schema, given: GivenTypes) -> Schema:
        return schema.with_types(given)

    def builder(self, schema: Schema, required: Required, on_new: OnNew = "more") -> Wide:
        return Wide(schema, required, on_new=on_new)

    def schema_from_json(self, value: Mapping[str, Any]) -> Schema:
        return Schema.from_json(value)


@dataclass(frozen=True)
class _NestedLayout(_OneTable):
    name: LayoutName = "nested"

    def infer(
        self,
        samples: Iterable[Mapping[str, Any]],
        required: Required,
        definitions: Definitions | None = None,
        max_columns: int | None = MOST_COLUMNS,
    ) -> NestedSchema:
        return infer_nested(samples, required, definitions=definitions, max_columns=max_columns)

    def with_declared(
        self, schema: NestedSchema, empty: Collection[str], required: Required, definitions: Definitions
    ) -> NestedSchema:
        shape_of = {path.written: declared_shape(path.keys, definitions) for path in _empty(required, empty)}
        columns = (replace(c, shape=shape_of.get(c.path) or c.shape) for c in schema.columns)
        return replace(schema, columns=tuple(columns))

    def with_types(self, schema: NestedSchema, given: GivenTypes) -> NestedSchema:
        types = {f.name: f.type for f in given} if isinstance(given, pa.Schema) else dict(given)
        columns = []
        for name, column in zip(schema.names, schema.columns, strict=True):
            chosen = types.pop(name, None)
            if chosen is not None:
                column = replace(column, shape=shapes.of_type(chosen, below=len(column.crossed)))
            columns.append(column)
        _check_known(types, schema.names)
        return replace(schema, columns=tuple(columns))

    def builder(self, schema: NestedSchema, required: Required, on_new: OnNew = "more") -> Nested:
        return Nested(schema, required, on_new=on_new)

    def schema_from_json(self, value: Mapping[str, Any]) -> NestedSchema:
        return NestedSchema.from_json(value)


@dataclass(frozen=True)
class _TablesLayout:
    name: LayoutName = "tables"

    def infer(
        self,
        samples: Iterable[Mapping[str, Any]],
        required: Required,
        definitions: Definitions | None = None,
        max_columns: int | None = MOST_COLUMNS,
    ) -> TablesSchema:
        found = infer_tables(samples, required, definitions=definitions, max_columns=max_columns)
        return TablesSchema(tuple(found.values()))

    def with_declared(
        self, schema: TablesSchema, empty: Collection[str], required: Required, definitions: Definitions
    ) -> TablesSchema:
        tables = schema.by_path
        for path in _empty(required, empty):
            table, declared = tables[path.written], declared_kinds(path.keys, definitions, numbered=False)
            values = _with_columns(table.values, [declared], path.required, definitions)
            tables = {**tables, path.written: replace(table, values=values)}
        return TablesSchema(tuple(tables.values()))

    def with_types(self, schema: TablesSchema, given: GivenTypes) -> TablesSchema:
        fields = {f.name: f for f in given} if isinstance(given, pa.Schema) else dict(given)
        tables, left = [], dict(fields)
        for table in schema.tables:
            mine = {n: given for n, given in fields.items() if not table.end or paths.is_below(n, table.end)}
            left = {name: given for name, given in left.items() if name not in mine}
            mine_given = pa.schema(list(mine.values())) if isinstance(given, pa.Schema) else mine
            tables.append(replace(table, values=table.values.with_types(mine_given)))
        _check_known(left, [table.end for table in schema.tables])
        return TablesSchema(tuple(tables))

    def builder(self, schema: TablesSchema, required: Required, on_new: OnNew = "more") -> Tables:
        return Tables(schema.by_path, required, on_new=on_new)

    def tables(self, finished: dict[str, pa.Table]) -> dict[str, pa.Table]:
        return finished

    def arrow(self, schema: TablesSchema) -> dict[str, pa.Schema]:
        return {table.path: table.arrow for table in schema.tables}

    def full_names(self, schema: TablesSchema) -> dict[str, dict[str, str]]:
        return {
            table.path: dict(zip(table.names(), table.values.names, strict=True)) for table in schema.tables
        }

    def index(self, schema: TablesSchema) -> dict[str, tuple[str, ...]]:
        return {table.path: (ENTRY_ID, *table.level_names) for table in schema.tables}

    def schema_to_json(self, schema: TablesSchema) -> dict[str, Any]:
        return {"tables": [table.to_json() for table in schema.tables]}

    def schema_from_json(self, value: Mapping[str, Any]) -> TablesSchema:
        return TablesSchema(
            stored_fields.fields(value, "schema").get("tables", stored_fields.items(TableSchema.from_json))
        )

    def folders(self, schema: TablesSchema) -> dict[str, str]:
        return {table.path: paths.folder(table.path) for table in schema.tables}


def _empty(required: Required, empty: Collection[str]) -> Iterator[RequiredPath]:
    """The required paths among those that no sampled entry has."""
    return (path for path in required_paths(required) if path.written in empty and not path.is_open)


def _with_columns(
    schema: Schema, declared: Iterable[Mapping[str, str]], required: Required, definitions: Definitions
) -> Schema:
    """A schema with more columns, of the types that the server declares."""
    kinds = {name: kind for some in declared for name, kind in some.items() if name not in schema.by_name}
    more = wide_schema(kinds, required, definitions)
    return replace(schema, columns=(*schema.columns, *more.columns))


def _check_known(given: Iterable[str], known: Iterable[str]) -> None:
    for name in given:
        meant = near(name, known) or tuple(known)[:3]
        raise UserError(f"schema: no table has {name!r}; choose from {', '.join(map(repr, meant))}")


WIDE: Layout = _WideLayout()
NESTED: Layout = _NestedLayout()
TABLES: Layout = _TablesLayout()
LAYOUTS: dict[str, Layout] = {one.name: one for one in (WIDE, NESTED, TABLES)}


def layout(name: str) -> Layout:
    """The layout with this name. Raises UserError, with the choices, for an unknown name."""
    found = LAYOUTS.get(name) if isinstance(name, str) else None
    if found is None:
        meant = near(str(name), LAYOUTS, limit=1)
        raise UserError(f"layout must be one of {', '.join(LAYOUTS)} (got {name!r}){hint(str(name), meant)}")
    return found
