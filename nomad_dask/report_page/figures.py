"""Figures of the harvest page: totals, answers by status, failures by reason, segments, and time series.

A receipt has the time when its segment was finished and how long that took; its figures are spread evenly
over that time, so rates are approximate. Pauses, in which the harvest was stopped, are cut out of the axis. A
segment that was read again, by a later try or an update, counts at the time of the last read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from nomad_dask.dataset.manifest import Manifest
from nomad_dask.dataset.report import Receipt, Report
from nomad_dask.dataset.status import (
    MOST_IDS,
    MOST_REASONS,
    Axis,
    Reason,
    axis_of,
    period_of,
    reasons,
    statuses,
)
from nomad_dask.report_page.column_figures import ColumnFigures
from nomad_dask.request import Ref
from nomad_dask.request.segments import Plan

MAX_BARS = 200


@dataclass(frozen=True, slots=True)
class Bar:
    """Consecutive segments of the plan, shown as one."""

    first: int
    """Number of the first segment."""
    segments: int
    after: str
    upto: str
    done: int = 0
    entries: int = 0
    failed: int = 0
    missing: int = 0
    """Entries without archive."""
    seconds: float = 0.0
    """Sum over its segments, which may have run at the same time."""

    @property
    def pace(self) -> float | None:
        """Entries per second in the segments that are done; None if unknown."""
        return self.entries / self.seconds if self.done and self.seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Page:
    """The contents of the page as plain values."""

    name: str
    """Name of the dataset."""
    path: str
    """Path of the dataset, as shown in commands."""
    failures: str | None
    """Link from the page to `failures.parquet`; None if there can be no link."""
    made: str
    """Time when the page was made, in UTC."""
    version: str
    manifest: Manifest
    report: Report
    stored: int
    """Size of the parts in bytes."""
    series: Series
    statuses: tuple[tuple[str, int], ...]
    bars: tuple[Bar, ...]
    reasons: tuple[Reason, ...]
    """The most frequent first."""
    more_reasons: int
    missing: tuple[Ref, ...]
    """The first entries without archive."""
    columns: ColumnFigures


def figures_of(manifest: Manifest, receipts: Mapping[int, Receipt], columns: ColumnFigures) -> dict[str, Any]:
    """The fields of a page that come from a manifest, receipts by segment number, and column figures."""
    done = receipts.values()
    found = reasons(failure for receipt in done for failure in receipt.failures)
    return {
        "manifest": manifest,
        "report": Report.of(manifest.plan, done, manifest.last_run),
        "stored": sum(sum(receipt.parts.values()) for receipt in done),
        "series": series(done),
        "statuses": statuses(done),
        "bars": bars(manifest.plan, receipts),
        "reasons": found[:MOST_REASONS],
        "more_reasons": max(0, len(found) - MOST_REASONS),
        "missing": _first_missing(done),
        "columns": columns,
    }


def bars(plan: Plan, receipts: Mapping[int, Receipt], limit: int = MAX_BARS) -> tuple[Bar, ...]:
    """The plan's segments in id order, as at most `limit` bars of (nearly) equal numbers of segments."""
    n = len(plan)
    count = min(n, limit)
    cuts = [n * i // count for i in range(count + 1)] if count else [0]
    return tuple(_bar(plan, receipts, a, b) for a, b in pairwise(cuts))


def _bar(plan: Plan, receipts: Mapping[int, Receipt], first: int, end: int) -> Bar:
    done = [receipts[number] for number in range(first, end) if number in receipts]
    return Bar(
        first,
        end - first,
        plan.segments[first].after,
        plan.segments[end - 1].upto,
        len(done),
        sum(receipt.listed for receipt in done),
        sum(len(receipt.failures) for receipt in done),
        sum(len(receipt.missing) for receipt in done),
        sum(receipt.seconds for receipt in done),
    )


def ends(bars: Sequence[Bar]) -> list[str]:
    """The first characters of the ids at the start, quarters and end of the bars; empty without bars."""
    inner = [bars[len(bars) * k // 4].after[:6] for k in (1, 2, 3)] if len(bars) >= 4 else []
    return [bars[0].after[:6] or "start", *inner, bars[-1].upto[:6] or "end"] if bars else []


def each_bar(bars: Sequence[Bar], segments: int) -> str:
    """The number of segments of one bar, as text."""
    if all(bar.segments == 1 for bar in bars):
        return "one segment"
    return f"about {round(segments / max(1, len(bars))):,} segments"


def _first_missing(receipts: Iterable[Receipt]) -> tuple[Ref, ...]:
    found: list[Ref] = []
    for receipt in receipts:
        found += receipt.missing[: MOST_IDS - len(found)]
    return tuple(found)


def host_only(url: str) -> str:
    """A url without the user name and password."""
    scheme, found, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" if found else url


_MAX_BINS, _MIN_SECONDS = 60, 0.25
"""Maximum number of bins, and minimum length of one."""
_MAX_VALUES = 16
"""Maximum number of values of one receipt: a harvest may have millions of requests."""


class Band(NamedTuple):
    """The range of a figure of the requests in one bin."""

    minimum: float
    median: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Series:
    """A harvest over time in bins of equal length. Rates are per second."""

    axis: Axis
    bin_seconds: float = 0.0
    entries: tuple[float, ...] = ()
    n_bytes: tuple[float, ...] = ()
    requests: tuple[float, ...] = ()
    batch_sizes: tuple[Band | None, ...] = ()
    """None in bins without requests for archives."""
    concurrency: tuple[Band | None, ...] = ()


def series(receipts: Iterable[Receipt]) -> Series:
    """The time series of a harvest in at most 60 bins; without bins if no receipt has a time."""
    timed = [(receipt, when) for receipt in receipts if (when := period_of(receipt))]
    axis = axis_of([when for _, when in timed])
    if not axis.stretches:
        return Series(axis)
    place, length = axis.places(), max(axis.length, 1e-3)
    n = max(1, min(_MAX_BINS, int(length / _MIN_SECONDS)))
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
    return Series(axis, width, tuple(entries), tuple(n_bytes), tuple(requests), bands, _filled(levels))


def _overlaps(begin: float, end: float, width: float, n: int) -> Iterable[tuple[int, float]]:
    """The bins that an interval covers, each with its share of the interval."""
    first, last = min(n - 1, int(begin / width)), min(n - 1, int(end / width))
    if first == last:
        return [(first, 1.0)]
    length = end - begin
    cuts = [begin, *(width * number for number in range(first + 1, last + 1)), end]
    return [(first + i, (cuts[i + 1] - cuts[i]) / length) for i in range(len(cuts) - 1)]


def _put(bins: list[list[float]], values: Sequence[int], begin: float, end: float, width: float) -> None:
    """Spread values evenly over an interval, and add them to its bins; only a sample of very many values."""
    n = min(len(values), _MAX_VALUES)
    for i in range(n):
        at = begin + (end - begin) * (i + 0.5) / n
        bins[min(len(bins) - 1, int(at / width))].append(values[i * len(values) // n])


def _band(values: list[float]) -> Band | None:
    return Band(min(values), median(values), max(values)) if values else None


def _filled(levels: list[list[float]]) -> tuple[Band | None, ...]:
    """Bands of a figure that receipts record only when it changes: bins without values have the last one."""
    found: list[Band | None] = []
    last = next((values[0] for values in levels if values), None)
    for values in levels:
        found.append(_band(values) or (None if last is None else Band(last, last, last)))
        last = values[-1] if values else last
    return tuple(found)
