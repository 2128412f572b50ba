"""Views of the sections in an archive, returned by attribute access.

A `Section` or `SectionList` is created on access, so an archive costs nothing to wrap. Item access
(`section["energy"]`) returns plain JSON; attribute access (`section.energy`) adds references and units.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from nomad_dask.common import types
from nomad_dask.common.unit_registry import unit_registry
from nomad_dask.errors import NomadDaskError
from nomad_dask.metainfo.definitions import ROOT, Member, Quantity, SectionDefinition, SubSection, sections_of
from nomad_dask.request.references import ELSEWHERE
from nomad_dask.text import hint, near, one_line
from nomad_dask.text.html import tree_card
from nomad_dask.text.humanize import counted


class _MappingMethod:
    """A method of Mapping, shadowed by a quantity of the same name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, view: View | None, owner: type) -> Any:
        if view is not None and self._name in view._json:
            return view._attribute(self._name)
        method = getattr(Mapping, self._name)
        return method if view is None else method.__get__(view, owner)


class View:
    """A JSON object as a section: a mapping with attribute access."""

    __slots__ = ("_json",)
    __hash__ = None  # type: ignore[assignment]

    _json: dict[str, Any]
    _home: Any
    _kind: Any
    _path: Any

    keys, items, values, get = _MappingMethod(), _MappingMethod(), _MappingMethod(), _MappingMethod()

    def __getitem__(self, key: str) -> Any:
        return self._json[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._json)

    def __len__(self) -> int:
        return len(self._json)

    def __contains__(self, key: object) -> bool:
        return key in self._json

    def __eq__(self, other: object) -> bool:
        if isinstance(other, View):
            return self._json == other._json
        return self._json == dict(other) if isinstance(other, Mapping) else NotImplemented

    def __getattr__(self, name: str) -> Any:
        # Python and notebooks look up many names with underscores; no schema has such names.
        if name.startswith("_") and (name in _slots_of(type(self)) or name not in self._json):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._attribute(name)

    def __dir__(self) -> list[str]:
        try:
            definition = self._definition()
        except NomadDaskError:
            definition = None  # the server is gone: complete the names in the data
        names = [*self._json, *(definition.names if definition else ())]
        return sorted({*super().__dir__(), *filter(str.isidentifier, names)})

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._json)

    def to_dict(self) -> dict[str, Any]:
        """Copy the JSON deeply.

        Returns
        -------
        dict
            The JSON of the section, as plain values.
        """
        copied: dict[str, Any] = _copied(self._json)
        return copied

    def _definition(self) -> SectionDefinition | None:
        section: SectionDefinition | None = self._home._section(self._kind)
        return section

    def _attribute(self, name: str) -> Any:
        definition = self._definition()
        member = definition.get(name) if definition else None
        if name in self._json:
            value = self._json[name]
            if name == "m_def":
                return value
            return _wrapped(
                TypedValue(value, member, self._home, f"{self._path}.{name}" if self._path else name)
            )
        if member is not None:
            self._refuse_unasked(name)
            return None
        known = [*self._json, *(definition.names if definition else ())]
        where = f"{one_line(self._path)} of entry" if self._path else "entry"
        suggestion = _USUAL.get(name) or hint(name, near(name, known))
        raise AttributeError(
            f"{where} {self._home.entry_id} has no {name!r}, and neither does the schema{suggestion}"
        )

    def _refuse_unasked(self, name: str) -> None:
        """Raise AttributeError for a name that the schema knows and `required` leaves out."""

    def _shown(self) -> str:
        names = list(self._json)
        more = f", and {len(names) - 8} more" if len(names) > 8 else ""
        return one_line(", ".join(names[:8])) + more


_USUAL = {"m_to_dict": "; its JSON is to_dict()", "m_contents": "; its sections are values()"}
"""What says where something is that nomad-lab's archives have under a name."""


class Section(View):
    """A view of one section of an archive; its attributes are those of `Archive`."""

    __slots__ = ("_home", "_kind", "_path")

    def __init__(self, tree: dict[str, Any], home: OwningArchive, path: str, kind: str | None) -> None:
        self._json, self._home, self._path, self._kind = tree, home, path, kind

    def __repr__(self) -> str:
        return f"<Section {one_line(self._path)}: {self._shown()}>"

    def _repr_html_(self) -> str:
        return tree_card(f"Section {self._path} of entry {self._home._ids()[0]}", self._json)

    def __reduce__(self) -> tuple[Any, ...]:
        return Section, (self._json, self._home, self._path, self._kind)


class SectionList(Sequence[Any]):
    """A view of a list of sections, which supports indexes, slices, `len` and iteration.

    An item is a `Section`, the target of a reference, or None for a section that the server left out
    (`null`).
    """

    __slots__ = ("_items", "_node", "_numbers")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, node: TypedValue, numbers: range | None = None) -> None:
        self._node = node
        self._items: list[Any] = node.value
        self._numbers = range(len(self._items)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        try:
            number = self._numbers[index]
        except IndexError:
            size = counted(len(self), "section")
            raise IndexError(f"{one_line(self._node.path)} has {size}, so there is no [{index}]") from None
        if isinstance(number, range):
            return SectionList(self._node, number)
        path = f"{self._node.path}.{number}"
        return _wrapped(self._node._replace(value=self._items[number], path=path))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        path = one_line(self._node.path)
        raise AttributeError(
            f"{path} is a list of {len(self)} sections; select one, such as {path}[0].{name}"
        )

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SectionList):
            return self.to_list() == other.to_list()
        return self.to_list() == other if isinstance(other, list) else NotImplemented

    def __repr__(self) -> str:
        return f"<SectionList {one_line(self._node.path)}: {len(self)}>"

    def _repr_html_(self) -> str:
        shown = {str(number): self._items[number] for number in self._numbers}
        return tree_card(f"{len(self)} sections {self._node.path}", shown)

    def __reduce__(self) -> tuple[Any, ...]:
        return SectionList, (self._node, self._numbers)

    def to_list(self) -> list[Any]:
        """A deep copy of the JSON."""
        return [_copied(self._items[number]) for number in self._numbers]


Mapping.register(View)


def _slots_of(kind: type) -> frozenset[str]:
    """The object's own attributes, which are never looked up in the data: that may not be loaded yet."""
    slots = (slot for one in kind.__mro__ for slot in getattr(one, "__slots__", ()))
    return frozenset(("_home", "_host", *slots))


class EntryReference(str):
    """A reference to another entry, as its string; the entry is downloaded when it is walked into.

    ``reference.name`` and ``reference["name"]`` are those of the section that is referred to. Names of
    methods of a string are those of the string; `load` returns the section.
    """

    _node: TypedValue

    @classmethod
    def of(cls, node: TypedValue) -> EntryReference:
        """The reference that a value is."""
        reference = cls(node.value)
        reference._node = node
        return reference

    def load(self) -> Any:
        """The section that is referred to. One request for each entry, which is kept.

        Raises
        ------
        EntriesFailedError
            The entry cannot be downloaded; the message names it.
        AttributeError
            The entry has nothing at the path of the reference.
        """
        home, elsewhere = self._node.home, ELSEWHERE.search(self)
        assert elsewhere is not None
        home._load(elsewhere["upload"], elsewhere["entry"])
        found = _wrapped(self._node)
        if isinstance(found, EntryReference):
            path = one_line(elsewhere["path"] or "/")
            raise AttributeError(
                f"entry {elsewhere['entry']} has nothing at {path}, to which {self!s} refers"
            )
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.load(), name)

    def __getitem__(self, key: Any) -> Any:
        return self.load()[key] if isinstance(key, str) else super().__getitem__(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return EntryReference.of, (self._node,)


def _wrapped(node: TypedValue) -> Any:
    """A JSON value as attribute access returns it."""
    if type(node.value) is str:
        node = follow(node)
        if type(node.value) is str and node.home._can_load() and _names_entry(node):
            return EntryReference.of(node)
    elif is_resolved_reference(node):
        node = node._replace(home=node.home._unknown_entry())
    value, member, home, path = node
    if type(value) is dict:
        return Section(value, home, path, section_name(value, member, home))
    if type(value) is list and is_walkable(value, member):
        return SectionList(node)
    unit = member.unit if isinstance(member, Quantity) else None
    return value if unit is None else with_unit(value, unit)


def _names_entry(node: TypedValue) -> bool:
    """True for a reference to a section of another entry of this installation."""
    if node.value.startswith(("http://", "https://")):
        return False
    known = node.member if isinstance(node.member, Quantity) and node.member.type != types.JSON else None
    if known is not None and not known.is_reference:
        return False
    elsewhere = ELSEWHERE.search(node.value)
    return elsewhere is not None and bool(elsewhere["path"])


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if type(value) is list else value


class OwningArchive(Protocol):
    """The archive of a value. Methods are underscored because plain names belong to the data."""

    _json: dict[str, Any]
    _sliced: frozenset[str]

    def _ids(self) -> tuple[str, str]: ...

    def _section(self, kind: str | None) -> SectionDefinition | None: ...

    def _unknown_entry(self) -> OwningArchive: ...

    def _other(self, upload_id: str | None, entry_id: str) -> OwningArchive | None: ...

    def _can_load(self) -> bool: ...

    def _load(self, upload_id: str | None, entry_id: str) -> None: ...


class TypedValue(NamedTuple):
    """A JSON value with its definition, archive and path."""

    value: Any
    member: Member | None
    home: OwningArchive
    path: str


def is_resolved_reference(node: TypedValue) -> bool:
    """True for a section that the server put in place of a reference; it may come from any entry.

    Without a definition, the name of the quantity decides.
    """
    if type(node.value) is not dict:
        return False
    if isinstance(node.member, Quantity):
        return node.member.is_reference
    return node.member is None and node.path.rstrip(".0123456789").endswith(("_ref", "_refs"))


def section_name(value: dict[str, Any], member: Member | None, home: OwningArchive) -> str | None:
    """The section that an object is an instance of: its `m_def`, else the declared section."""
    own = value.get("m_def")
    if type(own) is str and own and home._section(own):
        return own
    # Instances of the more specific sections, which follow the declared one, have an `m_def`.
    declared = sections_of(member)[:1] if member is not None else ()
    return declared[0] if declared and home._section(declared[0]) else None


def is_walkable(values: list[Any], member: Member | None) -> bool:
    """True if a list contains sections or references to them (not the plain ids of users and datasets)."""
    if isinstance(member, SubSection):
        return True
    prefixes = _SURE_PREFIXES
    if member is not None and member.type != types.JSON:
        if not member.is_reference:
            return False
        prefixes = _PREFIXES
    return any(
        type(value) is dict
        or (type(value) is list and is_walkable(value, member))
        or (type(value) is str and value.startswith(prefixes))
        for value in values
    )


_SURE_PREFIXES: tuple[str, ...] = ("#/", "../upload")
_PREFIXES = ("/", *_SURE_PREFIXES)


def follow(node: TypedValue) -> TypedValue:
    """The target of a reference; `node` itself if it is not one, or its target is missing."""
    visited = set()
    while type(node.value) is str and (step := (*node.home._ids(), node.value)) not in visited:
        visited.add(step)
        member = node.member
        known = member if isinstance(member, Quantity) and member.type != types.JSON else None
        if known is not None and not known.is_reference:
            break
        target = _target(node.value, node.home)
        # An arbitrary string may look like a path to a value by chance, but hardly to a section.
        if target is None or (known is None and type(target.value) is not dict):
            break
        node = target
    return node


def _target(reference: str, home: OwningArchive) -> TypedValue | None:
    path: str | None = reference.removeprefix("#")
    elsewhere = ELSEWHERE.search(reference)
    if elsewhere is not None:
        other = home._other(elsewhere["upload"], elsewhere["entry"])
        if other is None:
            return None
        home, path = other, elsewhere["path"]
    return _value_at(path.strip("/").split("/"), home) if path and path.startswith("/") else None


def _value_at(keys: list[str], home: OwningArchive) -> TypedValue | None:
    """The value at a path of an archive; None if there is none."""
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
        kind = section_name(value, member, home) if type(value) is dict else None
    return None if value is None else TypedValue(value, member, home, ".".join(keys))


_NUMBER = re.compile(r"[0-9]{1,9}")


def with_unit(value: Any, unit: str) -> Any:
    """Numbers as a pint quantity; other values, and those with a unit unknown to pint, unchanged."""
    number: Any = value
    if type(value) is list:
        try:
            number = np.array(value)
            number = number.astype(float) if number.dtype == object else number
        except (ValueError, TypeError):
            return [with_unit(row, unit) for row in value]
        if number.dtype.kind not in "iuf":
            return value
    elif type(value) not in (int, float):
        return value
    registry = unit_registry()
    try:
        return registry.Quantity(number, unit)
    except Exception:  # pint raises many kinds of errors for invalid units
        return value
