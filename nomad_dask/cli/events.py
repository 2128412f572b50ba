"""Owns what `--json` prints of a job on stdout: events for machines, one JSON object a line, each with its UTC time.

::

    planned   how many segments and entries, and how many of them are done already; first, once the plan stands
    progress  what is done, rates, seconds left (`pure.progress`); at most one a second
    failed    entries that failed alike: status, reason, how many, the first ids; one for each reason, at the end
    finished  where the dataset stands (as `status --json`), the page, the exit code and its meaning
    stopped   interrupted: the same, as far as a dataset was begun
    error     what went wrong: kind, message, the exit code and its meaning

The last line is `finished`, `stopped` or `error`, but for a process that was killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson

from ..pure.errors import UserError
from ..pure.progress import Progress
from ..pure.report import Report
from .exits import INTERRUPTED, UNFINISHED, WRONG, exit_code, meaning

_EVERY = 1.0
"""Seconds between two events of progress."""


def tell(event: str, facts: Mapping[str, Any]) -> None:
    """Print one event."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(orjson.dumps({"event": event, "time": now, **facts}).decode(), flush=True)


def tell_error(kind: str, message: str, code: int) -> None:
    """Print what ended a command before its time."""
    tell("error", {"kind": kind, "message": message, **meaning(code)})


def code_of(error: Exception) -> int:
    """The exit code of a command that an error ended."""
    return WRONG if isinstance(error, UserError) else UNFINISHED


class Events:
    """A job on the dataset at `place`, told as events."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._first: Report | None = None

    @contextmanager
    def shown(self) -> Iterator[Callable[[Report], None]]:
        """A function that tells of each report it is called with; the first tells what earlier runs had done."""
        last = time.monotonic()

        def show(report: Report) -> None:
            nonlocal last
            if self._first is None:
                self._planned(report)
                return
            progress = Progress.of_reports(report, self._first)
            now = time.monotonic()
            if now - last >= _EVERY or progress.share == 1:
                last = now
                tell("progress", progress.to_json())

        yield show

    def finished(self, report: Report, page: str | None) -> None:
        """Tell how a job ended, and what failed."""
        self._planned(report)
        tell("finished", {**self._standing(), "page": page, **meaning(exit_code(report))})

    def stopped(self, begun: bool) -> None:
        """Tell that a job was interrupted; `begun`: there is a dataset."""
        tell("stopped", {**(self._standing() if begun else {"dataset": self._place}), **meaning(INTERRUPTED)})

    def _planned(self, report: Report) -> None:
        if self._first is not None:
            return
        self._first = report
        done = {"segments": report.done, "entries": report.entries}
        tell(
            "planned",
            {"dataset": self._place, "segments": report.segments, "entries": report.total, "done": done},
        )

    def _standing(self) -> dict[str, Any]:
        """Where the dataset stands, its failures told before."""
        from ..edges.store import Store
        from ..pure.standing import Standing, why

        store = Store.at(self._place)
        manifest = store.stored()
        standing = Standing.of(self._place, manifest, store.receipts(manifest.id))
        for reason in standing.reasons:
            tell("failed", why(reason))
        return standing.to_json()
