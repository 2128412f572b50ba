"""Owns the command line: `nomad-dask count | plan | harvest | resume | update | status | report | serve |
demo` (SPEC 13).

Exit codes: 0 all entries delivered, 1 the server or the target kept failing (run again), 2 a user's error, 3 some
entries failed, 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .jobs import options_of, tree_of
from .options import (
    After,
    BatchSizeOption,
    Concurrency,
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
)
from .pure.errors import NomadDaskError, ProtocolError, UnfinishedError, UserError

if TYPE_CHECKING:
    from .edges.store import Store
    from .pure.report import Report
    from .query.archive_query import ArchiveQuery

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Get data out of the NOMAD archive in bulk.",
)


@app.command()
def count(query: Query = "{}", url: Url = None, owner: Owner = "visible", after: After = "") -> None:
    """Print how many entries match."""
    print(_query(query=query, url=url, owner=owner, after=after).count())


@app.command()
def plan(
    query: Query = "{}",
    url: Url = None,
    owner: Owner = "visible",
    after: After = "",
    results_max: ResultsMax = None,
    partition_size: PartitionSize = None,
    npartitions: Npartitions = None,
    json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Print the segments that a harvest would have. A few small requests; no archive is asked for."""
    asked = _query(query=query, url=url, owner=owner, after=after, results_max=results_max)
    planned = asked.plan(partition_size=partition_size, npartitions=npartitions)
    if json:
        import orjson

        print(orjson.dumps(planned.to_json()).decode())
        return
    print(planned)
    for number, segment in enumerate(planned):
        print(f"{number:>6}  {segment.after or 'start':<28}  {segment.upto or 'end':<28}  {segment.size}")


@app.command()
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
    context: typer.Context = None,  # type: ignore[assignment]
) -> None:
    """Harvest a query into a Parquet dataset. The same command again goes on where it was stopped."""
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
    _shown(partial(_query(**options).to_parquet, out, **runs), out)


@app.command()
def resume(
    path: Annotated[str, typer.Argument(help="Folder or url of the dataset.")],
    workers: Workers = None,
    scheduler: Scheduler = None,
    retry_failures: RetryFailures = False,
    max_requests_per_second: Rate = 20.0,
    max_concurrency: Concurrency = 10,
    retry: Retry = 4,
    sleep_time: SleepTime = 4.0,
    timeout: Timeout = 300.0,
    context: typer.Context = None,  # type: ignore[assignment]
) -> None:
    """Go on with a dataset: the query and the plan are in its manifest."""
    manifest = _store(path).stored()
    asked = _query(**manifest.asked(), **_connection(context))
    how: dict[str, Any] = {
        "workers": workers,
        "scheduler": scheduler,
        "retry_failures": retry_failures,
        "layout": manifest.layout.name,
        "resolve_references": manifest.question.resolve_references,
    }
    _shown(partial(asked.to_parquet, path, **how), path)


@app.command()
def update(
    path: Annotated[str, typer.Argument(help="Folder or url of the dataset.")],
    prune: Annotated[bool, typer.Option("--prune", help="Also drop what the server lists no more.")] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    max_requests_per_second: Rate = 20.0,
    max_concurrency: Concurrency = 10,
    retry: Retry = 4,
    sleep_time: SleepTime = 4.0,
    timeout: Timeout = 300.0,
    context: typer.Context = None,  # type: ignore[assignment]
) -> None:
    """Get what is new or reprocessed since the harvest, or since the last update, into a dataset."""
    from .query.updating import update

    how: dict[str, Any] = {"prune": prune, "workers": workers, "scheduler": scheduler}
    _shown(partial(update, path, **how, **_connection(context)), path)


@app.command()
def status(path: Annotated[str, typer.Argument(help="Folder or url of the dataset.")]) -> None:
    """Print how far a dataset is. Exit code as after its harvest."""
    report = _report(_store(path))
    from .console import closing

    print(closing(report, path))
    raise typer.Exit(_code(report))


@app.command()
def report(
    path: Annotated[str, typer.Argument(help="Folder or url of the dataset.")],
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="File or url of the page. Default: report.html in the dataset."),
    ] = None,
) -> None:
    """Write the harvest page: one HTML file that tells how a harvest went, and what its columns are."""
    from .harvest_page import write_page

    print(f"the harvest page is {write_page(path, out)}")


@app.command()
def serve(
    n_entries: Annotated[int, typer.Option(help="Generated public entries.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same archive.")] = 0,
    kind: Annotated[
        str,
        typer.Option(help="Archives: mixed (3 to 800 kB), small (5), large (100), results (5 of `results`)."),
    ] = "mixed",
    private_share: Annotated[float, typer.Option(help="Private entries for each public one.")] = 0.05,
    features: Annotated[
        str | None, typer.Option(help="Shares of what is special, as JSON; or 'plain' for nothing.")
    ] = None,
    archives: Annotated[
        Path | None, typer.Option(help="Serve a folder of archive JSON files instead, all public.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any that is free.")] = 8000,
    faults: Annotated[
        str | None, typer.Option(help="Misbehave: 'status=503,rate=0.1; latency=0.2; limit=20'.")
    ] = None,
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress answers when asked to.")] = False,
) -> None:
    """Run the embedded archive: a NOMAD-compatible server for tests and trials."""
    from .testing.command import run

    made: dict[str, Any] = {"n_entries": n_entries, "seed": seed, "kind": kind}
    where: dict[str, Any] = {"archives": archives, "host": host, "port": port, "gzip": gzip}
    run(**where, faults=faults, features=features, private_share=private_share, **made)


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Where the dataset goes; an earlier demo there is replaced.")
    ] = Path("demo"),
    n_entries: Annotated[int, typer.Option(help="Entries in the embedded archive.")] = 2000,
    workers: Annotated[int, typer.Option(help="Worker processes.")] = 2,
) -> None:
    """The main job, whole: start the embedded archive, harvest it into a dataset, show it."""
    from .demonstration import demonstrate

    raise typer.Exit(_code(demonstrate(out, n_entries, workers)))


def _shown(work: Callable[..., Report], out: str) -> None:
    """Run a harvest or an update, with its progress and its closing words; its exit code."""
    from .console import closing, shown
    from .harvest_page import leave_page

    try:
        with shown() as show:
            report = work(progress=show)
    except KeyboardInterrupt:
        kept = "finished segments are kept" if _began(out) else "nothing was begun"
        print(f"interrupted; {kept}: run the same command again to go on", file=sys.stderr)
        with suppress(KeyboardInterrupt):
            leave_page(out)
        raise typer.Exit(130) from None
    except (UnfinishedError, ProtocolError):
        leave_page(out)
        raise
    print(closing(report, out))
    if page := leave_page(out):
        print(f"how it went: {page}")
    raise typer.Exit(_code(report))


def _began(out: str) -> bool:
    with suppress(NomadDaskError, OSError):
        return _store(out).manifest() is not None
    return False


def _code(report: Report) -> int:
    return 3 if report.failed or report.short else 0 if report.complete else 1


def _store(path: str) -> Store:
    from .edges.store import Store

    return Store.at(path)


def _report(store: Store) -> Report:
    from .pure.report import Report

    manifest = store.stored()
    return Report.of(manifest.plan, store.receipts(manifest.id).values(), manifest.last_run)


def _connection(context: typer.Context) -> dict[str, Any]:
    """How a command's requests are made, of its options."""
    names = ("max_requests_per_second", "max_concurrency", "retry", "sleep_time", "timeout")
    return _unlimited({name: context.params[name] for name in names})


def _unlimited(options: dict[str, Any]) -> dict[str, Any]:
    """The options, where 0 requests a second stand for no limit."""
    return {k: None if k == "max_requests_per_second" and v == 0 else v for k, v in options.items()}


def _query(**options: Any) -> ArchiveQuery:
    """The query object of command-line options; trees may be JSON text, `@file.json`, or already JSON."""
    from .query.archive_query import ArchiveQuery

    for name in ("query", "required"):
        if name in options:
            options[name] = tree_of(options[name], f"--{name}")
    options.setdefault("results_max", None)
    return ArchiveQuery(**_unlimited(options), progress=False)


def main() -> None:
    """The entry point: runs a command, and turns errors into one message and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
    try:
        app()
    except NomadDaskError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, UserError) else 1) from None
