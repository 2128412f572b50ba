"""Search documents of generated entries as templates: metadata with people in full, and the results."""

from typing import Any

from nomad_dask.testing.generated.features import EMPTY, NO_ARCHIVE, NO_WORKFLOW
from nomad_dask.testing.generated.material import optimade
from nomad_dask.testing.generated.metadata import metadata_section
from nomad_dask.testing.generated.profiles import Access, Profile
from nomad_dask.testing.generated.results import results_section

Json = dict[str, Any]


_TOLD = {
    "results": ("material", "material.elements", "method", "method.simulation", "properties"),
    "run": (
        "program",
        "program.name",
        "calculation",
        "calculation.energy",
        "calculation.energy.total",
        "system",
    ),
    "workflow2": ("results", "results.calculation_result_ref", "results.calculations_ref"),
}
"""What the `quantities` of a document name, of the many that the archive's own name."""


def document_template(p: Profile, access: Access, feature: str | None) -> Json:
    """The search document of the same entries: metadata with people in full, and the results."""
    document = {
        k: v
        for k, v in metadata_section(p, access, feature).items()
        if k not in ("entry_hash", "embargo_length")
    }
    author = {"name": "<author_name>", "user_id": "<author_id>"}
    coauthor = {"name": "<coauthor_name>", "user_id": "<coauthor_id>"}
    people = [author, coauthor] if document.pop("coauthors") else [author]
    names = [f"{name}.{below}" for name in ("results", "run") for below in _TOLD[name]] + [
        "metadata",
        "results",
        "run",
    ]
    names += (
        ["workflow2", *(f"workflow2.{below}" for below in _TOLD["workflow2"])]
        if feature != NO_WORKFLOW
        else []
    )
    return document | {
        "calc_id": "<entry_id>",
        "origin": "<author_name>",
        "main_author": author,
        "authors": people,
        "writers": people,
        "viewers": people,
        "writer_groups": [],
        "viewer_groups": [],
        "datasets": [],
        "readonly": False,
        "quantities": ["", *sorted(names)] if feature not in (EMPTY, NO_ARCHIVE) else [],
        "optimade": optimade(p),
        "results": _searched(results_section(p, feature)),
    }


def _searched(part: Any) -> Any:
    """What the search index holds of `results`: no references, no masses."""
    left_out = ("atoms_ref", "mass", "trajectory", "system_optimized", "energies", "indices")
    if isinstance(part, dict):
        kept = {name: _searched(below) for name, below in part.items() if name not in left_out}
        return kept | {"elements_exclusive": " ".join(kept["elements"])} if "elements" in kept else kept
    return [_searched(below) for below in part] if isinstance(part, list) else part
