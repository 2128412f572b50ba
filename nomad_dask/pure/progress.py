"""Owns how far some work is, as a plain value: what is done, of how much, at what pace, and how long it will take.

Made of a harvest's reports (`of_reports`), or of any tally that somebody keeps; told as one line of words, as JSON, or
drawn by whoever shows it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .amounts import count, duration, number, size
from .report import Receipt, Report


@dataclass(frozen=True, slots=True)
class Done:
    """What work has done and taken so far; what several did adds up."""

    entries: int = 0
    """Dealt with: delivered, without archive, or failed."""
    failed: int = 0
    """Of the entries, those that could not be delivered."""
    n_bytes: int = 0
    """Of answers, uncompressed."""
    requests: int = 0
    segments: int = 0

    def __add__(self, other: Done) -> Done:
        return Done(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @classmethod
    def of(cls, done: Report | Receipt) -> Done:
        """What a report, or one segment's receipt, says was done."""
        if isinstance(done, Report):
            return cls(done.entries, done.failed, done.n_bytes, done.requests, done.done)
        return cls(done.listed, len(done.failures), done.n_bytes, done.requests, 1)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far some work is. Rates and the time left go by what this run did, not by what earlier ones had left."""

    done: Done = Done()
    total: int | None = None
    """Entries in all; None: not known. Of an estimate, what is done may be more."""
    segments: int | None = None
    """Segments in all; None where the work is not cut into any."""
    seconds: float = 0.0
    """Since this run began, by the clock."""
    before: Done = Done()
    """What earlier runs had done when this one began."""

    @classmethod
    def of_reports(cls, report: Report, before: Report | None = None) -> Progress:
        """The progress of a harvest whose last report is this; `before`: the one that it began with."""
        earlier = Done.of(before) if before is not None else Done()
        return cls(Done.of(report), report.total, report.segments, report.seconds, earlier)

    @property
    def share(self) -> float | None:
        """How much of all is done, 0 to 1; None: not known. 1 is said of all alone where there are segments."""
        if self.segments is not None and self.done.segments >= self.segments:
            return 1.0
        if self.total is None:
            return None
        share = self.done.entries / self.total if self.total else 0.0 if self.segments else 1.0
        return min(share, 1.0 if self.segments is None else 0.99)

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
        """Seconds that the rest will take at this run's pace; None while that is not known."""
        if self.share == 1.0:
            return 0.0
        if self.total is None or not self.entries_per_second:
            return None
        return max(0, self.total - self.done.entries) / self.entries_per_second

    def counted(self) -> str:
        """How many entries of how many: `412 of 2,000 entries`; of an estimate that was too low, what there is."""
        if self.total is None:
            return f"{count(self.done.entries)} entries"
        return f"{count(self.done.entries)} of {count(max(self.total, self.done.entries))} entries"

    def facts(self) -> list[str]:
        """The pieces of the line of words, without the count: bytes, rates, failures, the time left or taken."""
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
        """All of it in one line of words."""
        return ", ".join([self.counted(), *self.facts()])

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON, figures in entries, bytes and seconds; None is what is not known."""
        return asdict(self.done) | {
            "total_entries": self.total,
            "total_segments": self.segments,
            "seconds": round(self.seconds, 3),
            "entries_per_second": round(self.entries_per_second, 3),
            "bytes_per_second": round(self.bytes_per_second, 3),
            "requests_per_second": round(self.requests_per_second, 3),
            "seconds_left": None if self.left is None else round(self.left, 3),
        }
