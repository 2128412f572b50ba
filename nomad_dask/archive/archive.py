"""`Archive`: one entry's archive with attribute access, as `ArchiveQuery.download` returns it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, TypeAlias

from nomad_dask.archive import structures
from nomad_dask.archive.section import View
from nomad_dask.common import paths
from nomad_dask.errors import UserError
from nomad_dask.metainfo.definitions import ROOT, Definitions, SectionDefinition
from nomad_dask.request.required import REF_ARCHIVES, Required
from nomad_dask.text.html import tree_card

Source: TypeAlias = Definitions | Callable[[], Definitions | None] | None
"""The server's schema, or a function that returns it when first needed (None: the server has none)."""

_NOT_LOADED: Any = object()
_KNOWN: dict[str, Definitions] = {}


def remember(definitions: Definitions) -> None:
    """Register a schema for unpickled archives; pickles contain only its identity."""
    _KNOWN[definitions.identity] = definitions


@dataclass(frozen=True)
class _SchemaName:
    """A registered schema by its identity; None if it is not registered."""

    identity: str

    def __call__(self) -> Definitions | None:
        return _KNOWN.get(self.identity)


class OtherEntries(Protocol):
    """The archives of other entries of an installation, which are kept when they were downloaded."""

    def loaded(self, entry_id: str) -> dict[str, Any] | None:
        """The archive of an entry that was downloaded."""

    def load(self, entry_id: str, upload_id: str) -> None:
        """Download the archive of an entry. EntriesFailedError if it fails."""


class Archive(View):
    """One entry's archive: a read-only mapping over its JSON that also supports attribute access.

    ``archive["run"]`` returns the plain JSON as received, without a copy: do not modify it. Attribute access
    uses the server's schema:

    - ``archive.run[0].calculation[-1]``: a section is a `Section`, a list of sections a `SectionList`.
    - ``archive.workflow2.results.calculation_result_ref.energy.total.value``: references are followed, within
      this archive and into those received with it. A reference to another entry is its string, and an
      attribute of it downloads that entry, once. A reference whose target is missing is its string.
    - A number with a unit is a pint quantity, a list of numbers a numpy array with the unit (null is nan), in
      pint's application registry. Other values are as in the JSON.
    - A name that the schema knows and the entry lacks is None. A name that ``required`` leaves out raises
      AttributeError, and so does one that the schema does not know, with suggestions.
    - ``keys``, ``items``, ``values`` and ``get`` are the methods of a mapping, unless the section has a
      quantity of that name. `to_dict`, `to_nomad`, `to_ase`, `to_pymatgen`, `entry_id` and `upload_id` are
      never shadowed; ``archive["values"]`` is always the data.

    Without a schema the names are those of the JSON, and there are no units. Wrapping an archive costs
    nothing, an attribute some microseconds; the schema is requested at the first attribute access.

    Parameters
    ----------
    tree
        The archive's JSON, or a function that returns it when it is first needed. Not copied.
    entry_id, upload_id
        The ids of the entry and of its upload.
    definitions
        The server's schema, or a function that returns it (or None). A function is called once for each
        archive, so it should cache; it is pickled with the archive. A schema is pickled by its identity only
        (`remember`).
    sliced
        Dotted names of the lists that are incomplete (`required.sliced`). A reference into one stays a
        string, because its numbers are those of the complete list.
    required
        What was requested: a top-level name that it leaves out raises an error instead of being None.
    others
        The entries that references name, which are downloaded when they are first needed.
    """

    __slots__ = (
        "_definitions",
        "_entry_id",
        "_others",
        "_required",
        "_sliced",
        "_source",
        "_tree",
        "_upload_id",
    )

    _kind, _path = ROOT, ""

    def __init__(
        self,
        tree: dict[str, Any] | Callable[[], dict[str, Any]],
        entry_id: str,
        upload_id: str,
        definitions: Source = None,
        sliced: frozenset[str] = frozenset(),
        required: Required | None = None,
        others: OtherEntries | None = None,
    ) -> None:
        self._tree = tree
        self._others = others
        self._required = required
        self._sliced = sliced
        self._entry_id = entry_id
        self._upload_id = upload_id
        self._source = definitions
        self._definitions = _NOT_LOADED

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
        """The id of the entry's upload."""
        return self._upload_id

    def to_nomad(self) -> Any:
        """Convert to nomad-lab's `EntryArchive`.

        Returns
        -------
        nomad.datamodel.EntryArchive
            The same archive.

        Raises
        ------
        UserError
            nomad-lab is not installed (`pip install 'nomad-dask[nomad]'`).
        """
        try:
            datamodel = import_module("nomad.datamodel")
        except ImportError as exc:
            raise UserError("to_nomad needs nomad-lab: pip install 'nomad-dask[nomad]'") from exc
        return datamodel.EntryArchive.m_from_dict(self.to_dict())

    def to_ase(self, which: structures.Which = "original", *, results: bool = False) -> Any:
        """Convert the entry's structure to ASE, in angstrom.

        Parameters
        ----------
        which : {"original", "conventional", "primitive"}, default "original"
            Which representation. `original` is `results.properties.structures.structure_original`; else the
            representative system of `run` or `data.model_system`, which the topology names too; else the last
            system. `conventional` and `primitive` are those of `results.properties.structures`; else those of
            the topology; else those in `run.system.symmetry`.
        results : bool, default False
            Attach the energies (eV) and forces (eV/angstrom) of the last calculation of this structure as a
            `SinglePointCalculator`. What the archive lacks, the calculator lacks.

        Returns
        -------
        ase.Atoms
            `info` has the `entry_id` and the `source`, which is the path in the archive. A site that is no
            element is `X`.

        Raises
        ------
        StructureError
            The archive contains no such structure, or sites that are partially occupied.
        UserError
            ASE is not installed (`pip install 'nomad-dask[ase]'`), or `which` is unknown.

        Examples
        --------
        >>> query = ArchiveQuery(required=required_for("structure"), results_max=1, progress=False)
        >>> query.download()[0].to_ase().cell.shape
        (3, 3)
        """
        return self._structure("ase", which, results)

    def to_pymatgen(self, which: structures.Which = "original", *, results: bool = False) -> Any:
        """Convert the entry's structure to pymatgen, in angstrom.

        As `to_ase`, with partial concentrations too.

        Returns
        -------
        pymatgen.core.Structure or pymatgen.core.Molecule
            A molecule if no direction is periodic. `properties` has the `entry_id` and the `source`, with
            `results` also the energies (eV); the site property `forces` is in eV/angstrom.

        Raises
        ------
        StructureError
            The archive contains no such structure, or one without a cell that is periodic.
        UserError
            pymatgen is not installed (`pip install 'nomad-dask[pymatgen]'`), or `which` is unknown.
        """
        return self._structure("pymatgen", which, results)

    def _structure(self, to: str, which: str, results: bool) -> Any:
        structures.check_choices(which)
        convert = structures.library(to)
        return convert(structures.find(self._json, which, self.entry_id, results), self.entry_id)

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
            source = _SchemaName(source.identity)
        ids = self._entry_id, self._upload_id
        return Archive, (self._json, *ids, source, self._sliced, self._required, self._others)

    def _ids(self) -> tuple[str, str]:
        return self._entry_id, self._upload_id

    @property
    def _home(self) -> Archive:
        return self

    @property
    def _host(self) -> Archive:
        return self

    def _schema(self) -> Definitions | None:
        if self._definitions is _NOT_LOADED:
            self._definitions = self._source() if callable(self._source) else self._source
        found: Definitions | None = self._definitions
        return found

    def _section(self, kind: str | None) -> SectionDefinition | None:
        definitions = self._schema()
        return None if definitions is None or kind is None else definitions.section(kind)

    def _unknown_entry(self) -> Archive:
        """The archive of a section that the server put in place of a reference."""
        return _Unknown(self)

    def _refuse_unasked(self, name: str) -> None:
        if self._required is not None and not self._required.reaches(paths.escape(name)):
            requested = ", ".join(self._required.paths[:5])
            raise AttributeError(
                f"entry {self.entry_id} has no {name!r}, because required asks only for {requested}; "
                f"add {name!r} to required"
            )

    def _other(self, upload_id: str | None, entry_id: str) -> Archive | None:
        """The archive of an entry that a reference names; None if it was not received."""
        host = self._host
        for archive in (self, host):
            if archive.entry_id == entry_id:
                return archive
        loaded = host._others.loaded(entry_id) if host._others is not None else None
        if loaded is not None:
            return _Neighbour(host, loaded, entry_id, upload_id or self.upload_id)
        others = host._json.get(REF_ARCHIVES)
        if not isinstance(others, dict):
            return None
        ending = f"/uploads/{upload_id}/archive/{entry_id}" if upload_id else f"/archive/{entry_id}"
        for key, tree in others.items():
            if key.endswith(ending) and isinstance(tree, dict):
                return _Neighbour(host, tree, entry_id, upload_id or self.upload_id)
        return None

    def _can_load(self) -> bool:
        return self._host._others is not None

    def _load(self, upload_id: str | None, entry_id: str) -> None:
        others = self._host._others
        if others is not None and others.loaded(entry_id) is None:
            others.load(entry_id, upload_id or self.upload_id)


class _Neighbour(Archive):
    """Another entry's archive, or the part of it in `m_ref_archives` of the host."""

    __slots__ = ("_referrer",)

    def __init__(self, host: Archive, tree: dict[str, Any], entry_id: str, upload_id: str) -> None:
        super().__init__(tree, entry_id, upload_id, host._schema)
        self._referrer = host

    def __reduce__(self) -> tuple[Any, ...]:
        return _Neighbour, (self._referrer, self._json, self._entry_id, self._upload_id)

    @property
    def _host(self) -> Archive:
        return self._referrer


class _Unknown(Archive):
    """The unknown archive of a section that the server put in place of a reference.

    References in it that name no entry stay strings.
    """

    __slots__ = ("_referrer",)

    def __init__(self, host: Archive) -> None:
        super().__init__({}, host._entry_id, host._upload_id, host._schema)
        self._referrer = host

    def __reduce__(self) -> tuple[Any, ...]:
        return _Unknown, (self._referrer,)

    def _unknown_entry(self) -> Archive:
        return self

    @property
    def _host(self) -> Archive:
        return self._referrer._host

    def _other(self, upload_id: str | None, entry_id: str) -> Archive | None:
        return self._referrer._other(upload_id, entry_id)
