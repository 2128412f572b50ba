"""Updates: bring a dataset up to date with the server, in place and with a history.

An update lists the entries that changed since the last one (`dataset.history`) and runs only their segments.
The segments of a plan cover all ids between its bounds, so a new entry belongs to exactly one of them. A task
lists the entries of its segment that changed since it was last read, reads them, and writes the part with
their rows replaced or added, and then the receipt. A task that is stopped in between has no effect, and one
that runs again replaces the same rows. With `prune`, every segment lists all of its entries: entries that are
no longer listed are dropped, and listed entries that the dataset does not have are added even if their times
did not change (as when an embargo ends).

The manifest records the start of the run before its first part is written, and its end after the last, so the
next run resumes a stopped one. Each segment requests changes since it was written, so no work is done twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import distributed

from nomad_dask.client.event_loop import run
from nomad_dask.client.search import NAMES, iter_pages, server_time
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.cluster.clusters import Cluster
from nomad_dask.dataset.history import (
    TIMES,
    Run,
    is_news,
    is_recent,
    known_until,
    last_finished,
    looking_back,
    moved_since,
    stamp,
)
from nomad_dask.dataset.manifest import Manifest
from nomad_dask.dataset.report import Receipt, Report, span
from nomad_dask.dataset.segment import Task, ids_in, replace_rows, values_outside
from nomad_dask.dataset.store import Store
from nomad_dask.errors import DatasetError, RefusedError
from nomad_dask.harvest.run import OnReport, run_tasks, versions
from nomad_dask.plan.planner import count_matching
from nomad_dask.request import QuerySpec, Ref
from nomad_dask.request.segments import Segment


def update(
    store: Store,
    manifest: Manifest,
    server: Server,
    *,
    prune: bool = False,
    cluster: Cluster | distributed.Client | None = None,
    progress: OnReport | None = None,
) -> Report:
    """Bring a dataset up to date with the server. Segments without a receipt are read completely.

    Raises DatasetError if `results_max` limits the dataset or the server cannot search by time, and
    UnfinishedError if segments remain; finished segments are kept.
    """
    client = Client(server)
    _refuse_capped(client, store, manifest)
    receipts, runs = store.finished(manifest), manifest.history
    done = last_finished(runs)
    this = Run(
        number=len(runs) + 1,
        since=looking_back(known_until(runs, manifest.created)),
        begun=run(server_time(client)),
        after=done.number if done else 0,
        prune=prune,
        versions=versions(),
    )
    tasks = [
        Update(
            *(store, manifest.id, server, number),
            run=this,
            since=_since(manifest, receipts.get(number)),
            whole=number not in receipts,
        )
        for number in _segments_to_update(client, manifest, receipts, this)
    ]
    store.open_for_writing(manifest)
    store.rewrite(replace(manifest, history=(*runs, this)))
    run_tasks(store, manifest, tasks, receipts, cluster=cluster, progress=progress)
    ended = _ended(this, receipts)
    store.rewrite(replace(manifest, history=(*runs, ended)))
    report = Report.of(manifest.plan, receipts.values(), ended)
    if progress and not tasks:
        progress(report)
    return report


def _refuse_capped(client: Client, store: Store, manifest: Manifest) -> None:
    """DatasetError if `results_max` limits the dataset: new entries would replace others."""
    limit, plan = manifest.results_max, manifest.plan
    if limit is None:
        return
    unlimited = plan.matched is not None and plan.matched <= limit
    if unlimited and run(count_matching(client, manifest.question, manifest.after)) <= limit:
        return
    raise DatasetError(
        f"{store.url} contains only the first {limit} entries (results_max), so it cannot be updated; "
        "harvest without results_max, or into another folder"
    )


def _segments_to_update(
    client: Client, manifest: Manifest, receipts: Mapping[int, Receipt], this: Run
) -> Iterable[int]:
    """Segments with new or changed entries and segments without a receipt; with `prune`, all segments."""
    everything = range(len(manifest.plan))
    try:
        if this.prune:
            changed = replace(manifest.question, query=moved_since(manifest.question.query, this.since))
            run(count_matching(client, changed, manifest.after))
            return everything
        return sorted(run(_with_news(client, manifest, receipts)) | set(everything) - receipts.keys())
    except RefusedError as error:
        if error.status != 422:
            raise
        raise DatasetError(
            f"{client.server.url} cannot list changed entries: it refuses a search for {', '.join(TIMES)} "
            f"({error.words}); harvest into another folder instead"
        ) from error


async def _with_news(client: Client, manifest: Manifest, receipts: Mapping[int, Receipt]) -> set[int]:
    """Numbers of the segments with new or changed entries, from one listing of all changes."""
    plan, since = manifest.plan, _since(manifest, None)
    interval = Segment(plan.segments[0].after, plan.segments[-1].upto)
    numbers: set[int] = set()
    async for ref, times in _with_times(client, manifest.question, interval, since):
        number = plan.holding(ref.entry_id)
        receipt = receipts.get(number)
        if receipt is None or number in numbers:
            continue
        if is_news(ref.entry_id, times, _since(manifest, receipt), receipt.seen):
            numbers.add(number)
    return numbers


def _ended(this: Run, receipts: Mapping[int, Receipt]) -> Run:
    written = [receipt for receipt in receipts.values() if receipt.run > this.after]
    return replace(
        this,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        added=sum(receipt.added for receipt in written),
        changed=sum(receipt.changed for receipt in written),
        pruned=sum(receipt.pruned for receipt in written),
        failed=sum(len(receipt.failures) for receipt in receipts.values()),
    )


def _since(manifest: Manifest, receipt: Receipt | None) -> str:
    """Time from which entries of a segment can be new or changed."""
    return looking_back(known_until(manifest.history, manifest.created, receipt.run if receipt else 0))


async def _with_times(
    client: Client, question: QuerySpec, interval: Segment, since: str | None
) -> AsyncIterator[tuple[Ref, str]]:
    """List the entries of an interval in id order with their times: those that changed since `since`, or all.

    Sends one request per 10,000 entries.
    """
    changed = question if since is None else replace(question, query=moved_since(question.query, since))
    async for found in iter_pages(client, changed, interval, (*NAMES, *TIMES)):
        for ref, row in zip(found.refs, found.rows, strict=True):
            yield ref, stamp(row)


@dataclass(frozen=True, slots=True)
class Update(Task):
    """The update of one segment."""

    run: Run = field(kw_only=True)
    since: str = field(kw_only=True)
    """Time from which entries of this segment can be new or changed."""
    whole: bool = field(kw_only=True, default=False)
    """Read the whole segment, because it has no valid receipt."""

    def before(self) -> Receipt | None:
        """The previous receipt. It is not sent with the task, because it can name every entry."""
        return None if self.whole else self.store.receipt(self.manifest, self.number)

    def names(self) -> Iterable[Ref]:
        """The entries that it would read."""
        before = self.before()
        return Task.names(self) if before is None else self._change(before, Client(self.server)).news

    def write(self) -> Receipt:
        """Write the part and the receipt of a segment that is up to date with the server; return the receipt.

        Writes nothing if nothing changed (and, with `prune`, nothing was removed). Needs memory for the part
        and the entries that are read.
        """
        before, prune = self.before(), self.run.prune
        if before is None:
            tables, receipt = self.read()
            planned = receipt.listed if prune else None
            return self.write_part(tables, replace(receipt, run=self.run.number, planned=planned))
        client = Client(self.server)
        change = self._change(before, client)
        if self.pieces is not None:  # What moved since they were read is news to the next update.
            known = self.pieces.refs
            change = replace(change, news={ref: times for ref, times in change.news.items() if ref in known})
        exact_size = self.dataset.plan.exact_size(self.number)
        planned = exact_size if before.planned is None else before.planned
        short = planned is not None and planned > before.listed
        if not change.off and not (prune and short):
            return before
        late, tried = self.read([*change.news])
        tried = replace(tried, requests=tried.requests + client.stats.requests)
        tables = {key: replace_rows(part, late[key], change.off) for key, part in self.part().items()}
        receipt = _receipt(before, self.run, change, tried)
        if planned is not None:
            planned = receipt.listed if prune else planned + receipt.listed - before.listed
        n_more, outside = values_outside(tables, self.dataset.layout.name)
        return self.write_part(tables, replace(receipt, planned=planned, n_more=n_more, outside=outside))

    def _change(self, before: Receipt, client: Client) -> _Change:
        """Compare the segment with the server, in one listing so that the result is consistent."""
        prune = self.run.prune
        # A task of this run that was lost after its receipt has left nothing to do but what came since.
        since = looking_back(self.run.begun) if before.run == self.run.number else self.since
        listed = run(_listed(client, self.dataset.question, self.segment, None if prune else since))
        news = {
            ref: times for ref, times in listed.items() if is_news(ref.entry_id, times, since, before.seen)
        }
        if not news and not prune:
            return _Change(frozenset(), {}, frozenset())
        held = ids_in(self.part(columns=())) | {*before.bare, *(ref.entry_id for ref in before.missing)}
        if not prune:
            return _Change(frozenset(held), news, frozenset())
        known = frozenset(held | {failure.entry_id for failure in before.failures})
        unknown = {ref: times for ref, times in listed.items() if ref.entry_id not in known}
        return _Change(frozenset(held), unknown | news, known - {ref.entry_id for ref in listed})


async def _listed(client: Client, question: QuerySpec, segment: Segment, since: str | None) -> dict[Ref, str]:
    return {ref: times async for ref, times in _with_times(client, question, segment, since)}


@dataclass(frozen=True, slots=True)
class _Change:
    """Differences between the server and a segment's part."""

    held: frozenset[str]
    """Ids of the entries of the part, with or without rows."""
    news: Mapping[Ref, str]
    """Entries to read, with their times."""
    gone: frozenset[str]
    """Ids that the server no longer lists, including failed entries."""

    @property
    def requested(self) -> set[str]:
        return {ref.entry_id for ref in self.news}

    @property
    def off(self) -> set[str]:
        """Ids whose rows are removed from the part or replaced."""
        return self.requested | self.gone


def _receipt(before: Receipt, this: Run, change: _Change, tried: Receipt) -> Receipt:
    held, off = change.held, change.off
    delivered = change.requested - {failure.entry_id for failure in tried.failures}
    missing = {ref for ref in before.missing if ref.entry_id not in off} | {*tried.missing}
    failures = [failure for failure in before.failures if failure.entry_id not in off]
    earlier = before if before.run > this.after else Receipt(before.segment, before.after, before.upto, 0)
    seen = {entry_id: times for entry_id, times in before.seen.items() if entry_id not in off}
    seen |= {ref.entry_id: times for ref, times in change.news.items()}
    since = looking_back(this.begun)
    return replace(
        before,
        **span(sorted((held - off) | delivered)),
        **before.costs(tried),
        missing=tuple(sorted(missing)),
        failures=tuple(sorted([*failures, *tried.failures])),
        bare=tuple(sorted({entry_id for entry_id in before.bare if entry_id not in off} | {*tried.bare})),
        finished=tried.finished,
        run=this.number,
        added=earlier.added + len(delivered - held),
        changed=earlier.changed + len(delivered & held),
        pruned=earlier.pruned + len(change.gone & held),
        seen={entry_id: times for entry_id, times in seen.items() if is_recent(times, since)},
    )
