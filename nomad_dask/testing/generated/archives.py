"""Templates of whole generated archives."""

from collections.abc import Iterator
from functools import lru_cache
from random import Random
from sys import intern
from typing import Any

import orjson

from nomad_dask.testing.generated.features import EMPTY, NO_ARCHIVE, NO_WORKFLOW, NOT_FINITE, UNUSUAL
from nomad_dask.testing.generated.material import optimade, optimade_sites
from nomad_dask.testing.generated.metadata import metadata_section
from nomad_dask.testing.generated.profiles import Access, Profile
from nomad_dask.testing.generated.results import results_section
from nomad_dask.testing.generated.run import run_section
from nomad_dask.testing.generated.workflow import workflow_section

Json = dict[str, Any]


SECTION_NAMES = [
    "nomad.datamodel.datamodel.EntryArchive",
    "nomad.datamodel.datamodel.EntryMetadata",
    "nomad.datamodel.results.Results",
    "nomad.datamodel.results.Material",
    "nomad.datamodel.results.Method",
    "nomad.datamodel.results.Properties",
    "nomad.datamodel.optimade.OptimadeEntry",
    "runschema.run.Run",
    "runschema.run.Program",
    "runschema.method.Method",
    "runschema.method.DFT",
    "runschema.system.System",
    "runschema.system.Atoms",
    "runschema.calculation.Calculation",
    "runschema.calculation.Energy",
    "runschema.calculation.EnergyEntry",
    "nomad.datamodel.metainfo.workflow.Link",
]
"""The sections that archives name."""

_FREE = "x_ams_run_config"
"""A quantity whose value is any JSON."""
_TOLD = ("domain", "entry_name", "entry_type", "mainfile", "optimade", "parser_name", "quantities", "section")
_OF_METADATA = tuple(f"metadata.{name}" for name in _TOLD)
"""Prefixes of the names that `metadata.quantities` lists; all entries have the other names."""


def archive_template(p: Profile, access: Access, feature: str | None) -> Json:
    """Return the archive of all entries with this profile, access and feature. Takes milliseconds at most."""
    if feature in (EMPTY, NO_ARCHIVE):
        return {}
    rng = Random(f"{p.seed}/numbers")
    archive: Json = {
        "metadata": metadata_section(p, access, feature),
        "results": results_section(p, feature),
        "run": [run_section(p, rng)],
    }
    if feature != NO_WORKFLOW:
        archive["workflow2"] = workflow_section(p, feature)
    run = archive["run"][0]
    if feature == NOT_FINITE:
        for calculation in run["calculation"]:
            calculation["energy"]["total"]["value"] = None
    if feature == UNUSUAL:
        run["program"]["version"] += " β-Version – „中文“ 🧬"
        run["method"][0][_FREE] = {
            "Use Symmetry": "yes",
            "Calculate grad. of basis": 1,
            "a.b": [0.5],
        }
    _grow(archive, p, rng)
    return archive


def _grow(archive: Json, p: Profile, rng: Random) -> None:
    """Add large values to metadata and the last calculation, up to the size of the profile."""
    metadata, calculation = archive["metadata"], archive["run"][0]["calculation"][-1]
    if p.detail:
        metadata["optimade"] = optimade(p) | optimade_sites(p)
        metadata["sections"] = list(SECTION_NAMES)
    if p.detail > 1:
        metadata["quantities"] = _named(archive)
        metadata["n_quantities"] = len(metadata["quantities"])
    left = p.size - len(orjson.dumps(archive))
    if p.detail > 1 and left > 2_000:
        metadata["section_defs"] = [_definition(k, rng) for k in range(min(60, left // 170))]
        left -= 170 * len(metadata["section_defs"])
    if left > 1_000:
        steps = min(40, left // 300)
        calculation["scf_iteration"] = [_iteration(rng) for _ in range(steps)]
        left -= 105 * steps
    if left > 40_000:
        n = left // 2 // 44
        calculation["dos_electronic"] = [
            {"energies": _numbers(n, rng), "total": [{"value": _numbers(n, rng)}]}
        ]
        left //= 2
    if left > 500:
        n_bands, n_kpoints = 12, max(1, left // (12 * 27 + 70))
        bands = [_numbers(n_bands, rng) for _ in range(n_kpoints)]
        kpoints = [[rng.random() for _ in "xyz"] for _ in range(n_kpoints)]
        occupations = [[2.0] * 4 + [0.0] * (n_bands - 4)] * n_kpoints
        calculation["eigenvalues"] = [{"kpoints": kpoints, "energies": [bands], "occupations": [occupations]}]
    if p.detail > 1:
        metadata["quantities"] = _named(archive)
        metadata["n_quantities"] = len(metadata["quantities"])


def _numbers(n: int, rng: Random) -> list[float]:
    return [rng.random() * 1e-18 for _ in range(n)]


def _iteration(rng: Random) -> Json:
    energy = rng.gauss(-2e-15, 1e-18)
    return {
        "time_calculation": round(rng.random() * 9, 2),
        "energy": {"total": {"value": energy}, "change": energy / 1e5},
    }


def _definition(k: int, rng: Random) -> Json:
    name = (
        SECTION_NAMES[k]
        if k < len(SECTION_NAMES)
        else f"nomad.datamodel.metainfo.simulation.part_{k}.Section{k}"
    )
    return {
        "definition_qualified_name": name,
        "definition_id": f"{rng.getrandbits(160):040x}",
        "used_directly": k % 2 == 0,
    }


@lru_cache(maxsize=1024)
def quantities(p: Profile, feature: str | None) -> tuple[str, ...]:
    """Return the names in `metadata.quantities` for this profile and feature. Cached: builds the archive."""
    return tuple(_named(archive_template(p, "public", feature)))


def _named(archive: Json) -> list[str]:
    """Return the names of all quantities and sections, except types, free values and the ids of the entry."""
    found = {
        intern(name)
        for name in paths(archive)
        if not name.endswith(".m_def")
        and f".{_FREE}." not in name
        and (not name.startswith("metadata.") or name.startswith(_OF_METADATA))
    }
    return ["", *sorted(found)] if found else []


def paths(part: Any, above: str = "") -> Iterator[str]:
    """Return the names of everything in an archive, without list indices."""
    if isinstance(part, list) and not (part and isinstance(part[0], dict)):
        return
    for below in part if isinstance(part, list) else (part,):
        if isinstance(below, dict):
            for name, value in below.items():
                path = f"{above}.{name}" if above else name
                yield path
                yield from paths(value, path)
