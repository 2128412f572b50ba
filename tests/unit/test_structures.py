"""SPEC, "Structures": NOMAD's own order, in angstrom, equal to the JSON; an entry without one says so."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nomad_dask import required_for
from nomad_dask.archive.archive import Archive
from nomad_dask.archive.structures import SYMBOLS, find
from nomad_dask.errors import StructureError, UserError
from nomad_dask.request.required import parse
from nomad_dask.request.required_for import _RECIPES

EV = 1.602176634e-19
CELL = [[4e-10, 0.0, 0.0], [0.0, 5e-10, 0.0], [0.0, 0.0, 6e-10]]
SITES = [[0.0, 0.0, 0.0], [2e-10, 2.5e-10, 3e-10]]
ATOMS = {"labels": ["Ti", "O"], "positions": SITES, "lattice_vectors": CELL, "periodic": [True, True, False]}
BOTH = pytest.mark.parametrize("to", ["ase", "pymatgen"])


def archive(tree: dict[str, Any]) -> Archive:
    return Archive(tree, "E", "U")


def convert(found: Archive, to: str, which: str = "original", results: bool = False) -> Any:
    if to == "pymatgen":
        pytest.importorskip("pymatgen.core", reason="pymatgen is too large for the suite (400 MB)")
    return getattr(found, f"to_{to}")(which, results=results)


def facts(made: Any, to: str) -> tuple[list[str], np.ndarray, np.ndarray | None, list[bool]]:
    """Symbols, positions, cell and periodic directions of what was made."""
    if to == "ase":
        return (
            made.get_chemical_symbols(),
            made.positions,
            made.cell.array,
            made.pbc.tolist(),
        )
    lattice = getattr(made, "lattice", None)
    symbols = ["X" if site.specie.symbol.startswith("X0") else site.specie.symbol for site in made]
    return (
        symbols,
        made.cart_coords,
        lattice and lattice.matrix,
        list(lattice.pbc) if lattice else [False] * 3,
    )


def recorded(shared_data: Path) -> list[tuple[Archive, dict[str, Any] | None]]:
    """Each recorded archive, with the atoms of its representative system, read by hand."""
    found = []
    for file in sorted((shared_data / "archives").glob("*.json")):
        entry = json.loads(file.read_bytes())
        systems = [system for run in entry["archive"].get("run", []) for system in run.get("system", [])]
        named = [system["atoms"] for system in systems if system.get("is_representative")]
        atoms = next((one for one in named if "positions" in one), None)
        found.append((Archive(entry["archive"], entry["entry_id"], entry["upload_id"]), atoms))
    return found


@BOTH
def test_structures_of_recorded_archives_equal_the_json(shared_data: Path, to: str) -> None:
    with_structure = [(one, atoms) for one, atoms in recorded(shared_data) if atoms]
    assert len(with_structure) == 149
    for one, atoms in with_structure:
        symbols, positions, cell, pbc = facts(convert(one, to), to)
        assert symbols == [label if label in SYMBOLS else "X" for label in atoms["labels"]], one.entry_id
        np.testing.assert_allclose(positions, np.array(atoms["positions"]) / 1e-10, rtol=1e-12, atol=1e-15)
        assert pbc == atoms["periodic"] and (to == "ase" or any(pbc) == (cell is not None))
        if cell is not None:
            expected = np.array(atoms.get("lattice_vectors", np.zeros((3, 3)))) / 1e-10
            # pymatgen needs a vector in each direction, also where the archive has none.
            there = expected.any(axis=1) if to == "pymatgen" else slice(None)
            np.testing.assert_allclose(cell[there], expected[there], rtol=1e-12, atol=1e-15)


def test_recorded_archives_without_a_structure_say_so(shared_data: Path) -> None:
    without = [one for one, atoms in recorded(shared_data) if not atoms]
    assert len(without) == 8
    for one in without:
        with pytest.raises(StructureError, match=f"entry {one.entry_id} has no original structure"):
            one.to_ase()


def test_the_topology_names_the_same_structure(shared_data: Path) -> None:
    """`required_for("structure")` requests the target of its reference; both ways lead to one structure."""
    n = 0
    for one, atoms in recorded(shared_data):
        topology = one["results"].get("material", {}).get("topology") if "results" in one else None
        if atoms and topology:
            only = {"results": {"material": {"topology": [topology[0] | {"atoms_ref": atoms}]}}}
            np.testing.assert_array_equal(archive(only).to_ase().positions, one.to_ase().positions)
            n += 1
    assert n == 149


def test_cells_of_symmetry_are_fractional(shared_data: Path) -> None:
    """The conventional cell in `run.system.symmetry` is the one of the topology, where both are."""
    n = 0
    for one, _ in recorded(shared_data):
        systems = [s for run in one["run"] for s in run.get("system", [])] if "run" in one else []
        topology = one["results"]["material"].get("topology", []) if "results" in one else []
        if any("symmetry" in s for s in systems) and any("atoms" in part for part in topology):
            ours, only = one.to_ase("conventional"), Archive({"run": one["run"]}, "E", "U")
            theirs = only.to_ase("conventional")
            assert "topology" in ours.info["source"] and "system_std" in theirs.info["source"]
            assert len(ours) == len(theirs)
            assert abs(ours.cell.volume - theirs.cell.volume) < 1e-3 * ours.cell.volume
            assert (theirs.get_all_distances(mic=True) + np.eye(len(theirs)) * 9).min() > 0.5
            assert only.to_ase("primitive").cell.volume <= theirs.cell.volume * 1.001
            n += 1
    assert n > 50


def test_energies_and_forces_of_recorded_archives(shared_data: Path) -> None:
    """Of the last calculation of the representative system."""
    n_forces = 0
    for one, atoms in recorded(shared_data):
        if not atoms:
            continue
        calculator = one.to_ase(results=True).calc
        if calculator is None:
            continue
        calculations = [c for run in one["run"] for c in run["calculation"]]
        energies = [c.get("energy", {}).get("total", {}).get("value") for c in calculations]
        found = calculator.results.get("energy")
        assert found is None or any(e is not None and np.isclose(found, e / EV, rtol=1e-12) for e in energies)
        if "forces" in calculator.results:
            assert calculator.results["forces"].shape == (len(atoms["labels"]), 3)
            n_forces += 1
    assert n_forces > 10


SPECIES = [
    {"name": "Ti", "chemical_symbols": ["Ti"], "concentration": [1.0]},
    {"name": "mix", "chemical_symbols": ["O", "N", "vacancy"], "concentration": [0.5, 0.25, 0.25]},
]
OPTIMADE = {
    "species": [SPECIES[0], {"name": "O1", "chemical_symbols": ["O"], "concentration": [1.0]}],
    "species_at_sites": ["Ti", "O1"],
    "cartesian_site_positions": SITES,
    "lattice_vectors": CELL,
    "dimension_types": [1, 1, 0],
}
STATES = [{"chemical_symbol": "Ti"}, {"atomic_number": 8}]
BOX = {"positions": SITES, "lattice_vectors": CELL, "periodic_boundary_conditions": [True, True, False]}
ELSEWHERE = {"labels": ["H"], "positions": [[9e-10] * 3]}
PLACES = {
    "results.properties.structures.structure_original": {
        "results": {"properties": {"structures": {"structure_original": OPTIMADE}}},
        "run": [{"system": [{"is_representative": True, "atoms": ELSEWHERE}]}],
    },
    "run.0.system.0.atoms": {
        "run": [{"system": [{"is_representative": True, "atoms": ATOMS}, {"atoms": ELSEWHERE}]}]
    },
    "run.1.system.0.atoms": {"run": [{"system": [None]}, {"system": [{"atoms": ATOMS}]}]},
    "run.0.system.1.atoms": {"run": [{"system": [{"atoms": ELSEWHERE}, {"atoms": ATOMS}]}]},
    "data.model_system.1": {
        "data": {"model_system": [{}, BOX | {"is_representative": True, "particle_states": STATES}]}
    },
    "data.model_system.0": {"data": {"model_system": [{"cell": [BOX | {"atoms_state": STATES}]}]}},
    "results.material.topology.0.atoms_ref": {
        "results": {"material": {"topology": [{"label": "original", "atoms_ref": ATOMS}]}}
    },
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("source", PLACES)
def test_each_place_is_read(source: str, to: str) -> None:
    made = convert(archive(PLACES[source]), to)
    symbols, positions, cell, pbc = facts(made, to)
    assert symbols == ["Ti", "O"] and pbc == [True, True, False]
    np.testing.assert_allclose(positions, np.array(SITES) / 1e-10, rtol=1e-12)
    np.testing.assert_allclose(cell, np.array(CELL) / 1e-10, rtol=1e-12)
    about = made.info if to == "ase" else made.properties
    assert about == {"entry_id": "E", "source": source}


@pytest.mark.parametrize("which", ["conventional", "primitive"])
def test_another_representation(which: str) -> None:
    key = {"conventional": "system_std", "primitive": "system_primitive"}[which]
    fractional = {"atomic_numbers": [22, 8], "positions": [[0.0] * 3, [0.5] * 3], "lattice_vectors": CELL}
    system = {"atoms": ELSEWHERE, "symmetry": [{key: [fractional]}]}
    made = archive({"run": [{"system": [system]}]}).to_ase(which)
    np.testing.assert_allclose(made.positions, np.array(SITES) / 1e-10, rtol=1e-12)
    assert made.get_chemical_symbols() == ["Ti", "O"] and made.pbc.all()
    named = {"structures": {f"structure_{which}": OPTIMADE}}
    tree = {"run": [{"system": [system]}], "results": {"properties": named}}
    assert archive(tree).to_ase(which).info["source"].endswith(f"structure_{which}")
    with pytest.raises(StructureError, match=f"has no {which} structure"):
        archive({"run": [{"system": [{"atoms": ATOMS}]}]}).to_ase(which)


PARTIAL = OPTIMADE | {"species": SPECIES, "species_at_sites": ["Ti", "mix"]}
PARTIAL_TREES = [
    {"results": {"properties": {"structures": {"structure_original": PARTIAL}}}},
    {
        "run": [{"system": [{"atoms": {
            "labels": ["Ti", "O", "N"], "concentrations": [1.0, 0.5, 0.25], "positions": [*SITES, SITES[1]],
            "lattice_vectors": CELL,
        }}]}]
    },
]  # fmt: skip


@pytest.mark.parametrize("tree", PARTIAL_TREES)
def test_partial_concentrations(tree: dict[str, Any]) -> None:
    found = find(tree, "original", "E")
    assert found.sites == ({"Ti": 1.0}, {"O": 0.5, "N": 0.25})
    np.testing.assert_allclose(found.positions, np.array(SITES) / 1e-10, rtol=1e-12)
    with pytest.raises(StructureError, match=r"partially occupied \(O 0.5, N 0.25\).*to_pymatgen"):
        archive(tree).to_ase()


@pytest.mark.parametrize("tree", PARTIAL_TREES)
def test_partial_concentrations_in_pymatgen(tree: dict[str, Any]) -> None:
    made = convert(archive(tree), "pymatgen")
    shares = [{one.symbol: share for one, share in site.species.items()} for site in made]
    assert shares == [{"Ti": 1.0}, {"O": 0.5, "N": 0.25}] and not made.is_ordered


CALCULATIONS = [
    {"system_ref": "/run/0/system/0", "energy": {"total": {"value": -1 * EV}}},
    {"system_ref": "#/run/0/system/1", "energy": {"total": {"value": -2 * EV}, "free": {"value": -3 * EV}},
     "forces": {"total": {"value": [[EV * 1e10, 0.0, 0.0]] * 2}}},
]  # fmt: skip


def trajectory(**representative: Any) -> dict[str, Any]:
    systems = [{"atoms": ELSEWHERE}, {"atoms": ATOMS, **representative}]
    return {"run": [{"system": systems, "calculation": CALCULATIONS}]}


@BOTH
def test_energies_and_forces_are_of_the_structure(to: str) -> None:
    made = convert(archive(trajectory(is_representative=True)), to, results=True)
    forces = [[1.0, 0.0, 0.0]] * 2
    if to == "ase":
        assert made.get_potential_energy() == pytest.approx(-2.0, rel=1e-12)
        assert made.calc.results["free_energy"] == pytest.approx(-3.0, rel=1e-12)
        np.testing.assert_allclose(made.get_forces(), forces, rtol=1e-12)
    else:
        assert made.properties["energy"] == pytest.approx(-2.0, rel=1e-12)
        np.testing.assert_allclose(made.site_properties["forces"], forces, rtol=1e-12)
    assert not getattr(convert(archive(trajectory()), to), "calc", None), "only where asked for"


def test_no_energy_of_another_structure() -> None:
    tree = trajectory(is_representative=True)
    tree["run"][0]["calculation"] = CALCULATIONS[:1]
    assert archive(tree).to_ase(results=True).calc is None
    followed = {"workflow2": {"results": {"calculation_result_ref": CALCULATIONS[1]}}}
    assert archive(tree | followed).to_ase(results=True).get_potential_energy() == pytest.approx(-2.0)
    other = {"workflow2": {"results": {"calculation_result_ref": CALCULATIONS[0]}}}
    assert archive(tree | other).to_ase(results=True).calc is None
    cell = {"system_std": [{"atomic_numbers": [1], "positions": [[0.0] * 3], "lattice_vectors": CELL}]}
    tree["run"][0]["system"][1]["symmetry"] = [cell]
    assert archive(tree | followed).to_ase("conventional", results=True).calc is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"positions": None}, "no positions"),
        ({"positions": []}, "no atoms|argument"),
        ({"positions": SITES[:1]}, "1 positions of 2 atoms"),
        ({"positions": [[1e-10, None, 0.0]] * 2}, "not a number"),
        ({"labels": None}, "no labels and no atomic numbers"),
        ({"labels": ["Ti"]}, "2 positions of 1 atoms"),
    ],
)
def test_broken_atoms_say_what_is_wrong(change: dict[str, Any], reason: str) -> None:
    tree = {"run": [{"system": [{"atoms": ATOMS | change}]}]}
    with pytest.raises(StructureError, match=rf"entry E .*run\.0\.system\.0\.atoms: .*({reason})") as raised:
        archive(tree).to_ase()
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_labels_with_numbers_and_unknown_ones() -> None:
    labels = ["Ti1", "O_2", "1", "Xx", "dummy"]
    atoms = {
        "labels": labels,
        "species": [22, 0, -1, 26, 0],
        "positions": [[1e-10 * k] * 3 for k in range(5)],
    }
    made = archive({"run": [{"system": [{"atoms": atoms}]}]}).to_ase()
    assert made.get_chemical_symbols() == ["Ti", "O", "X", "Fe", "X"] and not made.pbc.any()


@BOTH
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    monkeypatch.setitem(sys.modules, "ase", None)
    monkeypatch.setitem(sys.modules, "pymatgen.core", None)
    with pytest.raises(UserError, match=rf"pip install 'nomad-dask\[{to}\]'"):
        getattr(archive({}), f"to_{to}")()


def test_an_unknown_representation_is_refused() -> None:
    with pytest.raises(UserError, match="which must be one of 'original', 'conventional', 'primitive'"):
        archive({}).to_ase("niggli")  # type: ignore[arg-type]


def test_recipes_are_valid_alone_and_together() -> None:
    for name, recipe in _RECIPES.items():
        assert parse(required_for(name)).tree == recipe()
        assert recipe.__doc__ and "Column" in recipe.__doc__
    together = required_for(*_RECIPES)
    reached = parse(together)
    for name in _RECIPES:
        assert set(parse(required_for(name)).paths) <= set(reached.paths)
    together["results"].clear()
    assert required_for("solar_cell")["results"], "each call gives a new dict"
    with pytest.raises(UserError, match="band_gap"):
        required_for("bandgap")
    with pytest.raises(UserError, match="needs a name"):
        required_for()
