"""SPEC, "Required": what is refused, which paths a tree names, what is sent, how it is split."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomad_dask.errors import RequiredError, UserError
from nomad_dask.request.references import merge
from nomad_dask.request.required import Required, parse, prune, split

REFERENCE = {
    "workflow2": {
        "results": {
            "calculation_result_ref": {"energy": "*", "system_ref": {"chemical_composition_reduced": "*"}}
        }
    }
}

names = st.sampled_from(["a", "b", "c", "d"])
keys = st.one_of(names, names.map(lambda n: f"{n}[-1]"), names.map(lambda n: f"{n}[0:2]"), st.just("*"))
directives = st.sampled_from(["*", "include", "include-resolved", "exclude"])


def plain(key: str) -> str:
    return key.partition("[")[0]


trees = st.recursive(
    directives,
    lambda below: st.lists(st.tuples(keys, below), max_size=3, unique_by=lambda item: plain(item[0])).map(
        dict
    ),
    max_leaves=12,
).filter(lambda tree: tree != "exclude")


def dicts(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(names, values, max_size=4)


archives = dicts(
    st.recursive(
        st.integers(-3, 3) | st.text(max_size=3),
        lambda v: dicts(v) | st.lists(dicts(v), max_size=3),
        max_leaves=15,
    )
)


@pytest.mark.parametrize("whole", [None, "*", "include", "include-resolved", {"*": "*"}])
def test_whole_archive(whole: Any) -> None:
    required = parse(whole)
    assert required.is_whole
    assert required.paths == ("*",)
    kept = prune({"run": [1], "m_ref_archives": {"x": 1}}, required.root)
    assert kept == {"run": [1]}


def test_empty_tree_asks_for_nothing() -> None:
    required = parse({})
    assert not required.is_whole
    assert required.paths == ()
    assert prune({"run": 1}, required.root) == {}
    assert required.request(in_place=True) == {"resolve-inplace": True}


def test_required_paths_are_the_leaves_as_written() -> None:
    tree = {
        "resolve-inplace": True,
        "run[-1]": {"a.b": "*", "x": "exclude", "y": {}},
        **REFERENCE,
        "*": "include",
    }
    assert parse(tree).paths == (
        "run[-1].a\\.b",
        "workflow2.results.calculation_result_ref.energy",
        "workflow2.results.calculation_result_ref.system_ref.chemical_composition_reduced",
        "*",
    )


@pytest.mark.parametrize(
    ("tree", "where"),
    [
        ("nope", "'nope' at the top"),
        ("exclude", "at the top"),
        (5, "5"),
        ([], "a list"),
        (True, "True"),
        ({"run": "nope"}, "'nope' at run;"),
        ({"run": {"calculation[-1]": {"energy": "nope"}}}, "'nope' at run.calculation[-1].energy"),
        ({"run": 5}, "at run"),
        ({"run": []}, "at run"),
        ({"run": [{}]}, "at run"),
        ({"run": {"x": None}}, "null at run.x"),
        ({"run": {"x": True}}, "at run.x"),
        ({"run[a]": "*"}, "'run[a]' at the top"),
        ({"run[ 0 ]": "*"}, "'run[ 0 ]'"),
        ({"run[0:2:1]": "*"}, "'run[0:2:1]'"),
        ({"run[]": "*"}, "'run[]'"),
        ({"run[0": "*"}, "'run[0'"),
        ({"run[--1]": "*"}, "'run[--1]'"),
        ({"[0]": "*"}, "'[0]'"),
        ({"": "*"}, "''"),
        ({"*[0]": "*"}, "'*[0]'"),
        ({"run": {"x[a]": "*"}}, "'x[a]' at run"),
        ({1: "*"}, "1 at the top"),
        ({"resolve-inplace": 1, "run": "*"}, "resolve-inplace"),
        ({"run": {"resolve-inplace": True}}, "at run.resolve-inplace"),
        ({"run[0]": "*", "run[-1]": "*"}, "'run[0]' and 'run[-1]' at the top"),
    ],
)
def test_a_malformed_tree_is_refused_with_the_path_of_the_mistake(tree: Any, where: str) -> None:
    with pytest.raises(RequiredError) as caught:
        parse(tree)
    assert where in str(caught.value)
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize("index", ["0", "-1", "0:2", "-2:", ":2", "2:", "1:-1", ":", "3:99"])
def test_indices_and_slices(index: str) -> None:
    required = parse({f"run[{index}]": {"program": "*"}})
    assert required.paths == (f"run[{index}].program",)
    assert prune({"run": [{"program": 1, "m_def": 2}]}, required.root) == {"run": [{"program": 1}]}


def test_request_sets_and_clears_in_place_resolving() -> None:
    for tree in (REFERENCE, {"resolve-inplace": False, **REFERENCE}, {"resolve-inplace": True, **REFERENCE}):
        assert parse(tree).request(in_place=True) == {"resolve-inplace": True, **REFERENCE}
        assert parse(tree).request(in_place=False) == REFERENCE
        assert parse(tree).tree == tree
    assert parse(None).request(in_place=True) == "*"
    assert parse("include-resolved").request(in_place=True) == "include-resolved"


def test_prune_keeps_named_sections_exclusions_and_references() -> None:
    tree = parse({"*": "*", "run": {"*": "*", "m_def": "exclude"}, "results": "exclude", "ref": {"x": "*"}})
    archive = {
        "run": [{"m_def": 1, "a": 2}],
        "results": 3,
        "data": {"m_def": 4},
        "ref": "/run/0",
        "m_ref_archives": 5,
    }
    assert prune(archive, tree.root) == {"run": [{"a": 2}], "data": {"m_def": 4}, "ref": "/run/0"}


@settings(deadline=None)
@given(trees)
def test_a_required_tree_is_a_plain_value(tree: Any) -> None:
    required = parse(tree)
    assert required.root is required.root
    back = pickle.loads(pickle.dumps(required))
    assert back == required
    assert hash(back) == hash(required)
    assert parse(required) is required
    assert Required(required.text).tree == tree


@settings(deadline=None)
@given(trees, archives)
def test_narrower_trees_give_the_same_parts(tree: Any, archive: dict[str, Any]) -> None:
    """Cutting at the first level that branches, and again, loses nothing and adds nothing."""
    required = parse(tree)
    whole = prune(archive, required.root)
    once = split(required)
    assert merge([prune(archive, piece.root) for piece in once]) == whole
    twice = [piece for part in once for piece in split(part)]
    assert merge([prune(archive, piece.root) for piece in twice]) == whole


def test_split_cuts_one_level_and_keeps_slices() -> None:
    tree = {
        "resolve-inplace": True,
        "run[-1]": {"program": "*", "method[0]": {"x": "*", "y": "*"}, "z": "exclude"},
    }
    assert [piece.tree for piece in split(parse(tree))] == [
        {"resolve-inplace": True, "run[-1]": {"program": "*"}},
        {"resolve-inplace": True, "run[-1]": {"method[0]": {"x": "*", "y": "*"}}},
    ]
    assert split(parse(REFERENCE))[0].paths == ("workflow2.results.calculation_result_ref.energy",)
    assert [len(split(parse(tree))) for tree in ("*", {}, {"run": "*"}, {"a": {}})] == [1, 1, 1, 1]


def test_the_server_refuses_what_we_refuse_and_takes_what_we_take(shared_data: Path) -> None:
    """Recorded: 4xx and 5xx for a malformed tree, 200 for a good one; the exception loses data silently."""
    checked = 0
    for line in (shared_data / "recorded.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["path"] != "entries/archive/query" or "required" not in record["request"]:
            continue
        name, status = record["name"], record["status"]
        if status in (401, 403) or name in (
            "index on no list",
            "reference to another installation, in place",
        ):
            continue
        good = status == 200 and name != "run[-1] and run[0]"
        checked += 1
        try:
            parse(record["request"]["required"])
        except RequiredError:
            assert not good, name
        else:
            assert good, name
    assert checked > 50
