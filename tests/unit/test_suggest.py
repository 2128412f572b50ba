"""What a mistyped name or path may have meant."""

from nomad_dask.common.paths import near_paths
from nomad_dask.text import hint, near


def test_the_nearest_comes_first() -> None:
    names = ["results.material.elements", "results.material.n_elements", "metadata.entry_id"]
    assert near("results.material.element", names)[0] == "results.material.elements"
    assert near("zzz", names) == ()


def test_capitals_are_alike() -> None:
    assert near("DFT", ["dft", "DMFT"])[0] == "dft"
    assert near("spin_s2", ["spin_S2", "spin_s3"])[0] == "spin_S2"


def test_paths_that_differ_in_numbers_are_told_once() -> None:
    names = [f"run.0.calculation.{n}.energy.total.value" for n in range(2000)]
    meant = near_paths("energy.totl", names)
    assert len(meant) == len({name.replace(".0", "") for name in meant})
    assert near_paths("calculation", names) == ("run.0.calculation",)


def test_a_hint_ends_a_message() -> None:
    assert hint("x", ("a", "b"), "c") == "; did you mean 'a' or 'b'?"
    assert hint("x", (), "c") == "; c" and hint("x", ()) == ""


def test_a_hint_never_names_what_was_refused_nor_a_name_twice() -> None:
    assert hint("a", ("a", "b", "b", "a")) == "; did you mean 'b'?"
    assert hint("a", ("a", "a"), "c") == "; c" and hint("a", ("a",)) == ""
