"""SPEC, "keys_to_filter": what matches, what is removed, what stays whole, and the message for a mistake."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomad_dask.common import paths
from nomad_dask.errors import UserError
from nomad_dask.layouts.select import check_keys, distinct, select

NAMES = (
    "metadata.entry_id",
    "results.material.elements",
    "results.material.n_elements",
    "results.material_extra",
    "results.method.name",
    "run.0.calculation",
    "run.0.calculation.0.energy.total.value",
    "run.0.calculation.1.energy.total.value",
    "run.0.program.name",
    "workflow2.name",
)


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        (["results.material"], ["elements", "n_elements"]),
        (["results.material", "results.method"], ["elements", "n_elements", "name"]),
        (["run.0.calculation"], ["run.0.calculation", "0.energy.total.value", "1.energy.total.value"]),
        (["results.method", "run.0.program"], ["results.method.name", "run.0.program.name"]),
        (["run.0.program", "results.method", "workflow2.name"], 3 * [...]),
        (["results", "results.material"], ["elements", "n_elements", "material_extra", "method.name"]),
        (["results.material", "results"], ["elements", "n_elements", "material_extra", "method.name"]),
        (["results.material.elements"], ["results.material.elements"]),
        (["run.0.program", "results.material"], ["elements", "n_elements", "name"]),
        (["run.0.program", "run.0.program"], ["name"]),
    ],
)
def test_the_rule_by_example(keys: list[str], shown: list[str]) -> None:
    """Matches end at a dot or the end; the order is the frame's; what would collide keeps its whole path."""
    found = select(NAMES, keys)
    assert list(found.values()) == [whole if s is ... else s for whole, s in zip(found, shown, strict=True)]
    assert list(found) == [name for name in NAMES if any(paths.is_below(name, key) for key in keys)]


def test_a_name_that_is_taken_stays_whole() -> None:
    assert select(NAMES, ["metadata"], taken=["entry_id"]) == {"metadata.entry_id": "metadata.entry_id"}


def test_a_whole_name_wins_over_a_short_one() -> None:
    assert select(("a.b", "c.a.b", "d.b"), ["a.b", "c", "d"]) == {
        "a.b": "a.b",
        "c.a.b": "c.a.b",
        "d.b": "b",
    }


segments = st.lists(st.sampled_from(["a", "b", "c", "0"]), min_size=1, max_size=4).map(paths.join)


@settings(deadline=None)
@given(st.lists(segments, unique=True), st.lists(segments, max_size=3), st.sets(segments, max_size=2))
def test_names_stay_distinct_and_say_where_they_come_from(
    names: list[str], keys: list[str], taken: set[str]
) -> None:
    keys = [key for key in keys if any(paths.is_below(name, key) for name in names)]
    found = select(names, keys, taken=taken)
    assert set(found) == {name for name in names if any(paths.is_below(name, key) for key in keys)}
    assert len(set(found.values())) == len(found)
    assert not taken & set(found.values())
    for whole, shown in found.items():
        if whole not in taken:
            assert whole == shown or any(whole == f"{key}.{shown}" for key in keys)


def test_counting_is_left_for_whole_names_that_are_taken() -> None:
    assert distinct(["a", "b", "b"], ["a", "x.b", "y.b"], taken=["a"]) == ["a_2", "x.b", "y.b"]
    assert distinct(["a", "a_2"], ["a", "a_2"], taken=["a"]) == ["a_3", "a_2"]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("results.materia", "'results.material'"),
        ("run.calculation", "'run.0.calculation'"),
        ("run.calculation.energy", "'run.0.calculation.0.energy'"),
        ("energy.total", "'run.0.calculation.0.energy.total'"),
        ("run.", "'run'"),
        ("run.0.calculation.0.enrgy.total", "'run.0.calculation.0.energy.total'"),
        ("zzz", "there are 'metadata', 'results', 'run', 'workflow2'"),
        ("", "there are 'metadata'"),
    ],
)
def test_a_key_that_matches_nothing_is_an_error_with_near_misses(key: str, meant: str) -> None:
    with pytest.raises(UserError) as caught:
        select(NAMES, ["results", key])
    assert f"{key!r}" in str(caught.value) and meant in str(caught.value)


def test_an_empty_frame_has_nothing_to_match() -> None:
    assert select((), ["run"]) == {}


def test_keys_are_texts_and_one_may_stand_alone() -> None:
    assert check_keys("run.0") == ("run.0",)
    assert check_keys(["a", "b"]) == ("a", "b")
    assert check_keys(None) == check_keys([]) == ()
    with pytest.raises(UserError, match="7"):
        check_keys(["run", 7])
