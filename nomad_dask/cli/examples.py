"""Owns the examples that `--help` shows, by command; a test runs each of them."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Any

from typer.core import TyperCommand

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "count": (
        ("All that the server shows", "nomad-dask count"),
        (
            "Entries with titanium and oxygen",
            """nomad-dask count --query '{"results.material.elements": ["Ti", "O"]}'""",
        ),
        ("The same from a file, of an own server", "nomad-dask count --query @query.json --url URL"),
    ),
    "schema": (
        ("What is at the top of archives", "nomad-dask schema"),
        ("What is known of energies", "nomad-dask schema run.calculation.energy"),
        ("Where band gaps are", "nomad-dask schema --find 'band gap'"),
    ),
    "plan": (
        (
            "The parts that a harvest would have, and its costs",
            "nomad-dask plan --query @query.json --required @required.json",
        ),
        ("In parts of 500 entries, all of them listed", "nomad-dask plan --partition-size 500 --all"),
        ("For a program", "nomad-dask plan --npartitions 8 --json"),
    ),
    "harvest": (
        (
            "Materials of all entries with two elements",
            """nomad-dask harvest --query '{"results.material.n_elements": 2}' \\
         --required @required.json --out binaries""",
        ),
        (
            "A quick look: names of 100 entries, of the search documents",
            """nomad-dask harvest --source documents --required '["entry_name"]' \\
         --results-max 100 --out names""",
        ),
        ("All options in a file", "nomad-dask harvest job.toml --workers 2"),
    ),
    "resume": (
        ("Go on where it was stopped", "nomad-dask resume binaries"),
        ("Also ask again for what failed", "nomad-dask resume binaries --retry-failures"),
        ("For a program: events, a JSON object a line", "nomad-dask resume binaries --json"),
    ),
    "update": (
        ("What is new or reprocessed since", "nomad-dask update binaries"),
        ("Also drop what was withdrawn", "nomad-dask update binaries --prune"),
    ),
    "status": (
        ("How far it is, and what to do", "nomad-dask status binaries"),
        ("For a program", "nomad-dask status binaries --json"),
    ),
    "report": (
        ("Write report.html into the dataset", "nomad-dask report binaries"),
        ("Write it elsewhere", "nomad-dask report binaries -o binaries.html"),
    ),
    "serve": (
        ("5,000 generated entries at http://127.0.0.1:8000/api/v1", "nomad-dask serve --n-entries 5000"),
        (
            "One answer in ten is a 503",
            "nomad-dask serve --n-entries 500 --port 0 --faults 'status=503,rate=0.1'",
        ),
    ),
    "demo": (
        ("The whole, in ten seconds", "nomad-dask demo"),
        ("Smaller, elsewhere", "nomad-dask demo --n-entries 200 --workers 1 --out small"),
    ),
}


def help_of(command: Callable[..., None]) -> str:
    """A command's docstring, each paragraph as one line: the help breaks it where the terminal ends."""
    paragraphs = cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


class Command(TyperCommand):
    """A command whose help ends with its examples; a line is as long as it is, so that it can be copied."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, and the examples below it."""
        super().format_help(ctx, formatter)
        from rich.console import Console
        from rich.text import Text

        out = Console(soft_wrap=True, highlight=False)
        out.print(Text(" Examples", "bold"))
        for words, line in EXAMPLES[self.name or ""]:
            out.print(Text(f"   # {words}", "dim"))
            out.print(Text.assemble("   ", ("$ ", "dim"), line))
        out.print()
