"""Owns the views of the sections in an archive: what a walk by attribute gives (SPEC 3).

A `Section` or `Sections` is made when a walk comes to one, so wrapping costs nothing. Item access (`section["energy"]`)
is the plain JSON; attribute access (`section.energy`) is what it means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..pure.amounts import counted
from ..pure.cards import tree_card
from ..pure.errors import NomadDaskError
from ..pure.near import hint, near
from ..pure.sections import Quantity, SectionDefinition
from .following import Home, Place, followed, is_walkable, kind_of, measured, stands_for_a_reference


class _MappingMethod:
    """A method of mappings, which gives way where the section holds a quantity of its name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, view: View | None, owner: type) -> Any:
        if view is not None and self._name in view._json:
            return view._attribute(self._name)
        method = getattr(Mapping, self._name)
        return method if view is None else method.__get__(view, owner)


class View:
    """A JSON object seen as a section: a mapping by item, the schema's view by attribute."""

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
        # Python's and the notebooks' protocols ask for many names with underscores; no schema has one.
        if name.startswith("_") and (name in _own_names(type(self)) or name not in self._json):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._attribute(name)

    def __dir__(self) -> list[str]:
        try:
            definition = self._definition()
        except NomadDaskError:
            definition = None  # no server any more: what is here can be completed all the same
        names = [*self._json, *(definition.names if definition else ())]
        return sorted({*super().__dir__(), *filter(str.isidentifier, names)})

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._json)

    def to_dict(self) -> dict[str, Any]:
        """The JSON, as a copy of its own. Costs a walk over all of it."""
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
            return _present(Place(value, member, self._home, f"{self._path}.{name}" if self._path else name))
        if member is not None:
            return None
        known = [*self._json, *(definition.names if definition else ())]
        where = f"{self._path} of entry" if self._path else "entry"
        raise AttributeError(
            f"{where} {self._home.entry_id} has no {name!r}, and no schema knows it{hint(near(name, known))}"
        )

    def _shown(self) -> str:
        names = list(self._json)
        more = f", and {len(names) - 8} more" if len(names) > 8 else ""
        return ", ".join(names[:8]) + more


class Section(View):
    """One section of an archive, seen in place; see `Archive` for what its attributes give."""

    __slots__ = ("_home", "_kind", "_path")

    def __init__(self, tree: dict[str, Any], home: Home, path: str, kind: str | None) -> None:
        self._json, self._home, self._path, self._kind = tree, home, path, kind

    def __repr__(self) -> str:
        return f"<Section {self._path}: {self._shown()}>"

    def _repr_html_(self) -> str:
        return tree_card(f"Section {self._path} of entry {self._home._ids()[0]}", self._json)

    def __reduce__(self) -> tuple[Any, ...]:
        return Section, (self._json, self._home, self._path, self._kind)


class Sections(Sequence[Any]):
    """A list of sections, seen in place: indexes, slices, `len` and iteration as of a list; items made when taken.

    An item is a `Section`, the target of a reference, or None where the server sent only some (`null`).
    """

    __slots__ = ("_items", "_numbers", "_place")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, place: Place, numbers: range | None = None) -> None:
        self._place = place
        self._items: list[Any] = place.value
        self._numbers = range(len(self._items)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        try:
            number = self._numbers[index]
        except IndexError:
            held = counted(len(self), "section")
            raise IndexError(f"{self._place.path} has {held}, so there is no [{index}]") from None
        if isinstance(number, range):
            return Sections(self._place, number)
        path = f"{self._place.path}.{number}"
        return _present(self._place._replace(value=self._items[number], path=path))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"'Sections' object has no attribute {name!r}")
        path = self._place.path
        raise AttributeError(f"{path} is a list of {len(self)} sections: take one, as {path}[0].{name}")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sections):
            return self.to_list() == other.to_list()
        return self.to_list() == other if isinstance(other, list) else NotImplemented

    def __repr__(self) -> str:
        return f"<Sections {self._place.path}: {len(self)}>"

    def _repr_html_(self) -> str:
        shown = {str(number): self._items[number] for number in self._numbers}
        return tree_card(f"{len(self)} sections {self._place.path}", shown)

    def __reduce__(self) -> tuple[Any, ...]:
        return Sections, (self._place, self._numbers)

    def to_list(self) -> list[Any]:
        """The JSON, as a copy of its own."""
        return [_copied(self._items[number]) for number in self._numbers]


Mapping.register(View)


def _own_names(kind: type) -> frozenset[str]:
    """What an object of a kind keeps of itself: never looked for among the data, which may not be there yet."""
    slots = (slot for one in kind.__mro__ for slot in getattr(one, "__slots__", ()))
    return frozenset(("_home", "_host", *slots))


def _present(place: Place) -> Any:
    """A JSON value as attributes give it."""
    if type(place.value) is str:
        place = followed(place)
    elif stands_for_a_reference(place):
        place = place._replace(home=place.home._elsewhere())
    value, member, home, path = place
    if type(value) is dict:
        return Section(value, home, path, kind_of(value, member, home))
    if type(value) is list and is_walkable(value, member):
        return Sections(place)
    unit = member.unit if isinstance(member, Quantity) else None
    return value if unit is None else measured(value, unit)


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if type(value) is list else value
