"""Owns where progress is shown: where we run decides. A notebook has a card, a terminal a bar, a script's pipe nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from ..pure.cards import State
from ..pure.progress import Progress
from ..pure.report import Report
from . import notebook, terminal

Show = Callable[[Progress], None]


def place() -> Literal["notebook", "terminal", "pipe"]:
    """Where what we show is seen."""
    if notebook.shell() is not None:
        return "notebook"
    return "terminal" if sys.stderr.isatty() else "pipe"


@contextmanager
def shown(label: str) -> Iterator[Show]:
    """A function that shows how far the work of the block is; nothing where nobody looks. The block's error is told."""
    where = place()
    if where == "notebook":
        with card(label) as show:
            yield show
    elif where == "terminal":
        with terminal.bar() as show:
            yield show
    else:
        yield lambda progress: None


@contextmanager
def card(label: str) -> Iterator[Show]:
    """A card below the cell, which ends with the block."""
    drawn, state = notebook.Card(label), State.STOPPED
    drawn.open()
    try:
        yield drawn.show
        state = State.DONE
    finally:
        drawn.end(state)
        drawn.wait()


Tell = Callable[[Report], None]


@contextmanager
def reports_shown(label: str, *, tell: Tell | bool | None, spoken: bool = True) -> Iterator[Tell | None]:
    """What a harvest tells its reports to: the user's function; or else what shows them, but where it is to be quiet."""
    if callable(tell):
        yield tell
    elif tell is False or not spoken:
        yield None
    else:
        with shown(label) as show:
            yield by_reports(show)


def by_reports(show: Show) -> Tell:
    """A function that is told reports, and shows how far they are; the first tells what earlier runs had done."""
    before: list[Report] = []

    def told(report: Report) -> None:
        before[:] = before or [report]
        show(Progress.of_reports(report, before[0]))

    return told
