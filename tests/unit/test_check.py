"""SPEC, "Required": a path that the schema does not know is reported; one that may exist is not refused."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.common import paths
from nomad_dask.errors import RequiredError
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.check import EmptyPaths, empty_path_warnings, refuse_unknown, unknown, why_empty
from nomad_dask.request.include import parse_include
from nomad_dask.request.required import Required, parse


@pytest.fixture(scope="module")
def served(shared_data: Path) -> Definitions:
    return Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))


def doubted(
    required: Required, archives: list[dict[str, Any]], definitions: Definitions | None
) -> tuple[str, ...]:
    return empty_path_warnings(required, EmptyPaths.of(required).excluding(archives), definitions)


def asking(path: str) -> Required:
    tree: Any = "*"
    for key in reversed(path.split(".")):
        tree = {key: tree}
    return parse(tree)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("results.materal", "results.material"),
        ("results.materal.n_elements", "results.material"),
        ("material.n_elements", "results.material"),
        ("run[-1].calculation[0:2].enrgy.total", "run[-1].calculation[0:2].energy"),
        ("run.calculation.system_ref.atoms.lables", "run.calculation.system_ref.atoms.labels"),
        ("metadata.entry_nam", "metadata.entry_name"),
    ],
)
def test_a_path_where_nothing_can_be_is_refused_with_near_misses(
    served: Definitions, path: str, meant: str
) -> None:
    with pytest.raises(RequiredError, match="the server's schema has no") as caught:
        refuse_unknown(asking(path), served)
    assert f"did you mean {meant!r}" in str(caught.value) and "nomad-dask schema" in str(caught.value)


def test_nothing_is_below_a_number(served: Definitions) -> None:
    with pytest.raises(RequiredError, match="n_elements is int64, and the schema has nothing below it"):
        refuse_unknown(asking("results.material.n_elements.value"), served)


def test_all_mistakes_are_told_at_once(served: Definitions) -> None:
    tree = {"results": {"materal": "*", "mehtod": "*"}, "rn": "*", "metdata": "*"}
    with pytest.raises(RequiredError, match=r"'results\.materal'.*'results\.mehtod'.*'rn'.*and 1 more"):
        refuse_unknown(parse(tree), served)


def test_a_misspelt_exclude_is_told_too(served: Definitions) -> None:
    with pytest.raises(RequiredError, match="'rn'; did you mean 'run'"):
        refuse_unknown(parse({"*": "*", "rn": "exclude"}), served)


@pytest.mark.parametrize(
    "path",
    [
        "data.whatever.it.holds",
        "data.name.first",
        "run.method.x_some_program.value",
        "run.method.dft.xc_functional.exchange.parameters.cam_alpha",
        "workflow2.of_a_plugin",
        "workflow2.results.of_a_plugin",
        "workflow2.tasks.task.inputs",
        "metadata.main_author.name",
        "m_ref_archives",
        "run.m_def",
        "results.material.m_annotations",
    ],
)
def test_what_may_be_is_not_refused(served: Definitions, path: str) -> None:
    refuse_unknown(asking(path), served)


def test_whole_and_starred_trees_are_not_refused(served: Definitions) -> None:
    for tree in (None, "*", {}, {"resolve-inplace": True, "run": "*"}, {"*": {"anything": "*"}}):
        assert unknown(parse(tree), served) == ()
    refuse_unknown(asking("results.materal"), None)


def _places(value: Any, keys: tuple[str, ...]) -> set[tuple[str, ...]]:
    if isinstance(value, list):
        return set().union(*(_places(item, keys) for item in value)) if value else {keys}
    if not isinstance(value, dict) or not value:
        return {keys}
    return set().union(*(_places(item, (*keys, key)) for key, item in value.items()))


def _tree(keys: tuple[str, ...]) -> dict[str, Any]:
    tree: Any = "*"
    for key in reversed(keys):
        tree = {key: tree}
    whole: dict[str, Any] = tree
    return whole


def test_no_path_of_real_archives_is_refused(served: Definitions, shared_data: Path) -> None:
    """Of 157 archives and 160 documents; the schema itself knows far from all of them."""
    found: set[tuple[str, ...]] = set()
    for file in (shared_data / "archives").iterdir():
        found |= _places(orjson.loads(file.read_bytes())["archive"], ())
    found = {keys for keys in found if keys and not any("[" in key or "]" in key or not key for key in keys)}
    assert len(found) > 2000
    strange = [keys for keys in found if unknown(parse(_tree(keys)), served)]
    assert strange, "some are of one program's files"
    for keys in found:
        refuse_unknown(parse(_tree(keys)), served)
    documents: set[tuple[str, ...]] = set()
    for line in (shared_data / "documents.jsonl").read_bytes().splitlines():
        documents |= _places(orjson.loads(line), ())
    assert len(documents) > 100
    for keys in documents:
        refuse_unknown(parse_include(_tree(keys)), served)


def test_of_documents_only_what_the_server_would_not_refuse_is_looked_at(served: Definitions) -> None:
    """Names at the top are its own; below lists it is sent less than was written, and would not notice."""
    with pytest.raises(RequiredError, match="did you mean 'results.properties.electronic.band_gap.value'"):
        refuse_unknown(parse_include(["results.properties.electronic.band_gap.vlaue"]), served)
    refuse_unknown(parse_include(["entry_nam", "authors.name", "results.material.*"]), served)
    assert [one.path for one in unknown(parse_include(["entry_nam"]), served)] == ["entry_nam"]
    (told,) = doubted(parse_include(["entry_nam"]), [{"entry_id": "E"}], served)
    assert "did you mean 'entry_name'" in told


def test_a_doubt_needs_a_strange_path_and_nothing_at_it(served: Definitions) -> None:
    required = parse({"results": {"material": "*"}, "workflow2": {"of_a_plugin": "*"}, "data": {"mine": "*"}})
    empty, full = {"results": {"material": {"elements": []}}}, {"data": [{"mine": 0}], "workflow2": {}}
    (told,) = doubted(required, [empty, full], served)
    assert "'workflow2.of_a_plugin'" in told and "any of 2 entries" in told
    assert doubted(required, [], served) == ()
    assert doubted(asking("results.method"), [empty], served) == (), "rare, and right"


def test_without_a_schema_what_is_nowhere_is_told() -> None:
    (told,) = doubted(asking("results.materal"), [{"results": {}}], None)
    assert "'results.materal'" in told and "no schema" in told
    assert doubted(asking("results.material"), [{}, {"results": {"material": {}}}], None) == ()
    assert doubted(asking("a.ref.b"), [{"a": {"ref": "#/run/0"}}], None) == (), "a reference is not followed"


def test_why_a_right_path_is_idle(served: Definitions) -> None:
    required = asking("results.material")
    assert (
        why_empty("run.0.calculation", required, served)
        == "; required does not ask for it, only for results.material"
    )
    assert why_empty("results.material.symmetry", required, served) == "; none of these entries has it"
    assert why_empty("results.materal", required, served) == why_empty("run", required, None) == ""


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(
    JSON.filter(lambda value: isinstance(value, dict)),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3),
)
def test_a_path_is_seen_where_a_walk_comes_to_something(archive: dict[str, Any], keys: list[str]) -> None:
    def walked(value: Any, rest: list[str]) -> bool:
        if not rest:
            return value is not None
        if isinstance(value, list):
            return any(walked(item, rest) for item in value)
        return isinstance(value, dict) and rest[0] in value and walked(value[rest[0]], rest[1:])

    idle = EmptyPaths.of(parse(_tree(tuple(keys)))).excluding([archive])
    assert idle.paths == (() if walked(archive, keys) else (paths.join(keys),))
