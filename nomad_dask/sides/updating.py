"""Owns the task of an update: one stored segment brought to what the server has of it now. Needs no Dask.

The segments of a plan cover the whole id space between its bounds, so an entry that is new falls in exactly one of
them. Its task lists what moved there since the segment was last known (`pure.history`), reads these entries, and writes
the part with their rows replaced or added, then the receipt: a task that is stopped in between left nothing that counts,
and one that runs again replaces the same rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson
import pyarrow as pa

from ..edges.loop import run
from ..edges.pages import NAMES, walk
from ..edges.transport import Client
from ..pure.history import TIMES, Run, is_news, is_recent, known_until, looking_back, moved_since, stamp
from ..pure.manifest import Manifest, Question
from ..pure.report import Receipt, Ref, span
from ..pure.schema import MORE
from ..pure.segments import Segment
from .worker import (
    Job,
    Tables,
    Task,
    ids_in,
    job_of,
    read_entries,
    read_segment,
    renewed,
    stored_manifest,
    write_tables,
)


@dataclass(frozen=True, slots=True)
class Update(Task):
    """One segment to be brought up to date."""

    run: Run = field(kw_only=True)
    since: str = field(kw_only=True)
    """From which time on entries of this segment may be news."""
    whole: bool = field(kw_only=True, default=False)
    """The segment has no receipt that counts, and is read whole."""

    def write(self) -> Receipt:
        """Do it; the receipt of the segment, which is the one before where nothing is to be done."""
        return write_update(self)


def since_when(manifest: Manifest, receipt: Receipt | None) -> str:
    """From which time on the entries of a segment may be news."""
    return looking_back(known_until(manifest.history, manifest.created, receipt.run if receipt else 0))


async def with_times(
    client: Client, question: Question, interval: Segment, since: str | None = None
) -> AsyncIterator[tuple[Ref, str]]:
    """Entries of an interval in id order, each with its times: those with a time from `since` on, or all.

    10,000 a request.
    """
    asked = question if since is None else replace(question, query=moved_since(question.query, since))
    async for found in walk(client, asked, interval, (*NAMES, *TIMES)):
        for ref, row in zip(found.refs, found.rows, strict=True):
            yield ref, stamp(row)


async def segments_with_news(client: Client, manifest: Manifest, receipts: Mapping[int, Receipt]) -> set[int]:
    """The numbers of the segments in which something is new or changed. The archive's news listed once."""
    plan, since = manifest.plan, looking_back(known_until(manifest.history, manifest.created))
    interval = Segment(plan.segments[0].after, plan.segments[-1].upto)
    numbers: set[int] = set()
    async for ref, times in with_times(client, manifest.question, interval, since):
        number = plan.holding(ref.entry_id)
        receipt = receipts.get(number)
        if receipt is None or number in numbers:
            continue
        if is_news(ref.entry_id, times, since_when(manifest, receipt), receipt.seen):
            numbers.add(number)
    return numbers


def write_update(task: Update) -> Receipt:
    """Bring one segment to what the server has of it now: its part, then its receipt, which is returned.

    Where nothing moved (and, with `prune`, nothing is gone), nothing is written. Memory: the part, and the entries
    that are read. The receipt before it is read here, and does not travel: it may name every entry.
    """
    manifest = stored_manifest(task.store, task.manifest)
    segment, job = manifest.plan.segments[task.number], job_of(manifest, task.server)
    prune = task.run.prune
    before = None if task.whole else task.store.receipt(task.manifest, task.number)
    if before is None:
        tables, receipt = read_segment(job, segment, task.number)
        planned = receipt.listed if prune else None
        return write_tables(task, job, tables, replace(receipt, run=task.run.number, planned=planned))
    client = Client(job.server)
    change = _change(task, before, job, client, segment)
    planned = _planned(before, manifest.plan.exact_size(task.number))
    short = planned is not None and planned > before.listed
    if not change.off and not (prune and short):
        return before
    late, tried = read_entries(job, [*change.news], segment, task.number)
    tried = replace(tried, requests=tried.requests + client.tally.requests)
    tables = {key: renewed(part, late[key], change.off) for key, part in _parts(task, job).items()}
    receipt = _receipt(before, task.run, change, tried)
    if planned is not None:
        planned = receipt.listed if prune else planned + receipt.listed - before.listed
    outside = sum(map(_values_outside, tables.values()))
    return write_tables(task, job, tables, replace(receipt, planned=planned, n_more=outside))


@dataclass(frozen=True, slots=True)
class _Change:
    """What is other on the server than in a segment's part."""

    held: frozenset[str]
    """Ids of the entries that the part stands for, with rows or without."""
    news: Mapping[Ref, str]
    """Entries to be read, each with its times."""
    gone: frozenset[str]
    """Ids that the server lists no more; of those that had failed, too."""

    @property
    def asked(self) -> set[str]:
        """Ids of the news."""
        return {ref.entry_id for ref in self.news}

    @property
    def off(self) -> set[str]:
        """Ids whose rows the part has no more, or has anew."""
        return self.asked | self.gone


def _change(task: Update, before: Receipt, job: Job, client: Client, segment: Segment) -> _Change:
    """With `prune` all names are listed, and only once: two lists might tell of two states of the server."""
    prune = task.run.prune
    # A task of this run that was lost after its receipt has left nothing to do but what came since.
    since = looking_back(task.run.begun) if before.run == task.run.number else task.since
    listed = run(_listed(client, job.question, segment, None if prune else since))
    news = {ref: times for ref, times in listed.items() if is_news(ref.entry_id, times, since, before.seen)}
    if not news and not prune:
        return _Change(frozenset(), {}, frozenset())
    with_rows = ids_in(_parts(task, job, ()))
    held = frozenset(with_rows | {*before.bare, *(ref.entry_id for ref in before.missing)})
    if not prune:
        return _Change(held, news, frozenset())
    known = held | {failure.entry_id for failure in before.failures}
    unknown = {ref: times for ref, times in listed.items() if ref.entry_id not in known}
    return _Change(held, unknown | news, known - {ref.entry_id for ref in listed})


def _parts(task: Update, job: Job, columns: Sequence[str] | None = None) -> Tables:
    """The segment's tables as they are stored; with `columns` only those, and the ids."""
    folders = job.layout.folders(job.schema)
    return {key: task.store.read_part(task.number, folder, columns) for key, folder in folders.items()}


async def _listed(client: Client, question: Question, segment: Segment, since: str | None) -> dict[Ref, str]:
    return {ref: times async for ref, times in with_times(client, question, segment, since)}


def _planned(before: Receipt, exact_size: int | None) -> int | None:
    return exact_size if before.planned is None else before.planned


def _receipt(before: Receipt, run: Run, change: _Change, tried: Receipt) -> Receipt:
    """The receipt of the segment after the update, from that before and that of the entries read now."""
    held, off = change.held, change.off
    delivered = change.asked - {failure.entry_id for failure in tried.failures}
    missing = {ref for ref in before.missing if ref.entry_id not in off} | {*tried.missing}
    failures = [failure for failure in before.failures if failure.entry_id not in off]
    earlier = before if before.run > run.after else Receipt(before.segment, before.after, before.upto, 0)
    seen = {entry_id: times for entry_id, times in before.seen.items() if entry_id not in off}
    seen |= {ref.entry_id: times for ref, times in change.news.items()}
    since = looking_back(run.begun)
    return replace(
        before,
        **span(sorted((held - off) | delivered)),
        **before.costs(tried),
        missing=tuple(sorted(missing)),
        failures=tuple(sorted([*failures, *tried.failures])),
        bare=tuple(sorted({entry_id for entry_id in before.bare if entry_id not in off} | {*tried.bare})),
        finished=tried.finished,
        run=run.number,
        added=earlier.added + len(delivered - held),
        changed=earlier.changed + len(delivered & held),
        pruned=earlier.pruned + len(change.gone & held),
        seen={entry_id: times for entry_id, times in seen.items() if is_recent(times, since)},
    )


def _values_outside(table: pa.Table) -> int:
    """How many values of a table stand in `_more`."""
    return sum(len(orjson.loads(cell)) for cell in table[MORE].drop_null().to_pylist())
