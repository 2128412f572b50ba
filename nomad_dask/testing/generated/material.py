"""Section `results.material` of generated archives: formulas, topology and symmetry."""

from random import Random
from typing import Any

from nomad_dask.testing.generated.placeholders import (
    ATOMIC_DENSITY,
    ATOMIC_NUMBER,
    EDGE,
    MASS,
    MASS_DENSITY,
    MASS_FRACTION,
    VOLUME,
    slot,
)
from nomad_dask.testing.generated.profiles import Profile

Json = dict[str, Any]
_TOPOLOGY = "results/material/topology"


def material_section(p: Profile) -> Json:
    """Return section `results.material`, without `n_elements`, which only documents have."""
    material: Json = {
        "material_id": "<material_id>",
        "structural_type": "bulk",
        "dimensionality": "3D",
        **_formulas(p),
    }
    if p.detail:
        material["chemical_formula_reduced_fragments"] = _parts(p)
        material["elemental_composition"] = _composition(p)
    if p.size >= 3_500:
        material["symmetry"] = symmetry(p) | {"space_group_symbol": p.group[0]}
    if p.detail:
        original = _original(p)
        whole = original | {"child_systems": [f"{_TOPOLOGY}/1"]}
        material["topology"] = [whole, _subsystem(p, original)] if p.detail > 1 else [original]
        if p.conventional:
            material["topology"][1]["child_systems"] = [f"{_TOPOLOGY}/2"]
            material["topology"].append(_conventional(p, original))
    return material


def _formulas(p: Profile) -> Json:
    return {
        "elements": _elements(p),
        "chemical_formula_descriptive": formula(p),
        "chemical_formula_reduced": formula(p),
        "chemical_formula_hill": "<hill>",
        "chemical_formula_iupac": "<iupac>",
        "chemical_formula_anonymous": _anonymous(p),
    }


def _composition(p: Profile) -> list[Json]:
    return [
        {
            "element": f"<s{k}>",
            "mass": slot(MASS + k),
            "atomic_fraction": n / sum(p.counts),
            "mass_fraction": slot(MASS_FRACTION + k),
        }
        for k, n in enumerate(p.counts)
    ]


def _original(p: Profile) -> Json:
    """Return the system of the calculation."""
    right = 1.5707963267948966
    return {
        "system_id": f"{_TOPOLOGY}/0",
        "label": "original",
        "method": "parser",
        "description": "A representative system chosen from the original simulation.",
        "dimensionality": "3D",
        **_formulas(p),
        "atoms_ref": f"{last_system(p)}/atoms",
        "n_atoms": p.n_atoms,
        "elemental_composition": _composition(p),
        "system_relation": {"type": "root"},
        "cell": dict(zip("abc", [slot(EDGE)] * 3, strict=True))
        | {"alpha": right, "beta": right, "gamma": right, "volume": slot(VOLUME)}
        | {"atomic_density": slot(ATOMIC_DENSITY), "mass_density": slot(MASS_DENSITY)},
    }


def _subsystem(p: Profile, original: Json) -> Json:
    """Return its only subsystem, which contains all atoms."""
    return {
        **{k: v for k, v in original.items() if k != "cell"},
        "system_id": f"{_TOPOLOGY}/1",
        "label": "subsystem",
        "method": "matid",
        "description": "Automatically detected subsystem.",
        "structural_type": "bulk",
        "parent_system": f"{_TOPOLOGY}/0",
        "atomic_fraction": 1.0,
        "mass_fraction": 1.0,
        "indices": [list(range(p.n_atoms))],
        "system_relation": {"type": "subsystem"},
    }


def _conventional(p: Profile, original: Json) -> Json:
    """Return the conventional cell of the subsystem, with atoms and symmetry."""
    rng = Random(f"{p.seed}/conventional")
    kinds = [k for k, n in enumerate(p.counts) for _ in range(n * p.units)]
    edge, flat = slot(EDGE), 0.0
    numbers = [slot(ATOMIC_NUMBER + k) for k in kinds]
    shared = ("dimensionality", *_formulas(p), "n_atoms", "elemental_composition", "cell")
    return {
        **{name: original[name] for name in shared},
        "system_id": f"{_TOPOLOGY}/2",
        "label": "conventional cell",
        "method": "matid",
        "description": "The conventional cell of the part.",
        "material_id": "<material_id>",
        "structural_type": "bulk",
        "parent_system": f"{_TOPOLOGY}/1",
        "system_relation": {"type": "conventional_cell"},
        "atoms": {
            "atomic_numbers": numbers,
            "species": numbers,
            "labels": [f"<s{k}>" for k in kinds],
            "positions": [[rng.random() * 5e-10 for _ in "xyz"] for _ in kinds],
            "lattice_vectors": [[edge, flat, flat], [flat, edge, flat], [flat, flat, edge]],
            "periodic": [True, True, True],
        },
        "symmetry": symmetry(p)
        | {
            "space_group_symbol": p.group[0],
            "symmetry_method": "MatID",
            "origin_shift": [0.5, 0.0, 0.0],
            "transformation_matrix": [[1.0, flat, flat], [flat, 1.0, flat], [flat, flat, 1.0]],
            "wyckoff_sets": [
                {
                    "wyckoff_letter": "abcde"[k],
                    "indices": [i for i, kind in enumerate(kinds) if kind == k],
                    "element": f"<s{k}>",
                }
                for k in range(len(p.counts))
            ],
        },
    }


def last_system(p: Profile) -> str:
    """Return a reference to the system of the last calculation."""
    return f"{p.hash}/run/0/system/{p.n_calculations - 1}"


def symmetry(p: Profile) -> Json:
    """Return the space group, without its symbol."""
    names = (
        "space_group_number",
        "hall_number",
        "hall_symbol",
        "bravais_lattice",
        "crystal_system",
        "point_group",
    )
    return dict(zip(names, p.group[1:], strict=True))


def optimade(p: Profile) -> Json:
    """Return the material as OPTIMADE describes it."""
    return {
        "elements": _elements(p),
        "nelements": len(p.counts),
        "elements_ratios": [n / sum(p.counts) for n in p.counts],
        "chemical_formula_descriptive": "<hill>",
        "chemical_formula_reduced": formula(p),
        "chemical_formula_hill": "<hill>",
        "chemical_formula_anonymous": _anonymous(p),
        "nsites": p.n_atoms,
        "structure_features": [],
    }


def optimade_sites(p: Profile) -> Json:
    """Return the part of it that archives have and search documents do not: the individual atoms."""
    rng = Random(f"{p.seed}/sites")
    sites = [f"<s{k}>" for k, n in enumerate(p.counts) for _ in range(n * p.units)]
    return {
        "dimension_types": [1, 1, 1],
        "lattice_vectors": [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]],
        "cartesian_site_positions": [[round(rng.random() * 4, 6) for _ in "xyz"] for _ in sites],
        "species_at_sites": sites,
        "species": [
            {"name": f"<s{k}>", "chemical_symbols": [f"<s{k}>"], "concentration": [1.0]}
            for k in range(len(p.counts))
        ],
    }


def formula(p: Profile) -> str:
    """Return the formula, with elements by symbol."""
    return "".join(_parts(p))


def _parts(p: Profile) -> list[str]:
    return [f"<s{k}>{n if n > 1 else ''}" for k, n in enumerate(p.counts)]


def _anonymous(p: Profile) -> str:
    pairs = zip("ABCDE", sorted(p.counts, reverse=True), strict=False)
    return "".join(f"{letter}{n if n > 1 else ''}" for letter, n in pairs)


def _elements(p: Profile) -> list[str]:
    return [f"<s{k}>" for k in range(len(p.counts))]
