"""Looking around in a server's schema: what is said of places, searches, near misses."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.metainfo import browse
from nomad_dask.metainfo.browse import About
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.testing.generated.schema import schema_json

RING: dict[str, Any] = {
    "properties": {
        "run": {"type": "array", "items": {"$ref": "#/$defs/s.Run"}, "description": "Calls. One each."},
        "any": {"$ref": "#/$defs/s.Empty"},
    },
    "$defs": {
        "s.Run": {
            "description": "One call",
            "properties": {
                "gap": {
                    "type": "number",
                    "unit": "joule",
                    "nomad_type": "float64",
                    "description": "How wide, i.e. the least difference. More.",
                },
                "part": {"anyOf": [{"$ref": "#/$defs/s.Special"}, {"$ref": "#/$defs/s.Run"}]},
                "next": {"type": "string", "nomad_type": "Reference", "reference_section_def": "s.Run@7"},
                "others": {
                    "type": "array",
                    "items": {"type": "string"},
                    "nomad_type": "Reference",
                    "reference_section_def": "s.Run@7",
                },
                "kind": {"type": "string", "nomad_type": "enum", "enum": ["a", "b"]},
            },
        },
        "s.Special": {
            "allOf": [{"$ref": "#/$defs/s.Run"}],
            "properties": {"extra": {"type": "integer", "description": "No gap"}},
        },
        "s.Empty": {},
    },
}


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> Definitions:
    return Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))


@pytest.fixture(scope="module", params=["recorded", "generated"])
def definitions(request: pytest.FixtureRequest) -> Definitions:
    if request.param == "generated":
        return Definitions(orjson.loads(schema_json()))
    found: Definitions = request.getfixturevalue("recorded")
    return found


def said(definitions: Definitions, path: str) -> About:
    found = browse.about(definitions, tuple(path.split(".")))
    assert found is not None
    return found


def test_a_place_tells_what_it_is() -> None:
    ring = Definitions(RING)
    assert said(ring, "run").kind == "sections Run" and said(ring, "run").repeats
    assert said(ring, "run.part").kind == "section Run"
    assert said(ring, "run.part").title == "run.part: section Run, or one of 1 more specific"
    assert said(ring, "run.next").kind == "reference to Run"
    assert said(ring, "run.others").kind == "references to Run"
    assert said(ring, "run.next.next.part.gap").unit == "joule"
    assert said(ring, "run[-1].gap").title == "run[-1].gap: double, in joule"
    assert said(ring, "run[-1].gap").required == {"run[-1]": {"gap": "*"}}
    assert said(ring, "run.kind").title == "run.kind: string, one of a, b"
    assert browse.about(ring, ("run", "nope")) is None
    root = browse.about(ring, ())
    assert root is not None and root.required == "*" and root.path == ""


def test_summaries_end_with_the_first_sentence() -> None:
    ring = Definitions(RING)
    assert said(ring, "run").summary == "Calls"
    assert said(ring, "run.gap").summary == "How wide, i.e. the least difference"
    assert said(ring, "run.part").summary == "One call", "a section tells of itself where the place does not"


def test_what_only_more_specific_sections_have_comes_last_and_says_so() -> None:
    inside = browse.inside(Definitions(RING), ("run", "part"))
    assert [one.name for one in inside] == ["gap", "part", "next", "others", "kind", "extra"]
    assert inside[-1].only_in == ("Special",) and inside[-1].summary == "(in Special) No gap"
    assert not any(one.only_in for one in inside[:-1])


def test_sections_within_themselves_and_references_end() -> None:
    assert [".".join(place) for place in browse.paths_below(Definitions(RING))] == [
        "any",
        "run",
        "run.gap",
        "run.kind",
        "run.next",
        "run.others",
        "run.part",
        "run.part.extra",
        "run.part.gap",
        "run.part.kind",
        "run.part.next",
        "run.part.others",
        "run.part.part",
    ]


def test_a_search_finds_names_before_descriptions() -> None:
    ring = Definitions(RING)
    assert [one.path for one in browse.search(ring, "gap")] == [
        "run.gap",
        "run.part.gap",
        "run.part.extra",
    ]
    assert browse.search(ring, "DIFFERENCE least")[0].path == "run.gap"
    assert browse.search(ring, "nothing") == () and browse.search(ring, "gap", ("any",)) == ()


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("gap", ".band_gap"),
        ("total energy", "run.calculation.energy.total"),
        ("space group number", ".symmetry.space_group_number"),
        ("lattice vectors", ".lattice_vectors"),
    ],
)
def test_a_search_finds_what_one_looks_for(definitions: Definitions, words: str, first: str) -> None:
    assert browse.search(definitions, words)[0].path.endswith(first)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("materal", "results.material"),
        ("results.materal", "results.material"),
        ("results.materal.n_elements", "results.material.n_elements"),
        ("Results.Material", "results.material"),
        ("rin[-1].calculaton", "run[-1].calculation"),
        ("material.elements", "results.material.elements"),
        ("results.elements", "results.material.elements"),
        ("results.elemets", "results.material.elements"),
        ("run.energy.total", "run.calculation.energy.total"),
        ("run.calculation.enrgy.total.value", "run.calculation.energy.total.value"),
        ("run[-1].calculation[0:2].enrgy", "run[-1].calculation[0:2].energy"),
        (
            "workflow2.results.calculation_result_ref.enrgy.total",
            "workflow2.results.calculation_result_ref.energy.total",
        ),
    ],
)
def test_a_wrong_path_names_the_one_that_was_meant(definitions: Definitions, wrong: str, right: str) -> None:
    assert right in browse.suggest(definitions, tuple(wrong.split(".")))


def test_where_nothing_is_near_it_is_told_what_there_is(recorded: Definitions) -> None:
    assert browse.suggest(recorded, ("results", "zzzz")) == ()
    assert (
        browse.describe_parent(recorded, ("results", "zzzz"))
        == "results has material, method, properties, eln"
    )
    assert browse.describe_parent(recorded, ("results", "material", "n_elements", "x")).startswith(
        "results.material.n_elements is int64, and the schema has nothing below it"
    )
    assert browse.suggest(recorded, ("results", "material")) == ()


def test_all_places_have_something_said_of_them(definitions: Definitions) -> None:
    """Each quantity has a type, each path comes back from its own name; none is there twice."""
    places = browse.paths_below(definitions)
    assert len(set(places)) == len(places) > 500
    for place in places[::7]:
        found = browse.about(definitions, place)
        assert found is not None and found.path == ".".join(place) and found.kind
        assert browse.suggest(definitions, place) == ()


@given(st.lists(st.text(max_size=5) | st.sampled_from(["run", "part", "run[0]", "next"]), max_size=4))
def test_any_keys_may_be_asked_about(keys: list[str]) -> None:
    ring = Definitions(RING)
    browse.about(ring, tuple(keys))
    browse.inside(ring, tuple(keys))
    browse.suggest(ring, tuple(keys))
    browse.describe_parent(ring, tuple(keys))
    browse.search(ring, " ".join(keys))
