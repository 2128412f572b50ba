"""Owns what an update goes by: the runs of a dataset, the server's time fields, and what of a listing is news (SPEC 9).

An entry is news where one of its times moved: it was processed (again), made, or published. Times are the server's own,
and so is the beginning of a run (its `Date` header). A server shows an entry some time after the time that it carries
(a large upload is searchable when all of it is processed), so each run looks back by `OVERLAP` behind the one before;
what was read in that stretch is known by its times (`Receipt.seen`) and not read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .segments import both

TIMES = ("last_processing_time", "entry_create_time", "publish_time")
"""The server's fields that say when an entry changed, or became visible to others."""
OVERLAP = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Run:
    """One update of a dataset: as from when, and what it did.

    What it did is counted by the segments' receipts: a worker that is lost between a part and its receipt may leave that
    segment's entries under another name, or out. The rows are right all the same.
    """

    number: int
    """From 1; the harvest is 0."""
    since: str
    """Entries with a time from here on were asked for (ISO 8601, as all times here)."""
    begun: str
    """By the server's clock: what the next run goes by."""
    after: int = 0
    """The last finished run before it."""
    prune: bool = False
    finished: str = ""
    """By our clock. Empty: it is under way, or was stopped."""
    added: int = 0
    """Entries that were not there. This and the next two count what stopped runs just before it did, too."""
    changed: int = 0
    """Entries whose rows were replaced."""
    pruned: int = 0
    """Entries that the server lists no more, and whose rows were dropped. Without `prune` nobody asked."""
    failed: int = 0
    """Entries of the whole dataset that had failed when it was finished."""
    versions: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The run as plain JSON; `Run.from_json` gives it back."""
        return asdict(self) | {"versions": dict(self.versions)}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Run:
        """A run from what `to_json` gave."""
        return cls(**tree | {"versions": tuple(tree["versions"].items())})


def last_finished(runs: tuple[Run, ...]) -> Run | None:
    """The last run that was not stopped."""
    return next((run for run in reversed(runs) if run.finished), None)


def known_until(runs: tuple[Run, ...], created: str, written_by: int = 0) -> str:
    """Up to when a segment is known: by the last finished run, or by the later one that wrote it."""
    done = last_finished(runs)
    begun = done.begun if done else created
    return runs[written_by - 1].begun if written_by > (done.number if done else 0) else begun


def looking_back(time: str) -> str:
    """The time from which on to ask, where everything was known at `time`."""
    return (_moment(time) - OVERLAP).isoformat()


def moved_since(query: dict[str, Any], since: str) -> dict[str, Any]:
    """The user's query, unaltered, and-ed with: one of the entry's times is `since` or later."""
    return both(query, {"or": [{f"{name}:gte": since} for name in TIMES]})


def stamp(row: Mapping[str, Any]) -> str:
    """An entry's times as one text: another one, another state of the entry."""
    return " ".join(str(row.get(name) or "-") for name in TIMES)


def is_recent(stamped: str, since: str) -> bool:
    """Whether one of a stamp's times is `since` or later; a time that cannot be read is taken to be."""
    first = _moment(since)
    return any(_later(time, first) for time in stamped.split(" ") if time != "-")


def is_news(entry_id: str, stamped: str, since: str, seen: Mapping[str, str]) -> bool:
    """Whether an entry, listed with these times, is other than what was seen of it."""
    return is_recent(stamped, since) and seen.get(entry_id) != stamped


def _later(time: str, than: datetime) -> bool:
    try:
        return _moment(time) >= than
    except ValueError:
        return True


def _moment(time: str) -> datetime:
    moment = datetime.fromisoformat(time)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
