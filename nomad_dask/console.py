"""Owns how a harvest looks in a terminal: a live line where there is one, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .display.showing import by_reports
from .display.terminal import bar, lines
from .pure.report import Report


@contextmanager
def shown(*, terminal: bool | None = None) -> Iterator[Callable[[Report], None]]:
    """A function that shows, on stderr, each report it is called with; the first tells what earlier runs had done."""
    live = terminal if terminal is not None else sys.stderr.isatty()
    with bar() if live else lines() as show:
        yield by_reports(show)
