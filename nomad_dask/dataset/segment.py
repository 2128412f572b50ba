"""Read one segment into Arrow tables and a receipt, or write it as a part of a dataset.

Does not need Dask.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from nomad_dask._core import description, native
from nomad_dask.client.archives import ArchiveBlock, BatchResult, DownloadOptions, documents
from nomad_dask.client.event_loop import iterate
from nomad_dask.client.linked_archives import linked_archives
from nomad_dask.client.search import iter_pages
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.common import paths, types
from nomad_dask.common.memory import system_memory
from nomad_dask.dataset.manifest import Manifest, TableSpec
from nomad_dask.dataset.outside import Outside, joined, most_frequent
from nomad_dask.dataset.pieces import Pieces
from nomad_dask.dataset.report import Receipt, span
from nomad_dask.dataset.store import Store
from nomad_dask.errors import DatasetError, NomadDaskError, UnfinishedError, error_summary
from nomad_dask.layouts import LayoutName, compiled
from nomad_dask.layouts.layouts import ONLY, Builder
from nomad_dask.layouts.schema import ENTRY_ID, MORE
from nomad_dask.metainfo.definitions import plain_keys
from nomad_dask.request import Failure, QuerySpec, Ref
from nomad_dask.request.required import Required
from nomad_dask.request.segments import Segment

logger = logging.getLogger("nomad_dask")
Tables: TypeAlias = Mapping[str, pa.Table]
"""The tables of a segment by the layout's keys (see `layouts.layouts`), sorted by entry_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(TableSpec):
    """The settings that all segments of a job share. A plain value without sessions or secrets."""

    server: Server
    narrower: Required | None = None
    """The part of `required` to request, if not all columns are needed."""

    @property
    def requested(self) -> QuerySpec:
        """The query that is sent to the server: `question`, with `narrower` as `required` if given."""
        return self.question if self.narrower is None else replace(self.question, required=self.narrower)


def job_of(manifest: Manifest, server: Server | None = None) -> Job:
    """Return the job of a dataset. The default server is that of the manifest, without a login."""
    return Job(**manifest.table_fields(), server=server or Server(manifest.url))


def read_segment(
    job: Job, segment: Segment, number: int = 0, refs: Sequence[Ref] | None = None
) -> tuple[Tables, Receipt]:
    """Download one segment, or only `refs`. Returns its tables, sorted by entry_id, and its receipt.

    Entries without archive are rows of nulls (in the layout "tables", no rows). Failed entries have no rows
    and are listed in the receipt. Memory: the batches in flight and the tables being built. Raises
    RefusedError, ServerError (for the listing), ProtocolError and UnknownValueError, which affect the whole
    segment.

    If an archive causes an unexpected error in the layout, everything is read again without the compiled
    core, and each entry is first tried alone: an entry that cannot be converted is a failure and does not
    affect others.
    """
    began, client, sizes = time.monotonic(), Client(job.server), list[int]()
    try:
        built = _build(job, _deliveries(client, job, segment, refs, sizes))
    except (NomadDaskError, MemoryError, CancelledError):
        raise
    except Exception as error:
        built = None  # leave the handler first, so that the requests in flight are released
        logger.info("segment %d is read again, entry by entry: %s", number, error_summary(error))
    if built is None:
        deliveries = _deliveries(client, job, segment, refs, sizes)
        built = _build(job, deliveries, partial(_reason_of_failure, job))
    tables, facts = built
    stats = client.stats
    return tables, Receipt(
        segment=number,
        after=segment.after,
        upto=segment.upto,
        **facts,
        n_bytes=stats.n_bytes,
        seconds=round(time.monotonic() - began, 3),
        requests=stats.requests,
        retries=stats.retries,
        statuses=dict(stats.statuses),
        batch_sizes=tuple(sizes),
        concurrency=tuple(stats.levels),
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def _deliveries(
    client: Client, job: Job, segment: Segment, refs: Sequence[Ref] | None, sizes: list[int]
) -> AsyncIterator[BatchResult]:
    """Download a segment or some of its entries. Appends the batch sizes to `sizes`."""
    options = DownloadOptions(job.batch, sizes=sizes, packed=True)
    if refs is not None:
        return linked_archives(client, job.requested, refs, options)
    if job.question.source == "documents":
        return documents(client, job.requested, segment, replace(options, packed=False))
    return _by_page(client, job, segment, options)


async def _by_page(
    client: Client, job: Job, segment: Segment, options: DownloadOptions
) -> AsyncIterator[BatchResult]:
    async for page in iter_pages(client, job.requested, segment):
        async for delivery in linked_archives(client, job.requested, page.refs, options):
            yield delivery


def _reason_of_failure(job: Job, archive: Mapping[str, Any]) -> str:
    """Why an archive cannot be converted into rows; an empty string if it can."""
    try:
        builder = job.builder()
        builder.append("", "", archive)
        job.finished(builder.finish())
    except (NomadDaskError, MemoryError):
        return ""  # raised again when all entries are built
    except Exception as error:
        return f"its archive cannot be converted into rows: {error_summary(error)}"
    return ""


@system_memory()
def _build(
    job: Job,
    deliveries: AsyncIterator[BatchResult],
    reason_of_failure: Callable[[Mapping[str, Any]], str] | None = None,
) -> tuple[Tables, dict[str, Any]]:
    """Return the tables of downloaded entries, and what their receipt says about the entries."""
    builder, feed, core = job.builder(), None, "Python: an archive was read entry by entry"
    if reason_of_failure is None:
        builder = compiled.builder(job.layout, job.schema, job.question.required, job.on_new)
        core = description()
        if isinstance(builder, compiled.CompiledBuilder):
            feed = builder.feed
        elif native is not None:
            core = "Python: the core does not know these columns"
    delivered: list[str] = []
    missing: list[Ref] = []
    failures: list[Failure] = []
    for delivery in iterate(deliveries):
        for block in delivery.blocks(feed):
            delivered += [ref.entry_id for ref in block.taken]
            appended, failed = _append(builder, block, reason_of_failure)
            delivered += appended
            failures += failed
            del block
        for ref in delivery.missing:
            builder.append(ref.entry_id, ref.upload_id, None)
        missing += delivery.missing
        failures += delivery.failures
    tables = {key: sorted_by_id(table) for key, table in job.finished(builder.finish()).items()}
    return tables, {
        **span(sorted([*delivered, *(ref.entry_id for ref in missing)])),
        "missing": tuple(sorted(missing)),
        "failures": tuple(sorted(failures)),
        "bare": () if ONLY in tables else tuple(sorted({*delivered} - ids_in(tables))),
        "n_more": builder.n_more,
        "outside": values_outside(tables, job.layout.name)[1] if builder.n_more else {},
        "core": core,
    }


def values_outside(tables: Mapping[str, pa.Table], layout: LayoutName) -> tuple[int, Outside]:
    """Count the values in `_more` of a segment's tables. Cost: decodes each cell of `_more`."""
    found: dict[str, tuple[str, int]] = {}
    total = 0
    for table in tables.values():
        for cell in table[MORE].drop_null().to_pylist():
            values = types.loads(cell)
            total += len(values)
            for name, value in values.items():
                # In tables, `schema=` has names without indices.
                column = paths.join(plain_keys(name)) if layout == "tables" else name
                kind = "" if layout == "nested" else types.type_of(value)
                before, n = found.get(column, (kind, 0))
                found[column] = joined(before, kind), n + 1
    return total, most_frequent(found)


def _append(
    builder: Builder, block: ArchiveBlock, reason_of_failure: Callable[[Mapping[str, Any]], str] | None
) -> tuple[list[str], list[Failure]]:
    """Add archives to the tables. Returns the ids of these, and the entries that cannot be converted."""
    appended, failures = list[str](), list[Failure]()
    each = block.n_bytes // max(1, len(block.archives))
    for ref, archive in block.archives:
        if reason_of_failure and (reason := reason_of_failure(archive)):
            failures.append(Failure(*ref, 200, reason, 1))
        else:
            builder.append(ref.entry_id, ref.upload_id, archive, n_bytes=each)
            appended.append(ref.entry_id)
    return appended, failures


def ids_in(tables: Tables) -> set[str]:
    """Return the ids of the entries that have a row in any of the tables."""
    return {entry_id for table in tables.values() for entry_id in table.column(ENTRY_ID).unique().to_pylist()}


def sorted_by_id(table: pa.Table) -> pa.Table:
    """Return the table sorted by entry_id, as bytes. The sort is stable."""
    ids = table.column(ENTRY_ID).to_pylist()
    if all(a <= b for a, b in pairwise(ids)):
        return table
    return table.take(pa.array(sorted(range(len(ids)), key=ids.__getitem__)))


def replace_rows(part: pa.Table, new: pa.Table, dropped: Collection[str]) -> pa.Table:
    """Return a part without the rows of the dropped entries and with the new rows, sorted."""
    kept = part.filter(pc.invert(pc.is_in(part[ENTRY_ID], pa.array(sorted(dropped), pa.string()))))
    return sorted_by_id(pa.concat_tables([kept, new]))


@dataclass(frozen=True, slots=True)
class Task:
    """One segment of a dataset to write. Small, and without secrets."""

    store: Store
    manifest: str
    """Id of the manifest: the folder may hold another dataset later in the life of a cluster."""
    server: Server
    number: int
    retry_failures: bool = False
    pieces: Pieces | None = None
    """The pieces of a segment that killed its workers. If given, nothing else is requested."""

    def write(self) -> Receipt:
        """Read the segment, write its part, then its receipt, which is returned.

        With `retry_failures`, only the entries that failed before are requested, and added to the part.
        """
        before = self.before()
        if before is None:
            return self.write_part(*self.read())
        refs = _failed(before)
        new, receipt = self.read(refs)
        # A run that was killed between its part and its receipt may have left rows of these entries.
        ids = {ref.entry_id for ref in refs}
        tables = {key: replace_rows(part, new[key], ids) for key, part in self.part().items()}
        return self.write_part(tables, replace(before.merged(receipt), failures=receipt.failures))

    def names(self) -> Iterable[Ref]:
        """List the entries that `write` would read."""
        before = self.before()
        if before is not None:
            return _failed(before)
        pages = iterate(iter_pages(Client(self.server), self.dataset.question, self.segment))
        return [ref for page in pages for ref in page.refs]

    def before(self) -> Receipt | None:
        """Return the receipt that this task replaces by a better one, if any."""
        return self.store.receipt(self.manifest, self.number) if self.retry_failures else None

    @property
    def dataset(self) -> Manifest:
        """The stored manifest. DatasetError if the folder holds another dataset."""
        return _stored_manifest(self.store, self.manifest)

    @property
    def job(self) -> Job:
        """The job of the dataset."""
        return job_of(self.dataset, self.server)

    @property
    def segment(self) -> Segment:
        """The segment of the dataset's plan."""
        return self.dataset.plan.segments[self.number]

    def read(self, refs: Sequence[Ref] | None = None) -> tuple[Tables, Receipt]:
        """Read the segment, or only `refs`; or the pieces, which must then hold the same entries."""
        if self.pieces is None:
            return read_segment(self.job, self.segment, self.number, refs)
        if refs is not None and self.pieces.refs != {*refs}:
            raise UnfinishedError(
                f"entries of segment {self.number} changed while they were read in pieces; "
                "run the same command again"
            )
        return self.pieces.read(self.store, read_segment(self.job, self.segment, self.number, ()))

    def part(self, columns: Sequence[str] | None = None) -> Tables:
        """Read the tables of the stored part; with `columns` only those, and the ids."""
        folders = self.dataset.folders()
        return {key: self.store.read_part(self.number, folder, columns) for key, folder in folders.items()}

    @system_memory()
    def write_part(self, tables: Tables, receipt: Receipt) -> Receipt:
        """Write the part, then the receipt, which is returned."""
        folders = self.dataset.folders()
        by_folder = {folders[key]: table for key, table in tables.items()}
        return self.store.write_part(by_folder, replace(receipt, dataset=self.manifest))


def _failed(receipt: Receipt) -> list[Ref]:
    return [Ref(failure.entry_id, failure.upload_id) for failure in receipt.failures]


@lru_cache(maxsize=4)
def _stored_manifest(store: Store, identity: str) -> Manifest:
    """Cached in each process: for one id, only the history changes."""
    manifest = store.manifest()
    if manifest is None or manifest.id != identity:
        raise DatasetError(
            f"{store.url} does not contain dataset {identity} on this worker; "
            "all workers must see the same folder"
        )
    return manifest
