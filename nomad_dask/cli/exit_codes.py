"""Exit codes of the command line, and the handler of signals that interrupt a command."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

from nomad_dask.errors import UnreachableError, UserError

if TYPE_CHECKING:
    from nomad_dask.dataset.report import Report


_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_GRACE = 3.0
"""Seconds after the first signal in which further signals are ignored, while the command ends."""


class Interrupts:
    """Handler of SIGINT, SIGTERM and SIGHUP.

    The first signal raises KeyboardInterrupt. A later one exits at once, if the command is still running.
    """

    def __init__(self) -> None:
        self._first: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
            raise KeyboardInterrupt
        if now - self._first > _GRACE:
            os._exit(INTERRUPTED)

    def install(self) -> None:
        """Handle the signals, except those that the process was started to ignore (as with nohup)."""
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self)


DONE = 0
"""All entries were delivered."""
UNFINISHED = 1
"""The server or the storage kept failing: run the command again."""
WRONG = 2
"""The request is invalid."""
FAILED = 3
"""Some entries failed, or are no longer listed."""
UNREACHABLE = 4
"""No server answers at the url, or no scheduler at its address."""
INTERRUPTED = 130
"""Interrupted by Ctrl-C or a signal."""

MEANINGS = {
    DONE: "every entry was delivered",
    UNFINISHED: "not finished: run the same command again",
    WRONG: "what was asked for cannot be done: change it as the message says",
    FAILED: "some entries failed, or are not listed any more",
    UNREACHABLE: "nothing answers at the url or the scheduler's address: check it, or run it again later",
    INTERRUPTED: "interrupted: run the same command again to go on",
}


def meaning(code: int) -> dict[str, Any]:
    """An exit code and its meaning, as JSON."""
    return {"exit_code": code, "meaning": MEANINGS[code]}


def exit_code(report: Report) -> int:
    """The exit code of a command that ends with this report."""
    return FAILED if report.failed or report.short else DONE if report.complete else UNFINISHED


def code_of(error: Exception) -> int:
    """The exit code for an error."""
    if isinstance(error, UnreachableError):
        return UNREACHABLE
    return WRONG if isinstance(error, UserError) else UNFINISHED
