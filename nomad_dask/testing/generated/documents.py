"""Search documents of generated entries as templates: metadata with people in full, and the results."""

from typing import Any

from nomad_dask.testing.generated.archives import quantities
from nomad_dask.testing.generated.material import optimade
from nomad_dask.testing.generated.metadata import metadata_section
from nomad_dask.testing.generated.profiles import Access, Profile
from nomad_dask.testing.generated.results import results_section

Json = dict[str, Any]


def document_template(p: Profile, access: Access, feature: str | None) -> Json:
    """The search document of the same entries: metadata with people in full, and the results.

    Its `quantities` name what the archive holds, which is built for that.
    """
    return searched_template(p, access, feature) | {"quantities": quantities(p, feature)}


def searched_template(p: Profile, access: Access, feature: str | None) -> Json:
    """The same without `quantities`, ten times as quickly."""
    document = {
        k: v
        for k, v in metadata_section(p, access, feature).items()
        if k not in ("entry_hash", "embargo_length")
    }
    author = {"name": "<author_name>", "user_id": "<author_id>"}
    coauthor = {"name": "<coauthor_name>", "user_id": "<coauthor_id>"}
    people = [author, coauthor] if document.pop("coauthors") else [author]
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
        "optimade": optimade(p) | {"nperiodic_dimensions": 3},
        "results": _searched(results_section(p, feature)),
    }


def _searched(part: Any) -> Any:
    """What the search index holds of `results`: no references, no masses, and what it counts of elements."""
    left_out = ("atoms_ref", "mass", "trajectory", "system_optimized", "energies", "indices")
    if isinstance(part, dict):
        kept = {name: _searched(below) for name, below in part.items() if name not in left_out}
        if "elements" in kept:
            kept |= {
                "elements_exclusive": " ".join(kept["elements"]),
                "n_elements": len(kept["elements"]),
            }
        return kept
    return [_searched(below) for below in part] if isinstance(part, list) else part
