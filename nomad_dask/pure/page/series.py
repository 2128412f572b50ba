"""Owns what went on over time in a harvest, from its receipts: throughput, batch sizes, requests under way.

A receipt says when its segment was finished and how long it took; what it counts is spread evenly over that time, so a
rate may be drawn somewhat higher or lower than it was. Hours
in which nothing was under way (the harvest was stopped) are cut out: the axis is the time of work. A segment that was
read again, by a later try or an update, counts where it was read last.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from ..report import Receipt

_MOST_BINS, _LEAST_SECONDS = 60, 0.25
_MOST_VALUES = 16
"""Of one receipt that are drawn: a harvest may have millions of requests."""
_PAUSE_SECONDS, _PAUSE_SHARE = 60.0, 0.05
"""Nothing under way for so long, and for so much of the time of work, is a pause."""


class Stretch(NamedTuple):
    """A time of work, in seconds since the epoch."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Axis:
    """The time of work: stretches without the pauses between them."""

    stretches: tuple[Stretch, ...]

    @property
    def length(self) -> float:
        """Seconds of work."""
        return sum(end - begin for begin, end in self.stretches)

    @property
    def pauses(self) -> tuple[tuple[float, float], ...]:
        """Each pause: after how many seconds of work, and its own seconds."""
        found, worked = [], 0.0
        for one, other in pairwise(self.stretches):
            worked += one.end - one.begin
            found.append((worked, other.begin - one.end))
        return tuple(found)

    def places(self) -> Callable[[float], float]:
        """A function from a moment to the seconds of work before it."""
        begins = [stretch.begin for stretch in self.stretches]
        before = [0.0]
        for begin, end in self.stretches:
            before.append(before[-1] + end - begin)

        def place(moment: float) -> float:
            at = max(0, bisect_right(begins, moment) - 1)
            stretch = self.stretches[at]
            return before[at] + min(max(moment, stretch.begin), stretch.end) - stretch.begin

        return place


class Band(NamedTuple):
    """What requests had in one bin."""

    least: float
    middle: float
    most: float


@dataclass(frozen=True, slots=True)
class Series:
    """A harvest over time, in bins of equal length. Rates are a second."""

    axis: Axis
    bin_seconds: float = 0.0
    entries: tuple[float, ...] = ()
    n_bytes: tuple[float, ...] = ()
    requests: tuple[float, ...] = ()
    batch_sizes: tuple[Band | None, ...] = ()
    """None where no request for archives was made."""
    concurrency: tuple[Band | None, ...] = ()


def series(receipts: Iterable[Receipt]) -> Series:
    """The course of a harvest, in at most 60 bins; without any where no receipt says when it was finished."""
    timed = [(receipt, when) for receipt in receipts if (when := _when(receipt))]
    axis = _axis([when for _, when in timed])
    if not axis.stretches:
        return Series(axis)
    place, length = axis.places(), max(axis.length, 1e-3)
    n = max(1, min(_MOST_BINS, int(length / _LEAST_SECONDS)))
    width = length / n
    entries, n_bytes, requests = [0.0] * n, [0.0] * n, [0.0] * n
    sizes: list[list[float]] = [[] for _ in range(n)]
    levels: list[list[float]] = [[] for _ in range(n)]
    for receipt, when in timed:
        begin, end = place(when.begin), place(when.end)
        for number, part in _overlaps(begin, end, width, n):
            entries[number] += receipt.listed * part / width
            n_bytes[number] += receipt.n_bytes * part / width
            requests[number] += receipt.requests * part / width
        _put(sizes, receipt.batch_sizes, begin, end, width)
        _put(levels, receipt.concurrency, begin, end, width)
    bands = tuple(map(_band, sizes))
    return Series(axis, width, tuple(entries), tuple(n_bytes), tuple(requests), bands, _held(levels))


def worked(receipts: Iterable[Receipt]) -> float:
    """Seconds of work in a harvest, without its pauses."""
    return _axis([when for receipt in receipts if (when := _when(receipt))]).length


def _when(receipt: Receipt) -> Stretch | None:
    try:
        end = datetime.fromisoformat(receipt.finished).timestamp()
    except (TypeError, ValueError):
        return None
    return Stretch(end - max(0.0, receipt.seconds), end)


def _axis(times: Sequence[Stretch]) -> Axis:
    whole: list[Stretch] = []
    for begin, end in sorted(times):
        if whole and begin <= whole[-1].end:
            whole[-1] = Stretch(whole[-1].begin, max(end, whole[-1].end))
        else:
            whole.append(Stretch(begin, end))
    worked = sum(end - begin for begin, end in whole)
    pause = max(_PAUSE_SECONDS, _PAUSE_SHARE * worked)
    joined: list[Stretch] = []
    for stretch in whole:
        if joined and stretch.begin - joined[-1].end <= pause:
            joined[-1] = Stretch(joined[-1].begin, stretch.end)
        else:
            joined.append(stretch)
    return Axis(tuple(joined))


def _overlaps(begin: float, end: float, width: float, n: int) -> Iterable[tuple[int, float]]:
    """The bins that a stretch lies in, each with its share of it."""
    first, last = min(n - 1, int(begin / width)), min(n - 1, int(end / width))
    if first == last:
        return [(first, 1.0)]
    whole = end - begin
    cuts = [begin, *(width * number for number in range(first + 1, last + 1)), end]
    return [(first + i, (cuts[i + 1] - cuts[i]) / whole) for i in range(len(cuts) - 1)]


def _put(bins: list[list[float]], values: Sequence[int], begin: float, end: float, width: float) -> None:
    """Put values into bins, evenly over a stretch; of very many some."""
    few = min(len(values), _MOST_VALUES)
    for i in range(few):
        at = begin + (end - begin) * (i + 0.5) / few
        bins[min(len(bins) - 1, int(at / width))].append(values[i * len(values) // few])


def _band(values: list[float]) -> Band | None:
    return Band(min(values), median(values), max(values)) if values else None


def _held(levels: list[list[float]]) -> tuple[Band | None, ...]:
    """Receipts tell changes; between these a level holds."""
    found: list[Band | None] = []
    last = next((values[0] for values in levels if values), None)
    for values in levels:
        found.append(_band(values) or (None if last is None else Band(last, last, last)))
        last = values[-1] if values else last
    return tuple(found)
