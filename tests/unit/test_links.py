"""SPEC, "References": which ones `required` follows, where they may lack data, and what is requested then."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Row, many, requireds

from nomad_dask.common import paths
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.references import (
    Target,
    at,
    group_names,
    has_unresolved,
    links_of,
    may_have_unresolved,
    restore,
    target_of,
    tree_of,
)
from nomad_dask.request.required import Link, Required, parse

ENERGY = {"energy": {"total": {"value": "*"}}}
ENTRY = "e" * 28


@pytest.fixture(scope="module")
def definitions(shared_data: Path) -> Definitions:
    return Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        (
            {"workflow2": {"tasks": {"outputs": {"section": ENERGY}}}},
            {"workflow2.tasks.outputs.section": True},
        ),
        (
            {"workflow2": {"tasks[-1]": {"outputs": {"section": {"*": "*"}}}}},
            {"workflow2.tasks[-1].outputs.section": True},
        ),
        (
            {"workflow2": {"results": {"calculation_result_ref": {**ENERGY, "system_ref": {"atoms": "*"}}}}},
            {
                "workflow2.results.calculation_result_ref": False,
                "workflow2.results.calculation_result_ref.system_ref": False,
            },
        ),
        ({"workflow2": {"results": {"calculation_result_ref": "*"}}, "run": {"calculation": ENERGY}}, {}),
        ("*", {}),
        ({"workflow2": "include-resolved"}, {}),
    ],
)
def test_the_links_of_the_real_schema(definitions: Definitions, tree: Any, found: dict[str, bool]) -> None:
    links = links_of(parse(tree), definitions)
    assert {link.path: link.is_open for link in links} == found
    assert links_of(parse(tree), None) == ()
    for link in links:
        assert parse(link.probe).paths == (link.path,) and isinstance(link.below(tree), dict)


def sections_below(tree: Any, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, below in tree.items() if isinstance(tree, dict) else ():
        if isinstance(below, dict) and below and key not in ("*", "resolve-inplace"):
            found += [(*above, key)] * bool(above) + sections_below(below, (*above, key))
    return found


@given(many, requireds)
def test_without_a_schema_no_archive_is_passed_over_that_one_would_show(
    rows: list[Row], required: Required
) -> None:
    for keys in sections_below(required.tree):
        for is_open in (True, False):
            link = Link(paths.join(keys), is_open)
            for row in rows:
                assert may_have_unresolved(row, required.tree) or not has_unresolved(row, [link])


names = st.lists(st.sampled_from(["run", "0", "calculation", "1", "system"]), min_size=1, max_size=5)


@given(st.lists(names))
def test_each_target_is_asked_for_once_and_no_tree_has_one_inside_of_another(
    given_keys: list[list[str]],
) -> None:
    targets = [Target(ENTRY, ("run", *keys)) for keys in given_keys]
    groups = list(group_names(targets))
    assert sorted(one for group in groups for one in group) == sorted({target.names for target in targets})
    for group in groups:
        tree = tree_of(group, {"x": "*"})
        for one in group:
            assert at(tree, one) == {"x": "*"}


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("#/run/0/calculation/2", Target(ENTRY, ("run", "0", "calculation", "2"))),
        ("/workflow2/results", Target(ENTRY, ("workflow2", "results"))),
        ("../upload/archive/OTHER#/run/0", Target("OTHER", ("run", "0"))),
        ("../uploads/U/archive/OTHER#/run/0", Target("OTHER", ("run", "0"))),
        ("https://elsewhere.example/api/uploads/U/archive/OTHER#/run/0", None),
        ("31e2734c-8178-5296-92d3-0753640093df", None),
        ("#/run[0]/calculation", None),
        ("/0/run", None),
        ("", None),
        ("#/", None),
    ],
)
def test_where_a_reference_leads(reference: str, target: Target | None) -> None:
    assert target_of(reference, ENTRY) == target


def test_what_came_is_not_replaced_by_strings() -> None:
    link = Link("a.ref", is_open=True)
    archive: Any = {"a": [{"ref": {"x": 1}}, {"ref": {}}, {}, {"ref": [{"x": 1}, {}]}]}
    probe = {"a": [{"ref": "/1"}, {"ref": "/r/2"}, {}, {"ref": ["/r/3", "/r/4"]}]}
    assert [slot.reference for slot in restore(archive, probe, link)] == ["/r/2", "/r/4"]
    assert archive == {"a": [{"ref": {"x": 1}}, {"ref": "/r/2"}, {}, {"ref": [{"x": 1}, "/r/4"]}]}
    assert list(restore(archive, {"a": [{"ref": "/1"}]}, link)) == [], "another number of sections"


def test_a_narrower_tree_keeps_the_links() -> None:
    required = parse({"a": {"ref": {"x": "*"}}})
    linked = Required(required.text, links=(Link("a.ref", True),))
    assert required.links is None and linked.with_tree({"a": "*"}).links == linked.links
    assert linked.written == required.written
