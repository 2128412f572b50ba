"""Owns what a walk over an archive comes to: whether a value is a section, where a reference leads, what unit it has.

Typed references are always followed; where no schema knows the quantity, a string is followed only to a section.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..pure import types
from ..pure.references import ELSEWHERE
from ..pure.sections import ROOT, Member, Quantity, SectionDefinition, SubSection, sections_of


class Home(Protocol):
    """The archive that a value stands in, as a walk needs it. Underscored: an archive's plain names are its data's."""

    _json: dict[str, Any]
    _sliced: frozenset[str]

    def _ids(self) -> tuple[str, str]: ...

    def _section(self, kind: str | None) -> SectionDefinition | None: ...

    def _elsewhere(self) -> Home: ...

    def _other(self, upload_id: str | None, entry_id: str) -> Home | None: ...


class Place(NamedTuple):
    """A JSON value, what the schema says of it, and where it stands."""

    value: Any
    member: Member | None
    home: Home
    path: str


def stands_for_a_reference(place: Place) -> bool:
    """Whether a section stands where the schema has a reference: the server has put it there, from whatever entry.

    Where no schema tells, NOMAD's own way of naming references does.
    """
    if type(place.value) is not dict:
        return False
    if isinstance(place.member, Quantity):
        return place.member.is_reference
    return place.member is None and place.path.rstrip(".0123456789").endswith(("_ref", "_refs"))


def kind_of(value: dict[str, Any], member: Member | None, home: Home) -> str | None:
    """The section that an object is: as it says itself, else as the schema declares it there."""
    own = value.get("m_def")
    if type(own) is str and own and home._section(own):
        return own
    # The declared section is the first; the more specific ones after it say by `m_def` that they are there.
    declared = sections_of(member)[:1] if member is not None else ()
    return declared[0] if declared and home._section(declared[0]) else None


def is_walkable(values: list[Any], member: Member | None) -> bool:
    """Whether a list holds sections, or references to some. Users and datasets are referred to by plain ids."""
    if isinstance(member, SubSection):
        return True
    marks = _SURE_MARKS
    if member is not None and member.type != types.JSON:
        if not member.is_reference:
            return False
        marks = _MARKS
    return any(
        type(value) is dict
        or (type(value) is list and is_walkable(value, member))
        or (type(value) is str and value.startswith(marks))
        for value in values
    )


_SURE_MARKS: tuple[str, ...] = ("#/", "../upload")
_MARKS = ("/", *_SURE_MARKS)


def followed(place: Place) -> Place:
    """Where a string leads that is a reference; the place itself where it is none, or its target did not come."""
    seen = set()
    while type(place.value) is str and (step := (*place.home._ids(), place.value)) not in seen:
        seen.add(step)
        member = place.member
        known = member if isinstance(member, Quantity) and member.type != types.JSON else None
        if known is not None and not known.is_reference:
            break
        target = _target(place.value, place.home)
        # A text that only looks like a reference may well name a value; a section it hardly does by chance.
        if target is None or (known is None and type(target.value) is not dict):
            break
        place = target
    return place


def _target(reference: str, home: Home) -> Place | None:
    path: str | None = reference.removeprefix("#")
    elsewhere = ELSEWHERE.search(reference)
    if elsewhere is not None:
        other = home._other(elsewhere["upload"], elsewhere["entry"])
        if other is None:
            return None
        home, path = other, elsewhere["path"]
    return _walked(path.strip("/").split("/"), home) if path and path.startswith("/") else None


def _walked(keys: list[str], home: Home) -> Place | None:
    """What stands at a path of an archive; None where nothing does."""
    value: Any = home._json
    member: Member | None = None
    kind: str | None = ROOT
    names: list[str] = []
    for key in keys:
        if type(value) is dict and key in value:
            names.append(key)
            definition = home._section(kind)
            member = definition.get(key) if definition else None
            value = value[key]
        elif ".".join(names) in home._sliced:
            return None
        elif type(value) is list and _NUMBER.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
        kind = kind_of(value, member, home) if type(value) is dict else None
    return None if value is None else Place(value, member, home, ".".join(keys))


_NUMBER = re.compile(r"[0-9]{1,9}")


def measured(value: Any, unit: str) -> Any:
    """A number or numbers with their unit; what is no number stays as it is."""
    import pint  # costs half a second, and only walks that meet a unit need it

    number: Any = value
    if type(value) is list:
        try:
            number = np.array(value)
            number = number.astype(float) if number.dtype == object else number
        except (ValueError, TypeError):
            return [measured(row, unit) for row in value]
        if number.dtype.kind not in "iuf":
            return value
    elif type(value) not in (int, float):
        return value
    return pint.get_application_registry().Quantity(number, unit)
