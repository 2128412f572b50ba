"""Owns where a dataset stands, as the command line tells it: drawn, in words, or as JSON. The page's numbers, and few more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .manifest import Manifest
from .page.figures import Reason, reasons, statuses
from .page.series import worked
from .progress import Progress
from .report import Receipt, Report
from .verdict import advice


@dataclass(frozen=True, slots=True)
class Standing:
    """A dataset's manifest and receipts, added up."""

    place: str
    """What a command calls it."""
    manifest: Manifest
    receipts: Mapping[int, Receipt]
    """Of the finished segments, by number."""
    report: Report
    reasons: tuple[Reason, ...]
    """Why entries failed, the most frequent first."""
    statuses: tuple[tuple[str, int], ...]
    """Answers by status, and faults by kind."""
    seconds: float
    """Of work: the harvest's pauses are left out."""
    stored: int
    """Bytes of the parts."""
    last: str
    """When the last segment was finished (ISO 8601); empty where none was."""

    @classmethod
    def of(cls, place: str, manifest: Manifest, receipts: Mapping[int, Receipt]) -> Standing:
        """Where a dataset stands that is called so."""
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
        """How much is done, 0 to 1."""
        return Progress.of_reports(self.report).share or 0.0

    @property
    def pace(self) -> float | None:
        """Entries a second of work; None where that is not known."""
        return self.report.entries / self.seconds if self.seconds >= 1 else None

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON but the receipts; bytes, seconds, and times in ISO 8601."""
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
            },
            "outside_schema": report.n_more,
            "n_bytes": report.n_bytes,
            "stored_bytes": self.stored,
            "requests": report.requests,
            "retries": report.retries,
            "answers": dict(self.statuses),
            "seconds": round(self.seconds, 3),
            "last_segment": self.last or None,
            "failures": [why(reason) for reason in self.reasons],
            "update": update.to_json() if update else None,
            "next": [{"words": words, "command": command} for words, command in advice(report, self.place)],
        }


def why(reason: Reason) -> dict[str, Any]:
    """Failures that are alike, as plain JSON."""
    first = [failure.entry_id for failure in reason.first]
    return {"status": reason.status, "reason": reason.words, "entries": reason.count, "first": first}
