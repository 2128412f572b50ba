"""Owns how progress looks on stderr: a live bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..pure.progress import Progress

_EVERY = 2.0
"""Seconds between two plain lines."""


@contextmanager
def lines() -> Iterator[Callable[[Progress], None]]:
    """A function that prints a progress as a line, where the last one was some seconds ago or all is done."""
    last = float("-inf")

    def show(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY or progress.share == 1:
            last = now
            print(progress.line(), file=sys.stderr, flush=True)

    yield show


@contextmanager
def bar() -> Iterator[Callable[[Progress], None]]:
    """A function that draws a progress as a bar as wide as the terminal, its facts below; it stays when the block ends."""
    from rich import progress as bars
    from rich.console import Console, RenderableType
    from rich.text import Text

    facts = Text(style="dim")

    class Told(bars.Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            if facts:
                yield facts

    columns = bars.BarColumn(None), bars.TextColumn("{task.description}")
    with Told(*columns, console=Console(stderr=True), expand=True) as drawn:
        task = drawn.add_task("planning", total=None)

        def show(progress: Progress) -> None:
            share = progress.share
            facts.plain = ", ".join(progress.facts())
            if share is None:
                drawn.update(task, description=progress.counted())
                return
            told = f"{100 * share:.0f}%  {progress.counted()}"
            drawn.update(task, total=1.0, completed=share, description=told)

        yield show
