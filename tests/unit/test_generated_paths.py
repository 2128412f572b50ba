"""Generated archives and documents have the paths that real ones have, and no others; each exception has its
reason.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nomad_dask.testing.generate import generate

PROTOTYPES = "a lookup gives it to structures that have a name; generated ones have none"
IN_ARCHIVES = {
    "m_ref_archives": "the server adds it to every answer",
    "results.material.material_name": PROTOTYPES,
    "results.material.symmetry.prototype_aflow_id": PROTOTYPES,
    "results.material.symmetry.prototype_formula": PROTOTYPES,
    "results.material.symmetry.strukturbericht_designation": PROTOTYPES,
    "results.material.topology.symmetry.prototype_label_aflow": PROTOTYPES,
    "results.material.topology.symmetry.prototype_name": PROTOTYPES,
    "run.system.prototype": PROTOTYPES,
    "results.material.topology.atoms.m_def": "a section of an older schema, which the server's schema does not know",  # noqa: E501
    "run.method.electrons_representation.basis_set": "details of a basis set, which differ from code to code",
}
"""What at least half of the recorded archives have and generated ones have not, with all below it."""
FREE = "the value is any JSON: its keys are no names of the schema"
ONLY_GENERATED = {
    "run.method.x_ams_run_config.Calculate grad. of basis": FREE,
    "run.method.x_ams_run_config.a.b": FREE,
}
IN_DOCUMENTS = {
    "section_defs": "documents of one shape share a template, archives of one shape differ in it",
    **{name: why for name, why in IN_ARCHIVES.items() if why is PROTOTYPES and name.startswith("results")},
    "results.material.symmetry.structure_name": PROTOTYPES,
}
"""The same of search documents."""


def paths(tree: Any, above: str = "") -> Iterator[str]:
    """Dotted names of all sections and quantities, without the numbers of lists."""
    if isinstance(tree, list):
        for item in tree:
            yield from paths(item, above)
    elif isinstance(tree, dict):
        for name, below in tree.items():
            path = f"{above}.{name}" if above else name
            yield path
            yield from paths(below, path)


def counted(trees: Iterator[Any]) -> Counter[str]:
    """In how many trees each path is."""
    return Counter(path for tree in trees for path in set(paths(tree)))


@pytest.fixture(scope="module")
def generated() -> dict[str, Counter[str]]:
    """Of entries of each kind of corpus, with all that can be special about one."""
    found: dict[str, Counter[str]] = {"archives": Counter(), "documents": Counter()}
    for kind in ("mixed", "small", "large", "results"):
        corpus = generate(400, kind=kind, private_share=0.2)
        special = {(entry.state, corpus.feature(i)): i for i, entry in enumerate(corpus.entries)}
        some = {*special.values(), *range(40)} if kind == "mixed" else range(12)
        found["archives"] += counted(corpus.archive(i) for i in some)
        found["documents"] += counted(corpus.document(i) for i in some)
    return found


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> dict[str, Counter[str]]:
    files = (shared_data / "archives").glob("*.json")
    lines = (shared_data / "documents.jsonl").read_bytes().splitlines()
    return {
        "archives": counted(json.loads(file.read_bytes())["archive"] for file in files),
        "documents": counted(map(json.loads, lines)),
    }


@pytest.mark.parametrize(("what", "more"), [("archives", ONLY_GENERATED), ("documents", {})])
def test_every_generated_path_is_one_of_real_entries(generated, recorded, what, more):
    assert generated[what].keys() - recorded[what].keys() == more.keys()


@pytest.mark.parametrize(("what", "without"), [("archives", IN_ARCHIVES), ("documents", IN_DOCUMENTS)])
def test_what_real_entries_have_generated_ones_have(generated, recorded, what, without):
    """All that at least half of them have; other paths are of single codes, methods and kinds of workflow.
    What begins
    with `x_` is a code's own."""
    half = max(recorded[what].values()) / 2
    common = {path for path, n in recorded[what].items() if n >= half and not re.search(r"(^|\.)x_", path)}
    absent = common - generated[what].keys()
    assert {path for path in absent if not any(is_below(path, one) for one in without)} == set()
    assert {one for one in without if one not in absent} == set(), "no exception that is none"
    assert len(common - absent) > 100


def is_below(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}.")


def test_what_only_documents_have_is_in_no_archive(generated, recorded):
    """`results.material.n_elements`, and all else that NOMAD derives for its search."""
    told = {f"metadata.{path}" for path in recorded["documents"] if not path.startswith("results")}
    told |= {path for path in recorded["documents"] if path.startswith("results")}
    searched = told - recorded["archives"].keys()
    assert "results.material.n_elements" in searched and len(searched) > 15
    assert not searched & generated["archives"].keys()
    assert "results.material.n_elements" in generated["documents"]
