"""Owns what a job says of itself in words: its progress on stderr, and how it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

from ..console import shown
from ..pure.report import Report
from ..pure.verdict import closing


class Words:
    """A job on the dataset at `place`, told to a person; `events.Events` tells it to a program."""

    def __init__(self, place: str) -> None:
        self._place = place

    def shown(self) -> AbstractContextManager[Callable[[Report], None]]:
        """A function that shows each report it is called with."""
        return shown()

    def finished(self, report: Report, page: str | None) -> None:
        """Say how a job ended."""
        print(closing(report, self._place))
        if page:
            print(f"how it went: {page}")

    def stopped(self, begun: bool) -> None:
        """Say that a job was interrupted; `begun`: there is a dataset."""
        kept = "finished segments are kept" if begun else "nothing was begun"
        print(f"interrupted; {kept}: run the same command again to go on", file=sys.stderr)
