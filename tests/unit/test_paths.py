"""SPEC, "Paths": every name can be split again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomad_dask.common import paths

keys = st.lists(st.text(alphabet=st.sampled_from("ab.\\[0\n é"), max_size=5) | st.text(), min_size=1)


@settings(deadline=None)
@given(keys)
def test_split_undoes_join(parts: list[str]) -> None:
    assert paths.split(paths.join(parts)) == tuple(parts)


@settings(deadline=None)
@given(keys, keys)
def test_two_paths_never_share_a_name(one: list[str], other: list[str]) -> None:
    assert (paths.join(one) == paths.join(other)) == (one == other)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (["run", "0", "energy"], "run.0.energy"),
        (["PPA diel. fun.", "x"], r"PPA diel\. fun\..x"),
        (["a\\", "b"], r"a\\.b"),
        (["", ""], "."),
    ],
)
def test_names_read_as_the_contract_spells_them(parts: list[str], name: str) -> None:
    assert paths.join(parts) == name
    assert paths.split(name) == tuple(parts)


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("a.\\"), max_size=8))
def test_any_text_can_be_taken_apart(name: str) -> None:
    assert paths.split(name)


def test_a_path_matches_at_a_dot_or_the_end() -> None:
    assert paths.is_below("run.0.energy", "run.0")
    assert paths.is_below("run.0", "run.0")
    assert not paths.is_below("run.01", "run.0")
