"""Status of a dataset, for `nomad-dask status` and the harvest page."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from nomad_dask.dataset.manifest import Manifest
from nomad_dask.dataset.report import Receipt, Report, advice
from nomad_dask.request import Failure

_PAUSE_SECONDS, _PAUSE_SHARE = 60.0, 0.05


class Stretch(NamedTuple):
    """A period of work, in seconds since the epoch."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Axis:
    """The periods of work of a harvest, without the pauses between them."""

    stretches: tuple[Stretch, ...]

    @property
    def length(self) -> float:
        """Total seconds of work."""
        return sum(end - begin for begin, end in self.stretches)

    @property
    def pauses(self) -> tuple[tuple[float, float], ...]:
        """The pauses, each as the seconds of work before it and its length in seconds."""
        found, worked = [], 0.0
        for one, other in pairwise(self.stretches):
            worked += one.end - one.begin
            found.append((worked, other.begin - one.end))
        return tuple(found)

    def places(self) -> Callable[[float], float]:
        """Return a function that maps a time to the seconds of work before it."""
        begins = [stretch.begin for stretch in self.stretches]
        before = [0.0]
        for begin, end in self.stretches:
            before.append(before[-1] + end - begin)

        def work_before(time: float) -> float:
            i = max(0, bisect_right(begins, time) - 1)
            stretch = self.stretches[i]
            return before[i] + min(max(time, stretch.begin), stretch.end) - stretch.begin

        return work_before


def worked(receipts: Iterable[Receipt]) -> float:
    """Return the seconds of work in a harvest, without pauses."""
    return axis_of([when for receipt in receipts if (when := period_of(receipt))]).length


def period_of(receipt: Receipt) -> Stretch | None:
    """Return the period in which a segment was read; None if the receipt has no time."""
    try:
        end = datetime.fromisoformat(receipt.finished).timestamp()
    except (TypeError, ValueError):
        return None
    return Stretch(end - max(0.0, receipt.seconds), end)


def axis_of(times: Sequence[Stretch]) -> Axis:
    """Return the axis of periods that may overlap; short gaps are no pauses."""
    whole = _joined(sorted(times), 0.0)
    return Axis(_joined(whole, max(_PAUSE_SECONDS, _PAUSE_SHARE * Axis(whole).length)))


def _joined(times: Iterable[Stretch], pause: float) -> tuple[Stretch, ...]:
    """Sorted periods, without gaps up to `pause`."""
    joined: list[Stretch] = []
    for begin, end in times:
        if joined and begin - joined[-1].end <= pause:
            joined[-1] = Stretch(joined[-1].begin, max(end, joined[-1].end))
        else:
            joined.append(Stretch(begin, end))
    return tuple(joined)


MOST_REASONS, MOST_IDS = 20, 10


@dataclass(frozen=True, slots=True)
class Reason:
    """Failures with the same status and reason."""

    status: int | None
    words: str
    """The reason, with `…` instead of the ids of the entry."""
    count: int
    first: tuple[Failure, ...]
    """The first failures by id, at most `MOST_IDS`."""


def statuses(receipts: Iterable[Receipt]) -> tuple[tuple[str, int], ...]:
    """Return the number of answers by HTTP status, and of transport errors by kind, largest first."""
    counts: Counter[str] = Counter()
    for receipt in receipts:
        counts.update(receipt.statuses)
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def reasons(failures: Iterable[Failure]) -> tuple[Reason, ...]:
    """Group failures by status and reason, the most frequent first. Ids in reasons are ignored."""
    groups: dict[tuple[int | None, str], list[Failure]] = {}
    for failure in failures:
        groups.setdefault((failure.status, _without_ids(failure)), []).append(failure)
    found = [
        Reason(status, words, len(group), tuple(sorted(group)[:MOST_IDS]))
        for (status, words), group in groups.items()
    ]
    return tuple(sorted(found, key=lambda reason: (-reason.count, reason.words)))


def _without_ids(failure: Failure) -> str:
    words = failure.reason
    for value in filter(None, (failure.entry_id, failure.upload_id)):
        words = words.replace(value, "…")
    return words


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """The status of a dataset, computed from its manifest and receipts."""

    place: str
    """The path or URL, as the user gave it."""
    manifest: Manifest
    receipts: Mapping[int, Receipt]
    """The receipts of the finished segments, by number."""
    report: Report
    reasons: tuple[Reason, ...]
    """The reasons of failures, the most frequent first."""
    statuses: tuple[tuple[str, int], ...]
    """The number of answers by HTTP status, and of transport errors by kind."""
    seconds: float
    """Seconds of work, without pauses."""
    stored: int
    """Size of the parts in bytes."""
    last: str
    """Time when the last segment was finished (ISO 8601); empty if none is."""

    @classmethod
    def of(cls, place: str, manifest: Manifest, receipts: Mapping[int, Receipt]) -> DatasetStatus:
        """Return the status of the dataset at `place`."""
        done = receipts.values()
        return cls(
            place,
            manifest,
            receipts,
            Report.of(manifest.plan, done, manifest.last_run),
            reasons(failure for receipt in done for failure in receipt.failures),
            statuses(done),
            worked(done),
            sum(sum(receipt.parts.values()) for receipt in done),
            max((receipt.finished for receipt in done), default=""),
        )

    @property
    def share(self) -> float:
        """The fraction done, 0 to 1."""
        return self.report.progress().share or 0.0

    @property
    def pace(self) -> float | None:
        """Entries per second of work; None if unknown."""
        return self.report.entries / self.seconds if self.seconds >= 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON, without the receipts. Units are bytes and seconds."""
        report, update = self.report, self.report.update
        return {
            "dataset": self.place,
            "complete": report.complete,
            "segments": {"planned": report.segments, "done": report.done},
            "entries": {
                "planned": report.total,
                "exact": self.manifest.plan.exact,
                "delivered": report.rows,
                "without_archive": report.missing,
                "failed": report.failed,
                "not_listed": report.short,
                "matched": self.manifest.plan.matched,
                "results_max": self.manifest.results_max,
            },
            "outside_schema": report.n_more,
            "outside_names": {name: n for name, (_, n) in report.outside.items()},
            "columns_left_out": report.left_out,
            "n_bytes": report.n_bytes,
            "stored_bytes": self.stored,
            "requests": report.requests,
            "retries": report.retries,
            "answers": dict(self.statuses),
            "seconds": round(self.seconds, 3),
            "last_segment": self.last or None,
            "failures": [reason_to_json(reason) for reason in self.reasons],
            "update": update.to_json() if update else None,
            "next": [{"words": words, "command": command} for words, command in advice(report, self.place)],
        }


def reason_to_json(reason: Reason) -> dict[str, Any]:
    """Return a group of failures as JSON."""
    first = [failure.entry_id for failure in reason.first]
    return {"status": reason.status, "reason": reason.words, "entries": reason.count, "first": first}
