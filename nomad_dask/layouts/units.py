"""Units of numbers: the choice of a user, and the conversion of Arrow tables to it.

The server sends SI units. A `UnitChoice` names other units by dimension (`[energy]`) or by path. Numbers are
multiplied by pint's factor, also inside lists and structs, and become float64; field metadata names the unit
that they have. JSON text, and so `_more`, is never converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from nomad_dask.common import paths
from nomad_dask.common.unit_registry import unit_registry
from nomad_dask.errors import UserError
from nomad_dask.layouts.schema import UNIT, is_json
from nomad_dask.metainfo.definitions import Definitions, Quantity, plain_keys
from nomad_dask.request.required import Required
from nomad_dask.text import hint, near, shown

GivenUnits: TypeAlias = str | Mapping[str, str]
"""A preset, or units by dimension (`[energy]`) and by path."""

PRESETS: dict[str, dict[str, str]] = {
    "SI": {},
    "atomistic": {
        "[energy]": "eV",
        "[length]": "angstrom",
        "[force]": "eV/angstrom",
        "[pressure]": "GPa",
        "[time]": "fs",
        "[temperature]": "K",
        "[charge]": "elementary_charge",
    },
}

_SI = dict(
    zip(
        PRESETS["atomistic"],
        ("joule", "meter", "newton", "pascal", "second", "kelvin", "coulomb"),
        strict=True,
    )
)


@dataclass(frozen=True, slots=True)
class UnitChoice:
    """The units that numbers are converted to; all others stay as the server sends them."""

    chosen: tuple[tuple[str, str], ...] = ()
    """Units by dimension or path, sorted."""

    @classmethod
    def of(
        cls, given: GivenUnits | None, required: Required | None = None, *, stored: bool = False
    ) -> UnitChoice:
        """The choice that a user gave. UserError for an unknown preset, unit, dimension or path.

        Sends no request; `check_paths` compares the dimensions of paths with the server's schema. For
        `stored` numbers, which may have other units, the preset "SI" names the units too.
        """
        if given is None:
            return SI
        if isinstance(given, str):
            if given not in PRESETS:
                advice = hint(given, near(given, PRESETS), f"the presets are {', '.join(PRESETS)}")
                raise UserError(f"units: unknown preset {given!r}{advice}, or give a dict of units")
            given = _SI if stored and given == "SI" else PRESETS[given]
        if not isinstance(given, Mapping):
            raise UserError(f"units must be a preset or a dict of units (got {shown(given)})")
        for key, unit in given.items():
            if not isinstance(key, str) or not isinstance(unit, str):
                raise UserError(f"units: {shown(key)}: {shown(unit)} must be a dimension or path and a unit")
            _check(key, unit)
            if required is not None and not _is_dimension(key) and not required.reaches(key):
                asked = ", ".join(required.paths[:5])
                raise UserError(
                    f"units: {key} is not at or below what is required ({asked}); check the spelling"
                )
        return cls(tuple(sorted(given.items())))

    def check_paths(self, definitions: Definitions | None) -> None:
        """UserError for a path whose unit in the server's schema is missing or has another dimension."""
        for path, unit in self.chosen:
            if definitions is None or _is_dimension(path):
                continue
            found = definitions.find(path) or definitions.find(paths.join(("metadata", *plain_keys(path))))
            if isinstance(found, Quantity):
                _check_same(path, found.unit, unit)

    def target(self, unit: str | None, keys: tuple[str, ...]) -> str | None:
        """The unit that the values at a path are converted to; None if they stay.

        UserError if it was chosen for this path and has another dimension.
        """
        chosen = dict(self.chosen)
        for path in (paths.join(keys), paths.join(plain_keys(paths.join(keys)))):
            if path in chosen:
                _check_same(path, unit, chosen[path])
                return None if chosen[path] == unit else chosen[path]
        if unit is None:
            return None
        for dimension, other in self.chosen:
            if _is_dimension(dimension) and other != unit and _dimension(unit) == _dimension(dimension):
                return other
        return None

    def schema(self, schema: pa.Schema, full_names: Mapping[str, str] = {}) -> pa.Schema:
        """An Arrow schema with the types and units of converted columns.

        `full_names` are the paths of columns whose names are shorter.
        """
        if not self.chosen:
            return schema
        fields = [self._field(field, _keys(field, full_names)) for field in schema]
        return pa.schema(fields, schema.metadata)

    def convert(self, table: pa.Table, full_names: Mapping[str, str] = {}) -> pa.Table:
        """A table with converted columns; others are shared. Cost: one multiplication per number."""
        if not self.chosen:
            return table
        schema = self.schema(table.schema, full_names)
        columns = [
            column if old.equals(new, check_metadata=True) else _converted(column, old, new)
            for column, old, new in zip(table.columns, table.schema, schema, strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=schema)

    def _field(self, field: pa.Field, keys: tuple[str, ...]) -> pa.Field:
        unit = unit_of(field)
        inner = field.type
        while pa.types.is_list(inner):
            unit = unit_of(inner.value_field) or unit
            inner = inner.value_type
        if pa.types.is_struct(inner):
            members = [self._field(member, (*keys, member.name)) for member in inner]
            return _with_inner(field, pa.struct(members), None)
        is_number = pa.types.is_floating(inner) or pa.types.is_integer(inner)
        target = self.target(unit, keys) if is_number and not is_json(field) else None
        return field if target is None else _with_inner(field, pa.float64(), target)


SI = UnitChoice()


def unit_of(field: pa.Field) -> str | None:
    """The unit in a field's metadata."""
    unit = (field.metadata or {}).get(UNIT)
    return None if unit is None else unit.decode()


def _keys(field: pa.Field, full_names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(paths.split(full_names.get(field.name, field.name)))


def _with_inner(field: pa.Field, inner: pa.DataType, unit: str | None) -> pa.Field:
    """A field with another type inside its lists, and another unit where one is named."""
    if pa.types.is_list(field.type):
        inner = pa.list_(_with_inner(field.type.value_field, inner, unit))
    if unit is not None and unit_of(field) is not None:
        field = field.with_metadata({**field.metadata, UNIT: unit.encode()})
    return field.with_type(inner)


def _converted(column: pa.ChunkedArray, old: pa.Field, new: pa.Field) -> pa.ChunkedArray:
    chunks = [_values(chunk, old, new, unit_of(old), unit_of(new)) for chunk in column.chunks]
    return pa.chunked_array(chunks, new.type)


def _values(array: pa.Array, old: pa.Field, new: pa.Field, unit: str | None, target: str | None) -> pa.Array:
    """An array of the old field's type with the new one's; the units are those of the fields around it."""
    unit, target = unit_of(old) or unit, unit_of(new) or target
    if pa.types.is_list(old.type):
        items = _values(array.values, old.type.value_field, new.type.value_field, unit, target)
        return pa.Array.from_buffers(
            new.type, len(array), array.buffers()[:2], array.null_count, array.offset, [items]
        )
    if pa.types.is_struct(old.type):
        members = [
            _values(array.field(number), one, other, None, None)
            for number, (one, other) in enumerate(zip(old.type, new.type, strict=True))
        ]
        return pa.StructArray.from_arrays(members, fields=list(new.type), mask=array.is_null())
    if unit == target or unit is None or target is None:
        return array
    return pc.multiply(array.cast(pa.float64(), safe=False), pa.scalar(_factor(unit, target)))


def in_units(fields: Iterable[pa.Field], units: Mapping[str, str]) -> Iterator[pa.Field]:
    """Fields with units, by path inside nested columns, in their metadata (the inverse of `units_of`)."""
    for field in fields:
        yield _annotated(field, field.name, units)


def _annotated(field: pa.Field, name: str, units: Mapping[str, str]) -> pa.Field:
    inner = field.type
    while pa.types.is_list(inner):
        inner = inner.value_type
    if pa.types.is_struct(inner):
        members = [_annotated(one, f"{name}.{paths.escape(one.name)}", units) for one in inner]
        return _with_inner(field, pa.struct(members), None)
    return field.with_metadata({UNIT: units[name].encode()}) if name in units else field


def _is_dimension(key: str) -> bool:
    return key.startswith("[")


def _check(key: str, unit: str) -> None:
    """UserError for an unknown dimension or unit, for a unit of another dimension, or one with an offset."""
    registry = unit_registry()
    try:
        base = registry.Quantity(0.0, unit).to_base_units().magnitude
    except Exception as error:  # pint raises many kinds of errors for invalid units
        raise UserError(f"units: {key}: unknown unit {unit!r}") from error
    if base != 0:
        raise UserError(f"units: {key}: {unit} is not a multiple of the SI unit; use kelvin, for example")
    if not _is_dimension(key):
        return
    try:
        expected = _dimension(key)
    except Exception as error:
        raise UserError(f"units: unknown dimension {key}; write [energy] or [length], for example") from error
    if _dimension(unit) != expected:
        raise UserError(f"units: {key}: {unit} is a unit of {_dimension(unit)}")


def _check_same(path: str, unit: str | None, target: str) -> None:
    if unit is None:
        raise UserError(f"units: {path} has no unit in the server's schema")
    if _dimension(unit) != _dimension(target):
        raise UserError(f"units: {path} has the unit {unit}, which cannot be converted to {target}")


@lru_cache(maxsize=4096)
def _dimension(unit: str) -> Any:
    """The dimension of a unit or of the name of a dimension; None for a unit unknown to pint."""
    registry = unit_registry()
    if _is_dimension(unit):
        return registry.get_dimensionality(unit)
    try:
        return registry.parse_units(unit).dimensionality
    except Exception:
        return None


@lru_cache(maxsize=4096)
def _factor(unit: str, target: str) -> float:
    return float(unit_registry().Quantity(1.0, unit).to(target).magnitude)
