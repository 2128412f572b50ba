"""Owns how a harvest looks in a terminal: a live line where there is one, plain lines elsewhere; the closing words."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .pure.history import Run
from .pure.progress import Progress
from .pure.report import Report

_EVERY = 2.0
"""Seconds between two plain lines."""


@contextmanager
def shown(*, terminal: bool | None = None) -> Iterator[Callable[[Report], None]]:
    """A function that shows, on stderr, each report it is called with; the first tells what earlier runs had done."""
    live = terminal if terminal is not None else sys.stderr.isatty()
    with _bar() if live else _lines() as show:
        before: list[Report] = []

        def shower(report: Report) -> None:
            before[:] = before or [report]
            show(Progress.of_reports(report, before[0]))

        yield shower


@contextmanager
def _lines() -> Iterator[Callable[[Progress], None]]:
    last = float("-inf")

    def show(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY or progress.share == 1:
            last = now
            print(progress.line(), file=sys.stderr, flush=True)

    yield show


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich import progress as bars
    from rich.console import Console

    columns = bars.BarColumn(30), bars.TextColumn("{task.description}")
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("planning", total=None)

        def show(progress: Progress) -> None:
            bar.update(task, total=1.0, completed=progress.share or 0.0, description=progress.line())

        yield show


def last_update(run: Run) -> str:
    """What the last update did; or that it was stopped."""
    if not run.finished:
        return f"the update begun at {run.begun} was stopped: run `nomad-dask update` again to go on"
    gone = f"{run.pruned} withdrawn and dropped" if run.prune else "withdrawn ones not looked for"
    return f"last update {run.begun}: {run.added} new, {run.changed} reprocessed, {gone}"


def closing(report: Report, place: str) -> str:
    """The last lines of a harvest: what is there, what is not, and what to do about it."""
    words = (
        f"{report.rows} entries in {place} ({report.n_bytes / 1e6:.1f} MB read in {report.requests} requests, "
        f"{report.retries} retries); {report.missing} without archive, {report.failed} failed"
    )
    if report.n_more:
        words += f"\n{report.n_more} values that the schema did not know are in the column _more"
    if report.failed:
        words += "\nwhat failed, and why, is in failures.parquet; the same command with --retry-failures asks again"
    if report.update is not None:
        words += f"\n{last_update(report.update)}"
    if report.short:
        words += (
            f"\n{report.short} entries of the plan were not listed when their turn came: withdrawn since, or another "
            "login's"
        )
    if report.done < report.segments:
        words += f"\n{report.segments - report.done} of {report.segments} segments are still to do: run the same command again"
    return words
