"""A server's schema: its sections, and the types, units and references of their quantities.

The schema (`GET schemas/...EntryArchive?property_subtypes=true`) is JSON Schema with extensions. A section is
an object with `properties`, and base sections in `allOf`. A subsection is a `$ref`, or an `anyOf` of several
if more specific sections are possible, with the declared one last. A quantity has a `nomad_type`; its unit is
next to the numbers: in `items` for a list, in `re` and `im` for complex numbers. Parts of an unexpected type
(a unit that is an object) are ignored; the name of the member is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any

from nomad_dask.common import paths, types
from nomad_dask.common.json_rules import fingerprint
from nomad_dask.text import one_line

ROOT = ""  # the name of the archive itself in `Definitions.section`

Json = Mapping[str, Any]
_TYPES = {"boolean": types.BOOL, "integer": types.INT, "number": types.FLOAT, "string": types.STRING}


@dataclass(frozen=True, slots=True)
class Quantity:
    """The definition of a quantity."""

    name: str
    type: str  # of `common.types`: `double`, `list<int64>`; `json` for objects and values of any type
    nomad_type: str | None = (
        None  # NOMAD's type: `float64`, `int32`, `datetime`, `enum`, `Reference`, `any`, ...
    )
    shape: tuple[int | None, ...] = ()  # the fixed length of each dimension, or None
    unit: str | None = None  # as written by the server: `joule`, `1 / meter ** 2`
    description: str | None = None
    is_reference: bool = False  # True if values are strings that refer to a section or a quantity
    refers_to: str | None = None  # the section that a reference leads to
    inside: str | None = None  # section of an object's parts (`re` and `im` of complex numbers)
    choices: tuple[str, ...] = ()  # the values of an enum


@dataclass(frozen=True, slots=True)
class SubSection:
    """The definition of a subsection."""

    name: str
    repeats: bool
    sections: tuple[str, ...]  # names of the possible sections: the declared one, then the more specific ones
    description: str | None = None


Member = Quantity | SubSection


class SectionDefinition:
    """A section: its members by name, including inherited ones. Members are read on access."""

    def __init__(self, definitions: Definitions, name: str, raw: Json) -> None:
        self.name, self._definitions, self._raw = name, definitions, raw
        self._members: dict[str, Member | None] = {}

    def __repr__(self) -> str:
        return f"<SectionDefinition {one_line(self.name) or 'of the archive'}>"

    @property
    def description(self) -> str | None:
        """The description of the section."""
        return _text(self._raw, "description")

    @cached_property
    def _properties(self) -> dict[str, Json]:
        merged: dict[str, Json] = {}
        for raw in reversed([self._raw, *self._definitions.bases(self._raw)]):
            merged.update(_object(raw, "properties"))
        return {name: raw if isinstance(raw, dict) else {} for name, raw in merged.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its quantities and subsections."""
        return tuple(self._properties)

    def get(self, name: str) -> Member | None:
        """The quantity or subsection of that name; None if there is none."""
        if name not in self._members:
            raw = self._properties.get(name)
            if raw is None:
                return None
            self._members[name] = _member(self.name, name, raw)
        return self._members[name]

    def inside(self, name: str) -> Json | None:
        """The raw definition of an object quantity's parts."""
        raw = self._properties.get(name, {})
        return raw if isinstance(raw.get("properties"), dict) else None


class Definitions:
    """A server's schema as parsed JSON. Definitions are read on access, so constructing costs nothing."""

    def __init__(self, schema: Json) -> None:
        self._schema = schema
        self._sections: dict[str, SectionDefinition | None] = {}
        self._reached: dict[tuple[str, ...], tuple[Member, ...]] = {}
        self._known: dict[tuple[str, ...], frozenset[str]] = {}

    def __repr__(self) -> str:
        return f"<Definitions {one_line(self.identity)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Definitions, (self._schema,)

    @cached_property
    def _defs(self) -> dict[str, Json]:
        return {name: raw for name, raw in _object(self._schema, "$defs").items() if isinstance(raw, dict)}

    @cached_property
    def identity(self) -> str:
        """A unique name of the schema: its `$id`, which contains a hash, else a hash of the whole schema."""
        return _text(self._schema, "$id") or f"sha256:{fingerprint(self._schema)}"

    def section(self, name: str = ROOT) -> SectionDefinition | None:
        """A section by its qualified name (an `m_def`), by default the archive itself; None if unknown."""
        if name not in self._sections:
            raw = self._raw(name)
            self._sections[name] = None if raw is None else SectionDefinition(self, name, raw)
        return self._sections[name]

    def bases(self, raw: Json) -> list[Json]:
        """The raw definitions of all base sections of a raw section, the nearest first."""
        found: dict[str, Json] = {}
        waiting = _referred(_list(raw, "allOf"))
        while waiting:
            name = waiting.pop(0)
            base = self._defs.get(name)
            if base is not None and name not in found:
                found[name] = base
                waiting = _referred(_list(base, "allOf")) + waiting
        return list(found.values())

    @cached_property
    def inherited(self) -> frozenset[str]:
        """The names of the sections that other sections inherit from."""
        return frozenset(name for raw in self._defs.values() for name in _referred(_list(raw, "allOf")))

    def find(self, path: str) -> Member | None:
        """The member at a dotted path; references are followed, numbers and slices ignored.

        If several sections are possible along the path, their definitions are merged: the unit is set only if
        all agree, and the type holds the values of all.
        """
        reached = self.members(plain_keys(path))
        return _merged(reached) if reached else None

    def _raw(self, name: str) -> Json | None:
        if name == ROOT:
            return self._schema
        raw = self._defs.get(name.partition("@")[0])
        holder, dot, quantity = name.rpartition(".")
        if raw is None and dot and (holder in self._defs or holder == ROOT):
            section = self.section(holder)
            return section.inside(quantity) if section else None
        return raw

    def members(self, keys: tuple[str, ...]) -> tuple[Member, ...]:
        """The definitions of the last key in each possible section; empty if it is unknown."""
        if not keys:
            return ()
        if keys not in self._reached:
            # From the top down: `within` calls `members` for the parent, so a long path could exceed the
            # recursion limit. Unknown keys are not cached, because archives may have any number of them.
            if any(key not in self.known(keys[:n]) for n, key in enumerate(keys)):
                return ()
            found = (section.get(keys[-1]) for section in self.within(keys[:-1]))
            self._reached[keys] = tuple(dict.fromkeys(member for member in found if member is not None))
        return self._reached[keys]

    def known(self, keys: tuple[str, ...]) -> frozenset[str]:
        """The names of the members of all possible sections at a path; of the archive itself for no keys."""
        if keys not in self._known:
            names = frozenset(name for section in self.within(keys) for name in section.names)
            if not names:
                return names
            self._known[keys] = names
        return self._known[keys]

    def within(self, keys: tuple[str, ...]) -> Iterator[SectionDefinition]:
        """The possible sections at a path, the declared one first; the archive itself for no keys."""
        names = [name for member in self.members(keys) for name in sections_of(member)] if keys else [ROOT]
        for name in dict.fromkeys(names):
            section = self.section(name)
            if section is not None:
                yield section


def sections_of(member: Member) -> tuple[str, ...]:
    """The names of the possible sections at a member, the declared one first."""
    if isinstance(member, SubSection):
        return member.sections
    return tuple(name for name in (member.refers_to, member.inside) if name)


def plain_keys(path: str) -> tuple[str, ...]:
    """The keys of a dotted path without indexes: `run`, `system`, `atoms` of `run.0.system[-1].atoms`."""
    return without_indexes(paths.split(path))


def without_indexes(keys: Iterable[str]) -> tuple[str, ...]:
    """The keys without slices and list indexes."""
    plain = map(paths.without_slice, keys)
    return tuple(key for key in plain if key and not key.isdecimal())


def _merged(members: tuple[Member, ...]) -> Member:
    quantities = [member for member in members if isinstance(member, Quantity)]
    first = members[0]
    if len(members) == 1 or len(quantities) < len(members) or not isinstance(first, Quantity):
        return first

    def same(name: str) -> Any:
        """The value of an attribute if all have it; else None."""
        values = {getattr(quantity, name) for quantity in quantities}
        return values.pop() if len(values) == 1 else None

    return replace(
        first,
        type=reduce(types.join, (quantity.type for quantity in quantities)),
        is_reference=all(quantity.is_reference for quantity in quantities),
        shape=same("shape") or (),
        choices=same("choices") or (),
        **{name: same(name) for name in ("nomad_type", "unit", "description", "refers_to", "inside")},
    )


def _member(holder: str, name: str, raw: Json) -> Member:
    repeats = raw.get("type") == "array" and "nomad_type" not in raw
    target = _object(raw, "items") if repeats else raw
    sections = _referred([target, *reversed(_list(target, "anyOf"))])
    if sections:
        return SubSection(name, repeats, tuple(dict.fromkeys(sections)), _text(raw, "description"))
    return _quantity(holder, name, raw)


def _quantity(holder: str, name: str, raw: Json) -> Quantity:
    shape, inner = [], raw
    while inner.get("type") == "array":
        shape.append(_length(inner))
        inner = _object(inner, "items")
    kind = _TYPES.get(_text(inner, "type") or "", types.JSON)
    for _ in shape:
        kind = types.list_of(kind)
    target = _text(raw, "reference_section_def")
    nomad_type = _text(raw, "nomad_type")
    # A reference to a quantity names the section of the quantity, but does not lead to a section.
    refers_to = target.partition("@")[0] if target and nomad_type != "QuantityReference" else None
    return Quantity(
        name,
        kind,
        nomad_type,
        tuple(shape),
        _unit(inner),
        _text(raw, "description"),
        target is not None,
        refers_to,
        f"{holder}.{name}" if isinstance(raw.get("properties"), dict) else None,
        tuple(str(word) for word in _list(inner, "enum") if not isinstance(word, dict | list)),
    )


def _length(raw: Json) -> int | None:
    minimum, maximum = raw.get("minItems"), raw.get("maxItems")
    return minimum if type(minimum) is int and minimum == maximum else None


def _referred(alternatives: Iterable[Any]) -> list[str]:
    """The qualified names of the sections that `$ref`s point to."""
    given = (_text(raw, "$ref") for raw in alternatives if isinstance(raw, dict))
    # https://.../schemas/runschema.run.Run@580c...?..., or #/$defs/runschema.run.Run
    return [re.split("[?@]", ref.rpartition("/")[2])[0] for ref in given if ref]


_POWER = re.compile(r"(\*\*|\^)[\d.\s()+-]*(\d{3}|\*\*|\^)")
"""A power of a power, or with three or more digits, which pint would compute."""


def _unit(raw: Json) -> str | None:
    unit = _text(raw, "unit")
    return unit if unit and len(unit) <= 100 and unit.isprintable() and not _POWER.search(unit) else None


def _object(raw: Json, key: str) -> Json:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _list(raw: Json, key: str) -> list[Any]:
    value = raw.get(key)
    return value if isinstance(value, list) else []


def _text(raw: Json, key: str) -> str | None:
    value = raw.get(key)
    return value if isinstance(value, str) else None
