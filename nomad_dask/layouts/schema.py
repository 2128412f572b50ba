"""The schema of a frame or dataset: columns, types, and units in Arrow metadata.

A `Schema` is a plain value. Its tables have the columns `entry_id`, `upload_id`, the schema's columns sorted
by name, and `_more`: the values of a row that do not fit the schema, as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeAlias

import orjson
import pyarrow as pa

from nomad_dask.common import stored_fields, types
from nomad_dask.errors import UserError
from nomad_dask.layouts.infer import kinds_of
from nomad_dask.metainfo.definitions import Definitions, Quantity
from nomad_dask.request.required import Required
from nomad_dask.text import shown

ENTRY_ID, UPLOAD_ID, MORE = "entry_id", "upload_id", "_more"
RESERVED = frozenset((ENTRY_ID, UPLOAD_ID, MORE))

JSON_MARK = b"nomad_dask.json"
"""In the metadata of a field whose cells are JSON text."""
UNIT, _DESCRIPTION = b"unit", b"description"

GivenTypes: TypeAlias = Mapping[str, str | pa.DataType] | pa.Schema
"""User-defined column types by name, such as `{"run.0.time": "double"}`, or an Arrow schema."""


@dataclass(frozen=True)
class Column:
    """One column of values."""

    name: str
    type: str
    """`bool`, `int64`, `double`, `string` or a list of these; JSON text is a `string` with `json` set."""
    json: bool = False
    """True where cells are JSON text, because the values have no common type."""
    unit: str | None = None
    description: str | None = None

    @property
    def kind(self) -> str:
        """The type as `types` reckons with it: `json` for JSON text, else `type`."""
        return types.JSON if self.json else self.type

    def field(self) -> pa.Field:
        """The Arrow field, with unit, description and the JSON mark in its metadata."""
        facts = {
            JSON_MARK: b"true" if self.json else None,
            UNIT: self.unit.encode() if self.unit else None,
            _DESCRIPTION: self.description.encode() if self.description else None,
        }
        metadata = {key: value for key, value in facts.items() if value}
        return pa.field(self.name, types.to_arrow(self.type), metadata=metadata or None)


@dataclass(frozen=True)
class Schema:
    """The value columns of a frame or dataset, sorted by name. Without columns, all values go to `_more`."""

    columns: tuple[Column, ...] = ()
    left_out: int = 0
    """Number of sampled columns left out by the column limit; their values go to `_more`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(sorted(self.columns, key=lambda column: column.name)))
        if len(self.by_name) < len(self.columns):
            raise UserError("schema: column names must be unique")
        taken = RESERVED & self.by_name.keys()
        if taken:
            raise UserError(f"schema: column names {sorted(taken)} are reserved")

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """The columns by their names."""
        return {column.name: column for column in self.columns}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the value columns, sorted."""
        return tuple(self.by_name)

    def to_arrow(self) -> pa.Schema:
        """The Arrow schema of the tables, with `entry_id` as the index that pandas restores."""
        return self._arrow

    @cached_property
    def _arrow(self) -> pa.Schema:
        first = [pa.field(ENTRY_ID, pa.string(), nullable=False), pa.field(UPLOAD_ID, pa.string())]
        more = pa.field(MORE, pa.string(), metadata={JSON_MARK: b"true"})
        return pa.schema([*first, *(column.field() for column in self.columns), more], {b"pandas": _PANDAS})

    def to_json(self) -> dict[str, Any]:
        """A plain JSON value; `from_json` undoes it."""
        left_out = {"left_out": self.left_out} if self.left_out else {}
        return {"columns": [_without_defaults(column) for column in self.columns], **left_out}

    def __dask_tokenize__(self) -> tuple[str, bytes]:
        """Token for Dask, which hashes a schema at every step: one string is faster than thousands of
        columns."""
        return "schema", orjson.dumps(self.to_json())

    @classmethod
    def from_json(cls, value: Any, name: str = "schema") -> Schema:
        """The schema that `to_json` wrote. Raises UserError where it is something else."""
        of = stored_fields.fields(value, name)
        left_out = of.get("left_out", stored_fields.whole, default=0)
        return cls(of.get("columns", stored_fields.items(_stored_column)), left_out)

    def with_types(self, given: GivenTypes) -> Schema:
        """The schema with user-defined types for existing and new columns.

        Types are names (`double`, `list<int64>`, `json`) or Arrow types. Units in an Arrow schema are kept.
        Values that do not fit a given type go to `_more`.
        """
        columns = dict(self.by_name)
        for name, column in _given_columns(given).items():
            known = columns.get(name)
            if known is not None:
                unit, description = column.unit or known.unit, column.description or known.description
                column = replace(column, unit=unit, description=description)
            columns[name] = column
        return replace(self, columns=tuple(columns.values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return Schema, (self.columns, self.left_out)


def infer(samples: Iterable[Mapping[str, Any]], required: Required) -> Schema:
    """The narrowest schema that holds every value of the samples: `_more` stays empty for them."""
    return schema_of(kinds_of(samples, required))


def schema_of(kinds: Mapping[str, str]) -> Schema:
    """The schema for the types that `kinds_of` returns."""
    settled = ((name, types.final_type(kind)) for name, kind in kinds.items() if name not in RESERVED)
    return Schema(tuple(_column(name, kind) for name, kind in settled))


def more_cell(more: Mapping[str, Any] | None) -> str | None:
    """The cell of `_more`: values by their names, which are sorted; None without values."""
    return types.dumps(dict(sorted(more.items()))) if more else None


def wide_schema(
    kinds: Mapping[str, str], required: Required, definitions: Definitions | None = None, left_out: int = 0
) -> Schema:
    """The schema for sampled types (`Kinds`), with units, descriptions and types of the server's schema."""
    schema = replace(schema_of(kinds), left_out=left_out)
    if definitions is None:
        return schema
    return annotate(schema, definitions, sampled=undetermined(kinds), documents=required.documents)


def is_json(field: pa.Field) -> bool:
    """True where a field's cells are JSON text."""
    return bool(field.metadata) and field.metadata.get(JSON_MARK) == b"true"


def _column(name: str, kind: str) -> Column:
    return Column(name, types.STRING, json=True) if kind == types.JSON else Column(name, kind)


def annotate(
    schema: Schema,
    definitions: Definitions,
    *,
    sampled: Mapping[str, str] | None = None,
    documents: bool = False,
) -> Schema:
    """The same columns with the server's units and descriptions, and its types where they hold the sampled
    values.

    Data wins: a type changes only to one that holds every sampled value with the same meaning. An integer
    column becomes `double` where the server declares a float. A column with only nulls or empty lists gets
    the server's type instead of JSON text, if `sampled` has it (`undetermined` of the sampled types): a
    schema alone does not distinguish it from a column whose values have no common type.

    Columns outside the server's schema stay as they are, and so do existing units and descriptions. Search
    documents (`documents`) have the section `metadata` at the top.
    """
    prefixes = ("", "metadata.") if documents else ("",)
    pairs = ((column, _quantity(column, definitions, prefixes)) for column in schema.columns)
    columns = tuple(_annotated(column, quantity, sampled or {}) for column, quantity in pairs)
    return replace(schema, columns=columns)


def served_type_wins(served: str, sampled: str) -> bool:
    """True if the server's type replaces the sampled one: it holds every value of it, and is not JSON
    text."""
    return served != types.JSON and types.join(sampled, served) == served


def undetermined(kinds: Mapping[str, str]) -> dict[str, str]:
    """Those of the sampled types (`kinds_of`) whose columns had only nulls and empty lists."""
    return {name: kind for name, kind in kinds.items() if types.NULL in kind}


def _quantity(column: Column, definitions: Definitions, prefixes: tuple[str, ...]) -> Quantity | None:
    for prefix in prefixes:
        found = definitions.find(prefix + column.name)
        if found is not None:
            return found if isinstance(found, Quantity) else None
    return None


def _kind(column: Column, sampled: Mapping[str, str]) -> str:
    return sampled.get(column.name, column.kind) if column.json else column.kind


def _annotated(column: Column, quantity: Quantity | None, sampled: Mapping[str, str]) -> Column:
    if quantity is None:
        return column
    facts: dict[str, Any] = {
        "unit": column.unit or quantity.unit,
        "description": column.description or quantity.description,
    }
    if served_type_wins(quantity.type, _kind(column, sampled)):
        facts |= {"type": quantity.type, "json": False}
    return replace(column, **facts)


def check_given(given: Any, required: Required | None = None) -> None:
    """Raise UserError if `given` does not define column types, or has a name that `required` does not
    reach."""
    if isinstance(given, pa.Schema):
        names: dict[Any, Any] = {field.name: field.type for field in given if field.name not in RESERVED}
    elif isinstance(given, Mapping):
        names = dict(given)
    else:
        raise UserError(
            f"schema must be a dict of column names and types, or an Arrow schema (got {shown(given)})"
        )
    for name, kind in names.items():
        if not isinstance(name, str) or not isinstance(kind, str | pa.DataType):
            raise UserError(f"schema: {shown(name)}: {shown(kind)} must be a column name and a type")
        if isinstance(kind, str):
            types.parse(kind)
        if required is not None and not required.reaches(name):
            required_paths = ", ".join(required.paths[:5])
            raise UserError(
                f"schema: {name} is not at or below what is required ({required_paths}); check the spelling"
            )


def _stored_column(value: Any, name: str) -> Column:
    of = stored_fields.fields(value, name)
    text = stored_fields.optional(stored_fields.text)
    return Column(
        of.get("name", stored_fields.text),
        of.get("type", types.of_stored),
        of.get("json", stored_fields.flag, default=False),
        of.get("unit", text, default=None),
        of.get("description", text, default=None),
    )


def _given_columns(given: GivenTypes) -> dict[str, Column]:
    if not isinstance(given, pa.Schema):
        return {name: _column(name, types.parse(kind)) for name, kind in given.items()}
    return {field.name: _from_field(field) for field in given if field.name not in RESERVED}


def _from_field(field: pa.Field) -> Column:
    facts = field.metadata or {}
    return Column(
        field.name,
        types.parse(field.type),
        json=facts.get(JSON_MARK) == b"true",
        unit=facts[UNIT].decode() if UNIT in facts else None,
        description=facts[_DESCRIPTION].decode() if _DESCRIPTION in facts else None,
    )


_FACTS = tuple(field.name for field in fields(Column))


def _without_defaults(column: Column) -> dict[str, Any]:
    # `asdict` copies every value and takes ten times as long; there may be 50,000 columns.
    facts = ((name, getattr(column, name)) for name in _FACTS)
    return {name: value for name, value in facts if value is not None and value is not False}


# Only the index is listed: pandas takes the types of all other columns from Arrow, nested types unchanged.
_INDEX = {"name": ENTRY_ID, "field_name": ENTRY_ID, "pandas_type": "unicode", "numpy_type": "object"}
_PANDAS = orjson.dumps(
    {
        "index_columns": [ENTRY_ID],
        "column_indexes": [],
        "columns": [_INDEX | {"metadata": None}],
        "pandas_version": "2.2.0",
    }
)
