"""Where tables of figures go: between two markers in the project's README, or in that of the benchmarks."""

from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent
README = BENCHMARKS.parent / "README.md"
OWN = BENCHMARKS / "README.md"
RESULTS = BENCHMARKS / "results"


def place(mark: str, text: str, readme: Path = README) -> str:
    """Put a text between the two markers of its name; what was done."""
    begin, end = f"<!-- begin {mark} -->", f"<!-- end {mark} -->"
    name = str(readme.relative_to(BENCHMARKS.parent))
    before, found, rest = readme.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        return f"{name} has no lines {begin} and {end}: nothing is written"
    readme.write_text(f"{before}{begin}\n{text}\n{end}{after}")
    return f"written to {name}"
