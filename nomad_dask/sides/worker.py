"""Owns the task's side: one segment in, one Arrow table and its receipt out, or one part written. Needs no Dask."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from ..edges.archives import archives, documents
from ..edges.deliveries import Delivery, Part
from ..edges.loop import iterate
from ..edges.memory import system_memory
from ..edges.pages import listing
from ..edges.server import Server
from ..edges.store import Store
from ..edges.transport import Client
from ..pure.errors import DatasetError
from ..pure.flatten import OnNew
from ..pure.layouts import ONLY, WIDE, AnySchema, Builder, Layout
from ..pure.limits import BatchSize
from ..pure.manifest import Manifest, Question
from ..pure.report import Failure, Receipt, Ref, span
from ..pure.required import Required
from ..pure.schema import ENTRY_ID
from ..pure.segments import Segment


@dataclass(frozen=True, slots=True)
class Job:
    """What every task of a job needs, as a plain value: no session, no secret."""

    server: Server
    question: Question
    schema: AnySchema
    layout: Layout = WIDE
    batch: BatchSize = BatchSize()
    on_new: OnNew = "more"
    narrower: Required | None = None
    """The part of what is required that is asked for, where not all columns are needed."""

    @property
    def asked(self) -> Question:
        """The question as it is put to the server."""
        if self.narrower is None:
            return self.question
        return replace(self.question, required=self.narrower)


Tables: TypeAlias = Mapping[str, pa.Table]
"""The tables of a segment by the layout's keys, sorted by entry_id (`pure.layouts`)."""


def read_segment(job: Job, segment: Segment, number: int = 0) -> tuple[Tables, Receipt]:
    """Fetch and download one segment: its tables, sorted by entry_id, and the receipt.

    Entries without archive are rows of nulls (in the layout tables, no rows); failed ones are not among the rows but in
    the receipt. Memory: the batches in flight and the tables being built. Raises what the whole segment cannot go on after: RefusedError,
    ServerError for the listing, ProtocolError, UnknownValueError.
    """
    client = Client(job.server)
    sizes: list[int] = []

    if job.question.source == "documents":
        found = documents(client, job.asked, segment, job.batch, sizes)
        return _build(job, client, segment, number, found, sizes)

    async def deliveries() -> AsyncIterator[Delivery]:
        async for page in listing(client, job.asked, segment):
            async for delivery in _download(client, job, page, sizes):
                yield delivery

    return _build(job, client, segment, number, deliveries(), sizes)


def read_entries(job: Job, refs: Sequence[Ref], segment: Segment, number: int = 0) -> tuple[Tables, Receipt]:
    """The same for entries by name (those that failed before); the receipt is of these entries alone."""
    client = Client(job.server)
    sizes: list[int] = []
    return _build(job, client, segment, number, _download(client, job, refs, sizes), sizes)


def _download(client: Client, job: Job, refs: Sequence[Ref], sizes: list[int]) -> AsyncIterator[Delivery]:
    return archives(client, job.asked, refs, job.batch, None, sizes, packed=True)


@system_memory()
def _build(
    job: Job,
    client: Client,
    segment: Segment,
    number: int,
    deliveries: AsyncIterator[Delivery],
    sizes: list[int],
) -> tuple[Tables, Receipt]:
    began = time.monotonic()
    builder = job.layout.builder(job.schema, job.question.required, job.on_new)
    delivered: list[str] = []
    missing: list[Ref] = []
    failures: list[Failure] = []
    for delivery in iterate(deliveries):
        for part in delivery.parts():
            _append(builder, part)
            delivered += [ref.entry_id for ref, _ in part.archives]
            del part
        for ref in delivery.missing:
            builder.append(ref.entry_id, ref.upload_id, None)
        missing += delivery.missing
        failures += delivery.failures
    tables = {key: in_order(table) for key, table in job.layout.tables(builder.finish()).items()}
    tally = client.tally
    return tables, Receipt(
        segment=number,
        after=segment.after,
        upto=segment.upto,
        **span(sorted([*delivered, *(ref.entry_id for ref in missing)])),
        missing=tuple(sorted(missing)),
        failures=tuple(sorted(failures)),
        bare=() if ONLY in tables else tuple(sorted({*delivered} - ids_in(tables))),
        n_more=builder.n_more,
        n_bytes=tally.n_bytes,
        seconds=round(time.monotonic() - began, 3),
        requests=tally.requests,
        retries=tally.retries,
        statuses=dict(tally.statuses),
        batch_sizes=tuple(sizes),
        concurrency=tuple(tally.levels),
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def _append(builder: Builder, part: Part) -> None:
    each = part.n_bytes // max(1, len(part.archives))
    for ref, archive in part.archives:
        builder.append(ref.entry_id, ref.upload_id, archive, n_bytes=each)


def ids_in(tables: Tables) -> set[str]:
    """The ids of the entries that have a row in any of the tables."""
    return {entry_id for table in tables.values() for entry_id in table.column(ENTRY_ID).unique().to_pylist()}


def in_order(table: pa.Table) -> pa.Table:
    """The table sorted by entry_id (bytes), rows of one entry as they were; untouched where it is already."""
    ids = table.column(ENTRY_ID).to_pylist()
    if all(a <= b for a, b in pairwise(ids)):
        return table
    return table.take(pa.array(sorted(range(len(ids)), key=ids.__getitem__)))


def renewed(part: pa.Table, late: pa.Table, dropped: Collection[str]) -> pa.Table:
    """A part without the rows of some entries, and with those that came late; sorted."""
    kept = part.filter(pc.invert(pc.is_in(part[ENTRY_ID], pa.array(sorted(dropped), pa.string()))))
    return in_order(pa.concat_tables([kept, late]))


@dataclass(frozen=True, slots=True)
class Task:
    """One segment of a dataset, to be written by whoever holds this: small, and without a secret."""

    store: Store
    manifest: str
    """Its id: a folder may be emptied and filled anew while a cluster lives on."""
    server: Server
    number: int
    retry_failures: bool = False

    def write(self) -> Receipt:
        """Do it; the receipt of the segment."""
        return write_segment(self)


def write_segment(task: Task) -> Receipt:
    """Read one segment of a dataset's plan, write its part, then its receipt, which is also returned.

    With `retry_failures` only the entries that failed before are asked for, and join the part.
    """
    manifest = stored_manifest(task.store, task.manifest)
    segment = manifest.plan.segments[task.number]
    job = job_of(manifest, task.server)
    if task.retry_failures:
        tables, receipt = _retried(task, job, segment)
    else:
        tables, receipt = read_segment(job, segment, task.number)
    return write_tables(task, job, tables, receipt)


@system_memory()
def write_tables(task: Task, job: Job, tables: Tables, receipt: Receipt) -> Receipt:
    """Write the tables of a task's segment as its part, then the receipt, which is returned."""
    folders = job.layout.folders(job.schema)
    by_folder = {folders[key]: table for key, table in tables.items()}
    return task.store.write_part(by_folder, replace(receipt, dataset=task.manifest))


def job_of(manifest: Manifest, server: Server | None = None) -> Job:
    """What the tasks of a dataset do; at its own server without a login where none is given."""
    return Job(
        server or Server(manifest.url),
        manifest.question,
        manifest.schema,
        manifest.layout,
        manifest.batch,
        manifest.on_new,
    )


def _retried(task: Task, job: Job, segment: Segment) -> tuple[Tables, Receipt]:
    """The part with the entries that failed before, where they come now; the receipt of both tries together."""
    before = task.store.receipt(task.manifest, task.number)
    if before is None:
        return read_segment(job, segment, task.number)
    again = [Ref(f.entry_id, f.upload_id) for f in before.failures]
    late, receipt = read_entries(job, again, segment, task.number)
    # A run that was killed after its part and before its receipt has left rows of these entries in the part.
    tried = {ref.entry_id for ref in again}
    folders = job.layout.folders(job.schema)
    tables = {
        key: renewed(task.store.read_part(task.number, folder), late[key], tried)
        for key, folder in folders.items()
    }
    return tables, before.joined(receipt)


@lru_cache(maxsize=4)
def stored_manifest(store: Store, identity: str) -> Manifest:
    """A dataset's manifest, read once in each process: under one id only its history changes."""
    manifest = store.manifest()
    if manifest is None or manifest.id != identity:
        raise DatasetError(
            f"{store.url} does not hold dataset {identity} where this task runs; do all workers see the same folder?"
        )
    return manifest
