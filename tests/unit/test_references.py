"""SPEC, "References": in plain JSON: resolved as the server does in place, cycles ended, answers joined."""

import json
from pathlib import Path
from typing import Any

import pytest

from nomad_dask.request.references import merge, resolve
from nomad_dask.request.required import parse, prune


def records(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "recorded.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return {record["name"]: record for record in found if record["path"] == "entries/archive/query"}


def test_resolving_here_equals_resolving_in_place(shared_data: Path) -> None:
    """Each recorded pair of an answer and the same answer in place."""
    recorded = records(shared_data)
    pairs = 0
    for name, record in recorded.items():
        twin = recorded.get(f"{name}, in place")
        if twin is None or twin["status"] != 200:
            continue
        required = parse(record["request"]["required"])
        ours = [resolve(entry["archive"], required) for entry in record["answer"]["data"]]
        servers = [prune(entry["archive"], required.root) for entry in twin["answer"]["data"]]
        assert ours == servers, name
        pairs += 1
    assert pairs >= 10


def test_a_reference_to_another_installation_stays_its_string(shared_data: Path) -> None:
    record = records(shared_data)["reference to another installation"]
    required = parse(record["request"]["required"])
    resolved = resolve(record["answer"]["data"][0]["archive"], required)
    assert resolved["workflow2"]["results"]["calculation_result_ref"].startswith("https://elsewhere.example/")


SYSTEM = {"ref": {"system_ref": {"name": "*"}}}


@pytest.mark.parametrize("start", ["/run/0", "#/run/0"])
def test_local_references_are_followed_and_what_was_placed_is_left_out(start: str) -> None:
    archive = {
        "ref": start,
        "run": [{"system_ref": "/systems/1", "unasked": 1}],
        "systems": [None, {"name": "Si", "more": 2}],
        "m_ref_archives": {},
    }
    assert resolve(archive, parse(SYSTEM)) == {"ref": {"system_ref": {"name": "Si"}}}


@pytest.mark.parametrize(
    "start",
    [
        "../uploads/U/archive/E#/run/0",
        "../upload/archive/E#/run/0",
        "../uploads/U/archive/E#run/0",
        "https://here.example/api/uploads/U/archive/E#/run/0",
    ],
)
def test_references_of_another_entry_are_looked_up_in_that_entry(start: str) -> None:
    other = {"run": [{"system_ref": "/systems/0"}], "systems": [{"name": "theirs"}], "m_def": "x"}
    archive = {
        "ref": start,
        "systems": [{"name": "ours"}],
        "m_ref_archives": {"../uploads/U/archive/E": other},
    }
    expected = start if "#run" in start else {"system_ref": {"name": "theirs"}}
    assert resolve(archive, parse(SYSTEM)) == {"ref": expected}


@pytest.mark.parametrize(
    "start", ["/run/7", "/run/x", "/nowhere", "", "/", "plain text", "#", "/ref", "/run/0/n/x"]
)
def test_what_cannot_be_resolved_stays_its_string(start: str) -> None:
    assert resolve({"ref": start, "run": [{"n": 1}]}, parse(SYSTEM)) == {"ref": start}


def test_lists_of_references_are_resolved_one_by_one() -> None:
    archive = {"refs": ["/s/0", "/s/5", "/s/1"], "s": [{"n": 1}, {"n": 2}]}
    assert resolve(archive, parse({"refs": {"n": "*"}})) == {"refs": [{"n": 1}, "/s/5", {"n": 2}]}


def test_cycles_end() -> None:
    archive = {"a": {"to": "/b", "n": 1}, "b": {"to": "/a", "n": 2}}
    walked = resolve(archive, parse({"a": {"to": {"to": {"n": "*"}}}}))
    assert walked == {"a": {"to": {"to": {"n": 1}}}}
    assert resolve({"a": "/b", "b": "/a"}, parse({"a": {"n": "*"}})) == {"a": "/b"}
    everything = resolve(archive, parse({"a": "include-resolved"}))
    assert everything["a"]["to"]["n"] == 2
    assert json.dumps(everything).count('"/') == 1


def test_plain_leaves_keep_their_references() -> None:
    archive = {"a": {"to": "/b"}, "b": {"n": 2}}
    assert resolve(archive, parse({"a": "*"})) == {"a": {"to": "/b"}}


def test_resolving_alters_nothing() -> None:
    archive = {"ref": "/run/0", "run": [{"system_ref": {"name": "Si", "x": 1}}]}
    before = json.dumps(archive)
    resolve(archive, parse(SYSTEM))
    assert json.dumps(archive) == before


def test_merge_joins_by_key_and_position_and_prefers_the_fuller() -> None:
    one = {"run": [{"a": 1, "ref": "/x"}, None], "only": 1, "null": None}
    other = {"run": [{"b": 2, "ref": {"n": 1}}, {"c": 3}, {"d": 4}], "null": 5}
    joined = {"run": [{"a": 1, "b": 2, "ref": {"n": 1}}, {"c": 3}, {"d": 4}], "only": 1, "null": 5}
    assert merge([one, other]) == joined
    assert merge([other, one]) == joined
    assert merge([one]) == one
    assert merge([]) is None
