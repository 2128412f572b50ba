"""Examples in the output of `--help`, by command. A test runs each of them."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Any

from typer.core import TyperCommand

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "count": (
        ("All visible entries", "nomad-dask count"),
        (
            "Entries with titanium and oxygen",
            """nomad-dask count --query '{"results.material.elements": ["Ti", "O"]}'""",
        ),
        ("A query from a file, on another server", "nomad-dask count --query @query.json --url URL"),
    ),
    "schema": (
        ("Top-level sections of archives", "nomad-dask schema"),
        ("Quantities of an energy", "nomad-dask schema run.calculation.energy"),
        ("Search for band gaps", "nomad-dask schema --find 'band gap'"),
    ),
    "plan": (
        ("Segments and costs of a harvest", "nomad-dask plan --query @query.json --required @required.json"),
        ("Segments of 500 entries, all listed", "nomad-dask plan --partition-size 500 --all"),
        ("As JSON", "nomad-dask plan --npartitions 8 --json"),
    ),
    "harvest": (
        (
            "Materials of all entries with two elements",
            """nomad-dask harvest --query '{"results.material.n_elements": 2}' \\
         --required @required.json --out binaries""",
        ),
        (
            "Names of 100 entries, from the search documents",
            """nomad-dask harvest --source documents --required '["entry_name"]' \\
         --results-max 100 --out names""",
        ),
        ("Options from a file", "nomad-dask harvest job.toml --workers 2"),
        ("A search from NOMAD's web page (API)", "nomad-dask harvest body.json --out search"),
    ),
    "resume": (
        ("Continue an interrupted harvest", "nomad-dask resume binaries"),
        ("Also retry failed entries", "nomad-dask resume binaries --retry-failures"),
        ("As JSON: one event per line", "nomad-dask resume binaries --json"),
    ),
    "update": (
        ("Add new and reprocessed entries", "nomad-dask update binaries"),
        ("Also drop withdrawn entries", "nomad-dask update binaries --prune"),
    ),
    "status": (
        ("Progress, failures and what to do next", "nomad-dask status binaries"),
        ("As JSON", "nomad-dask status binaries --json"),
    ),
    "report": (
        ("Write report.html into the dataset", "nomad-dask report binaries"),
        ("Write to another file", "nomad-dask report binaries -o binaries.html"),
    ),
    "serve": (
        ("5,000 generated entries at http://127.0.0.1:8000/api/v1", "nomad-dask serve --n-entries 5000"),
        (
            "With one answer in ten a 503",
            "nomad-dask serve --n-entries 500 --port 0 --faults 'status=503,rate=0.1'",
        ),
    ),
    "demo": (
        ("Takes ten seconds", "nomad-dask demo"),
        ("Fewer entries, in another folder", "nomad-dask demo --n-entries 200 --workers 1 --out small"),
    ),
}


def help_of(command: Callable[..., None]) -> str:
    """A command's docstring with each paragraph on one line; the help wraps it to the terminal."""
    paragraphs = cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


class Command(TyperCommand):
    """A command whose help ends with its examples, with lines unwrapped so that they can be copied."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help and the examples."""
        super().format_help(ctx, formatter)
        from rich.console import Console
        from rich.text import Text

        out = Console(soft_wrap=True, highlight=False)
        out.print(Text(" Examples", "bold"))
        for title, line in EXAMPLES[self.name or ""]:
            out.print(Text(f"   # {title}", "dim"))
            out.print(Text.assemble("   ", ("$ ", "dim"), line))
        out.print()
