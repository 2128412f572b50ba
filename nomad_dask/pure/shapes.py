"""Owns the shapes of nested columns: cells, sections and lists of these; found in samples, told to Arrow (SPEC 6, 7).

`Cells` are what one cell of the wide layout may be: a scalar, a list of lists of scalars, JSON text. `Struct` and
`Items` are there only where dicts are. What cannot meet becomes JSON text at its own level::

    {"a": 1, "b": [{"c": [1.5]}, {"c": "x", "d": []}]}
    Struct(a: int64, b: Items(Struct(c: json, d: json)))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from nomad_dask.pure import paths, types
from nomad_dask.pure.errors import UserError
from nomad_dask.pure.schema import Column
from nomad_dask.pure.sections import Definitions, Member, Quantity


@dataclass(frozen=True)
class Cells:
    """Values without dicts in them, or JSON text."""

    type: str
    """As `types` spells it; `json` for JSON text."""
    unit: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Struct:
    """A dict with known keys, sorted. There is at least one: an Arrow struct of none cannot be stored."""

    fields: tuple[tuple[str, Shape], ...]
    description: str | None = None


@dataclass(frozen=True)
class Items:
    """A list of sections, or of lists of them."""

    item: Shape
    description: str | None = None


Shape = Cells | Struct | Items
TEXT = Cells(types.JSON)

Told = Callable[[tuple[str, ...]], Member | None]
"""What a server's schema says of the plain keys of a path."""


def told_by(definitions: Definitions | None, *, documents: bool = False) -> Told:
    """The words of a server's schema, or of none. In search documents, what `metadata` holds is at the top."""

    def told(keys: tuple[str, ...]) -> Member | None:
        if definitions is None or not keys:
            return None
        name = paths.join(keys)
        return definitions.find(name) or (definitions.find(f"metadata.{name}") if documents else None)

    return told


class Seen:
    """What samples hold at one place, while they are looked through."""

    __slots__ = ("fields", "item", "kind")

    def __init__(self) -> None:
        self.kind = types.NULL
        self.fields: dict[str, Seen] | None = None
        self.item: Seen | None = None

    def add(self, value: Any) -> None:
        """Look at one value."""
        if type(value) is dict:
            self._add_fields(value)
            return
        kind = types.type_of(value)
        if kind == types.JSON and type(value) is list:
            self.item = self.item or Seen()
            for item in value:
                self.item.add(item)
        elif kind != self.kind:
            self.kind = types.join(self.kind, kind)

    def _add_fields(self, section: Mapping[str, Any]) -> None:
        if self.fields is None:
            self.fields = {}
        for key, value in section.items():
            below = self.fields.get(key)
            if below is None:
                below = self.fields[key] = Seen()
            below.add(value)

    def shape(self, told: Told, keys: tuple[str, ...]) -> Shape:
        """The narrowest shape that holds all that was seen, with what the server says of it."""
        if self.fields is not None:
            if not self.fields or self.item is not None or self.kind != types.NULL:
                return TEXT
            fields = ((key, self.fields[key].shape(told, (*keys, key))) for key in sorted(self.fields))
            return Struct(tuple(fields), _description(told(keys)))
        if self.item is None:
            return _cells(self.kind, told(keys))
        inner = types.NULL if self.kind == types.NULL else types.inner_of(self.kind)
        if inner is None:
            return TEXT
        self.item.kind = types.join(self.item.kind, inner)
        return items_of(self.item.shape(told, keys), _description(told(keys)))


def items_of(item: Shape, description: str | None = None) -> Shape:
    """The shape of lists of what has a shape; lists of JSON text are JSON text as a whole."""
    if isinstance(item, Cells):
        return replace(item, type=types.list_of(item.type))
    return Items(item, description)


def of_type(given: str | pa.DataType, *, below: int = 0) -> Shape:
    """The shape that an Arrow type (or a type's name) means, less so many lists around it. UserError where it is none."""
    for _ in range(below):
        if not (isinstance(given, pa.DataType) and _is_list(given)):
            raise UserError(f"schema: {given} is no list, and the column crosses {below} repeating sections")
        given = given.value_type
    if isinstance(given, pa.DataType) and pa.types.is_struct(given):
        fields = tuple(sorted((field.name, of_type(field.type)) for field in given))
        if not fields:
            raise UserError("schema: a struct without fields cannot be stored; give it as json")
        return Struct(fields)
    if isinstance(given, pa.DataType) and _is_list(given):
        return items_of(of_type(given.value_type))
    return Cells(types.parse(given))


def _is_list(given: pa.DataType) -> bool:
    return bool(pa.types.is_list(given) or pa.types.is_large_list(given))


def _description(member: Member | None) -> str | None:
    return member.description if member is not None else None


def _cells(kind: str, member: Member | None) -> Cells:
    """A type from the data; the server's where that holds all that was seen (as `described` does it)."""
    if not isinstance(member, Quantity):
        return Cells(types.settled(kind))
    served = member.type
    if served != types.JSON and types.join(kind, served) == served:
        kind = served
    return Cells(types.settled(kind), member.unit, member.description)


def to_field(name: str, shape: Shape) -> pa.Field:
    """The Arrow field of a shape. Units, descriptions and the mark of JSON text are in its metadata, at every level."""
    if isinstance(shape, Cells):
        is_text = shape.type == types.JSON
        kind = types.STRING if is_text else shape.type
        return Column(name, kind, json=is_text, unit=shape.unit, description=shape.description).field()
    if isinstance(shape, Struct):
        arrow = pa.struct([to_field(key, below) for key, below in shape.fields])
    else:
        arrow = pa.list_(to_field("item", replace(shape.item, description=None)))
    return pa.field(name, arrow, metadata={"description": shape.description} if shape.description else None)


def to_json(shape: Shape) -> dict[str, Any]:
    """A plain JSON value; `from_json` undoes it."""
    facts: dict[str, Any]
    if isinstance(shape, Cells):
        return {key: value for key, value in asdict(shape).items() if value is not None}
    if isinstance(shape, Struct):
        facts = {"fields": {key: to_json(below) for key, below in shape.fields}}
    else:
        facts = {"items": to_json(shape.item)}
    return facts | ({"description": shape.description} if shape.description else {})


def from_json(value: Mapping[str, Any]) -> Shape:
    """The shape that `to_json` wrote. Raises UserError where it is something else."""
    try:
        if "fields" in value:
            fields = ((key, from_json(below)) for key, below in sorted(value["fields"].items()))
            return Struct(tuple(fields), value.get("description"))
        if "items" in value:
            return Items(from_json(value["items"]), value.get("description"))
        cells = Cells(**value)
        types.to_arrow(cells.type)
        return cells
    except (TypeError, KeyError, AttributeError) as exc:
        raise UserError(f"schema: not a stored shape: {exc}") from exc
