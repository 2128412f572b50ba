"""Owns the schema of a frame or dataset: columns, types, and the Arrow metadata that keeps units (SPEC 7).

A `Schema` is a plain value. A table made with it has `entry_id`, `upload_id`, the schema's columns sorted by
name, and `_more`: what a row held outside the schema, as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import orjson
import pyarrow as pa

from nomad_dask.pure import types
from nomad_dask.pure.errors import UserError
from nomad_dask.pure.kinds import kinds_of
from nomad_dask.pure.required import Required

ENTRY_ID, UPLOAD_ID, MORE = "entry_id", "upload_id", "_more"
RESERVED = frozenset((ENTRY_ID, UPLOAD_ID, MORE))

_JSON_MARK = b"nomad_dask.json"
_UNIT, _DESCRIPTION = b"unit", b"description"


GivenTypes: TypeAlias = Mapping[str, str | pa.DataType] | pa.Schema
"""Types that a user gives to columns, by name: `{"run.0.time": "double"}`, or an Arrow schema."""


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
        """The Arrow field, with what the type cannot say in its metadata."""
        facts = {
            _JSON_MARK: b"true" if self.json else None,
            _UNIT: self.unit.encode() if self.unit else None,
            _DESCRIPTION: self.description.encode() if self.description else None,
        }
        metadata = {key: value for key, value in facts.items() if value}
        return pa.field(self.name, types.to_arrow(self.type), metadata=metadata or None)


@dataclass(frozen=True)
class Schema:
    """The columns of values of one frame or dataset, sorted by name. With none, all values go to `_more`."""

    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(sorted(self.columns, key=lambda column: column.name)))
        if len(self.by_name) < len(self.columns):
            raise UserError("schema: a column is named twice")
        taken = RESERVED & self.by_name.keys()
        if taken:
            raise UserError(f"schema: the names {sorted(taken)} are taken by the table's own columns")

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """The columns by their names."""
        return {column.name: column for column in self.columns}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns of values, sorted."""
        return tuple(self.by_name)

    def to_arrow(self) -> pa.Schema:
        """The schema of the tables, with `entry_id` marked as the index that pandas restores."""
        return self._arrow

    @cached_property
    def _arrow(self) -> pa.Schema:
        first = [pa.field(ENTRY_ID, pa.string(), nullable=False), pa.field(UPLOAD_ID, pa.string())]
        more = pa.field(MORE, pa.string(), metadata={_JSON_MARK: b"true"})
        return pa.schema([*first, *(column.field() for column in self.columns), more], {b"pandas": _PANDAS})

    def to_json(self) -> dict[str, Any]:
        """A plain JSON value; `from_json` undoes it."""
        return {"columns": [_without_defaults(column) for column in self.columns]}

    def __dask_tokenize__(self) -> tuple[str, bytes]:
        """Dask hashes a schema at every step of a computation: thousands of columns as one text, not one by one."""
        return "schema", orjson.dumps(self.to_json())

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Schema:
        """The schema that `to_json` wrote. Raises UserError where it is something else."""
        try:
            columns = [Column(**column) for column in value["columns"]]
            for column in columns:
                types.to_arrow(column.type)
        except (TypeError, KeyError) as exc:
            raise UserError(f"schema: not a stored schema: {exc}") from exc
        return cls(tuple(columns))

    def with_types(self, given: GivenTypes) -> Schema:
        """The same schema with the types that the user gives, for known columns and new ones.

        Types are names (`double`, `list<int64>`, `json`) or Arrow types; an Arrow schema's units come along.
        Values that do not fit a given type go to `_more`.
        """
        columns = dict(self.by_name)
        for name, column in _given_columns(given).items():
            known = columns.get(name)
            if known is not None:
                unit, description = column.unit or known.unit, column.description or known.description
                column = replace(column, unit=unit, description=description)
            columns[name] = column
        return Schema(tuple(columns.values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return Schema, (self.columns,)


def infer(samples: Iterable[Mapping[str, Any]], required: Required) -> Schema:
    """The narrowest schema that holds every value of the samples: `_more` stays empty on them (SPEC 7)."""
    return schema_of(kinds_of(samples, required))


def schema_of(kinds: Mapping[str, str]) -> Schema:
    """The schema of the types that `kinds_of` found."""
    settled = ((name, types.settled(kind)) for name, kind in kinds.items() if name not in RESERVED)
    return Schema(tuple(_column(name, kind) for name, kind in settled))


def is_json(field: pa.Field) -> bool:
    """True where a field's cells are JSON text."""
    return bool(field.metadata) and field.metadata.get(_JSON_MARK) == b"true"


def _column(name: str, kind: str) -> Column:
    return Column(name, types.STRING, json=True) if kind == types.JSON else Column(name, kind)


def check_given(given: Any, required: Required | None = None) -> None:
    """UserError for what gives no types; with `required` also for a name that it does not reach."""
    if isinstance(given, pa.Schema):
        names: dict[Any, Any] = {field.name: field.type for field in given if field.name not in RESERVED}
    elif isinstance(given, Mapping):
        names = dict(given)
    else:
        raise UserError(f"schema is a dict of names and types, or an Arrow schema, not {given!r}")
    for name, kind in names.items():
        if not isinstance(name, str) or not isinstance(kind, str | pa.DataType):
            raise UserError(f"schema: {name!r}: {kind!r} is no name of a column and its type")
        if isinstance(kind, str):
            types.parse(kind)
        if required is not None and not required.reaches(name):
            asked = ", ".join(required.paths[:5])
            raise UserError(
                f"schema: {name} is not at or below what is required ({asked}); is it spelled right?"
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
        json=facts.get(_JSON_MARK) == b"true",
        unit=facts[_UNIT].decode() if _UNIT in facts else None,
        description=facts[_DESCRIPTION].decode() if _DESCRIPTION in facts else None,
    )


def _without_defaults(column: Column) -> dict[str, Any]:
    return {key: value for key, value in asdict(column).items() if value is not None and value is not False}


# Only the index is named: what pandas is not told of it takes from the Arrow types, nested ones as they are.
_PANDAS = orjson.dumps(
    {
        "index_columns": [ENTRY_ID],
        "column_indexes": [],
        "columns": [
            {
                "name": ENTRY_ID,
                "field_name": ENTRY_ID,
                "pandas_type": "unicode",
                "numpy_type": "object",
                "metadata": None,
            }
        ],
        "pandas_version": "2.2.0",
    }
)
