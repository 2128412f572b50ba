"""Output of harvest, resume and update: text, or with `--json` events, one JSON object per line.

Each event has the UTC time::

    planned   number of segments and entries, and those that are already done; first, when the plan is known
    progress  what is done, rates, seconds left (see `progress.progress`); at most once a second
    failed    entries that failed for one reason: status, reason, number, first ids; at the end
    finished  the state of the dataset (as `status --json`), the page, the exit code and its meaning
    stopped   interrupted: the same, if there is a dataset
    error     kind, message, the exit code and its meaning

The last line is `finished`, `stopped` or `error`, unless the process was killed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from nomad_dask.cli.exit_codes import INTERRUPTED, exit_code, meaning
from nomad_dask.dataset.report import Report, closing
from nomad_dask.progress.display import terminal_progress
from nomad_dask.text import json_text

_INTERVAL = 1.0
"""Minimum time in seconds between two progress events."""


def print_event(event: str, facts: Mapping[str, Any]) -> None:
    """Print one event."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(json_text({"event": event, "time": now, **facts}), flush=True)


def print_error(kind: str, message: str, code: int) -> None:
    """Print an error event."""
    print_event("error", {"kind": kind, "message": message, **meaning(code)})


class Events:
    """Output of a harvest or an update as events."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._first: Report | None = None

    @contextmanager
    def progress(self) -> Iterator[Callable[[Report], None]]:
        """A function that prints the progress of a report. The first report is that of earlier runs."""
        last = time.monotonic()

        def show(report: Report) -> None:
            nonlocal last
            if self._first is None:
                self._planned(report)
                return
            progress = report.progress(self._first)
            now = time.monotonic()
            if now - last >= _INTERVAL or progress.share == 1:
                last = now
                print_event("progress", progress.to_json())

        yield show

    def finished(self, report: Report, page: str | None) -> None:
        """Print the failures and the result."""
        self._planned(report)
        print_event("finished", {**self._state(), "page": page, **meaning(exit_code(report))})

    def stopped(self, exists: bool) -> None:
        """Print that the command was interrupted. `exists` is True if there is a dataset."""
        print_event(
            "stopped", {**(self._state() if exists else {"dataset": self._path}), **meaning(INTERRUPTED)}
        )

    def _planned(self, report: Report) -> None:
        if self._first is not None:
            return
        self._first = report
        done = {"segments": report.done, "entries": report.entries}
        print_event(
            "planned",
            {
                "dataset": self._path,
                "segments": report.segments,
                "entries": report.total,
                "matched": report.cap.matched if report.cap else None,
                "done": done,
            },
        )

    def _state(self) -> dict[str, Any]:
        """Print the failures of the dataset, and return its state."""
        from nomad_dask.dataset.status import DatasetStatus, reason_to_json
        from nomad_dask.dataset.store import Store

        store = Store.at(self._path)
        manifest = store.stored()
        state = DatasetStatus.of(self._path, manifest, store.finished(manifest))
        for reason in state.reasons:
            print_event("failed", reason_to_json(reason))
        return state.to_json()


class TextOutput:
    """Output of a harvest or an update for people; `Events` is that for programs."""

    def __init__(self, path: str) -> None:
        self._path = path

    @contextmanager
    def progress(self) -> Iterator[Callable[[Report], None]]:
        """A function that shows the progress of a report, and first what `results_max` excludes."""
        noted = False
        with terminal_progress() as tell:

            def show(report: Report) -> None:
                nonlocal noted
                if report.cap and not noted:
                    noted = True
                    print(f"note: {report.cap}", file=sys.stderr, flush=True)
                tell(report)

            yield show

    def finished(self, report: Report, page: str | None) -> None:
        """Print the summary."""
        print(closing(report, self._path))
        if page:
            print(f"report: {page}")

    def stopped(self, exists: bool) -> None:
        """Print that the command was interrupted. `exists` is True if there is a dataset."""
        kept = "finished segments are kept" if exists else "no dataset was created"
        print(f"interrupted; {kept}: run the same command again to continue", file=sys.stderr)
