"""Owns the commands that look at a dataset: `status`, `report`."""

from __future__ import annotations

from typing import Annotated

import typer

from .exits import exit_code
from .options import Dataset


def status(path: Dataset) -> None:
    """Print how far a dataset is. Exit code as after its harvest."""
    from ..edges.store import Store
    from ..pure.report import Report
    from ..pure.verdict import closing

    store = Store.at(path)
    manifest = store.stored()
    report = Report.of(manifest.plan, store.receipts(manifest.id).values(), manifest.last_run)
    print(closing(report, path))
    raise typer.Exit(exit_code(report))


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
