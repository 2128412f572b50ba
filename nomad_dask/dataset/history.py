"""Updates of a dataset: the history of runs, and the rule which listed entries are new or changed.

An entry is new or changed if one of its timestamps changed: it was created, processed (again), or published.
All times are those of the server, including the start of a run (its `Date` header). An entry can appear in
listings some time after its timestamps (a large upload is searchable only when all of it is processed), so
each run starts `OVERLAP` before the previous one. Entries already read in that period are recognised by their
timestamps (`Receipt.seen`) and not read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nomad_dask.common import stored_fields as stored
from nomad_dask.request.segments import both

TIMES = ("last_processing_time", "entry_create_time", "publish_time")
"""The server's fields with the times when an entry changed or became visible to others."""
OVERLAP = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Run:
    """One update of a dataset. Its counts are the sums of the segments' receipts.

    The counts of a segment may be wrong if its worker was lost between the part and the receipt.
    """

    number: int
    """From 1; the harvest is 0."""
    since: str
    """The update requested entries with a timestamp from this time on (ISO 8601, like all times here)."""
    begun: str
    """Start time by the server's clock. The next run uses it."""
    after: int = 0
    """Number of the last finished run before this one."""
    prune: bool = False
    """True if the update dropped entries that the server no longer lists."""
    finished: str = ""
    """Time by the local clock; empty if the update is running or was stopped."""
    added: int = 0
    """Number of new entries. This and the next two include the stopped runs directly before this one."""
    changed: int = 0
    """Number of entries whose rows were replaced."""
    pruned: int = 0
    """Number of entries dropped because the server no longer lists them. 0 without `prune`."""
    failed: int = 0
    """Number of failed entries in the whole dataset at the end of the update."""
    versions: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON, for `Run.from_json`."""
        return asdict(self) | {"versions": dict(self.versions)}

    @classmethod
    def from_json(cls, tree: Any, name: str = "history") -> Run:
        """Return a run from the JSON of `to_json`. FieldError if it is invalid."""
        of = stored.fields(tree, name)
        return cls(
            of.get("number", stored.positive),
            of.get("since", time_field),
            of.get("begun", time_field),
            of.get("after", stored.whole),
            of.get("prune", stored.flag),
            of.get("finished", optional_time_field),
            of.get("added", stored.whole),
            of.get("changed", stored.whole),
            of.get("pruned", stored.whole),
            of.get("failed", stored.whole),
            tuple(of.get("versions", stored.mapping(stored.text)).items()),
        )


def is_time(value: Any) -> bool:
    """True if a JSON value is a time (ISO 8601) with a year from 1970 to 8999."""
    try:
        return type(value) is str and 1970 <= datetime.fromisoformat(value).year < 9000
    except ValueError:
        return False


def time_field(value: Any, name: str) -> str:
    """Check that a JSON field is a time."""
    return str(value) if is_time(value) else stored.refuse(value, name, "a time in ISO 8601")


def optional_time_field(value: Any, name: str) -> str:
    """Check that a JSON field is a time or an empty string."""
    return time_field(value, name) if value != "" else ""


def last_finished(runs: tuple[Run, ...]) -> Run | None:
    """Return the last finished run; None if there is none."""
    return next((run for run in reversed(runs) if run.finished), None)


def known_until(runs: tuple[Run, ...], created: str, written_by: int = 0) -> str:
    """Return the time up to which a segment is up to date: the start of the last run that covered it.

    That is the last finished run, or a later one that wrote the segment (`written_by`), or `created`.
    """
    last = last_finished(runs)
    begun = last.begun if last else created
    return runs[written_by - 1].begun if written_by > (last.number if last else 0) else begun


def looking_back(time: str) -> str:
    """Return the time from which to request entries if everything was known at `time`."""
    return (_parse_time(time) - OVERLAP).isoformat()


def moved_since(query: dict[str, Any], since: str) -> dict[str, Any]:
    """Return the user's query, limited to entries with a timestamp from `since` on."""
    return both(query, {"or": [{f"{name}:gte": since} for name in TIMES]})


def stamp(row: Mapping[str, Any]) -> str:
    """Return the timestamps of an entry as one string (`-`: missing, `?`: not a string)."""
    times = (row.get(name) or "-" for name in TIMES)
    return " ".join(time.replace(" ", "T") if isinstance(time, str) else "?" for time in times)


def is_recent(stamped: str, since: str) -> bool:
    """True if one of the timestamps is `since` or later. Unreadable timestamps count as recent."""
    start = _parse_time(since)
    return any(_is_from(time, start) for time in stamped.split(" ") if time != "-")


def is_news(entry_id: str, stamped: str, since: str, seen: Mapping[str, str]) -> bool:
    """True if an entry listed with these timestamps is recent and has changed since it was last read."""
    return is_recent(stamped, since) and seen.get(entry_id) != stamped


def _is_from(time: str, start: datetime) -> bool:
    try:
        return _parse_time(time) >= start
    except (ValueError, OverflowError):
        return True


def _parse_time(time: str) -> datetime:
    parsed = datetime.fromisoformat(time)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
