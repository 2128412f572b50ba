"""Owns the commands that write datasets: `harvest`, `resume`, `update`; how they end, and with which exit code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..pure.errors import NomadDaskError, ProtocolError, UnfinishedError, UserError
from .exits import INTERRUPTED, exit_code
from .jobs import options_of
from .options import (
    ASKED,
    After,
    BatchSizeOption,
    Concurrency,
    Dataset,
    EventsOption,
    LayoutOption,
    Npartitions,
    Owner,
    PartitionSize,
    Query,
    Rate,
    RequiredTree,
    ResultsMax,
    Retry,
    RetryFailures,
    Scheduler,
    SleepTime,
    SourceOption,
    Timeout,
    Url,
    Workers,
    flag,
)
from .queries import connection_of, query_of

if TYPE_CHECKING:
    from ..pure.report import Report


def harvest(
    job: Annotated[
        Path | None, typer.Argument(help="A .toml or .json file with these options as keys.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Folder or fsspec url of the dataset.")] = None,
    query: Query = "{}",
    required: RequiredTree = "*",
    source: SourceOption = "archives",
    layout: LayoutOption = "wide",
    url: Url = None,
    owner: Owner = "visible",
    after: After = "",
    results_max: ResultsMax = None,
    partition_size: PartitionSize = None,
    npartitions: Npartitions = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    retry_failures: RetryFailures = False,
    max_requests_per_second: Rate = 20.0,
    max_concurrency: Concurrency = 10,
    batch_size: BatchSizeOption = None,
    retry: Retry = 4,
    sleep_time: SleepTime = 4.0,
    timeout: Timeout = 300.0,
    json: EventsOption = False,
    context: typer.Context = None,  # type: ignore[assignment]
) -> None:
    """Harvest a query into a Parquet dataset. The same command again goes on where it was stopped.

    On a pipe there are plain lines: progress on stderr, the closing words on stdout. With --json there are events on
    stdout, one JSON object a line, and nothing else: planned (segments, entries), progress (what is done, rates, seconds
    left), failed (status, reason, how many entries), and at the end finished, stopped or error, with the exit code and its
    meaning.

    Exit codes: 0 all delivered, 1 not finished (run it again), 2 a mistake in what was asked for, 3 some entries failed,
    130 interrupted.
    """
    options = {k: v for k, v in context.params.items() if k not in ("job", "json")}
    if job is not None:
        sources = {k: context.get_parameter_source(k) for k in options}
        given = {k for k, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
        options |= {k: v for k, v in options_of(job, options).items() if k not in given}
    if not options["out"]:
        raise UserError("harvest needs --out: the folder or url of the dataset")
    named = ("out", "layout", "partition_size", "npartitions", "workers", "scheduler", "retry_failures")
    runs = {k: options.pop(k) for k in named}
    out = runs.pop("out")
    _shown(partial(query_of(**options).to_parquet, out, **runs), out, json)


def resume(
    path: Dataset,
    workers: Workers = None,
    scheduler: Scheduler = None,
    retry_failures: RetryFailures = False,
    max_requests_per_second: Rate = 20.0,
    max_concurrency: Concurrency = 10,
    retry: Retry = 4,
    sleep_time: SleepTime = 4.0,
    timeout: Timeout = 300.0,
    json: EventsOption = False,
    context: typer.Context = None,  # type: ignore[assignment]
) -> None:
    """Go on with a dataset: the query and the plan are in its manifest."""
    from ..edges.store import Store

    manifest = Store.at(path).stored()
    asked = query_of(**manifest.asked(), **connection_of(context))
    how: dict[str, Any] = {
        "workers": workers,
        "scheduler": scheduler,
        "retry_failures": retry_failures,
        "layout": manifest.layout.name,
        "resolve_references": manifest.question.resolve_references,
    }
    _shown(partial(asked.to_parquet, path, **how), path, json)


def update(
    path: Dataset,
    prune: Annotated[bool, flag("--prune", "Also drop what the server lists no more.", ASKED)] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    max_requests_per_second: Rate = 20.0,
    max_concurrency: Concurrency = 10,
    retry: Retry = 4,
    sleep_time: SleepTime = 4.0,
    timeout: Timeout = 300.0,
    json: EventsOption = False,
    context: typer.Context = None,  # type: ignore[assignment]
) -> None:
    """Get what is new or reprocessed since the harvest, or since the last update, into a dataset."""
    from ..query.updating import update

    how: dict[str, Any] = {"prune": prune, "workers": workers, "scheduler": scheduler}
    _shown(partial(update, path, **how, **connection_of(context)), path, json)


def _shown(work: Callable[..., Report], out: str, json: bool) -> None:
    """Run a harvest or an update, with its progress and how it ended; its exit code."""
    from ..harvest_page import leave_page
    from .events import Events
    from .telling import Words

    teller = Events(out) if json else Words(out)
    try:
        with teller.shown() as show:
            report = work(progress=show)
    except KeyboardInterrupt:
        teller.stopped(_began(out))
        with suppress(KeyboardInterrupt):
            leave_page(out)
        raise typer.Exit(INTERRUPTED) from None
    except (UnfinishedError, ProtocolError):
        leave_page(out)
        raise
    teller.finished(report, leave_page(out))
    raise typer.Exit(exit_code(report))


def _began(out: str) -> bool:
    from ..edges.store import Store

    with suppress(NomadDaskError, OSError):
        return Store.at(out).manifest() is not None
    return False
