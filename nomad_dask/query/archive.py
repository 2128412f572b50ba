"""Owns what `download` returns: archives that answer by attribute, and the views of the sections in them (SPEC 3).

An `Archive` keeps the JSON as it came. A `Section` or `Sections` is made when a walk comes to one, so wrapping costs
nothing. Item access (`section["energy"]`) is the plain JSON; attribute access (`section.energy`) is what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

from ..pure.cards import tree_card
from ..pure.errors import NomadDaskError, UserError
from ..pure.near import hint, near
from ..pure.required import REF_ARCHIVES
from ..pure.sections import ROOT, Definitions, Quantity, SectionDefinition
from .following import Home, Place, followed, is_walkable, kind_of, measured, stands_for_a_reference

Source: TypeAlias = Definitions | Callable[[], Definitions | None] | None
"""The server's schema, or how to get it when it is first needed (None: the server has none)."""

_UNASKED: Any = object()
_KNOWN: dict[str, Definitions] = {}


def remember(definitions: Definitions) -> None:
    """Let archives unpickled in this process find their schema again: pickles name it, and do not hold it."""
    _KNOWN[definitions.identity] = definitions


@dataclass(frozen=True)
class _Remembered:
    """A schema by its name; None where this process does not know it."""

    identity: str

    def __call__(self) -> Definitions | None:
        return _KNOWN.get(self.identity)


class _MappingMethod:
    """A method of mappings, which gives way where the section holds a quantity of its name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, view: _View | None, owner: type) -> Any:
        if view is not None and self._name in view._json:
            return view._attribute(self._name)
        method = getattr(Mapping, self._name)
        return method if view is None else method.__get__(view, owner)


class _View:
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
        if isinstance(other, _View):
            return self._json == other._json
        return self._json == dict(other) if isinstance(other, Mapping) else NotImplemented

    def __getattr__(self, name: str) -> Any:
        # Python's and the notebooks' protocols ask for many names with underscores; no schema has one.
        if name.startswith("_") and (name in _SLOTS or name not in self._json):
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


class Archive(_View):
    """One entry's archive: a read-only mapping over its JSON that answers attribute access as well.

    ``archive["run"]`` is plain JSON: dicts and lists as they came, not copied, so leave them as they are. Attributes
    are what the server's schema makes of it:

    - ``archive.run[0].calculation[-1]``: a section is a `Section`, a list of sections a `Sections`, made on the way.
    - ``archive.workflow2.results.calculation_result_ref.energy.total.value``: a reference is followed, within this
      archive and into those that came with it; where its target did not come, it is its string.
    - A number whose quantity has a unit is a pint quantity, a list of numbers a numpy array with the unit (null is
      nan), in pint's application registry. Everything else is as in the JSON.
    - None, where the schema knows the name and this entry lacks it; AttributeError, naming near ones, where no
      schema does.
    - ``keys``, ``items``, ``values``, ``get`` are a mapping's methods, except where the section itself holds a
      quantity of that name: then they are that. `to_dict`, `to_nomad`, `entry_id` and `upload_id` are always ours;
      ``archive["values"]`` is always the data.

    Without a schema names are those of the JSON, and there are no units. Costs: wrapping nothing, a step of a walk
    some microseconds; the schema is asked for at the first attribute.

    Args:
        tree: the archive's JSON, or a function that gives it when it is first needed; kept, not copied.
        entry_id, upload_id: whose it is.
        definitions: the server's schema, or a function that gives it (or None). Such a function is called once
            for each archive that is walked over, so it should remember; it is pickled with the archive, while a
            schema is pickled by its identity only (`remember`).
        sliced: lists of which only some came, by their dotted names (`required.sliced`): a reference into one is its
            string, since the numbers in it are those of the whole list.
    """

    __slots__ = ("_definitions", "_entry_id", "_sliced", "_source", "_tree", "_upload_id")

    _kind, _path = ROOT, ""

    def __init__(
        self,
        tree: dict[str, Any] | Callable[[], dict[str, Any]],
        entry_id: str,
        upload_id: str,
        definitions: Source = None,
        sliced: frozenset[str] = frozenset(),
    ) -> None:
        self._tree = tree
        self._sliced = sliced
        self._entry_id = entry_id
        self._upload_id = upload_id
        self._source = definitions
        self._definitions = _UNASKED

    @property
    def _json(self) -> dict[str, Any]:  # type: ignore[override]
        if callable(self._tree):
            self._tree = self._tree()
        return self._tree

    @property
    def entry_id(self) -> str:
        """The entry's id."""
        return self._entry_id

    @property
    def upload_id(self) -> str:
        """The id of the upload that the entry is part of."""
        return self._upload_id

    def to_nomad(self) -> Any:
        """The same as nomad-lab's own `EntryArchive`. Needs the extra `nomad-dask[nomad]` (UserError without)."""
        try:
            datamodel = import_module("nomad.datamodel")
        except ImportError as exc:
            raise UserError("to_nomad needs nomad-lab: pip install 'nomad-dask[nomad]'") from exc
        return datamodel.EntryArchive.m_from_dict(self.to_dict())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Archive) and self._ids() != other._ids():
            return False
        return super().__eq__(other)

    def __repr__(self) -> str:
        return f"<Archive entry_id={self._entry_id!r} upload_id={self._upload_id!r}: {self._shown()}>"

    def _repr_html_(self) -> str:
        return tree_card(f"Archive of entry {self._entry_id}, upload {self._upload_id}", self._json)

    def __reduce__(self) -> tuple[Any, ...]:
        source: Source = self._source
        if isinstance(source, Definitions):
            remember(source)
            source = _Remembered(source.identity)
        return Archive, (self._json, self._entry_id, self._upload_id, source, self._sliced)

    def _ids(self) -> tuple[str, str]:
        return self._entry_id, self._upload_id

    @property
    def _home(self) -> Archive:
        return self

    @property
    def _host(self) -> Archive:
        return self

    def _schema(self) -> Definitions | None:
        if self._definitions is _UNASKED:
            self._definitions = self._source() if callable(self._source) else self._source
        found: Definitions | None = self._definitions
        return found

    def _section(self, kind: str | None) -> SectionDefinition | None:
        definitions = self._schema()
        return None if definitions is None or kind is None else definitions.section(kind)

    def _other(self, upload_id: str | None, entry_id: str) -> Archive | None:
        """The archive of an entry that a reference in this one names, as far as it came along."""
        host = self._host
        for archive in (self, host):
            if archive.entry_id == entry_id:
                return archive
        others = host._json.get(REF_ARCHIVES)
        if not isinstance(others, dict):
            return None
        ending = f"/uploads/{upload_id}/archive/{entry_id}" if upload_id else f"/archive/{entry_id}"
        for key, tree in others.items():
            if key.endswith(ending) and isinstance(tree, dict):
                return _Neighbour(host, tree, entry_id, upload_id or self.upload_id)
        return None


class _Neighbour(Archive):
    """Another entry's archive, as far as it came along in `m_ref_archives` of the host."""

    __slots__ = ("_among",)

    def __init__(self, host: Archive, tree: dict[str, Any], entry_id: str, upload_id: str) -> None:
        super().__init__(tree, entry_id, upload_id, host._schema)
        self._among = host

    def __reduce__(self) -> tuple[Any, ...]:
        return _Neighbour, (self._among, self._json, self._entry_id, self._upload_id)

    @property
    def _host(self) -> Archive:
        return self._among


class _Unknown(Archive):
    """The archive that a section came from which the server put in a reference's place: it may be another entry's.

    So references inside of it that name no entry lead nowhere, and are their strings.
    """

    __slots__ = ("_among",)

    def __init__(self, host: Archive) -> None:
        super().__init__({}, host._entry_id, host._upload_id, host._schema)
        self._among = host

    def __reduce__(self) -> tuple[Any, ...]:
        return _Unknown, (self._among,)

    def _other(self, upload_id: str | None, entry_id: str) -> Archive | None:
        return self._among._other(upload_id, entry_id)


class Section(_View):
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
        number = self._numbers[index]
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


_SLOTS = frozenset(
    slot
    for kind in (_View, Archive, _Neighbour, _Unknown, Section)
    for slot in (*kind.__slots__, "_home", "_host")
)
Mapping.register(_View)


def _present(place: Place) -> Any:
    """A JSON value as attributes give it."""
    if type(place.value) is str:
        place = followed(place)
    elif (
        stands_for_a_reference(place)
        and isinstance(place.home, Archive)
        and not isinstance(place.home, _Unknown)
    ):
        place = place._replace(home=_Unknown(place.home))
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
