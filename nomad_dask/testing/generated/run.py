"""Section `run` of generated archives: program, systems and calculations."""

from random import Random
from typing import Any

from nomad_dask.testing.generated.material import formula, symmetry
from nomad_dask.testing.generated.placeholders import ATOMIC_NUMBER, EDGE, FERMI, FREE, PER_ATOM, TOTAL, slot
from nomad_dask.testing.generated.profiles import Profile

Json = dict[str, Any]


def run_section(p: Profile, rng: Random) -> Json:
    """Return the only run of an archive."""
    method: Json = {
        "dft": {"xc_functional": _functional(p.functional[1])},
        "electronic": {
            "method": "DFT",
            "n_spin_channels": 1,
            "smearing": {"kind": "gaussian", "width": 4.3e-21},
        },
    }
    if p.detail:
        method["k_mesh"] = {"dimensionality": 3, "n_points": 64, "grid": [4, 4, 4], "offset": [0.0, 0.0, 0.0]}
        method["scf"] = {"threshold_energy_change": 4.359744722207169e-24}
        method["electrons_representation"] = [{"type": p.program.basis_set, "scope": ["wavefunction"]}]
    return {
        "program": {"name": p.program.name, "version": p.version},
        "method": [method],
        "system": [_system(p, k, rng) for k in range(p.n_calculations)],
        "calculation": [_calculation(p, k, rng) for k in range(p.n_calculations)],
    }


def _functional(names: tuple[str, ...]) -> Json:
    """Return its energy contributions by kind, without absent kinds."""
    parts: Json = {}
    for name in names:
        kind = "hybrid" if name.startswith("HYB_") else "correlation" if "_C_" in name else "exchange"
        parts.setdefault(kind, []).append({"name": name})
    return {"name": "+".join(names), **parts}


def _system(p: Profile, k: int, rng: Random) -> Json:
    kinds = [j for j, n in enumerate(p.counts) for _ in range(n * p.units)]
    edge, flat = slot(EDGE), 0.0
    atoms: Json = {
        "labels": [f"<s{j}>" for j in kinds],
        "positions": [[rng.random() * 5e-10 for _ in "xyz"] for _ in kinds],
        "lattice_vectors": [[edge, flat, flat], [flat, edge, flat], [flat, flat, edge]],
        "periodic": [True, True, True],
    }
    system: Json = {
        "is_representative": k == p.n_calculations - 1,
        "chemical_composition_reduced": formula(p),
    }
    if p.detail:
        atoms["species"] = [slot(ATOMIC_NUMBER + j) for j in kinds]
        system |= {"chemical_composition": formula(p), "chemical_composition_hill": "<hill>"}
    if system["is_representative"]:
        system["type"] = "bulk"
        if p.detail > 1:
            names = {"international_short_symbol": p.group[0]}
            system["symmetry"] = [names | symmetry(p) | {"symmetry_method": "MatID (spg)"} | _cells(p, atoms)]
            system["configuration_raw_gid"] = "<material_id>"
            atoms["lattice_vectors_reciprocal"] = [[1e10, flat, flat], [flat, 1e10, flat], [flat, flat, 1e10]]
            system["descriptors"] = {"soap": {"n_max": 8, "l_max": 4, "r_cut": 5.0, "atom_sigma": 0.4}}
    return system | {"atoms": atoms}


def _cells(p: Profile, atoms: Json) -> Json:
    """Return the symmetry of the atoms, in a cell that also stands for the others; their positions are
    fractions of it.
    """
    rng = Random(f"{p.seed}/fractions")
    equivalent = [sum(p.counts[:k]) * p.units for k, n in enumerate(p.counts) for _ in range(n * p.units)]
    letters = ["abcde"[k] for k, n in enumerate(p.counts) for _ in range(n * p.units)]
    original = {"equivalent_atoms": equivalent, "wyckoff_letters": letters}
    fractions = {"positions": [[rng.random() for _ in "xyz"] for _ in equivalent]}
    cell = (
        original
        | {"atomic_numbers": atoms["species"], "lattice_vectors": atoms["lattice_vectors"]}
        | fractions
    )
    return {
        "origin_shift": [0.0, 0.0, 0.0],
        "transformation_matrix": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        "system_original": [original],
        "system_primitive": [cell],
        "system_std": [cell],
    }


def _calculation(p: Profile, k: int, rng: Random) -> Json:
    total: Json = {"value": slot(TOTAL + k)}
    calculation: Json = {
        "system_ref": f"{p.hash}/run/0/system/{k}",
        "method_ref": f"{p.hash}/run/0/method/0",
        "energy": {"total": total, "free": {"value": slot(FREE + k)}, "fermi": slot(FERMI)},
    }
    if p.detail:
        total["value_per_atom"] = slot(PER_ATOM + k)
        calculation["calculation_converged"] = True
    if p.workflow != "SinglePoint" and p.detail > 1:
        calculation["forces"] = {
            "total": {"value": [[rng.gauss(0, 1e-11) for _ in "xyz"] for _ in range(p.n_atoms)]}
        }
    if p.workflow == "MolecularDynamics":
        calculation |= {"step": k, "time_physical": k * 1e-15, "temperature": 300.0 + rng.gauss(0, 10)}
    return calculation
