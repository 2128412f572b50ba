"""Section `workflow2` of generated archives, and the target of its reference."""

from typing import Any

from nomad_dask.testing.generated.features import ABSENT, OUTSIDE, PRIVATE, REMOTE, UNRESOLVABLE, WITHIN
from nomad_dask.testing.generated.placeholders import DIFFERENCE, TOTAL, slot
from nomad_dask.testing.generated.profiles import WORKFLOWS, Profile

Json = dict[str, Any]


_CALCULATION = "#/run/0/calculation/0"
_RESULT_REFS = {
    WITHIN: f"../upload/archive/<target_entry>{_CALCULATION}",
    OUTSIDE: f"../uploads/<target_upload>/archive/<target_entry>{_CALCULATION}",
    PRIVATE: f"../uploads/<target_upload>/archive/<target_entry>{_CALCULATION}",
    ABSENT: f"../uploads/<target_upload>/archive/<target_entry>{_CALCULATION}",
    REMOTE: f"https://elsewhere.example/nomad/api/uploads/<target_upload>/archive/<target_entry>{_CALCULATION}",
    UNRESOLVABLE: "#/run/0/calculation/4711",
}


def workflow_section(p: Profile, feature: str | None) -> Json:
    """Return section `workflow2`, with a special reference if that is the feature."""
    run, n = f"{p.hash}/run/0", p.n_calculations
    found: Json = {
        "calculation_result_ref": _RESULT_REFS.get(feature or "", f"{run}/calculation/{n - 1}"),
        "calculations_ref": [f"{run}/calculation/{k}" for k in range(n)],
    }
    workflow: Json = {
        "m_def": WORKFLOWS[p.workflow],
        "inputs": [{"name": "Input system", "section": f"{run}/system/0"}],
        "outputs": [
            {"name": "Output calculation", "section": f"{run}/calculation/{n - 1}"},
            {"name": "Workflow results", "section": f"{p.hash}/workflow2/results"},
        ],
        "method": {"method": "DFT"} if p.workflow == "SinglePoint" else {"type": "atomic"},
        "results": found,
    }
    if p.workflow == "GeometryOptimization":
        found |= {"optimization_steps": n, "energies": [slot(TOTAL + k) for k in range(n)]}
        found |= {"final_energy_difference": slot(DIFFERENCE), "is_converged_geometry": True}
    elif p.workflow == "SinglePoint":
        found |= {"n_scf_steps": 11, "is_converged": True}
    else:
        workflow["method"] = {"thermodynamic_ensemble": "NVT", "integration_timestep": 1e-15}
        found["trajectory"] = [f"{run}/calculation/{k}" for k in range(n)]
    if p.detail:
        workflow["tasks"] = [_task(run, k) for k in range(n)]
    return workflow


def _task(run: str, k: int) -> Json:
    return {
        "name": f"Step {k}",
        "inputs": [
            {"name": "Input system", "section": f"{run}/system/{max(k - 1, 0)}"},
            {"name": "Input method", "section": f"{run}/method/0"},
        ],
        "outputs": [
            {"name": "Output calculation", "section": f"{run}/calculation/{k}"},
            {"name": "Output system", "section": f"{run}/system/{k}"},
        ],
    }
