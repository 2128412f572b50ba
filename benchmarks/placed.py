"""Output of benchmarks: results in a folder, tables between two markers in a README."""

from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent
OWN = BENCHMARKS / "README.md"
RESULTS = BENCHMARKS / "results"
"""Results shown in the READMEs."""
_TRIED = BENCHMARKS / ".results"
"""Results that are not shown; not part of the project."""


def results(*, shown: bool) -> Path:
    """Return the folder for the results of a run."""
    folder = RESULTS if shown else _TRIED
    folder.mkdir(exist_ok=True)
    return folder


def place(mark: str, text: str, readme: Path = OWN) -> str:
    """Put a text between the two markers of its name. Returns a message."""
    begin, end = f"<!-- begin {mark} -->", f"<!-- end {mark} -->"
    name = str(readme.relative_to(BENCHMARKS.parent))
    before, found, rest = readme.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        return f"{name} has no lines {begin} and {end}: nothing written"
    readme.write_text(f"{before}{begin}\n{text}\n{end}{after}")
    return f"written to {name}"
