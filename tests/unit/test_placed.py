"""Figures go between their markers, and nowhere else."""

from benchmark import module


def test_between_its_markers_and_nothing_else(tmp_path):
    placed = module("placed.py")
    placed.BENCHMARKS = tmp_path / "benchmarks"
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n<!-- begin y -->\n")
    assert placed.place("x", "new", readme) == "written to README.md"
    assert readme.read_text() == "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb\n<!-- begin y -->\n"
    for mark in ("y", "z"):
        assert "nothing written" in placed.place(mark, "lost", readme)
    assert "lost" not in readme.read_text()
