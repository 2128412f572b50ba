"""Section `results` of generated archives, and what else tells of their material."""

from typing import Any

from nomad_dask.testing.generated.features import NO_WORKFLOW
from nomad_dask.testing.generated.placeholders import (
    ATOMIC_DENSITY,
    DIFFERENCE,
    EDGE,
    GAP,
    MASS,
    MASS_DENSITY,
    MASS_FRACTION,
    VOLUME,
    slot,
)
from nomad_dask.testing.generated.profiles import Profile

Json = dict[str, Any]


def results_section(p: Profile, feature: str | None = None) -> Json:
    """Section `results`."""
    atoms = sum(p.counts)
    formulas = {
        "elements": _elements(p),
        "n_elements": len(p.counts),
        "chemical_formula_descriptive": formula(p),
        "chemical_formula_reduced": formula(p),
        "chemical_formula_hill": "<hill>",
        "chemical_formula_iupac": "<iupac>",
        "chemical_formula_anonymous": _anonymous(p),
    }
    composition = [
        {
            "element": f"<s{k}>",
            "mass": slot(MASS + k),
            "atomic_fraction": n / atoms,
            "mass_fraction": slot(MASS_FRACTION + k),
        }
        for k, n in enumerate(p.counts)
    ]
    right, last = 1.5707963267948966, f"{p.hash}/run/0/system/{p.n_calculations - 1}"
    original = {
        "system_id": "results/material/topology/0",
        "label": "original",
        "method": "parser",
        "description": "A representative system chosen from the original simulation.",
        "dimensionality": "3D",
        **formulas,
        "atoms_ref": f"{last}/atoms",
        "n_atoms": p.n_atoms,
        "elemental_composition": composition,
        "system_relation": {"type": "root"},
        "cell": dict(zip("abc", [slot(EDGE)] * 3, strict=True))
        | {"alpha": right, "beta": right, "gamma": right, "volume": slot(VOLUME)}
        | {"atomic_density": slot(ATOMIC_DENSITY), "mass_density": slot(MASS_DENSITY)},
    }
    part = {
        **{k: v for k, v in original.items() if k != "cell"},
        "system_id": "results/material/topology/1",
        "label": "subsystem",
        "method": "matid",
        "description": "Automatically detected subsystem.",
        "structural_type": "bulk",
        "parent_system": "results/material/topology/0",
        "atomic_fraction": 1.0,
        "mass_fraction": 1.0,
        "indices": [list(range(p.n_atoms))],
        "system_relation": {"type": "subsystem"},
    }
    material = {
        "material_id": "<material_id>",
        "structural_type": "bulk",
        "dimensionality": "3D",
        **formulas,
        "chemical_formula_reduced_fragments": [f"<s{k}>{n if n > 1 else ''}" for k, n in enumerate(p.counts)],
        "elemental_composition": composition,
        "symmetry": symmetry(p) | {"space_group_symbol": p.group[0]},
        "topology": [original | {"child_systems": ["results/material/topology/1"]}, part]
        if p.detail > 1
        else [original],
    }
    if not p.detail:
        for name in ("topology", "elemental_composition", "chemical_formula_reduced_fragments"):
            del material[name]
    if p.size < 3_500:
        del material["symmetry"]
    return {"material": material, "method": _results_method(p), "properties": _properties(p, last, feature)}


def symmetry(p: Profile) -> Json:
    """The space group, without its own symbol."""
    names = (
        "space_group_number",
        "hall_number",
        "hall_symbol",
        "bravais_lattice",
        "crystal_system",
        "point_group",
    )
    return dict(zip(names, p.group[1:], strict=True))


def _results_method(p: Profile) -> Json:
    family, names = p.functional
    dft = {
        "basis_set_type": p.program[4],
        "core_electron_treatment": p.program[5],
        "jacobs_ladder": family,
        "xc_functional_type": family,
        "xc_functional_names": list(names),
    }
    simulation: Json = {"program_name": p.program[0], "program_version": p.version, "dft": dft}
    if p.detail:
        simulation["precision"] = {"basis_set": p.program[4], "k_line_density": 1.995574700145356e-10}
    return {"method_name": "DFT", "workflow_name": p.workflow, "simulation": simulation}


def _properties(p: Profile, system: str, feature: str | None) -> Json:
    properties: Json = {"n_calculations": p.n_calculations}
    if p.workflow == "SinglePoint" and p.detail:
        gap = {"index": 0, "value": slot(GAP), "type": "indirect"}
        properties["electronic"] = {
            "band_structure_electronic": [{"spin_polarized": False, "band_gap": [gap]}]
        }
    if p.workflow == "GeometryOptimization" and feature != NO_WORKFLOW:
        properties["geometry_optimization"] = {
            "trajectory": [f"{p.hash}/run/0/calculation/{k}" for k in range(p.n_calculations)],
            "system_optimized": system,
            "energies": f"{p.hash}/workflow2/results/energies",
            "type": "atomic",
            "final_energy_difference": slot(DIFFERENCE),
        }
    return properties


def optimade(p: Profile) -> Json:
    """The material once more, in OPTIMADE's words."""
    return {
        "elements": _elements(p),
        "nelements": len(p.counts),
        "elements_ratios": [n / sum(p.counts) for n in p.counts],
        "chemical_formula_descriptive": "<hill>",
        "chemical_formula_reduced": formula(p),
        "chemical_formula_hill": "<hill>",
        "chemical_formula_anonymous": _anonymous(p),
        "nperiodic_dimensions": 3,
        "nsites": p.n_atoms,
        "structure_features": [],
    }


def formula(p: Profile) -> str:
    """The formula, elements by symbol."""
    return "".join(f"<s{k}>{n if n > 1 else ''}" for k, n in enumerate(p.counts))


def _anonymous(p: Profile) -> str:
    pairs = zip("ABCDE", sorted(p.counts, reverse=True), strict=False)
    return "".join(f"{letter}{n if n > 1 else ''}" for letter, n in pairs)


def _elements(p: Profile) -> list[str]:
    return [f"<s{k}>" for k in range(len(p.counts))]
