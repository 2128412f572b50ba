"""Owns what `download` returns: an entry's archive, which answers by attribute, and what came with it (SPEC 3).

It keeps the JSON as it came; the sections inside are `views`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

from ..pure.cards import tree_card
from ..pure.errors import UserError
from ..pure.required import REF_ARCHIVES
from ..pure.sections import ROOT, Definitions, SectionDefinition
from .views import View

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


class Archive(View):
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

    def _elsewhere(self) -> Archive:
        """The archive of what the server put in a reference's place."""
        return _Unknown(self)

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

    def _elsewhere(self) -> Archive:
        return self

    def _other(self, upload_id: str | None, entry_id: str) -> Archive | None:
        return self._among._other(upload_id, entry_id)
