"""Progress and messages where the user sees them: below the notebook cell, or on stderr.

A terminal gets a live bar. On a pipe, harvests of the command line print plain lines, downloads print one
line at the end, and others print nothing.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from nomad_dask.progress.progress import CardState, Progress, progress_card, text_card

Show = Callable[[Progress], None]
OnReport = Callable[[Any], None]
"""A function that is called with the report of a harvest."""
_LINE_INTERVAL = 2.0
"""Seconds between two plain lines."""
_BAR_WIDTH = 36
_CARD_INTERVAL = 0.25
"""Seconds between two updates of a card."""
_CARD_TIMEOUT = 5.0
"""Maximum time in seconds to wait for the last update of a card."""


def shell() -> Any:
    """The IPython shell of this kernel; None outside of a notebook. Does not import IPython."""
    ipython = sys.modules.get("IPython")
    found = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return found if getattr(found, "kernel", None) is not None else None


def output_kind() -> Literal["notebook", "terminal", "pipe"]:
    """Where output of this process is shown."""
    if shell() is not None:
        return "notebook"
    return "terminal" if sys.stderr.isatty() else "pipe"


def say(message: str) -> None:
    """Show a line of text."""
    if output_kind() == "notebook":
        publish(text_card(message), message)
    else:
        print(message, file=sys.stderr, flush=True)


@contextmanager
def download_progress(label: str) -> Iterator[Show]:
    """Yield a function that shows the progress of a download, in the style of nomad-lab."""
    output = output_kind()
    if output == "notebook":
        with _card(label) as show:
            yield show
        return
    last, shown = Progress(), 0

    def show_text(progress: Progress) -> None:
        nonlocal last, shown
        last, filled = progress, int(_BAR_WIDTH * (progress.share or 0.0))
        if output == "terminal" and filled > shown:
            shown = filled
            print("\r" + _bar_text(label, progress), end="", file=sys.stderr, flush=True)

    try:
        yield show_text
    finally:
        start = "\r" if output == "terminal" else ""
        print(start + _bar_text(label, last), file=sys.stderr, flush=True)


def _bar_text(label: str, progress: Progress) -> str:
    share = progress.share or 0.0
    filled = int(_BAR_WIDTH * share)
    return f"{label}  [{'#' * filled}{'-' * (_BAR_WIDTH - filled)}]  {int(100 * share):3d}%"


@contextmanager
def harvest_progress(
    label: str, *, tell: OnReport | bool | None, show_progress: bool = True
) -> Iterator[OnReport | None]:
    """Yield the function that a harvest calls with reports: the user's, one that displays them, or None."""
    output = output_kind()
    if callable(tell):
        yield tell
    elif tell is False or not show_progress or output == "pipe":
        yield None
    else:
        with _card(label) if output == "notebook" else terminal_bar() as show:
            yield _by_reports(show)


@contextmanager
def terminal_progress() -> Iterator[OnReport]:
    """Yield a function that shows reports on stderr. The first report has the work of earlier runs."""
    with terminal_bar() if sys.stderr.isatty() else _lines() as show:
        yield _by_reports(show)


def _by_reports(show: Show) -> OnReport:
    before: Any = None

    def on_report(report: Any) -> None:
        nonlocal before
        before = before or report
        show(report.progress(before))

    return on_report


@contextmanager
def _lines() -> Iterator[Show]:
    """A function that prints progress as a line, at most every two seconds, and when all is done."""
    last = float("-inf")

    def show(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LINE_INTERVAL or progress.share == 1:
            last = now
            print(progress.line(), file=sys.stderr, flush=True)

    yield show


@contextmanager
def terminal_bar() -> Iterator[Show]:
    """A function that draws progress as a bar over the terminal's width, with figures below.

    The bar stays on the terminal when the block ends.
    """
    from rich import progress as bars
    from rich.console import Console, RenderableType
    from rich.text import Text

    facts = Text(style="dim")

    class BarWithFacts(bars.Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            if facts:
                yield facts

    columns = bars.BarColumn(None), bars.TextColumn("{task.description}")
    with BarWithFacts(*columns, console=Console(stderr=True), expand=True) as drawn:
        task = drawn.add_task("planning", total=None)

        def show(progress: Progress) -> None:
            share = progress.share
            facts.plain = ", ".join(progress.facts())
            if share is None:
                drawn.update(task, description=progress.entries_text())
                return
            text = f"{100 * share:.0f}%  {progress.entries_text()}"
            drawn.update(task, total=1.0, completed=share, description=text)

        yield show


@contextmanager
def _card(label: str) -> Iterator[Show]:
    """A function that shows progress as a card below the cell, until the block ends."""
    card, state = Card(label), CardState.STOPPED
    card.open()
    try:
        yield card.show
        state = CardState.DONE
    finally:
        card.end(state)
        card.wait()


def publish(html: str, text: str) -> Callable[[str, str], None]:
    """Display HTML (and text) below the cell. Returns a function that replaces it."""
    from IPython.display import display

    handle: Any = display({"text/html": html, "text/plain": text}, raw=True, display_id=True)
    return lambda html, text: handle.update({"text/html": html, "text/plain": text}, raw=True)


class Card:
    """A progress card below a cell. `show` and `end` are thread-safe and do not block; `wait` blocks.

    A thread draws the card a few times a second, so that updates do not slow the work. It runs in the context
    of the thread that made the card, by which the kernel finds the cell.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._progress, self._state = Progress(), CardState.RUNNING
        self._ending = threading.Event()
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._draw,), name="nomad-dask-card", daemon=True
        )

    def open(self) -> None:
        """Start to draw the card."""
        self._thread.start()

    def show(self, progress: Progress) -> None:
        """Set the progress to show."""
        self._progress = progress

    def end(self, state: CardState) -> None:
        """Set the final state; the card is drawn once more."""
        self._state = state
        self._ending.set()

    def wait(self) -> None:
        """Wait until the card is drawn for the last time."""
        if self._ending.is_set() and self._thread.ident is not None:
            self._thread.join(_CARD_TIMEOUT)

    def _draw(self) -> None:
        update, drawn = None, None
        while True:
            over = self._ending.wait(_CARD_INTERVAL if drawn else 0)
            now = self._progress, self._state
            if now != drawn:
                content = progress_card(self._label, *now), f"{self._label}: {now[0].line()}"
                if update is None:
                    update = publish(*content)
                else:
                    update(*content)
                drawn = now
            if over:
                return
