"""What a mistyped name or path may have meant."""

from nomad_dask.pure.near import hint, near, near_paths


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
    assert hint(("a", "b"), "c") == "; did you mean 'a' or 'b'?"
    assert hint((), "c") == "; c" and hint(()) == ""
