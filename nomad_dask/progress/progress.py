"""Progress of work as a plain value: what is done, the total, rates and the time left; and its HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from nomad_dask.text.html import GREY, Html, tag
from nomad_dask.text.humanize import count, duration, number, share, size


@dataclass(frozen=True, slots=True)
class WorkDone:
    """Amounts of work done so far. Values can be added."""

    entries: int = 0
    """Entries processed: delivered, without archive, or failed."""
    failed: int = 0
    """Entries that could not be delivered."""
    n_bytes: int = 0
    """Size of the answers, uncompressed."""
    requests: int = 0
    segments: int = 0

    def __add__(self, other: WorkDone) -> WorkDone:
        return WorkDone(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of some work. Rates and the time left are those of this run, without earlier runs."""

    done: WorkDone = WorkDone()
    total: int | None = None
    """Total number of entries; None if unknown. May be an estimate, and then less than what is done."""
    segments: int | None = None
    """Total number of segments; None if the work has no segments."""
    seconds: float = 0.0
    """Time since this run began."""
    before: WorkDone = WorkDone()
    """Work of earlier runs when this run began."""

    @property
    def share(self) -> float | None:
        """The fraction that is done, 0 to 1; None if unknown. It is 1 only if all segments are done."""
        if self.segments is not None and self.done.segments >= self.segments:
            return 1.0
        if self.total is None:
            return None
        part = self.done.entries / self.total if self.total else 0.0 if self.segments else 1.0
        return min(part, 1.0 if self.segments is None else 0.99)

    @property
    def entries_per_second(self) -> float:
        """Entries a second in this run."""
        return self._rate(self.done.entries - self.before.entries)

    @property
    def bytes_per_second(self) -> float:
        """Bytes a second in this run."""
        return self._rate(self.done.n_bytes - self.before.n_bytes)

    @property
    def requests_per_second(self) -> float:
        """Requests a second in this run, retries included."""
        return self._rate(self.done.requests - self.before.requests)

    def _rate(self, amount: int) -> float:
        return max(0, amount) / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Estimated seconds until the work is done, at the rate of this run; None if unknown."""
        if self.share == 1.0:
            return 0.0
        if self.total is None or not self.entries_per_second:
            return None
        return max(0, self.total - self.done.entries) / self.entries_per_second

    def entries_text(self) -> str:
        """Entries done of the total: `412 of 2,000 entries`."""
        if self.total is None:
            return f"{count(self.done.entries)} entries"
        return f"{count(self.done.entries)} of {count(max(self.total, self.done.entries))} entries"

    def facts(self) -> list[str]:
        """Figures as text: bytes, rates, failures, and the time left or taken."""
        facts = [size(self.done.n_bytes)]
        if self.seconds:
            facts += [
                f"{number(self.entries_per_second)} entries/s",
                f"{size(self.bytes_per_second)}/s",
                f"{number(self.requests_per_second)} requests/s",
            ]
        facts.append(f"{count(self.done.failed)} failed")
        if self.left:
            facts.append(f"{duration(self.left)} left")
        elif self.share == 1 and self.seconds:
            facts.append(f"in {duration(self.seconds)}")
        return facts

    def line(self) -> str:
        """The progress as one line of text."""
        return ", ".join([self.entries_text(), *self.facts()])

    def to_json(self) -> dict[str, Any]:
        """The progress as plain JSON, in entries, bytes and seconds; unknown values are None."""
        return asdict(self.done) | {
            "total_entries": self.total,
            "total_segments": self.segments,
            "seconds": round(self.seconds, 3),
            "entries_per_second": round(self.entries_per_second, 3),
            "bytes_per_second": round(self.bytes_per_second, 3),
            "requests_per_second": round(self.requests_per_second, 3),
            "seconds_left": None if self.left is None else round(self.left, 3),
        }


class CardState(Enum):
    """The state of the work that a card shows; the value is the colour of the bar."""

    RUNNING = "#3f84cf"
    DONE = "#3c9a5f"
    STOPPED = "#cf6f2e"
    DETACHED = "#8a8f98"
    """The cell has ended; the work may still be running."""


def progress_card(label: str, progress: Progress, state: CardState) -> Html:
    """A progress bar for notebooks, with a label, a percentage and figures.

    Styles set no text or background colour, so that cards fit light and dark notebooks.
    """
    done = progress.share or 0.0
    percent = share(done, 1) if progress.share is not None else ""
    ending = {CardState.STOPPED: "stopped", CardState.DETACHED: "may still be running"}.get(state, "")
    right = ", ".join(filter(None, (ending, percent)))
    head = tag(
        "div",
        tag("span", label, style="font-weight: bold; overflow-wrap: anywhere"),
        tag("span", right, style="white-space: nowrap; padding-left: 1em"),
        style="display: flex; justify-content: space-between",
    )
    filled = tag("div", style=f"height: 100%; width: {100 * done:.1f}%; background: {state.value}")
    bar = tag(
        "div",
        filled,
        role="progressbar",
        aria_label=label,
        aria_valuemin="0",
        aria_valuemax="100",
        aria_valuenow=f"{100 * done:.0f}" if progress.share is not None else None,
        style=f"height: 0.7em; border-radius: 0.35em; overflow: hidden; margin: 0.25em 0; background: {GREY}",
    )
    figures = " · ".join([progress.entries_text(), *progress.facts()])
    below = tag("div", figures, style="font-variant-numeric: tabular-nums; opacity: 0.85")
    return tag("div", head, bar, below, style="max-width: 52em; margin: 0.3em 0")


def text_card(text: str) -> Html:
    """A line of text."""
    return tag("div", text, style="opacity: 0.85")


_listener: ContextVar[Callable[[WorkDone], None] | None] = ContextVar("nomad_dask_listener", default=None)


@contextmanager
def listening(listener: Callable[[WorkDone], None]) -> Iterator[None]:
    """Call `listener` with the work that this thread reports in the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report_work(done: WorkDone) -> None:
    """Pass the work done to the listener, if there is one."""
    if (listener := _listener.get()) is not None:
        listener(done)
