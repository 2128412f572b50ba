"""Owns the reading of a server's JSON schema: its sections, and their quantities' types, units and references (SPEC 7).

The schema (`GET schemas/...EntryArchive?property_subtypes=true`, see `Definitions`) is JSON Schema with NOMAD's
own words in it: a section is an object with `properties` and base sections in `allOf`; a sub section is a `$ref`,
or an `anyOf` of them where more specific sections may stand in its place, the declared one last; a quantity has
`nomad_type`, and its unit where its numbers are: for a list inside `items`, for complex numbers inside `re` and `im`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from nomad_dask.pure import paths, types

ROOT = ""
"""The name under which `Definitions.section` knows the archive itself."""

Json = Mapping[str, Any]
_TYPES = {"boolean": types.BOOL, "integer": types.INT, "number": types.FLOAT, "string": types.STRING}


@dataclass(frozen=True, slots=True)
class Quantity:
    """What the schema says of one quantity."""

    name: str
    type: str
    """As `types` spells it: `double`, `list<list<int64>>`; `json` for what may be anything, and for objects."""
    nomad_type: str | None = None
    """NOMAD's own word: `float64`, `int32`, `datetime`, `enum`, `Reference`, `any`, ..."""
    shape: tuple[int | None, ...] = ()
    """One item for each nesting of lists: its fixed length, or None."""
    unit: str | None = None
    """As the server spells it: `joule`, `1 / meter ** 2`."""
    description: str | None = None
    is_reference: bool = False
    """True where values are strings that name a section or a quantity elsewhere."""
    refers_to: str | None = None
    """The section that is found in the value's place once the reference is followed."""
    inside: str | None = None
    """For objects with known parts (`re` and `im` of complex numbers): the section that these parts make."""
    choices: tuple[str, ...] = ()
    """For an enum: the words that values are."""


@dataclass(frozen=True, slots=True)
class SubSection:
    """What the schema says of one place for sections."""

    name: str
    repeats: bool
    sections: tuple[str, ...]
    """Names of the sections that may stand there, the declared one first, more specific ones after it."""
    description: str | None = None


Member = Quantity | SubSection


class SectionDefinition:
    """One section: what it may hold, by name, what it inherits included. Nothing is read before it is asked for."""

    def __init__(self, definitions: Definitions, name: str, raw: Json) -> None:
        self.name, self._definitions, self._raw = name, definitions, raw
        self._members: dict[str, Member | None] = {}

    def __repr__(self) -> str:
        return f"<SectionDefinition {self.name or 'of the archive'}>"

    @property
    def description(self) -> str | None:
        """What the section is for."""
        return self._raw.get("description")

    @cached_property
    def _properties(self) -> dict[str, Json]:
        merged: dict[str, Json] = {}
        for raw in reversed([self._raw, *self._definitions.bases(self._raw)]):
            merged.update(raw.get("properties", {}))
        return merged

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its quantities and sub sections."""
        return tuple(self._properties)

    def get(self, name: str) -> Member | None:
        """The quantity or sub section of that name; None where the section knows none."""
        if name not in self._members:
            raw = self._properties.get(name)
            if raw is None:
                return None
            self._members[name] = _member(self.name, name, raw)
        return self._members[name]

    def inside(self, name: str) -> Json | None:
        """The raw definition of an object quantity's parts."""
        raw = self._properties.get(name, {})
        return raw if "properties" in raw else None


class Definitions:
    """A server's schema, read as far as it is asked. Constructing costs nothing: the parsed JSON is only kept."""

    def __init__(self, schema: Json) -> None:
        self._schema = schema
        self._sections: dict[str, SectionDefinition | None] = {}
        self._reached: dict[tuple[str, ...], tuple[Member, ...]] = {}

    def __repr__(self) -> str:
        return f"<Definitions {self.identity}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Definitions, (self._schema,)

    @cached_property
    def identity(self) -> str:
        """What tells this schema from others: its `$id`, which holds a hash, else a hash of all of it."""
        given = self._schema.get("$id")
        if isinstance(given, str) and given:
            return given
        text = orjson.dumps(self._schema, option=orjson.OPT_SORT_KEYS)
        return "sha256:" + hashlib.sha256(text).hexdigest()

    def section(self, name: str = ROOT) -> SectionDefinition | None:
        """A section by its qualified name (an archive's `m_def`), the archive itself without one; None: unknown."""
        if name not in self._sections:
            raw = self._raw(name)
            self._sections[name] = None if raw is None else SectionDefinition(self, name, raw)
        return self._sections[name]

    def bases(self, raw: Json) -> list[Json]:
        """The raw definitions that a raw section inherits from, the nearest first, each once."""
        found: dict[str, Json] = {}
        waiting = _referred(raw.get("allOf", ()))
        while waiting:
            name = waiting.pop(0)
            base = self._schema.get("$defs", {}).get(name)
            if base is not None and name not in found:
                found[name] = base
                waiting = _referred(base.get("allOf", ())) + waiting
        return list(found.values())

    @cached_property
    def inherited(self) -> frozenset[str]:
        """The names of the sections that others inherit from, which may stand in their place."""
        return frozenset(
            name for raw in self._schema.get("$defs", {}).values() for name in _referred(raw.get("allOf", ()))
        )

    def find(self, path: str) -> Member | None:
        """What a dotted path names, references walked through; numbers and `[...]` in it are passed over.

        Where several sections may stand on the way, all are looked into. What they say alike is kept: a unit only
        where all of them agree, a type that holds all of theirs.
        """
        reached = self.members(plain_keys(path))
        return _agreed(reached) if reached else None

    def _raw(self, name: str) -> Json | None:
        if name == ROOT:
            return self._schema
        defs = self._schema.get("$defs", {})
        raw = defs.get(name.partition("@")[0])
        holder, dot, quantity = name.rpartition(".")
        if raw is None and dot and (holder in defs or holder == ROOT):
            section = self.section(holder)
            return section.inside(quantity) if section else None
        return raw

    def members(self, keys: tuple[str, ...]) -> tuple[Member, ...]:
        """What each of the sections that may stand on the way says of the last of the keys; empty where none knows it."""
        if not keys:
            return ()
        if keys not in self._reached:
            found = (section.get(keys[-1]) for section in self.within(keys[:-1]))
            self._reached[keys] = tuple(dict.fromkeys(member for member in found if member is not None))
        return self._reached[keys]

    def within(self, keys: tuple[str, ...]) -> Iterator[SectionDefinition]:
        """The sections that may stand where the keys lead, the declared one first; the archive itself for none."""
        names = [name for member in self.members(keys) for name in sections_of(member)] if keys else [ROOT]
        for name in dict.fromkeys(names):
            section = self.section(name)
            if section is not None:
                yield section


def sections_of(member: Member) -> tuple[str, ...]:
    """The names of the sections that a walk finds at a member, the declared one first."""
    if isinstance(member, SubSection):
        return member.sections
    return tuple(name for name in (member.refers_to, member.inside) if name)


def plain_keys(path: str) -> tuple[str, ...]:
    """The keys of a dotted path less its numbers and slices: `run.0.system[-1].atoms` is at `run`, `system`, `atoms`."""
    keys = (key.partition("[")[0] for key in paths.split(path))
    return tuple(key for key in keys if key and not key.isdecimal())


def _agreed(members: tuple[Member, ...]) -> Member:
    quantities = [member for member in members if isinstance(member, Quantity)]
    first = members[0]
    if len(members) == 1 or len(quantities) < len(members) or not isinstance(first, Quantity):
        return first
    kind = first.type
    for quantity in quantities:
        kind = types.join(kind, quantity.type)
    return Quantity(
        first.name,
        kind,
        _same(quantity.nomad_type for quantity in quantities),
        _same(quantity.shape for quantity in quantities) or (),
        _same(quantity.unit for quantity in quantities),
        _same(quantity.description for quantity in quantities),
        all(quantity.is_reference for quantity in quantities),
        _same(quantity.refers_to for quantity in quantities),
        _same(quantity.inside for quantity in quantities),
        _same(quantity.choices for quantity in quantities) or (),
    )


def _same(values: Iterable[Any]) -> Any:
    """The value, where all are equal; else None."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _member(holder: str, name: str, raw: Json) -> Member:
    repeats = raw.get("type") == "array" and "nomad_type" not in raw
    place = raw.get("items", {}) if repeats else raw
    sections = _referred([place, *reversed(place.get("anyOf", ()))])
    if sections:
        return SubSection(name, repeats, tuple(dict.fromkeys(sections)), raw.get("description"))
    return _quantity(holder, name, raw)


def _quantity(holder: str, name: str, raw: Json) -> Quantity:
    shape, inner = [], raw
    while inner.get("type") == "array":
        shape.append(_length(inner))
        inner = inner.get("items") or {}
    kind = _TYPES.get(str(inner.get("type")), types.JSON)
    for _ in shape:
        kind = types.list_of(kind)
    target = raw.get("reference_section_def")
    nomad_type = raw.get("nomad_type")
    # A reference to a quantity names the section that holds it: what is found there is no section.
    refers_to = target.partition("@")[0] if target and nomad_type != "QuantityReference" else None
    return Quantity(
        name,
        kind,
        nomad_type,
        tuple(shape),
        inner.get("unit"),
        raw.get("description"),
        target is not None,
        refers_to,
        f"{holder}.{name}" if "properties" in raw else None,
        tuple(map(str, inner.get("enum", ()))),
    )


def _length(raw: Json) -> int | None:
    least, most = raw.get("minItems"), raw.get("maxItems")
    return least if least is not None and least == most else None


def _referred(alternatives: Iterable[Json]) -> list[str]:
    """The qualified names of the sections that `$ref`s point to."""
    return [_name_of(raw["$ref"]) for raw in alternatives if "$ref" in raw]


def _name_of(ref: str) -> str:
    """`https://.../schemas/runschema.run.Run@580c...?...` and `#/$defs/runschema.run.Run` name `runschema.run.Run`."""
    return ref.rpartition("/")[2].partition("?")[0].partition("@")[0]
