"""Owns how progress is shown in a notebook: a card below the cell, drawn again and again in its place.

A card is drawn by a thread of its own, a few times a second: whoever works only says how far it is, and waits for
nothing. The thread has the context of the one that made the card, by which a kernel knows the cell.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable
from typing import Any

from ..pure.cards import State, progress_card, words_card
from ..pure.progress import Progress

_EVERY = 0.25
"""Seconds between two drawings."""
_PATIENCE = 5.0
"""Seconds that the last drawing may take, before the card is left as it is."""


def shell() -> Any:
    """The IPython of the kernel that we run in; None outside of a notebook. Imports nothing."""
    ipython = sys.modules.get("IPython")
    found = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return found if getattr(found, "kernel", None) is not None else None


def publish(html: str, words: str) -> Callable[[str, str], None]:
    """Put something below the cell; the function that puts something else in its place."""
    from IPython.display import display

    handle: Any = display({"text/html": html, "text/plain": words}, raw=True, display_id=True)
    return lambda html, words: handle.update({"text/html": html, "text/plain": words}, raw=True)


def say(words: str) -> None:
    """A line of words below the cell."""
    publish(words_card(words), words)


class Card:
    """A progress below a cell. `show` and `end` may be called from any thread, and only tell; `wait` waits."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._progress, self._state = Progress(), State.RUNNING
        self._ending = threading.Event()
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._draw,), name="nomad-dask-card", daemon=True
        )

    def open(self) -> None:
        """Begin to draw."""
        self._thread.start()

    def show(self, progress: Progress) -> None:
        """This is how far it is now."""
        self._progress = progress

    def end(self, state: State) -> None:
        """This is how it ended; the card is drawn once more."""
        self._state = state
        self._ending.set()

    def wait(self) -> None:
        """Return when the last drawing is done."""
        if self._ending.is_set() and self._thread.ident is not None:
            self._thread.join(_PATIENCE)

    def _draw(self) -> None:
        update, drawn = None, None
        while True:
            over = self._ending.wait(_EVERY if drawn else 0)
            now = self._progress, self._state
            if now != drawn:
                told = progress_card(self._label, *now), f"{self._label}: {now[0].line()}"
                if update is None:
                    update = publish(*told)
                else:
                    update(*told)
                drawn = now
            if over:
                return
