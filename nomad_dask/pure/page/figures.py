"""Owns the numbers of the harvest page: what was asked, how much came, by status, by reason, by segment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

from ..manifest import Manifest
from ..report import Failure, Receipt, Ref, Report
from ..segments import Plan
from .columns import Columns
from .series import Series, series

MOST_BARS = 200
MOST_REASONS, MOST_IDS = 20, 10


@dataclass(frozen=True, slots=True)
class Bar:
    """Consecutive segments of the plan, shown as one."""

    first: int
    """The number of the first segment."""
    segments: int
    after: str
    upto: str
    done: int = 0
    entries: int = 0
    failed: int = 0
    missing: int = 0
    """Entries without archive."""
    seconds: float = 0.0
    """Of its segments together, which may have been under way at the same time."""

    @property
    def pace(self) -> float | None:
        """Entries a second in the segments that are done; None where that is not known."""
        return self.entries / self.seconds if self.done and self.seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Reason:
    """Failures that are alike."""

    status: int | None
    words: str
    """With `…` where an entry's own names stand."""
    count: int
    first: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """All that the page tells, as plain values."""

    name: str
    """The dataset's."""
    place: str
    """What a command calls it."""
    failures: str | None
    """Where `failures.parquet` is, seen from the page; None where no link would lead there."""
    made: str
    """When, in UTC."""
    version: str
    manifest: Manifest
    report: Report
    stored: int
    """Bytes of the parts."""
    series: Series
    statuses: tuple[tuple[str, int], ...]
    bars: tuple[Bar, ...]
    reasons: tuple[Reason, ...]
    """The most frequent first."""
    more_reasons: int
    missing: tuple[Ref, ...]
    """The first entries without archive."""
    columns: Columns


def page(
    manifest: Manifest,
    receipts: Mapping[int, Receipt],
    columns: Columns,
    *,
    name: str,
    place: str,
    failures: str | None,
    made: str,
    version: str,
) -> Page:
    """The numbers of a dataset from its manifest, the receipts so far by number, and what its parts showed."""
    done = receipts.values()
    found = reasons(failure for receipt in done for failure in receipt.failures)
    return Page(
        name=name,
        place=place,
        failures=failures,
        made=made,
        version=version,
        manifest=manifest,
        report=Report.of(manifest.plan, done, manifest.last_run),
        stored=sum(sum(receipt.parts.values()) for receipt in done),
        series=series(done),
        statuses=statuses(done),
        bars=bars(manifest.plan, receipts),
        reasons=found[:MOST_REASONS],
        more_reasons=max(0, len(found) - MOST_REASONS),
        missing=_first_missing(done),
        columns=columns,
    )


def statuses(receipts: Iterable[Receipt]) -> tuple[tuple[str, int], ...]:
    """Answers by status and faults by kind, the most frequent first."""
    found: Counter[str] = Counter()
    for receipt in receipts:
        found.update(receipt.statuses)
    return tuple(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def bars(plan: Plan, receipts: Mapping[int, Receipt], most: int = MOST_BARS) -> tuple[Bar, ...]:
    """The plan's segments in id order, in at most `most` bars of equally many, but for one."""
    n = len(plan)
    count = min(n, most)
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
    """Where a strip of bars begins, is at each quarter, and ends: the first letters of the ids; nothing of no bars."""
    inner = [bars[len(bars) * k // 4].after[:6] for k in (1, 2, 3)] if len(bars) >= 4 else []
    return [bars[0].after[:6] or "start", *inner, bars[-1].upto[:6] or "end"] if bars else []


def each_bar(bars: Sequence[Bar], segments: int) -> str:
    """What one bar of a strip stands for."""
    if all(bar.segments == 1 for bar in bars):
        return "one segment"
    return f"about {round(segments / max(1, len(bars))):,} segments"


def reasons(failures: Iterable[Failure]) -> tuple[Reason, ...]:
    """Failures by status and reason, the most frequent first; reasons that differ in an entry's names alone are one."""
    found: dict[tuple[int | None, str], list[Failure]] = {}
    for failure in failures:
        found.setdefault((failure.status, _without_names(failure)), []).append(failure)
    groups = [
        Reason(status, words, len(alike), tuple(sorted(alike)[:MOST_IDS]))
        for (status, words), alike in found.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.count, group.words)))


def _without_names(failure: Failure) -> str:
    words = failure.reason
    for name in filter(None, (failure.entry_id, failure.upload_id)):
        words = words.replace(name, "…")
    return words


def _first_missing(receipts: Iterable[Receipt]) -> tuple[Ref, ...]:
    found: list[Ref] = []
    for receipt in receipts:
        found += receipt.missing[: MOST_IDS - len(found)]
    return tuple(found)


def host_only(url: str) -> str:
    """A url without the name and password that may stand before its host."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
