"""NOMAD_API, "Archives": the `required` engine of the embedded archive."""

import copy
from typing import Any

import orjson
import pytest

from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.testing.generate import generate
from nomad_dask.testing.generated.schema import schema_json
from nomad_dask.testing.reading import RequiredReader, read
from nomad_dask.testing.refused import Refused

REF = "calculation_result_ref"
THROUGH = {"workflow2": {"results": {REF: {"energy": "*", "system_ref": {"formula": "*"}}}}}


def archive(reference: Any = "#/run/0/calculation/1") -> dict[str, Any]:
    return {
        "run": [
            {
                "m_def": "runschema.run.Run",
                "program": {"name": "VASP"},
                "system": [{"formula": f"S{k}", "atoms": {"n": k}} for k in range(3)],
                "calculation": [
                    {"energy": {"total": k}, "system_ref": f"/run/0/system/{k}"} for k in range(5)
                ],
            }
        ],
        "workflow2": {"results": {REF: reference}},
    }


def nobody(upload_id: str, entry_id: str) -> None:
    return None


def reading(
    required: Any, tree: dict[str, Any], fetch: Any = nobody, *, in_place: bool = False
) -> dict[str, Any]:
    """What is read; and that reading did not change what it read."""
    if in_place:
        required = {"resolve-inplace": True, **required}
    before = copy.deepcopy(tree)
    result = read(RequiredReader.parse(required), tree, "UPLOAD", fetch)
    assert tree == before
    return result


@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        ("calculation", [0, 1, 2, 3, 4]),
        ("calculation[:]", [0, 1, 2, 3, 4]),
        ("calculation[0]", [0]),
        ("calculation[-1]", [4]),
        ("calculation[4]", [4]),
        ("calculation[5]", None),
        ("calculation[-7]", [0]),
        ("calculation[-2:]", [3, 4]),
        ("calculation[1:-1]", [1, 2, 3]),
        ("calculation[2:2]", [2]),
        ("calculation[3:99]", [3, 4]),
        ("calculation[5:9]", None),
    ],
)
def test_slices_are_compact_and_have_their_quirks(key: str, numbers: list[int] | None) -> None:
    run = reading({"run": {key: {"energy": {"total": "*"}}}}, archive())["run"][0]
    expected = None if numbers is None else [{"energy": {"total": k}} for k in numbers]
    assert run.get("calculation") == expected
    assert run["m_def"] == "runschema.run.Run"


@pytest.mark.parametrize("key", ["run[a]", "run[ 0 ]", "run[0:2:1]", "run[]", "run[0", "run]0[", ""])
def test_a_bad_key_is_a_422(key: str) -> None:
    with pytest.raises(Refused) as refused:
        RequiredReader.parse({key: "*"})
    assert (refused.value.status, refused.value.detail[0]["msg"]) == (422, "invalid required key")


@pytest.mark.parametrize(("tree", "status"), [("nope", 400), (5, 500), ([], 500), (None, 500)])
def test_a_bad_directive_below_the_top(tree: Any, status: int) -> None:
    with pytest.raises(Refused) as refused:
        reading({"run": tree}, archive())
    assert refused.value.status == status


def test_all_but_what_is_excluded() -> None:
    assert reading({"*": "*", "run": "exclude"}, archive()).keys() == {"workflow2", "m_ref_archives"}


def test_a_target_is_placed_where_the_reference_points() -> None:
    result = reading(THROUGH, archive())
    assert result == {
        "run": [
            {
                "system": [None, {"formula": "S1"}],
                "calculation": [None, {"energy": {"total": 1}, "system_ref": "/run/0/system/1"}],
            }
        ],
        "workflow2": {"results": {REF: "/run/0/calculation/1"}},
        "m_ref_archives": {},
    }


def test_in_place_the_target_stands_for_the_reference() -> None:
    result = reading(THROUGH, archive(), in_place=True)
    target = {"energy": {"total": 1}, "system_ref": {"formula": "S1"}}
    assert result == {"workflow2": {"results": {REF: target}}, "m_ref_archives": {}}


def test_a_path_that_is_also_asked_for_loses_the_referenced_part() -> None:
    overlap = {"run": {"program": "*"}, **THROUGH}
    run = [{"m_def": "runschema.run.Run", "program": {"name": "VASP"}}]
    assert reading(overlap, archive())["run"] == run
    placed = reading(overlap, archive(), in_place=True)
    assert placed["run"] == run
    assert placed["workflow2"]["results"][REF]["energy"] == {"total": 1}


def test_a_list_of_references() -> None:
    tree = archive(["#/run/0/calculation/3", "/run/0/calculation/0"])
    wanted = {"workflow2": {"results": {REF: {"energy": "*"}}}}
    assert reading(wanted, tree, in_place=True)["workflow2"]["results"][REF] == [
        {"energy": {"total": 3}},
        {"energy": {"total": 0}},
    ]
    assert reading(wanted, tree)["run"][0]["calculation"] == [
        {"energy": {"total": 0}},
        None,
        None,
        {"energy": {"total": 3}},
    ]


def test_a_list_that_holds_a_reference_which_leads_nowhere_is_left_out() -> None:
    """As the application does it: `calculations_ref` of an entry whose second of two is out of range."""
    tree = archive(["#/run/0/calculation/3", "#/run/0/calculation/9", "/run/0/calculation/0"])
    wanted = {"workflow2": {"results": {REF: {"energy": "*"}}}}
    assert reading(wanted, tree, in_place=True)["workflow2"]["results"] == {}
    assert reading(wanted, tree)["workflow2"]["results"] == {}
    assert reading({"workflow2": {"results": {REF: "*"}}}, tree)["workflow2"]["results"] == {
        REF: tree["workflow2"]["results"][REF]
    }


def test_what_is_no_reference_stays() -> None:
    tree = archive("31e2734c-8178-5296-92d3-0753640093df")
    assert reading(THROUGH, tree, in_place=True)["workflow2"]["results"] == tree["workflow2"]["results"]


@pytest.mark.parametrize("below", [{"energy": {"total": {"value": "*"}}}, {"*": "*"}])
def test_the_target_of_a_base_section_holds_only_what_that_knows(below: Any) -> None:
    """As the application answers: `{}` of a calculation, whose `m_def` is not written; of a section with one
    what it knows.
    """
    tree = {
        "run": [{"calculation": [{"energy": {"total": {"value": 1.5}}}]}],
        "workflow2": {
            "m_def": "simulationworkflowschema.single_point.SinglePoint",
            "outputs": [{"section": "#/run/0/calculation/0"}, {"section": "/workflow2"}],
            "results": {"calculation_result_ref": "#/run/0/calculation/0"},
        },
    }
    definitions = Definitions(orjson.loads(schema_json()))
    wanted = {"workflow2": {"outputs": {"section": below}, "results": {"calculation_result_ref": below}}}
    asked = RequiredReader.parse({"resolve-inplace": True, **wanted})
    found = read(asked, tree, "UPLOAD", nobody, definitions)["workflow2"]
    assert found["outputs"][0] == {"section": {}}
    assert found["outputs"][1]["section"]["m_def"] == tree["workflow2"]["m_def"]
    assert found["results"]["calculation_result_ref"] == {"energy": {"total": {"value": 1.5}}}
    resolved = RequiredReader.parse({"workflow2": "include-resolved"})
    placed = read(resolved, tree, "UPLOAD", nobody, definitions)
    assert placed["run"][0]["calculation"][0]["energy"] == {"total": {"value": 1.5}}


def test_a_target_within_another_target_does_not_change_the_archive() -> None:
    """A whole energy is placed first, then a part of it in another form over it."""
    tree = archive(["#/run/0/calculation/1", "#/run/0/calculation/1/energy/total"])
    tree["run"][0]["calculation"][1]["energy"]["total"] = {"value": 1, "reference": 2}
    result = reading({"workflow2": {"results": {REF: {"energy": "*", "value": "*"}}}}, tree)
    assert result["run"][0]["calculation"][1]["energy"] == {"total": {"value": 1}}


@pytest.mark.parametrize("in_place", [True, False])
def test_cycles_end(in_place: bool) -> None:
    tree = archive()
    tree["run"][0]["system"][1]["parent_ref"] = "#/run/0/calculation/1"
    result = reading({"workflow2": "include-resolved"}, tree, in_place=in_place)
    assert orjson.dumps(result)
    if in_place:
        target = result["workflow2"]["results"][REF]
        assert target["system_ref"]["parent_ref"] == "/run/0/calculation/1"


@pytest.mark.parametrize(
    "form", ["../uploads/OTHER/archive/E2#/run/0/calculation/2", "../upload/archive/E2#/run/0/calculation/2"]
)
def test_a_target_in_another_entry(form: str) -> None:
    upload = "OTHER" if "OTHER" in form else "UPLOAD"
    asked = []

    def fetch(upload_id: str, entry_id: str) -> dict[str, Any]:
        asked.append((upload_id, entry_id))
        return archive()

    at = f"../uploads/{upload}/archive/E2"
    beside = reading(THROUGH, archive(form), fetch)
    assert beside["workflow2"]["results"][REF] == f"{at}#/run/0/calculation/2"
    assert beside["m_ref_archives"][at]["m_def"] == "nomad.datamodel.EntryArchive"
    assert beside["m_ref_archives"][at]["run"][0]["calculation"][2]["system_ref"] == "/run/0/system/2"
    assert "run" not in beside
    placed = reading(THROUGH, archive(form), fetch, in_place=True)
    assert placed["workflow2"]["results"][REF] == {"energy": {"total": 2}, "system_ref": {"formula": "S2"}}
    assert placed["m_ref_archives"] == {}
    assert set(asked) == {(upload, "E2")}


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize(
    ("reference", "left"),
    [
        ("../uploads/OTHER/archive/E2#/run/0", "../uploads/OTHER/archive/E2#/run/0"),
        ("#/run/0/calculation/99", None),
        ("/nope/0", None),
    ],
)
def test_a_reference_that_leads_nowhere(reference: str, left: str | None, in_place: bool) -> None:
    """To an entry that is absent or private it stays; within its archive it is left out, but for `*`."""
    result = reading(THROUGH, archive(reference), in_place=in_place)
    assert result["workflow2"]["results"].get(REF) == left
    assert reading({"workflow2": "*"}, archive(reference))["workflow2"]["results"][REF] == reference


def test_a_reference_to_another_installation_is_a_400_in_place_only() -> None:
    remote = "https://elsewhere.example/nomad/api/uploads/U/archive/E#/run/0/calculation/0"
    assert reading(THROUGH, archive(remote))["workflow2"]["results"][REF] == remote
    with pytest.raises(Refused) as refused:
        reading(THROUGH, archive(remote), in_place=True)
    assert refused.value.status == 400
    assert remote in refused.value.detail


@pytest.mark.parametrize(
    "required",
    [
        "*",
        {"metadata": {"entry_id": "*"}, "run": {"calculation[-1]": "*"}},
        {"resolve-inplace": True, "results": "*", **THROUGH},
        {"workflow2": "include-resolved"},
    ],
)
def test_a_rendered_template_that_is_filled_equals_the_archive_that_is_read(required: Any) -> None:
    """The short way of serving generated archives gives what the long way gives."""
    corpus, parsed = generate(150, seed=3), RequiredReader.parse(required)
    short = 0
    for i, entry in enumerate(corpus.entries):
        shape = corpus.shape(i)
        if shape is None or not entry.has_archive:
            continue
        try:
            rendered = orjson.dumps(read(parsed, corpus.template(shape), "", leads_out))
        except LookupError:
            continue
        short += 1
        assert orjson.loads(corpus.fill(i, rendered)) == read(
            parsed, corpus.archive(i), entry.upload_id, nobody
        )
    assert short > 100


def leads_out(upload_id: str, entry_id: str) -> None:
    raise LookupError
