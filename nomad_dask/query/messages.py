"""Owns what the query object says while it works, on stderr (the guide shows it); silent on request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_WIDTH = 36


@dataclass(frozen=True, slots=True)
class Messages:
    """Says things, unless told not to."""

    spoken: bool = True

    def say(self, words: str) -> None:
        """One line."""
        if self.spoken:
            print(words, file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar: yields a function that is told how many more are done. One line where there is no terminal."""
        live = sys.stderr.isatty()
        done = shown = 0

        def advance(n: int) -> None:
            nonlocal done, shown
            done += n
            filled = _WIDTH * done // max(total, 1)
            if live and filled > shown:
                shown = filled
                print(_drawn(label, done, total), end="", file=sys.stderr, flush=True)

        if not self.spoken:
            yield lambda n: None
            return
        try:
            yield advance
        finally:
            print(
                _drawn(label, done, total) if live else _drawn(label, done, total)[1:],
                file=sys.stderr,
                flush=True,
            )


def _drawn(label: str, done: int, total: int) -> str:
    filled = _WIDTH * done // max(total, 1)
    return f"\r{label}  [{'#' * filled}{'-' * (_WIDTH - filled)}]  {100 * done // max(total, 1):3d}%"
