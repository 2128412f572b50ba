"""Templates of the search documents of generated entries."""

from typing import Any

from nomad_dask.testing.corpus import values_at
from nomad_dask.testing.generated.archives import SECTION_NAMES, quantities
from nomad_dask.testing.generated.material import optimade
from nomad_dask.testing.generated.metadata import metadata_section
from nomad_dask.testing.generated.profiles import Access, Profile
from nomad_dask.testing.generated.results import results_section
from nomad_dask.testing.quantities import QUANTITIES

Json = dict[str, Any]


def document_template(p: Profile, access: Access, feature: str | None) -> Json:
    """Return the search document of entries: metadata with details of people, and results.

    Builds the archive for the names in `quantities`.
    """
    names = quantities(p, feature)
    return searched_template(p, access, feature) | {"quantities": names, "n_quantities": len(names)}


def searched_template(p: Profile, access: Access, feature: str | None) -> Json:
    """Return the same without `quantities` and `n_quantities`. Ten times faster."""
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
        "optimade": _optimade(p),
        "sections": SECTION_NAMES,
        "results": _results(p, feature),
    }


def _results(p: Profile, feature: str | None) -> Json:
    """Return the results, with the names of properties that only the index has."""
    results = _searched(results_section(p, feature), "results")
    results["method"]["simulation"]["program_version_internal"] = "not processed"
    properties = results["properties"]
    held = properties | properties.get("electronic", {})
    there = [name for name in _PROPERTIES if values_at(held, name)]
    return results | {"properties": properties | {"available_properties": there}}


_PROPERTIES = (
    "band_structure_electronic",
    "electronic.band_structure_electronic.band_gap",
    "geometry_optimization",
)


def _optimade(p: Profile) -> Json:
    """Return the section as in the index: one item for each element, with its fraction."""
    section = optimade(p)
    shares = [
        {"elements": element, "elements_ratios": share}
        for element, share in zip(section["elements"], section["elements_ratios"], strict=True)
    ]
    return section | {"elements_ratios": [shares] * len(shares), "nperiodic_dimensions": 3}


def _searched(part: Json, above: str) -> Json:
    """Return the part of a section that is in the search index: known quantities, and counts of elements."""
    kept: Json = {}
    for name, below in part.items():
        path = f"{above}.{name}"
        if isinstance(below, dict):
            below = _searched(below, path)
        elif isinstance(below, list) and below and isinstance(below[0], dict):
            below = [_searched(item, path) for item in below]
            if not any(below):
                continue
        elif path not in QUANTITIES:
            continue
        if below != {}:
            kept[name] = below
    if "elements" in kept:
        kept["elements_exclusive"] = " ".join(kept["elements"])
        kept["n_elements"] = len(kept["elements"])
    return kept
