"""Columns that the server's schema declares at a required path, for properties that no sampled entry has.

A section becomes its quantities and those of its subsections, as far as they do not repeat (in the layout
nested: all of them, as structs and lists of structs), down to `MAX_DEPTH` sections and `MAX_NAMES` names.
"""

from __future__ import annotations

from collections.abc import Iterator

from nomad_dask.common import paths
from nomad_dask.layouts.shapes import Cells, Items, Shape, Struct, places
from nomad_dask.metainfo.definitions import Definitions, Member, Quantity, SubSection

MAX_DEPTH, MAX_NAMES = 6, 1_000
_Keys = tuple[str, ...]


def repeats(member: Member | None) -> bool:
    """True for a repeating section, and for a list of references, which may be resolved to sections."""
    if isinstance(member, SubSection):
        return member.repeats
    return isinstance(member, Quantity) and member.is_reference and bool(member.shape)


def declared_kinds(keys: _Keys, definitions: Definitions, *, numbered: bool) -> dict[str, str]:
    """The types of the wide names at and below a path; empty if the schema does not know it.

    `numbered` puts a 0 after each repeating section, as in the wide layout; in tables these are levels.
    """
    above: list[str] = []
    member: Member | None = None
    for place, key in enumerate(keys):
        member = definitions.find(paths.join(keys[: place + 1]))
        if member is None:
            return {}
        above.append(key)
        is_end = place + 1 == len(keys)
        if numbered and repeats(member) and not (is_end and isinstance(member, Quantity)):
            above.append("0")
    if isinstance(member, Quantity):
        return {paths.join(tuple(above)): member.type}
    names = dict(_below(member, definitions, tuple(above), ()))
    return names if len(names) <= MAX_NAMES else {}


def _below(
    member: Member | None, definitions: Definitions, above: _Keys, around: _Keys
) -> Iterator[tuple[str, str]]:
    for name, inner in _members(member, definitions, around):
        if isinstance(inner, Quantity):
            yield paths.join((*above, name)), inner.type
        elif not inner.repeats:
            yield from _below(inner, definitions, (*above, name), _inside(member, around))


def declared_shape(keys: _Keys, definitions: Definitions) -> Shape | None:
    """The shape of the values at a path; None if the schema does not know it, or too much is below it."""
    member = definitions.find(paths.join(keys))
    shape = None if member is None else _shape(member, definitions, ())
    return shape if shape is not None and places(shape) <= MAX_NAMES else None


def _shape(member: Member, definitions: Definitions, around: _Keys) -> Shape | None:
    if isinstance(member, Quantity):
        return Cells(member.type, member.unit, member.description)
    inside = _inside(member, around)
    members = _members(member, definitions, around)
    found = ((name, _shape(inner, definitions, inside)) for name, inner in members)
    fields = tuple(sorted((name, shape) for name, shape in found if shape is not None))
    if not fields:
        return None
    section = Struct(fields, member.description)
    return Items(section) if member.repeats else section


def _members(member: Member | None, definitions: Definitions, around: _Keys) -> Iterator[tuple[str, Member]]:
    """The members of the declared section; none of a section inside itself, or too deep."""
    if not isinstance(member, SubSection) or not member.sections or len(around) >= MAX_DEPTH:
        return
    declared = member.sections[0]
    section = None if declared in around else definitions.section(declared)
    for name in section.names if section else ():
        inner = section.get(name) if section else None
        if inner is not None:
            yield name, inner


def _inside(member: Member | None, around: _Keys) -> _Keys:
    return (*around, member.sections[0]) if isinstance(member, SubSection) and member.sections else around
