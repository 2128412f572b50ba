"""Section `results` of generated archives: material, method and properties."""

from typing import Any

from nomad_dask.testing.generated.features import NO_WORKFLOW
from nomad_dask.testing.generated.material import last_system, material_section
from nomad_dask.testing.generated.placeholders import DIFFERENCE, GAP, slot
from nomad_dask.testing.generated.profiles import Profile

Json = dict[str, Any]


def results_section(p: Profile, feature: str | None = None) -> Json:
    """Return section `results`."""
    return {"material": material_section(p), "method": _method(p), "properties": _properties(p, feature)}


def _method(p: Profile) -> Json:
    family, names = p.functional
    dft = {
        "basis_set_type": p.program.basis_set_type,
        "core_electron_treatment": p.program.core_electrons,
        "jacobs_ladder": family,
        "xc_functional_type": family,
        "xc_functional_names": list(names),
    }
    simulation: Json = {"program_name": p.program.name, "program_version": p.version, "dft": dft}
    if p.detail:
        simulation["precision"] = {"basis_set": p.program.basis_set, "k_line_density": 1.995574700145356e-10}
    return {"method_name": "DFT", "workflow_name": p.workflow, "simulation": simulation}


def _properties(p: Profile, feature: str | None) -> Json:
    properties: Json = {"n_calculations": p.n_calculations}
    if p.workflow == "SinglePoint" and p.detail:
        gap = {"index": 0, "value": slot(GAP), "type": "indirect"}
        properties["electronic"] = {
            "band_structure_electronic": [{"spin_polarized": False, "band_gap": [gap]}]
        }
    if p.workflow == "GeometryOptimization" and feature != NO_WORKFLOW:
        properties["geometry_optimization"] = {
            "trajectory": [f"{p.hash}/run/0/calculation/{k}" for k in range(p.n_calculations)],
            "system_optimized": last_system(p),
            "energies": f"{p.hash}/workflow2/results/energies",
            "type": "atomic",
            "final_energy_difference": slot(DIFFERENCE),
        }
    return properties
