"""Owns what the query object says while it works: on stderr as the guide shows it, in a notebook below the cell.

Silent on request.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..display import notebook, showing
from ..pure.progress import Progress

_WIDTH = 36
Show = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Messages:
    """Says things, unless told not to."""

    spoken: bool = True

    def say(self, words: str) -> None:
        """One line."""
        if not self.spoken:
            return
        if showing.place() == "notebook":
            notebook.say(words)
        else:
            print(words, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, label: str) -> Iterator[Show]:
        """A progress bar: yields a function that is told how far it is. One line where there is no terminal."""
        place = showing.place() if self.spoken else None
        if place is None:
            yield lambda progress: None
        elif place == "notebook":
            with showing.card(label) as show:
                yield show
        else:
            with _drawn_by_hand(label, place == "terminal") as show:
                yield show


@contextmanager
def _drawn_by_hand(label: str, live: bool) -> Iterator[Show]:
    last, shown = Progress(), 0

    def show(progress: Progress) -> None:
        nonlocal last, shown
        last, filled = progress, int(_WIDTH * (progress.share or 0.0))
        if live and filled > shown:
            shown = filled
            print("\r" + _drawn(label, progress), end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print(("\r" if live else "") + _drawn(label, last), file=sys.stderr, flush=True)


def _drawn(label: str, progress: Progress) -> str:
    share = progress.share or 0.0
    filled = int(_WIDTH * share)
    return f"{label}  [{'#' * filled}{'-' * (_WIDTH - filled)}]  {int(100 * share):3d}%"
