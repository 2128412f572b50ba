"""Structures in archives, read in NOMAD's own order, and their conversion to ASE and pymatgen.

`find` reads one from the JSON of an archive. NOMAD has structures in several places:

- `results.properties.structures`, with sites and species as in OPTIMADE;
- the representative system of `run`, or of `data.model_system` in the newer schema of simulations;
- `results.material.topology`: a reference to the representative system, and the conventional cell;
- `run.system.symmetry`: standardised cells, whose positions are fractions of the cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from nomad_dask.errors import StructureError, UserError
from nomad_dask.text import one_line, shown

Which: TypeAlias = Literal["original", "conventional", "primitive"]
Library: TypeAlias = Literal["ase", "pymatgen"]
Json: TypeAlias = Any

ANGSTROM = 1e10
ELECTRONVOLT = 1 / 1.602176634e-19
EV_PER_ANGSTROM = ELECTRONVOLT / ANGSTROM

_ELEMENTS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr "
    "Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta "
    "W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs "
    "Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
SYMBOLS = tuple(_ELEMENTS.split())
"""Elements by atomic number, beginning at 1."""
UNKNOWN = "X"
"""The symbol of a site that is no element."""
_KNOWN = frozenset(SYMBOLS)
_NUMBERED = re.compile(r"([A-Z][a-z]?)[_\d]+")

Site: TypeAlias = dict[str, float]
"""Occupancies by symbol; less than 1 altogether if the site may be vacant."""


@dataclass(frozen=True)
class Structure:
    """Atoms in a cell, in angstrom, eV and eV/angstrom."""

    source: str  # the path in the archive
    sites: tuple[Site, ...]
    positions: np.ndarray  # cartesian, one row for each site
    cell: np.ndarray | None  # one row for each lattice vector
    pbc: tuple[bool, bool, bool]
    energy: float | None = None
    free_energy: float | None = None
    forces: np.ndarray | None = None


def check_choices(which: str, to: str = "ase") -> None:
    """Raise UserError for an unknown representation or library."""
    for name, value, known in (("which", which, get_args(Which)), ("to", to, get_args(Library))):
        if value not in known:
            raise UserError(f"{name} must be one of {', '.join(map(repr, known))} (got {shown(value)})")


def library(to: str) -> Callable[[Structure, str], Any]:
    """The function that converts to ASE or pymatgen. Raises UserError if it is not installed."""
    name, package, convert = _LIBRARIES[to]
    try:
        import_module(name)
    except ImportError as exc:
        raise UserError(f"to_{to} needs {package}: pip install 'nomad-dask[{to}]'") from exc
    return convert


def find(archive: Mapping[str, Json], which: str, entry_id: str, results: bool = False) -> Structure:
    """The structure of an archive, or StructureError with the reason why there is none."""
    reasons = []
    for source, read in _PLACES[which](archive):
        try:
            found = read(source)
        except (TypeError, ValueError, LookupError) as error:
            reasons.append(f"{source}: {one_line(str(error))}")
            continue
        return _with_results(found, archive) if results else found
    why = f" ({'; '.join([*dict.fromkeys(reasons)][:3])})" if reasons else _WHY_NONE[which == "original"]
    raise StructureError(f"entry {entry_id} has no {which} structure{why}")


_WHY_NONE = (
    ": nothing in results.properties.structures, results.material.topology and run.system.symmetry",
    ": nothing in results.properties.structures, run.system, data.model_system and "
    "results.material.topology; is it requested? see nomad_dask.required_for('structure')",
)

_Places: TypeAlias = Iterator[tuple[str, Callable[[str], Structure]]]


def _original(archive: Mapping[str, Json]) -> _Places:
    yield from _of_properties(archive, "original")
    systems = [*_systems(archive)]
    representative = [place for place in systems if place[1].get("is_representative") is True]
    yield from map(_as_system, representative)
    for path, part in _topology(archive):
        if part.get("label") in ("original", None):
            atoms = part.get("atoms_ref")
            if isinstance(atoms, Mapping):
                yield f"{path}.atoms_ref", partial(_from_atoms, atoms)
            elif target := _target(archive, atoms):
                yield target[0], partial(_from_atoms, target[1])
            elif isinstance(part.get("atoms"), Mapping):
                yield f"{path}.atoms", partial(_from_atoms, part["atoms"])
    yield from map(_as_system, systems[::-1])


def _conventional(archive: Mapping[str, Json]) -> _Places:
    yield from _of_properties(archive, "conventional")
    yield from _derived(archive, "conventional", "conventional_cell", "system_std")


def _primitive(archive: Mapping[str, Json]) -> _Places:
    yield from _of_properties(archive, "primitive")
    yield from _derived(archive, "primitive", "primitive_cell", "system_primitive")


_PLACES: Mapping[str, Callable[[Mapping[str, Json]], _Places]] = {
    "original": _original,
    "conventional": _conventional,
    "primitive": _primitive,
}


def _of_properties(archive: Mapping[str, Json], which: str) -> _Places:
    keys = ("results", "properties", "structures", f"structure_{which}")
    found = _below(archive, *keys)
    if isinstance(found, Mapping) and found.get("cartesian_site_positions") is not None:
        yield ".".join(keys), partial(_from_sites, found)


def _derived(archive: Mapping[str, Json], which: str, relation: str, symmetry: str) -> _Places:
    """Conventional and primitive cells, which NOMAD derives from the representative system."""
    for path, part in _topology(archive):
        named = part.get("label") == relation.replace("_", " ")
        if (named or _below(part, "system_relation", "type") == relation) and isinstance(
            part.get("atoms"), Mapping
        ):
            yield f"{path}.atoms", partial(_from_atoms, part["atoms"])
    for path, system in sorted(_systems(archive), key=lambda place: not place[1].get("is_representative")):
        for k, found in _items(system.get("symmetry")):
            for j, cell in _items(found.get(symmetry)):
                if cell.get("positions") is not None:
                    at = f"{path}.symmetry.{k}.{symmetry}.{j}"
                    yield at, partial(_from_atoms, cell, fractional=True)
        for k, cell in _items(system.get("cell")):
            if cell.get("type") == which and cell.get("positions") is not None:
                yield f"{path}.cell.{k}", partial(_from_model_system, system, cell)


def _systems(archive: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """The systems that hold atoms, of all runs and of the newer schema."""
    for i, run in _items(archive.get("run")):
        for k, system in _items(run.get("system")):
            if isinstance(system.get("atoms"), Mapping):
                yield f"run.{i}.system.{k}", system
    for k, system in _items(_below(archive, "data", "model_system")):
        cells = [cell for _, cell in _items(system.get("cell"))]
        if any(part.get("positions") is not None for part in (system, *cells)):
            yield f"data.model_system.{k}", system


def _topology(archive: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    for k, part in _items(_below(archive, "results", "material", "topology")):
        yield f"results.material.topology.{k}", part


def _as_system(place: tuple[str, Mapping[str, Json]]) -> tuple[str, Callable[[str], Structure]]:
    path, system = place
    if isinstance(atoms := system.get("atoms"), Mapping):
        return f"{path}.atoms", partial(_from_atoms, atoms)
    return path, partial(_from_model_system, system, None)


def _items(sections: Json) -> Iterator[tuple[int, Mapping[str, Json]]]:
    if isinstance(sections, Sequence) and not isinstance(sections, str):
        yield from ((k, item) for k, item in enumerate(sections) if isinstance(item, Mapping))


def _below(tree: Json, *keys: str) -> Json:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _target(archive: Mapping[str, Json], reference: Json) -> tuple[str, Mapping[str, Json]] | None:
    """The section of this archive that a reference such as `#/run/0/system/3/atoms` names."""
    if not isinstance(reference, str) or not reference.removeprefix("#").startswith("/"):
        return None
    keys = reference.removeprefix("#").strip("/").split("/")
    found: Json = archive
    for key in keys:
        if isinstance(found, Mapping):
            found = found.get(key)
        elif isinstance(found, Sequence) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return (".".join(keys), found) if isinstance(found, Mapping) else None


def _from_sites(found: Mapping[str, Json], source: str) -> Structure:
    """A structure of `results.properties.structures`."""
    species = {one["name"]: _occupancies(one) for _, one in _items(found.get("species"))}
    sites = [species.get(name) or {_symbol(name): 1.0} for name in found["species_at_sites"]]
    periodic = found.get("dimension_types")
    return _structure(
        source, sites, found["cartesian_site_positions"], found.get("lattice_vectors"), periodic
    )


def _occupancies(species: Mapping[str, Json]) -> Site:
    symbols = species.get("chemical_symbols") or [species["name"]]
    shares = species.get("concentration")
    shares = [1.0] * len(symbols) if shares is None else shares
    pairs = zip(symbols, shares, strict=True)
    return {_symbol(symbol): float(share) for symbol, share in pairs if symbol != "vacancy"}


def _from_atoms(atoms: Mapping[str, Json], source: str, fractional: bool = False) -> Structure:
    """A structure of a section `Atoms`."""
    positions, cell = atoms.get("positions"), atoms.get("lattice_vectors")
    if positions is None:
        raise ValueError("no positions")
    numbers = atoms.get("atomic_numbers")
    numbers = atoms.get("species") if numbers is None else numbers
    labels = atoms.get("labels")
    labels = [None] * len(positions if numbers is None else numbers) if labels is None else labels
    numbers = [None] * len(labels) if numbers is None else numbers
    if all(label is None for label in labels) and all(number is None for number in numbers):
        raise ValueError("no labels and no atomic numbers")
    symbols = [_symbol(label, number) for label, number in zip(labels, numbers, strict=True)]
    shares = atoms.get("concentrations")
    shares = [1.0] * len(symbols) if shares is None else shares
    sites = [{symbol: float(share)} for symbol, share in zip(symbols, shares, strict=True)]
    if fractional:
        positions = np.array(positions, dtype=float) @ np.array(cell, dtype=float)
    return _structure(source, sites, positions, cell, atoms.get("periodic"))


def _from_model_system(system: Mapping[str, Json], cell: Mapping[str, Json] | None, source: str) -> Structure:
    """A structure of `data.model_system`: positions in the system, in older versions in its first cell."""
    cells = [cell] if cell else [one for _, one in _items(system.get("cell"))]
    own = () if cell else (system,)

    def first(name: str) -> Json:
        return next((part[name] for part in (*own, *cells, system) if part.get(name) is not None), None)

    states = first("particle_states")
    states = first("atoms_state") if states is None else states
    if states is None:
        raise ValueError("no particle_states")
    sites: list[Site] = [
        {_symbol(state.get("chemical_symbol"), state.get("atomic_number")): 1.0} for state in states
    ]
    return _structure(
        source, sites, first("positions"), first("lattice_vectors"), first("periodic_boundary_conditions")
    )


def _symbol(label: str | None, number: Json = None) -> str:
    """The element of a label (`Fe`, `Fe1`) or an atomic number; `X` if it is none."""
    if label in _KNOWN:
        return str(label)
    if isinstance(number, int | float | np.number) and 1 <= number <= len(SYMBOLS):
        return SYMBOLS[int(number) - 1]
    numbered = _NUMBERED.fullmatch(label or "")
    return numbered[1] if numbered and numbered[1] in _KNOWN else UNKNOWN


def _structure(source: str, sites: Sequence[Site], positions: Json, cell: Json, periodic: Json) -> Structure:
    where = np.array(positions, dtype=float).reshape(-1, 3) * ANGSTROM
    vectors = None if cell is None else np.array(cell, dtype=float).reshape(3, 3) * ANGSTROM
    if not len(where):
        raise ValueError("no atoms")
    if len(where) != len(sites):
        raise ValueError(f"{len(where)} positions of {len(sites)} atoms")
    if not np.isfinite(where).all() or not np.isfinite(0.0 if vectors is None else vectors).all():
        raise ValueError("a position or lattice vector is not a number")
    # NOMAD leaves `periodic` out of cells that it derives: these are crystals.
    flags = [vectors is not None] * 3 if periodic is None else [bool(one) for one in periodic]
    x, y, z = flags
    if any(sum(site.values()) < 1 for site in sites):
        sites, where = _merged(sites, where)
    return Structure(source, tuple(sites), where, vectors, (x, y, z))


def _merged(sites: Sequence[Site], positions: np.ndarray) -> tuple[list[Site], np.ndarray]:
    """Atoms that share a position, each with its concentration, are one site."""
    merged: dict[tuple[float, ...], Site] = {}
    for site, position in zip(sites, positions.tolist(), strict=True):
        found = merged.setdefault(tuple(position), {})
        for symbol, share in site.items():
            found[symbol] = found.get(symbol, 0.0) + share
    return [*merged.values()], np.array([*merged])


def _with_results(found: Structure, archive: Mapping[str, Json]) -> Structure:
    """The structure with energies and forces of the last calculation of its system."""
    calculation = _calculation(found, archive)
    if calculation is None:
        return found
    forces = next(
        (
            array
            for kind in ("total", "free")
            for value in ("value", "value_raw")
            if (array := _forces(_below(calculation, "forces", kind, value), found)) is not None
        ),
        None,
    )
    return Structure(
        found.source,
        found.sites,
        found.positions,
        found.cell,
        found.pbc,
        _electronvolt(_below(calculation, "energy", "total", "value")),
        _electronvolt(_below(calculation, "energy", "free", "value")),
        forces,
    )


def _calculation(found: Structure, archive: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """The last calculation of the system that the structure is of, or of its representative system."""
    systems = [*_systems(archive)]
    path = next((path for path, _ in systems if found.source.startswith(f"{path}.atoms")), None)
    if path is None:
        if _cell_of_another(found.source):
            return None
        path = next((path for path, system in systems if system.get("is_representative")), None)
    calculations = [one for _, run in _items(archive.get("run")) for _, one in _items(run.get("calculation"))]
    of_it = [one for one in calculations if _reference_path(one.get("system_ref")) == path]
    if path is not None and of_it:
        return of_it[-1]
    if len(systems) == 1 and calculations and not any(one.get("system_ref") for one in calculations):
        return calculations[-1]
    followed = _below(archive, "workflow2", "results", "calculation_result_ref")
    if not isinstance(followed, Mapping):
        return None
    of = followed.get("system_ref")
    return followed if not isinstance(of, str) or path is None or _reference_path(of) == path else None


def _cell_of_another(source: str) -> bool:
    """True for conventional and primitive cells, of which there is no calculation."""
    return ".symmetry." in source or source.endswith(("conventional", "primitive"))


def _reference_path(reference: Json) -> str | None:
    if not isinstance(reference, str):
        return None
    return reference.removeprefix("#").strip("/").replace("/", ".")


def _electronvolt(value: Json) -> float | None:
    return float(value) * ELECTRONVOLT if isinstance(value, int | float) and value == value else None


def _forces(value: Json, found: Structure) -> np.ndarray | None:
    if value is None:
        return None
    forces = np.array(value, dtype=float) * EV_PER_ANGSTROM
    return forces if forces.shape == found.positions.shape else None


def _to_ase(found: Structure, entry_id: str) -> Any:
    symbols = [_only(site, found.source, entry_id) for site in found.sites]
    atoms = import_module("ase").Atoms(
        symbols=symbols, positions=found.positions, cell=found.cell, pbc=found.pbc
    )
    atoms.info |= {"entry_id": entry_id, "source": found.source}
    values = {"energy": found.energy, "free_energy": found.free_energy, "forces": found.forces}
    known = {name: value for name, value in values.items() if value is not None}
    if known:
        calculator = import_module("ase.calculators.singlepoint").SinglePointCalculator
        atoms.calc = calculator(atoms, **known)
    return atoms


def _only(site: Site, source: str, entry_id: str) -> str:
    """The element of a full site."""
    if len(site) == 1:
        ((symbol, share),) = site.items()
        if abs(share - 1) < 1e-6:
            return symbol
    shares = ", ".join(f"{symbol} {share:g}" for symbol, share in site.items()) or "vacant"
    raise StructureError(
        f"entry {entry_id}: a site of {source} is partially occupied ({shares}), which ASE cannot represent; "
        "use to_pymatgen"
    )


def _to_pymatgen(found: Structure, entry_id: str) -> Any:
    core = import_module("pymatgen.core")
    species = [
        {core.DummySpecies("X") if symbol == UNKNOWN else symbol: share for symbol, share in site.items()}
        for site in found.sites
    ]
    about: dict[str, Any] = {"entry_id": entry_id, "source": found.source}
    about |= {
        name: value
        for name, value in (("energy", found.energy), ("free_energy", found.free_energy))
        if value is not None
    }
    per_site = {} if found.forces is None else {"forces": found.forces.tolist()}
    try:
        if not any(found.pbc):
            return core.Molecule(species, found.positions, site_properties=per_site, properties=about)
        if found.cell is None:
            raise ValueError("it is periodic and has no lattice vectors")
        return core.Structure(
            core.Lattice(_with_volume(found.cell, found.pbc), pbc=found.pbc),
            species,
            found.positions,
            coords_are_cartesian=True,
            site_properties=per_site,
            properties=about,
        )
    except (ValueError, np.linalg.LinAlgError) as error:
        raise StructureError(
            f"entry {entry_id}: {found.source} is no structure for pymatgen: {error}"
        ) from error


def _with_volume(cell: np.ndarray, pbc: Sequence[bool]) -> np.ndarray:
    """The cell with vectors of 1 angstrom for non-periodic directions without one; pymatgen needs all
    three.
    """
    absent = [k for k in range(3) if not pbc[k] and not cell[k].any()]
    if not absent:
        return cell
    # The last right singular vectors are perpendicular to all lattice vectors.
    perpendicular = np.linalg.svd(cell)[2][::-1]
    completed = cell.copy()
    completed[absent] = perpendicular[: len(absent)]
    return completed


_LIBRARIES: Mapping[str, tuple[str, str, Callable[[Structure, str], Any]]] = {
    "ase": ("ase", "ASE", _to_ase),
    "pymatgen": ("pymatgen.core", "pymatgen", _to_pymatgen),
}
