"""Planning of a query: counting entries, dividing them into segments and sampling them for the schema.

Planning takes a limited number of small requests for any size of the archive. A small number of entries is
listed and divided exactly; a large number is divided by arithmetic on ids, which is checked and corrected
with counts of a few ranges.
"""

from __future__ import annotations

import asyncio
import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from nomad_dask.client.archives import DownloadOptions
from nomad_dask.client.linked_archives import linked_archives
from nomad_dask.client.metainfo_cache import definitions_of, with_accepted_names, with_similar_names
from nomad_dask.client.search import LARGEST_PAGE, count, get_page, iter_pages
from nomad_dask.client.transport import Client
from nomad_dask.common.memory import collector_paused
from nomad_dask.dataset.manifest import TableSpec
from nomad_dask.errors import NomadDaskError, RefusedError, UserError
from nomad_dask.frame.partition import OnFailure
from nomad_dask.layouts import compiled
from nomad_dask.layouts.column_limit import MOST_COLUMNS, left_out_message
from nomad_dask.layouts.compiled import JsonRows
from nomad_dask.layouts.layouts import WIDE, AnySchema, Layout, left_out
from nomad_dask.layouts.schema import GivenTypes
from nomad_dask.layouts.to_pandas import DtypeBackend
from nomad_dask.layouts.units import SI, UnitChoice
from nomad_dask.layouts.wide import OnNew
from nomad_dask.limits import BatchSize
from nomad_dask.plan.estimate import SampleCost
from nomad_dask.request import QuerySpec, Ref
from nomad_dask.request.check import EmptyPaths, empty_path_warnings, refuse_unknown
from nomad_dask.request.references import links_of
from nomad_dask.request.segments import Density, Plan, Segment, cut_ids, even_bounds, spread
from nomad_dask.text import shown

Tree: TypeAlias = dict[str, Any]

WALKED = 5 * LARGEST_PAGE
"""Maximum number of entries that are listed and divided exactly."""
MOST_SEGMENTS, MOST_CHOSEN = 1_000_000, 100_000
"""Maximum number of segments of a plan, and of one whose size the user does not choose."""
PROBES = 16
"""Number of ranges that are counted first."""
MOST_PROBES = 128
"""Maximum number of ranges that are counted."""
_WORTH_HALVING = LARGEST_PAGE // 10
"""Minimum number of entries of a range that is halved."""
ONE_PAGE = LARGEST_PAGE * 19 // 20
"""Planned entries of a segment that fits into one page even if it is larger than planned."""
COLUMN_BYTES = 20e3
"""Minimum bytes of JSON of a part per column; each column takes 0.1 ms to write."""
EVENLY = 16
"""Number of partitions from which their exact number matters little."""
PART_BYTES = 64e6
"""Default bytes of JSON per partition, well below a worker's memory."""
SAMPLE = 256
"""Number of entries sampled for the schema and the size of an entry."""
SAMPLE_POINTS = 8
SAMPLE_BYTES = 16e6
_FEWEST = 4
"""Minimum number of sampled entries, even if archives are large; they are downloaded one by one."""

_MOST_FAILED = 32
"""Maximum number of failed entries of a sample."""


@dataclass(frozen=True, slots=True)
class PartitionSpec:
    """The user's settings for dividing a query into segments, checked when created."""

    partition_size: int | None = None
    npartitions: int | None = None
    results_max: int | None = None
    after: str = ""

    def __post_init__(self) -> None:
        if self.partition_size is not None and self.npartitions is not None:
            raise UserError("give partition_size or npartitions, not both")
        for name, least in (("partition_size", 1), ("npartitions", 1), ("results_max", 0)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                kind = "positive" if least else "non-negative"
                raise UserError(f"{name} must be a {kind} integer (got {shown(value)})")

    def segments(self, total: int, bytes_per_entry: float | None, columns: int = 0) -> int:
        """Number of segments for `total` entries.

        By default it depends on bytes, but is at least 16 if each segment gets 100 entries and enough bytes
        for its columns. A number below 16 is rounded up to a power of 2, so that two or four workers get
        equal work.
        """
        if self.npartitions is not None:
            return min(self.npartitions, max(1, total))
        size = self.partition_size
        if size is None:
            by_bytes = PART_BYTES / bytes_per_entry if bytes_per_entry else ONE_PAGE
            by_columns = COLUMN_BYTES * columns / bytes_per_entry if bytes_per_entry else 0.0
            fitting = max(1, min(by_bytes, ONE_PAGE, max(100, total / 16, by_columns)))
            size = int(max(fitting, total / MOST_CHOSEN))
            n = max(1, -(-total // size))
            return n if n >= EVENLY else min(1 << (n - 1).bit_length(), max(1, total))
        n = max(1, -(-total // size))
        if n > MOST_SEGMENTS:
            raise UserError(
                f"partition_size={size} divides {total:,} entries into {n:,} partitions, but the maximum is "
                f"{MOST_SEGMENTS:,}; use a larger partition_size"
            )
        return n


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Options of `to_delayed`, `to_dask_dataframe` and `to_parquet`: how entries become tables."""

    layout: Layout = WIDE
    schema: GivenTypes | None = None
    """Types that override those of the server and the sample."""
    max_columns: int | None = MOST_COLUMNS
    batch_size: int | None = None
    """Fixed number of entries per request; None means that it adapts."""
    on_new: OnNew = "more"
    on_failure: OnFailure = "raise"
    dtype_backend: DtypeBackend = "pyarrow"
    units: UnitChoice = SI


async def count_matching(client: Client, question: QuerySpec, after: str = "") -> int:
    """Number of entries that match the query after a cursor. This is the first request to a server."""
    try:
        return await count(client, question, Segment(after), known=False)
    except RefusedError as error:
        if better := await with_similar_names(client, error):
            raise better from error
        raise


async def make_plan(
    client: Client,
    question: QuerySpec,
    cut: PartitionSpec,
    *,
    matched: int | None = None,
    sample: Sample | None = None,
) -> Plan:
    """The segments of a query. Sends a limited number of small requests and downloads no archives."""
    if matched is None:
        matched = await count_matching(client, question, cut.after)
    capped = cut.results_max is not None and cut.results_max < matched
    total = min(matched, cut.results_max) if cut.results_max is not None else matched
    interval = Segment(cut.after, "", total)
    if capped:
        upto = await _bound_of(client, question, interval, total) if total else (cut.after or "-")
        interval = replace(interval, upto=upto)
    bytes_per_entry, columns = (sample.cost.bytes_per_entry, sample.columns) if sample else (None, 0)
    n = cut.segments(total, bytes_per_entry, columns)
    if total <= WALKED:
        ids = list[str]()
        if n > 1:
            ids = [ref.entry_id async for page in iter_pages(client, question, interval) for ref in page.refs]
        segments = cut_ids(ids, n, interval.after, interval.upto) if ids else (interval,)
        return Plan(segments, len(ids) or total, True, matched, results_max=cut.results_max)
    density = await _density(client, question, interval)
    return Plan(density.cut(n), density.total, False, matched, results_max=cut.results_max)


async def _density(client: Client, question: QuerySpec, interval: Segment) -> Density:
    """Counts of ranges. Each range is halved once to check that it is even, and again if it is not.

    If there are not enough probes for all uneven ranges, the fullest are halved.
    """
    bounds = even_bounds(interval.after, interval.upto, PROBES)
    density = Density(bounds, tuple(await _counts(client, question, _between(bounds))))
    doubtful: Sequence[int] = range(len(density.counts))
    while doubtful:
        middles = density.halves(doubtful, min_count=_WORTH_HALVING, limit=MOST_PROBES - len(density.counts))
        lower = [Segment(density.bounds[i], middle) for i, middle in middles.items()]
        density, doubtful = density.halved(middles, await _counts(client, question, lower))
    return density


def _between(bounds: Sequence[str]) -> list[Segment]:
    return [Segment(low, high) for low, high in itertools.pairwise(bounds)]


async def _counts(client: Client, question: QuerySpec, ranges: Sequence[Segment]) -> list[int]:
    return list(await asyncio.gather(*(count(client, question, one) for one in ranges)))


async def _bound_of(client: Client, question: QuerySpec, interval: Segment, rank: int) -> str:
    """The id of the `rank`-th entry of an interval, from counts and then listings."""
    rest, left = interval, rank
    while left > LARGEST_PAGE:
        bounds = even_bounds(rest.after, rest.upto, PROBES)
        if len(bounds) == 2:
            break
        ranges = _between(bounds)
        for rest, n in zip(ranges, await _counts(client, question, ranges), strict=True):
            if left <= n or rest is ranges[-1]:
                break
            left -= n
    return await _walk(client, question, rest, left)


async def _walk(client: Client, question: QuerySpec, interval: Segment, rank: int) -> str:
    last = interval.after
    while rank > 0:
        refs = (await get_page(client, question, replace(interval, after=last), min(rank, LARGEST_PAGE))).refs
        if not refs:
            break
        last, rank = refs[-1].entry_id, rank - len(refs)
    return last


@dataclass(frozen=True, slots=True)
class Sample:
    """Properties of all entries, estimated from a few that are spread over the plan's interval."""

    question: QuerySpec
    """The query as it is sent from now on (for documents, with the names that are sent)."""
    schema: AnySchema
    cost: SampleCost
    columns: int
    """Number of columns of the widest table."""

    def batch_size(self, fixed: int | None = None) -> BatchSize:
        """The initial batch size: the user's, or one based on the size of the sample."""
        documents = self.question.source == "documents"
        start = BatchSize(ceiling=LARGEST_PAGE) if documents else BatchSize()
        if fixed is not None:
            return replace(start, size=fixed, fixed=True)
        if not self.cost.bytes_per_entry:
            return start
        size = int(start.target_bytes / self.cost.bytes_per_entry)
        return replace(start, size=max(1, min(size, start.ceiling if documents else 1_000)))

    def table_spec(self, options: TableOptions) -> TableSpec:
        """The query and the tables that its entries become."""
        batch = self.batch_size(options.batch_size)
        return TableSpec(self.question, self.schema, options.layout, batch, options.on_new, options.units)


async def take_sample(
    client: Client, question: QuerySpec, after: str, matched: int, options: TableOptions = TableOptions()
) -> Sample:
    """Estimate schema and size of entries from a sample of up to 256 entries at 8 points of the id space.

    Stops after 16 MB (but not before 4 entries), 32 failed entries, or 8 failed entries that took 16 MB.
    Columns beyond the maximum are left out with a warning. Raises RequiredError if the server's schema does
    not contain a required path.
    """
    definitions = await definitions_of(client)
    refuse_unknown(question.required, definitions)
    options.units.check_paths(definitions)
    question = await with_accepted_names(client, question)
    if question.source == "archives":
        links = links_of(question.required, definitions)
        question = replace(question, required=replace(question.required, links=links))
    refs = await _sample_refs(client, question, after, matched)
    found, texts = list[Tree](), list[JsonRows]()
    n_bytes = n_failed = 0
    stride = max(1, len(refs) // SAMPLE_POINTS)
    # One of each point first, as sampling can stop early.
    order = [ref for k in range(stride) for ref in refs[k::stride]]
    stats, sizes = replace(client.stats), list[int]()
    batch = BatchSize(1, ceiling=64, target_bytes=2e6)
    download = DownloadOptions(batch, in_flight=2, sizes=sizes, packed=True)
    async for delivery in linked_archives(client, question, order, download):
        for block in delivery.blocks():
            found += [archive for _, archive in block.archives]
            texts.append((block.text or b"", {ref.entry_id: None for ref, _ in block.archives}))
        n_bytes += delivery.n_bytes
        n_failed += len(delivery.failures)
        if n_bytes > SAMPLE_BYTES and len(found) >= _FEWEST:
            break
        wasted = client.stats.n_bytes - stats.n_bytes - n_bytes
        if n_failed >= _MOST_FAILED or (n_failed >= SAMPLE_POINTS and wasted > SAMPLE_BYTES):
            break
    empty = EmptyPaths.of(question.required).excluding(found)
    for doubt in empty_path_warnings(question.required, empty, definitions):
        warnings.warn(f"{doubt}; it is requested anyway", stacklevel=2)

    table = question.required, definitions, options.max_columns
    with collector_paused():
        schema = compiled.infer(options.layout, texts, *table)
        if schema is None:
            schema = _inferred(lambda archives: options.layout.infer(archives, *table), found)
    if definitions is not None and empty.paths and question.source == "archives":
        schema = options.layout.with_declared(schema, empty.paths, question.required, definitions)
    for crowded in left_out(schema):
        warnings.warn(left_out_message(*crowded), stacklevel=2)
    columns = max(len(arrow) for arrow in options.layout.arrow(schema).values())
    asked = client.stats.requests - stats.requests - (client.stats.retries - stats.retries)
    each = max(1, len(found))
    cost = SampleCost(
        len(found),
        bytes_per_entry=n_bytes / each if found else None,
        read_per_entry=(client.stats.n_bytes - stats.n_bytes) / each,
        more_requests=max(0, asked - len(sizes)) / each,
    )
    return Sample(question, schema, cost, columns)


def _inferred(infer: Callable[[list[Tree]], AnySchema], found: list[Tree]) -> AnySchema:
    """The schema of a sample. Archives that cause errors are left out; they fail when they are read."""
    try:
        return infer(found)
    except (NomadDaskError, MemoryError):
        raise
    except Exception:
        return infer([archive for archive in found if _is_fit(infer, archive)])


def _is_fit(infer: Callable[[list[Tree]], AnySchema], archive: Tree) -> bool:
    try:
        infer([archive])
    except Exception:
        return False
    return True


async def _sample_refs(client: Client, question: QuerySpec, after: str, matched: int) -> list[Ref]:
    if matched <= SAMPLE:
        return (await get_page(client, question, Segment(after), SAMPLE)).refs
    bounds = even_bounds(after, "", SAMPLE_POINTS)
    shares = spread(SAMPLE, len(bounds) - 1)
    pages = await asyncio.gather(
        *(get_page(client, question, one, n) for one, n in zip(_between(bounds), shares, strict=True))
    )
    refs = [ref for page in pages for ref in page.refs]
    return refs or (await get_page(client, question, Segment(after), SAMPLE)).refs


async def prepare(
    client: Client, question: QuerySpec, cut: PartitionSpec, options: TableOptions = TableOptions()
) -> tuple[Plan, Sample]:
    """Count, sample and plan a query before its data is downloaded. The user's types override all others."""
    matched = await count_matching(client, question, cut.after)
    sample = await take_sample(client, question, cut.after, matched, options)
    if options.schema is not None:
        sample = replace(sample, schema=options.layout.with_types(sample.schema, options.schema))
    plan = await make_plan(client, question, cut, matched=matched, sample=sample)
    return replace(plan, left_out=sum(n for _, _, n in left_out(sample.schema))), sample
