"""Owns how a harvest looks in a terminal: a live line where there is one, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
