"""Owns the commands that look at a dataset: `status`, `report`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .exits import exit_code, meaning
from .options import Dataset, Json


def status(path: Dataset, json: Json = False) -> None:
    """Show how far a dataset is, what failed, and what to do. Exit code as after its harvest.

    Reads the manifest and the receipts; works while a harvest runs. On a terminal the strip shows the segments in the
    order of entry ids; elsewhere there are plain words.
    """
    from ..edges.store import Store
    from ..pure.standing import Standing

    store = Store.at(path)
    manifest = store.stored()
    standing = Standing.of(path, manifest, store.receipts(manifest.id))
    code = exit_code(standing.report)
    if json:
        import orjson

        print(orjson.dumps(standing.to_json() | meaning(code)).decode())
        raise typer.Exit(code)
    from . import status_drawing

    if sys.stdout.isatty():
        from rich.console import Console

        out = Console(highlight=False)
        out.print(status_drawing.drawing(standing, out.width, ascii_only=out.options.ascii_only))
    else:
        print("\n".join(status_drawing.words(standing)))
    raise typer.Exit(code)


def report(
    path: Dataset,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="File or url of the page. Default: report.html in the dataset."),
    ] = None,
) -> None:
    """Write the harvest page: one HTML file that tells how a harvest went, and what its columns are."""
    from ..harvest_page import write_page

    print(f"the harvest page is {write_page(path, out)}")
