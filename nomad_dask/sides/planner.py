"""Owns the client's side before any data moves: counting, cutting into segments, sampling for the schema.

Planning costs a bounded number of small requests, whatever the archive's size (SPEC 4): few entries are listed and
cut exactly; many are cut by arithmetic over the id space, checked and corrected by counts of a few ranges.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from ..edges.archives import archives
from ..edges.pages import LARGEST_PAGE, count, list_page, listing, server_time
from ..edges.transport import Client
from ..pure.errors import RefusedError, UserError
from ..pure.flatten import OnNew
from ..pure.include import settled
from ..pure.layouts import WIDE, AnySchema, Layout
from ..pure.limits import BatchSize
from ..pure.manifest import Manifest, Question
from ..pure.report import Ref
from ..pure.schema import GivenTypes
from ..pure.segments import Density, Plan, Segment, cut_ids, even_bounds, spread
from ..pure.unknown import Idle, doubts, refuse_unknown
from .definitions import definitions_of, explained

WALKED = 5 * LARGEST_PAGE
"""Up to so many entries are listed, and the cut is exact; a handful of requests."""
PROBES = 16
"""Ranges counted at first."""
MOST_PROBES = 128
"""Ranges counted at the most, however skewed the archive is."""
_WORTH_HALVING = LARGEST_PAGE // 10
"""Entries of a range that make it worth a probe; fewer are left as they are."""
ONE_PAGE = LARGEST_PAGE * 19 // 20
"""Entries in a segment that is listed by one page also where it came out larger than planned."""
COLUMN_BYTES = 20e3
"""Bytes of JSON that a part should have for each of its columns, of which each costs a tenth of a millisecond to write."""
EVENLY = 16
"""Partitions from which on it matters little how many there are."""
PART_BYTES = 64e6
"""A partition aims at so many bytes of JSON where the user names no size: well inside a worker's memory."""
SAMPLE = 256
"""Entries looked at for the schema and the size of an entry."""
SAMPLE_POINTS = 8
SAMPLE_BYTES = 16e6
_FEWEST = 4
"""Entries that even the largest archives are sampled by; they come one by one, so that they are not all in memory."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How a query is to be cut, as the user says it; checked when made."""

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
                raise UserError(f"{name} must be a whole number from {least} up, not {value!r}")

    def segments(self, total: int, bytes_per_entry: float | None, columns: int = 0) -> int:
        """How many segments `total` entries are cut into.

        Where the user says nothing: by bytes, but at least 16 as long as each has 100 entries to give, and enough bytes
        for its columns. Fewer than 16 are 2, 4 or 8, so that two or four workers have the same to do.
        """
        if self.npartitions is not None:
            return min(self.npartitions, max(1, total))
        size = self.partition_size
        if size is None:
            by_bytes = PART_BYTES / bytes_per_entry if bytes_per_entry else ONE_PAGE
            by_columns = COLUMN_BYTES * columns / bytes_per_entry if bytes_per_entry else 0.0
            size = int(max(1, min(by_bytes, ONE_PAGE, max(100, total / 16, by_columns))))
            n = max(1, -(-total // size))
            return n if n >= EVENLY else min(1 << (n - 1).bit_length(), max(1, total))
        return max(1, -(-total // size))


async def count_matching(client: Client, question: Question, after: str = "") -> int:
    """How many entries the query matches (after a cursor). The first question to a server: is it there?"""
    try:
        return await count(client, question, Segment(after), known=False)
    except RefusedError as error:
        if better := await explained(client, error):
            raise better from error
        raise


async def make_plan(
    client: Client,
    question: Question,
    cut: Cut,
    *,
    matched: int | None = None,
    sample: Sample | None = None,
) -> Plan:
    """The segments of a query. A bounded number of small requests; no archive is asked for."""
    if matched is None:
        matched = await count_matching(client, question, cut.after)
    capped = cut.results_max is not None and cut.results_max < matched
    total = min(matched, cut.results_max) if cut.results_max is not None else matched
    interval = Segment(cut.after, "", total)
    if capped:
        upto = await _bound_of(client, question, interval, total) if total else (cut.after or "-")
        interval = replace(interval, upto=upto)
    n = cut.segments(total, sample.bytes_per_entry, sample.columns) if sample else cut.segments(total, None)
    if total <= WALKED:
        ids = (
            [r.entry_id async for page in listing(client, question, interval) for r in page] if n > 1 else []
        )
        if ids:
            return Plan(cut_ids(ids, n, interval.after, interval.upto), len(ids), True, matched)
        return Plan((interval,), total, True, matched)
    density = await _density(client, question, interval)
    return Plan(density.cut(n), density.total, False, matched)


async def _density(client: Client, question: Question, interval: Segment) -> Density:
    """Counts of ranges, each halved once to check that it is even inside, and again where it is not.

    Where the probes do not suffice for all that is uneven, the fullest ranges are halved.
    """
    bounds = even_bounds(interval.after, interval.upto, PROBES)
    density = Density(bounds, tuple(await _counts(client, question, bounds)))
    doubtful: Sequence[int] = range(len(density.counts))
    while doubtful:
        places = density.halves(doubtful, least=_WORTH_HALVING, most=MOST_PROBES - len(density.counts))
        lower = await asyncio.gather(
            *(count(client, question, Segment(density.bounds[i], middle)) for i, middle in places.items())
        )
        density, doubtful = density.halved(places, lower)
    return density


async def _counts(client: Client, question: Question, bounds: Sequence[str]) -> list[int]:
    ranges = [Segment(a, b) for a, b in itertools.pairwise(bounds)]
    return list(await asyncio.gather(*(count(client, question, r) for r in ranges)))


async def _bound_of(client: Client, question: Question, interval: Segment, rank: int) -> str:
    """The id of the `rank`-th entry of an interval: counts narrow it down to the range that holds it, then lists."""
    rest, left = interval, rank
    while left > LARGEST_PAGE:
        bounds = even_bounds(rest.after, rest.upto, PROBES)
        if len(bounds) == 2:
            break
        for low, high, n in zip(bounds, bounds[1:], await _counts(client, question, bounds), strict=False):
            rest = Segment(low, high)
            if left <= n or high == bounds[-1]:
                break
            left -= n
    return await _walk(client, question, rest, left)


async def _walk(client: Client, question: Question, interval: Segment, rank: int) -> str:
    last = interval.after
    while rank > 0:
        refs, _ = await list_page(client, question, replace(interval, after=last), min(rank, LARGEST_PAGE))
        if not refs:
            break
        last, rank = refs[-1].entry_id, rank - len(refs)
    return last


@dataclass(frozen=True, slots=True)
class Sample:
    """What a few entries, spread over the plan's interval, say of all."""

    question: Question
    """As it is put from now on: of documents, with the names that are sent."""
    schema: AnySchema
    bytes_per_entry: float | None
    entries: int
    columns: int
    """Of the widest table."""
    read_per_entry: float = 0.0
    """Bytes of all answers, those included that were of no use."""
    more_requests: float = 0.0
    """For each entry, beyond one for each batch: for what did not come, or had to be asked for by itself."""

    def batch_size(self, fixed: int | None = None) -> BatchSize:
        """The batch size to begin with: the user's, or what the sample's bytes say."""
        documents = self.question.source == "documents"
        start = BatchSize(ceiling=LARGEST_PAGE) if documents else BatchSize()
        if fixed is not None:
            return replace(start, size=fixed, fixed=True)
        if not self.bytes_per_entry:
            return start
        size = int(start.target_bytes / self.bytes_per_entry)
        return replace(start, size=max(1, min(size, start.ceiling if documents else 1_000)))


async def take_sample(
    client: Client, question: Question, after: str, matched: int, chosen: Layout = WIDE
) -> Sample:
    """Schema and size of an entry from up to 256 entries (16 MB, or four entries) at 8 points of the id space.

    Where the server has a schema, a required path that cannot be is refused first (RequiredError).
    """
    definitions = await definitions_of(client)
    refuse_unknown(question.required, definitions)
    if question.source == "documents":
        question = replace(question, required=settled(question.required, definitions))
    refs = await _sample_refs(client, question, after, matched)
    found: list[dict[str, Any]] = []
    n_bytes = 0
    stride = max(1, len(refs) // SAMPLE_POINTS)
    order = [
        ref for k in range(stride) for ref in refs[k::stride]
    ]  # one of each point first: the rest may not come
    tally, sizes = replace(client.tally), list[int]()
    async for delivery in archives(
        client, question, order, BatchSize(1, ceiling=64, target_bytes=2e6), 2, sizes
    ):
        found += [archive for _, archive in delivery.archives]
        n_bytes += delivery.n_bytes
        if n_bytes > SAMPLE_BYTES and len(found) >= _FEWEST:
            break
    for words in doubts(question.required, Idle.of(question.required).less(found), definitions):
        warnings.warn(f"{words}; it is asked for all the same", stacklevel=2)
    schema = chosen.infer(found, question.required, definitions)
    columns = max(len(arrow) for arrow in chosen.arrow(schema).values())
    asked = client.tally.requests - tally.requests - (client.tally.retries - tally.retries)
    each = max(1, len(found))
    return Sample(
        question,
        schema,
        n_bytes / each if found else None,
        len(found),
        columns,
        read_per_entry=(client.tally.n_bytes - tally.n_bytes) / each,
        more_requests=max(0, asked - len(sizes)) / each,
    )


async def _sample_refs(client: Client, question: Question, after: str, matched: int) -> list[Ref]:
    if matched <= SAMPLE:
        return (await list_page(client, question, Segment(after), SAMPLE))[0]
    bounds = even_bounds(after, "", SAMPLE_POINTS)
    shares = spread(SAMPLE, len(bounds) - 1)
    ranges = [Segment(a, b) for a, b in itertools.pairwise(bounds)]
    pages = await asyncio.gather(
        *(list_page(client, question, r, n) for r, n in zip(ranges, shares, strict=True))
    )
    refs = [ref for page, _ in pages for ref in page]
    return refs or (await list_page(client, question, Segment(after), SAMPLE))[0]


async def prepare(
    client: Client, question: Question, cut: Cut, chosen: Layout = WIDE, given: GivenTypes | None = None
) -> tuple[Plan, Sample]:
    """Count, sample and cut: all that a job needs before its data. Types that the user gives go before all others."""
    matched = await count_matching(client, question, cut.after)
    sample = await take_sample(client, question, cut.after, matched, chosen)
    if given is not None:
        sample = replace(sample, schema=chosen.with_types(sample.schema, given))
    plan = await make_plan(client, question, cut, matched=matched, sample=sample)
    return plan, sample


def versions() -> tuple[tuple[str, str], ...]:
    """Of the packages that make a dataset."""
    return tuple((name, version(name)) for name in ("nomad-dask", "dask", "pyarrow"))


async def make_manifest(
    client: Client,
    question: Question,
    cut: Cut,
    *,
    chosen: Layout = WIDE,
    on_new: OnNew = "more",
    batch_size: int | None = None,
    given: GivenTypes | None = None,
) -> Manifest:
    """The manifest of a new dataset: the prepared plan and schema, under an id of its own."""
    created = await server_time(client)
    plan, sample = await prepare(client, question, cut, chosen, given)
    return Manifest(
        id=uuid.uuid4().hex,
        url=client.server.url,
        question=sample.question,
        after=cut.after,
        results_max=cut.results_max,
        logged_in=client.server.login is not None,
        plan=plan,
        layout=chosen,
        schema=sample.schema,
        on_new=on_new,
        batch=sample.batch_size(batch_size),
        versions=versions(),
        created=created,
    )
