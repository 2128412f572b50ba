"""SPEC, "Layouts": `entries_to_dataframe` equals nomad-lab's wide frame, where that is right."""

import asyncio
import json
import re
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nomad_dask import UserError

REFERENCE = "workflow2.results.calculation_result_ref"
TARGET = {"energy": "*", "system_ref": {"chemical_composition_reduced": "*"}}
REFERRING = {"workflow2": {"results": {"calculation_result_ref": TARGET}}}
PARTS = {"results": {"material": "*"}, "run": {"program": "*", "calculation": {"energy": "*"}}}


def both(peer: Any, ours: Any, url: Any, **arguments: Any) -> tuple[Any, Any]:
    """nomad-lab's query and ours, which have downloaded the same entries.

    Without those that have no archive, for which nomad-lab's typed download fails as a whole.
    """
    query = {"and": [arguments.pop("query", {}), {"not": {"entry_id:any": without_archive(url)}}]}
    theirs = peer.query(url, query=query, **arguments)
    theirs.fetch()
    theirs.download()
    mine = ours(url, query=asked(url), **arguments)
    mine.download()
    return theirs, mine


def asked(url: Any) -> dict[str, Any]:
    """The query that nomad-lab sent: with its condition on quantities, without which ours would list more
    entries.
    """
    listing = [seen.body for seen in url.log if seen.path == "entries/query"][-1]
    query: dict[str, Any] = listing["query"]
    return query


def without_archive(url: Any) -> list[str]:
    return [entry.entry_id for entry in url.corpus.entries if not entry.has_archive] + ["nobody"]


def native(value: Any) -> Any:
    """A cell of ours as plain Python, and without what is null in a section."""
    if isinstance(value, np.ndarray):
        return native(value.tolist())
    if isinstance(value, dict):
        return {k: v for k, v in ((k, native(v)) for k, v in value.items()) if v is not None}
    if isinstance(value, list | tuple):
        return [native(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return None if value is None or value is pd.NA or value != value else value


def same(theirs: Any, mine: Any) -> bool:
    """Whether two cells are equal. What cannot meet in one Arrow type is JSON text in ours."""
    theirs, mine = native(theirs), native(mine)
    if theirs == mine or not isinstance(mine, str):
        return bool(theirs == mine)
    try:
        return bool(native(json.loads(mine)) == theirs)
    except ValueError:
        return False


def column(frame: dict[str, Any], name: str) -> list[Any]:
    """A column of nomad-lab's frame."""
    k = frame["columns"].index(name)
    return [row[k] for row in frame["rows"]]


def differing(theirs: dict[str, Any], mine: pd.DataFrame, names: dict[str, str]) -> list[tuple[Any, ...]]:
    """Cells in which nomad-lab's column (the key) and ours (the value) differ."""
    assert len(theirs["rows"]) == len(mine)
    return [
        (name, row, a, b)
        for name, own in names.items()
        for row, (a, b) in enumerate(zip(column(theirs, name), mine[own].tolist(), strict=True))
        if not same(a, b)
    ]


def known(columns: Any) -> list[str]:
    """Columns but those of schemas that nomad-lab has not installed, which it drops."""
    return [name for name in columns if not any(part.startswith("x_") for part in name.split("."))]


@pytest.mark.parametrize(
    "query", [{"results.material.elements": ["O"]}, {"results.material.elements": ["Si"]}]
)
def test_the_whole_archive_as_a_wide_frame(peer, ours, recorded, query):
    """The same columns, sorted, the same values; ours has the code-specific ones too, and entry_id as its
    index.
    """
    theirs, mine = both(peer, ours, recorded, query=query, results_max=15)
    wide, own = theirs.entries_to_dataframe(), mine.entries_to_dataframe(resolve_references=False)
    assert len(own) >= 10
    assert own.index.name == "entry_id"
    assert list(own.columns) == sorted(own.columns)
    assert known(own.columns) == wide["columns"]
    assert differing(wide, own, {name: name for name in wide["columns"]}) == []


@pytest.mark.parametrize(
    "required",
    [{"results": {"material": "*"}}, {"run[0]": {"calculation[-1]": {"energy": "*"}}}, {"results": "*"}],
    ids=["a section", "slices", "results"],
)
def test_required_parts_as_a_wide_frame(peer, ours, recorded, required):
    """Types that the server adds unasked (`m_def`) above what is required are no columns of ours."""
    theirs, mine = both(peer, ours, recorded, required=required, results_max=40)
    wide, own = theirs.entries_to_dataframe(), mine.entries_to_dataframe(resolve_references=False)
    assert len(own) >= 10
    assert known(own.columns) == wide["columns"]
    assert differing(wide, own, {name: name for name in wide["columns"]}) == []


def test_the_frame_of_the_guide(peer, ours, archive):
    """The guide's filter; nomad-lab 2.0 shows its frame only if references are resolved, which it does not by
    default.

    Where something below the filter is numbered (`energy.contributions.0.value`), nomad-lab packs it into a
    cell.
    """
    theirs, mine = both(peer, ours, archive, required=REFERRING, page_size=10, results_max=19)
    wide = theirs.entries_to_dataframe(keys_to_filter=[REFERENCE], resolve_references=True)
    own = mine.entries_to_dataframe(keys_to_filter=[REFERENCE])
    packed = {name for name in wide["columns"] if name not in own.columns}
    numbered = {name for name in own.columns if re.search(r"\.\d+\.", name)}
    assert packed == {re.split(r"\.\d+\.", name)[0] for name in numbered}
    assert [name for name in own.columns if name not in numbered] == sorted(set(wide["columns"]) - packed)
    assert "system_ref.chemical_composition_reduced" in own.columns
    assert "energy.total.value" in own.columns
    assert differing(wide, own, {name: name for name in wide["columns"] if name not in packed}) == []


def test_resolved_references_stand_under_the_required_path_only(peer, ours, archive):
    """nomad-lab's frame holds each target twice: also where the server placed it, below `run`. Ours does
    not.
    """
    theirs, mine = both(peer, ours, archive, required=REFERRING, results_max=19)
    wide = theirs.entries_to_dataframe(resolve_references=True)
    own = mine.entries_to_dataframe()
    assert list(own.columns) == [name for name in wide["columns"] if name.startswith(REFERENCE)]
    assert {name.split(".")[0] for name in wide["columns"]} == {"run", "workflow2"}
    assert differing(wide, own, {name: name for name in own.columns}) == []


def test_unresolved_references_stay_strings(peer, ours, generated):
    """`#/run/...` where nomad-lab says `/run/...`: ours is what the archive says."""
    theirs, mine = both(peer, ours, generated, required=REFERRING, results_max=19)
    wide = theirs.entries_to_dataframe(resolve_references=False)
    own = mine.entries_to_dataframe(resolve_references=False)
    assert list(own.columns) == [REFERENCE]
    expected = [text.lstrip("#") for text in column(wide, REFERENCE)]
    assert [text.lstrip("#") for text in own[REFERENCE]] == expected


@pytest.mark.parametrize(
    "keys", [["results.material"], ["run.0.program"], ["results.material", "run.0.program"]]
)
def test_a_filter_that_nomad_lab_gets_right(peer, ours, recorded, keys):
    arguments = {"required": {"results": {"material": {"elements": "*"}}, "run": {"program": "*"}}}
    theirs, mine = both(peer, ours, recorded, results_max=30, **arguments)
    wide = theirs.entries_to_dataframe(keys_to_filter=keys)
    own = mine.entries_to_dataframe(keys_to_filter=keys, resolve_references=False)
    assert sorted(known(own.columns)) == sorted(wide["columns"])
    assert differing(wide, own, {name: name for name in wide["columns"]}) == []


WRONG = {
    "a list": ["run"],
    "a list in a list": ["run.0.calculation"],
    "nested": ["run.0.program", "run"],
    "a value": ["run.0.program.name"],
    "a shared end": ["run.0.calculation.0.energy.total", "run.0.calculation.1.energy.total"],
}


@pytest.mark.parametrize("keys", [pytest.param(keys, id=name) for name, keys in WRONG.items()])
def test_a_filter_that_nomad_lab_gets_wrong(peer, ours, recorded, keys):
    """nomad-lab's filter loses columns of numbered lists, packs them into cells, or fails; ours keeps them by
    name.

    A key ends at a dot or at the end of the name; it is cut off; a name that would be there twice stays
    whole.
    """
    theirs, mine = both(peer, ours, recorded, required=PARTS, results_max=20)
    whole = theirs.entries_to_dataframe()
    wanted = shown(whole["columns"], keys)
    try:
        found = theirs.entries_to_dataframe(keys_to_filter=keys)["columns"]
    except peer.error as exc:
        found = exc.args
    assert sorted(found) != sorted(wanted.values())
    own = mine.entries_to_dataframe(keys_to_filter=keys, resolve_references=False)
    assert known(own.columns) == list(wanted.values())
    assert differing(whole, own, wanted) == []


def shown(columns: list[str], keys: list[str]) -> dict[str, str]:
    """The columns at or below the keys, and the names that they should have."""
    found = {
        name: max((k for k in keys if f"{name}.".startswith(f"{k}.")), key=len)
        for name in columns
        if f"{name}.".startswith(tuple(f"{k}." for k in keys))
    }
    short = {name: name[len(key) + 1 :] or name for name, key in found.items()}
    twice = [name for name, count in Counter(short.values()).items() if count > 1]
    return {name: name if cut in twice else cut for name, cut in short.items()}


def test_a_filter_that_ends_within_a_name(peer, ours, generated):
    """nomad-lab takes it for a match, and leaves the name whole; ours names what may have been meant."""
    required = {"results": {"material": {"elements": "*"}}}
    theirs, mine = both(peer, ours, generated, required=required, results_max=5)
    found = theirs.entries_to_dataframe(keys_to_filter=["results.mat"])["columns"]
    assert found == ["results.material.elements"]
    with pytest.raises(UserError, match=r"results\.material"):
        mine.entries_to_dataframe(keys_to_filter=["results.mat"])


def test_a_filter_that_matches_nothing(peer, ours, generated):
    """nomad-lab gives a frame without columns; ours says so."""
    theirs, mine = both(
        peer, ours, generated, required={"results": {"material": {"elements": "*"}}}, results_max=5
    )
    assert theirs.entries_to_dataframe(keys_to_filter=["result.material"])["columns"] == []
    with pytest.raises(UserError, match=r"results\.material"):
        mine.entries_to_dataframe(keys_to_filter=["result.material"])


@pytest.mark.parametrize("selection", ["last", "all", [1], [2, 0], [0, 0]], ids=str)
def test_the_same_downloads_are_selected(peer, ours, recorded, selection):
    """Selected by the number of the download call, in the order of the calls."""
    arguments = {"required": {"results": {"material": {"chemical_formula_reduced": "*"}}}, "page_size": 10}
    theirs = peer.query(recorded, **arguments)
    theirs.download(4)
    mine = ours(recorded, **arguments, query=asked(recorded))
    mine.download(4)
    for n in (3, 5):
        theirs.download(n)
        mine.download(n)
    wide, own = (
        theirs.entries_to_dataframe(query_selection=selection),
        mine.entries_to_dataframe(query_selection=selection),
    )
    assert list(own.columns) == wide["columns"]
    assert differing(wide, own, {name: name for name in wide["columns"]}) == []


def test_an_empty_download(peer, ours, generated):
    theirs, mine = both(peer, ours, generated, query={"entry_id": "nobody"})
    assert theirs.entries_to_dataframe()["rows"] == []
    own = mine.entries_to_dataframe()
    assert (len(own), own.index.name) == (0, "entry_id")


def test_async_downloads_are_recorded(peer, ours, generated):
    """nomad-lab forgets them."""
    required = {"results": {"material": {"elements": "*"}}}
    theirs = peer.query(generated, required=required)
    theirs.async_download(6)
    with pytest.raises(peer.error, match="IndexError"):
        theirs.entries_to_dataframe()
    mine = ours(generated, required=required)
    asyncio.run(mine.async_download(6))
    assert mine.entries_to_dataframe().columns.tolist() == ["results.material.elements"]
    assert len(mine.entries_to_dataframe()) == 6


def test_plain_dicts_make_frames_too(peer, ours, generated):
    """nomad-lab fails on them."""
    theirs, mine = peer.query(generated, results_max=3), ours(generated, results_max=3)
    theirs.download(as_plain_dict=True)
    mine.download(as_plain_dict=True)
    with pytest.raises(peer.error, match="AttributeError"):
        theirs.entries_to_dataframe()
    assert len(mine.entries_to_dataframe()) == 3


def test_from_query_is_only_ours(peer, ours, generated):
    """nomad-lab documents `from_query` and does not have it."""
    theirs, mine = both(peer, ours, generated, required=REFERRING, results_max=5)
    with pytest.raises(peer.error, match="TypeError"):
        theirs.entries_to_dataframe(from_query=True)
    paths = [f"{REFERENCE}.energy", f"{REFERENCE}.system_ref.chemical_composition_reduced"]
    assert sorted(mine.entries_to_dataframe(from_query=True)) == paths
