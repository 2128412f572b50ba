"""The shapes of nested columns: cells, sections and lists of these, inferred from samples and converted to
Arrow.

`Cells` are the values of a cell of the wide layout: scalars, lists of scalars, JSON text. `Struct` and
`Items` are used only for dicts. Values without a common type become JSON text at their own level::

    {"a": 1, "b": [{"c": [1.5]}, {"c": "x", "d": []}]}
    Struct(a: int64, b: Items(Struct(c: json, d: json)))
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from nomad_dask.common import paths, stored_fields, types
from nomad_dask.errors import UserError
from nomad_dask.layouts.infer import MOST_NAMES
from nomad_dask.layouts.schema import Column, served_type_wins
from nomad_dask.metainfo.definitions import Definitions, Member, Quantity


@dataclass(frozen=True)
class Cells:
    """Values without dicts in them, or JSON text."""

    type: str
    """A type name of `types`; `json` for JSON text."""
    unit: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Struct:
    """A dict with known keys, sorted. It has at least one key, because Arrow cannot store an empty struct."""

    fields: tuple[tuple[str, Shape], ...]
    description: str | None = None


@dataclass(frozen=True)
class Items:
    """A list of sections, or of lists of them."""

    item: Shape
    description: str | None = None


Shape = Cells | Struct | Items
TEXT = Cells(types.JSON)

MemberLookup = Callable[[tuple[str, ...]], Member | None]
"""Returns the definition in the server's schema for keys without slices."""


def member_lookup(definitions: Definitions | None, *, documents: bool = False) -> MemberLookup:
    """The look-up in a server's schema. In search documents the `metadata` section is at the top."""

    def member_of(keys: tuple[str, ...]) -> Member | None:
        if definitions is None or not keys:
            return None
        name = paths.join(keys)
        return definitions.find(name) or (definitions.find(f"metadata.{name}") if documents else None)

    return member_of


class ObservedValues:
    """The sampled values at one place."""

    __slots__ = ("fields", "item", "kind", "n", "skipped")

    def __init__(self) -> None:
        self.kind = types.NULL
        self.n = self.skipped = 0
        self.fields: dict[str, ObservedValues] | None = None
        self.item: ObservedValues | None = None

    def add(self, value: Any) -> None:
        """Include a value."""
        self.n += value is not None
        if type(value) is dict:
            self._add_fields(value)
            return
        kind = types.type_of(value)
        if kind == types.JSON and type(value) is list:
            self.item = self.item or ObservedValues()
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
                if len(self.fields) >= MOST_NAMES:
                    self.skipped += 1
                    continue
                below = self.fields[key] = ObservedValues()
            below.add(value)

    def ends(self, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], ObservedValues]]:
        """The places of cells, with their keys."""
        if self._is_struct:
            for key, below in (self.fields or {}).items():
                yield from below.ends((*keys, key))
        elif self.item is not None and self.fields is None:
            yield from self.item.ends(keys)
        else:
            yield keys, self

    def keep(self, kept: Collection[ObservedValues]) -> bool:
        """Drop the places that are not in `kept`; True if one is left."""
        if self._is_struct:
            self.fields = {key: below for key, below in (self.fields or {}).items() if below.keep(kept)}
            return bool(self.fields)
        if self.item is not None and self.fields is None:
            return self.item.keep(kept)
        return self in kept

    @property
    def _is_struct(self) -> bool:
        return bool(self.fields) and self.item is None and self.kind == types.NULL

    def shape(self, member_of: MemberLookup, keys: tuple[str, ...], above: int = 0) -> Shape:
        """The narrowest shape that holds all values, with units, descriptions and types of the server's
        schema.

        Values nested deeper than `types.MOST_NESTED`, including `above` lists and sections, are JSON text.
        """
        too_deep = above >= types.MAX_NESTED
        if self.fields is not None:
            if too_deep or not self._is_struct:
                return TEXT
            fields = (
                (key, self.fields[key].shape(member_of, (*keys, key), above + 1))
                for key in sorted(self.fields)
            )
            return Struct(tuple(fields), _description(member_of(keys)))
        if self.item is None:
            cells = _cells(self.kind, member_of(keys))
            return TEXT if above + types.nesting(cells.type) > types.MAX_NESTED else cells
        inner = types.NULL if self.kind == types.NULL else types.inner_of(self.kind)
        if too_deep or inner is None:
            return TEXT
        self.item.kind = types.join(self.item.kind, inner)
        return items_of(self.item.shape(member_of, keys, above + 1), _description(member_of(keys)))


def places(shape: Shape) -> int:
    """Number of cells in a shape."""
    if isinstance(shape, Struct):
        return sum(places(below) for _, below in shape.fields)
    return places(shape.item) if isinstance(shape, Items) else 1


def items_of(item: Shape, description: str | None = None) -> Shape:
    """The shape of lists of `item`; lists of JSON text are JSON text as a whole."""
    if isinstance(item, Cells):
        return replace(item, type=types.list_of(item.type))
    return Items(item, description)


def of_type(given: str | pa.DataType, *, below: int = 0) -> Shape:
    """The shape of an Arrow type or type name, without `below` lists around it. Raises UserError if it is
    invalid."""
    for _ in range(below):
        if not (isinstance(given, pa.DataType) and _is_list(given)):
            raise UserError(
                f"schema: {given} must be a list, since the column crosses {below} repeating sections"
            )
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
    """Cells of the sampled type, or of the server's type if it wins."""
    if not isinstance(member, Quantity):
        return Cells(types.final_type(kind))
    chosen = member.type if served_type_wins(member.type, kind) else kind
    return Cells(types.final_type(chosen), member.unit, member.description)


def to_field(name: str, shape: Shape) -> pa.Field:
    """The Arrow field of a shape. Units, descriptions and the mark of JSON text are in its metadata, at every
    level."""
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
    """The shape as a JSON value, for `from_json`."""
    facts: dict[str, Any]
    if isinstance(shape, Cells):
        return {key: value for key, value in asdict(shape).items() if value is not None}
    if isinstance(shape, Struct):
        facts = {"fields": {key: to_json(below) for key, below in shape.fields}}
    else:
        facts = {"items": to_json(shape.item)}
    return facts | ({"description": shape.description} if shape.description else {})


def from_json(value: Any, name: str = "shape") -> Shape:
    """The shape from its JSON value. Raises FieldError if the value is invalid."""
    of = stored_fields.fields(value, name)
    description = of.get("description", stored_fields.optional(stored_fields.text), default=None)
    if "fields" in value:
        inside = of.get("fields", stored_fields.mapping(from_json))
        if not inside:
            raise stored_fields.FieldError(f"{name}.fields is empty")
        return Struct(tuple(sorted(inside.items())), description)
    if "items" in value:
        return Items(of.get("items", from_json), description)
    return Cells(
        of.get("type", types.of_stored),
        of.get("unit", stored_fields.optional(stored_fields.text), default=None),
        description,
    )
