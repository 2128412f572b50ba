"""Commands on datasets: `harvest`, `resume`, `update`, `status`, `report`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from nomad_dask.cli.events import Events, TextOutput
from nomad_dask.cli.exit_codes import INTERRUPTED, exit_code, meaning
from nomad_dask.cli.options import (
    ALL,
    QUERY,
    REQUEST_LIMITS,
    Dataset,
    Json,
    JsonEvents,
    flag,
    job_options,
    takes,
    units_value,
)
from nomad_dask.cli.query_commands import query_of
from nomad_dask.dataset.report import Report
from nomad_dask.errors import NomadDaskError, ProtocolError, UnfinishedError, UserError
from nomad_dask.text import json_text


@takes(*ALL)
def harvest(
    context: typer.Context,
    job: Annotated[
        Path | None, typer.Argument(help="A .toml or .json file with these options as keys, or an API body.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Folder or fsspec url of the dataset.")] = None,
    *,
    json: JsonEvents = False,
    **options: Any,
) -> None:
    """Harvest a query into a Parquet dataset. Run the same command again to continue an interrupted harvest.

    Progress is printed to stderr and the summary to stdout. With --json, stdout has only events, one JSON
    object per line: planned (segments, entries), progress (what is done, rates, seconds left), failed
    (status, reason, number of entries), and at the end finished, stopped or error, with the exit code and its
    meaning.

    Exit codes: 0 all entries delivered, 1 not finished (run it again), 2 invalid request, 3 some entries
    failed, 4 no server (or scheduler) answers, 130 interrupted.
    """
    options["out"] = out
    if job is not None:
        sources = {name: context.get_parameter_source(name) for name in options}
        given = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
        options |= {k: v for k, v in job_options(job, options).items() if k not in given}
    out = options.pop("out")
    if not out:
        raise UserError("harvest needs --out: the folder or url of the dataset")
    names = ("layout", "partition_size", "npartitions", "workers", "scheduler", "retry_failures")
    runs = {name: options.pop(name) for name in names} | {"units": units_value(options.pop("units"))}
    _run(partial(query_of(**options).to_parquet, out, **runs), out, json)


@takes("allow_http", "workers", "scheduler", "retry_failures", *REQUEST_LIMITS)
def resume(path: Dataset, *, json: JsonEvents = False, **options: Any) -> None:
    """Continue a harvest, with the query and the plan of its dataset."""
    from nomad_dask.dataset.store import Store

    manifest = Store.at(path).stored()
    runs = {name: options.pop(name) for name in ("workers", "scheduler", "retry_failures")}
    runs["layout"] = manifest.layout.name
    runs["units"] = dict(manifest.units.chosen)
    runs["resolve_references"] = manifest.question.resolve_references
    query = query_of(**manifest.query_arguments(), **options)
    _run(partial(query.to_parquet, path, **runs), path, json)


@takes("allow_http", "workers", "scheduler", *REQUEST_LIMITS)
def update(
    path: Dataset,
    prune: Annotated[
        bool, flag("--prune", "Also drop entries that the server no longer lists.", QUERY)
    ] = False,
    *,
    json: JsonEvents = False,
    **options: Any,
) -> None:
    """Add entries that are new or reprocessed since the harvest, or since the last update, to a dataset."""
    from nomad_dask.query.update_dataset import update_dataset

    _run(partial(update_dataset, path, prune=prune, **options), path, json)


def _run(work: Callable[..., Report], out: str, json: bool) -> None:
    """Run a harvest or an update, print progress and the result, and exit."""
    from nomad_dask.report_page.write import leave_page

    output = Events(out) if json else TextOutput(out)
    try:
        with output.progress() as show:
            report = work(progress=show)
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may be gone
            output.stopped(_exists(out))
            leave_page(out)
        raise typer.Exit(INTERRUPTED) from None
    except (UnfinishedError, ProtocolError):
        leave_page(out)
        raise
    output.finished(report, leave_page(out))
    raise typer.Exit(exit_code(report))


def _exists(out: str) -> bool:
    from nomad_dask.dataset.store import Store

    with suppress(NomadDaskError, OSError):
        return Store.at(out).manifest() is not None
    return False


def status(path: Dataset, json: Json = False) -> None:
    """Show the progress of a dataset, failed entries, and what to do next.

    The exit code is that of its harvest. Works while a harvest runs. On a terminal, a strip shows the
    segments in the order of entry ids; elsewhere the output is plain text.
    """
    from nomad_dask.dataset.status import DatasetStatus
    from nomad_dask.dataset.store import Store

    store = Store.at(path)
    manifest = store.stored()
    state = DatasetStatus.of(path, manifest, store.finished(manifest))
    code = exit_code(state.report)
    if json:
        print(json_text(state.to_json() | meaning(code)))
        raise typer.Exit(code)
    from nomad_dask.cli import status_drawing

    if sys.stdout.isatty():
        from rich.console import Console

        out = Console(highlight=False)
        out.print(status_drawing.drawing(state, out.width, ascii_only=out.options.ascii_only))
    else:
        print("\n".join(status_drawing.lines(state)))
    raise typer.Exit(code)


def report(
    path: Dataset,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="File or url of the page. Default: report.html in the dataset."),
    ] = None,
) -> None:
    """Write the harvest page: one HTML file with statistics of the harvest and the columns of the dataset."""
    from nomad_dask.report_page.write import write_page

    print(f"the harvest page is {write_page(path, out)}")
