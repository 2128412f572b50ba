"""Downloads of archives in batches, and of search documents in pages.

Answers are matched by `entry_id`, never by position. Batches that keep failing are halved until the faulty
entry is alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

from nomad_dask.client import answers
from nomad_dask.client.answers import ListingAnswer, PackedRows, RejectedRow, archive_rows
from nomad_dask.client.retry import StatusAnswer, limited
from nomad_dask.client.search import LISTING, check_alive, check_end, get_page, including
from nomad_dask.client.transport import DEFAULT_OPTIONS, Client, RequestOptions
from nomad_dask.common.memory import collector_paused
from nomad_dask.errors import (
    AnswerTooLargeError,
    NomadDaskError,
    ProtocolError,
    RefusedError,
    RemoteReferenceError,
    ServerError,
    error_summary,
)
from nomad_dask.limits import BatchSize
from nomad_dask.request import Failure, QuerySpec, Ref
from nomad_dask.request.include import include_of, required_part, without_empties
from nomad_dask.request.references import merge, refers_elsewhere, resolve
from nomad_dask.request.required import Required, split
from nomad_dask.request.segments import Segment, both

Archived = tuple[Ref, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """Options of a download of many entries."""

    batch_size: BatchSize  # size of the first batch or page
    in_flight: int | None = None  # concurrent requests; None: this process's share of the limits, plus one
    sizes: list[int] = field(default_factory=list)  # is filled with the batch sizes
    packed: bool = False  # leave large answers undecoded; the consumer must use `BatchResult.blocks`


@dataclass(frozen=True, slots=True)
class EntryBatch:
    """Entries of one request."""

    refs: Sequence[Ref]
    suspect: bool = False  # True for a part of a failed batch
    packed: bool = False


class RequestedEntries:
    """The entries of one request; rows of the answer are joined by id, never by position."""

    def __init__(self, refs: Sequence[Ref], url: str) -> None:
        self._place = f"a batch of {len(refs)} from {refs[0].entry_id} [{url}]"
        self.left = {ref.entry_id: ref for ref in refs}  # entries without a row so far

    def joined(self, rows: Sequence[Mapping[str, Any]]) -> list[Archived]:
        """Join archives to their entries. Raises ProtocolError for a row not requested, or repeated."""
        refs = self.received(row["entry_id"] for row in rows)
        return [(ref, row["archive"]) for ref, row in zip(refs, rows, strict=True)]

    def received(self, entry_ids: Iterable[str]) -> list[Ref]:
        """The entries with these ids. Raises ProtocolError for a row not requested, or repeated."""
        found = []
        for entry_id in entry_ids:
            ref = self.left.pop(entry_id, None)
            if ref is None:
                raise ProtocolError(
                    f"the server sent entry {entry_id}, which was not requested or is repeated, "
                    f"in {self._place}"
                )
            found.append(ref)
        return found

    def failed(self, rejected: Iterable[RejectedRow]) -> list[Failure]:
        """Failures of rejected rows."""
        refs = ((self.left.pop(row.entry_id or "", None), row.reason) for row in rejected)
        return [Failure(*ref, 200, reason, 1) for ref, reason in refs if ref is not None]


Feed: TypeAlias = Callable[[bytes, int, int, Mapping[str, str]], tuple[Sequence[str], int]]
"""As `answers.Take`, with the upload ids of the entries."""


class ArchiveBlock(NamedTuple):
    """Archives that were decoded together."""

    archives: list[Archived]
    n_bytes: int  # size as JSON
    texts: Sequence[memoryview] = ()  # JSON of the rows, if available
    taken: Sequence[Ref] = ()  # entries whose rows `feed` took instead (see `BatchResult.blocks`)

    @property
    def text(self) -> bytes | None:
        """The JSON of these rows, with commas between them, if available."""
        return b",".join(self.texts) if self.texts else None


@dataclass(slots=True)
class BatchResult:
    """Result of one request.

    Each entry is in one of: archives, missing, failures, absent, undecodable, retry.
    """

    archives: list[Archived] = field(default_factory=list)
    n_bytes: int = 0  # size of the answer as JSON
    seconds: float = 0.0  # duration of the request
    missing: list[Ref] = field(default_factory=list)  # entries that were requested twice, without an answer
    failures: list[Failure] = field(default_factory=list)
    absent: list[Ref] = field(default_factory=list)  # entries without an answer, to be requested once more
    packed: tuple[RequestedEntries, PackedRows] | None = None  # an answer whose rows `blocks` decodes
    undecodable: list[Ref] = field(default_factory=list)  # entries of packed answers with invalid JSON
    received: int = 0  # number of archives received so far
    retry: list[EntryBatch] = field(default_factory=list)  # parts of a failed batch, to be requested next
    condition: Callable[[Any], bool] | None = None  # condition for holding back an archive
    held_back: list[Archived] = field(default_factory=list)  # part of a later result

    def hold_back(self, condition: Callable[[Any], bool] | None) -> None:
        """Hold back the archives for which `condition` is true."""
        self.condition = condition
        self.archives = self._without_held_back(self.archives)

    def _without_held_back(self, found: list[Archived]) -> list[Archived]:
        if self.condition is None:
            return found
        rest: list[Archived] = []
        for archived in found:
            (self.held_back if self.condition(archived[1]) else rest).append(archived)
        return rest

    def blocks(self, feed: Feed | None = None) -> Iterator[ArchiveBlock]:
        """Iterate over the archives in blocks; only once.

        `feed` gets the text of rows that need not be decoded for anything else. Keeps no reference to
        previous blocks. `absent`, `undecodable` and `failures` are complete at the end. Python's garbage
        collector is paused meanwhile, because it would traverse each block.
        """
        with collector_paused():
            if self.archives:
                yield ArchiveBlock(self.archives, self.n_bytes)
            if self.packed:
                packed, self.packed = self.packed, None
                yield from self._unpacked(*packed, feed if self.condition is None else None)

    def _unpacked(
        self, requested: RequestedEntries, rows: PackedRows, feed: Feed | None
    ) -> Iterator[ArchiveBlock]:
        uploads = {entry_id: ref.upload_id for entry_id, ref in requested.left.items()}
        take = None if feed is None else lambda body, begin, end: feed(body, begin, end, uploads)
        pieces, damaged = rows.pieces(take), False
        while True:
            try:
                piece = next(pieces, None)
                if piece is not None:
                    archive_rows(piece.rows)
            except ValueError:
                self.undecodable += requested.left.values()
                return
            if piece is None:
                (self.undecodable if damaged else self.absent).extend(requested.left.values())
                return
            self.failures += requested.failed(piece.rejected)
            damaged |= piece.damaged
            found, taken = requested.joined(piece.rows), requested.received(piece.taken)
            self.received += len(found) + len(taken)
            n_bytes = sum(map(len, piece.texts))
            part = ArchiveBlock(self._without_held_back(found), n_bytes, piece.texts, taken)
            del found, piece
            yield part
            del part


logger = logging.getLogger("nomad_dask")
ARCHIVES = "entries/archive/query"
_MAX_RETRY_BATCH = 1_000  # maximum number of absent entries in one request
HELD_BYTES = 80e6  # maximum bytes of answers in flight or waiting; decoded they are several times as large
_FIRST_BATCHES = 3  # batches in flight before the first answer, for small batches: their entries may be huge
_FEW = 4
_REMOTE = "reference to remote archive"


async def archives(
    client: Client, spec: QuerySpec, refs: Iterable[Ref], options: DownloadOptions
) -> AsyncGenerator[BatchResult, None]:
    """Download the archives of listed entries in batches, in the order of the list.

    Holds at most about `HELD_BYTES` of answers, estimated from the previous ones. Batches that fail, or are
    too large, are requested again in parts, whose results are out of order. Entries without an answer are
    requested once more at the end. If the consumer pauses, no new requests are sent.
    """
    size = options.batch_size
    todo, absent = deque(refs), list[Ref]()
    room = _FIRST_BATCHES if size.size < _FIRST_BATCHES else len(todo)

    def next_batches() -> Iterator[EntryBatch]:
        while todo:
            batch = [todo.popleft() for _ in range(min(size.size, len(todo)))]
            options.sizes.append(len(batch))
            yield EntryBatch(batch, packed=options.packed)

    def at_once() -> int:
        return min(room, options.in_flight or client.in_flight + 1)

    async with aclosing(_run_batches(client, spec, next_batches(), at_once)) as results:
        async for result in results:
            yield result
            absent += result.absent
            size = size.updated(result.received, result.n_bytes, result.seconds)
            if result.received:
                expected = size.size * result.n_bytes / result.received
                room = max(1, int(HELD_BYTES / max(1, expected)))
            del result
    for start in range(0, len(absent), _MAX_RETRY_BATCH):
        async with aclosing(_retry_absent(client, spec, absent[start : start + _MAX_RETRY_BATCH])) as results:
            async for result in results:
                yield result
                del result


def fetch_together(client: Client, spec: QuerySpec, refs: Sequence[Ref]) -> AsyncGenerator[BatchResult, None]:
    """Download archives with one request, or several if it fails; entries without an answer are omitted."""
    return _run_batches(client, spec, iter([EntryBatch(refs)]), lambda: client.in_flight + 1)


async def _run_batches(
    client: Client, spec: QuerySpec, batches: Iterator[EntryBatch], at_once: Callable[[], int]
) -> AsyncGenerator[BatchResult, None]:
    """Download batches in order; the parts of a failed batch come before batches that are not in flight yet.

    Each result is of one request, so that the memory is bounded by single answers.
    """
    window: deque[tuple[asyncio.Task[BatchResult], asyncio.Event]] = deque()
    first = deque[EntryBatch]()
    try:
        while True:
            while len(window) < at_once() and (batch := first.popleft() if first else next(batches, None)):
                turn = asyncio.Event()
                window.append((asyncio.create_task(_fetch_batch(client, spec, batch, turn)), turn))
            if not window:
                return
            window[0][1].set()
            result = await window[0][0]
            window.popleft()
            first.extend(result.retry)
            yield result
            if result.undecodable:
                client.stats.statuses["undecodable"] += 1
                client.stats.retries += 1
                first.append(EntryBatch(result.undecodable))
            del result
    finally:
        for task, _ in window:
            task.cancel()


async def documents(
    client: Client, spec: QuerySpec, segment: Segment, options: DownloadOptions
) -> AsyncGenerator[BatchResult, None]:
    """Download the search documents of a segment page by page; each request both lists and downloads.

    Pages that keep failing are halved until the faulty document is alone, which is a failure. `sizes` is
    filled with the page sizes.
    """
    rest, size, include = segment, options.batch_size, include_of(spec.required)
    counted, listed = None, 0
    while True:
        options.sizes.append(size.size)
        request = RequestOptions(entries=size.size, data=True)
        try:
            found = await get_page(client, spec, rest, size.size, include, request)
        except ServerError as error:
            if not isinstance(error, AnswerTooLargeError):
                await check_alive(client, error)
            if size.size > 1:
                size = replace(size, size=size.size // 2)
                continue
            listed_page = await get_page(client, spec, rest, 1)
            if listed_page.refs:
                yield BatchResult(failures=[_failed(spec, listed_page.refs[0], error)])
            if listed_page.total == len(listed_page.refs):
                return
            rest = Segment(listed_page.refs[0].entry_id, segment.upto)
            continue
        refs = found.refs
        counted, listed = found.total if counted is None else counted, listed + len(refs)
        check_end(client, segment, counted, listed)
        pairs = zip(refs, found.rows, strict=True)
        done = [(ref, _document(row, spec)) for ref, row in pairs if ref not in found.failed]
        failures = [Failure(*ref, 200, reason, 1) for ref, reason in found.failed.items()]
        yield BatchResult(done, found.n_bytes, found.seconds, failures=failures, received=len(done))
        if found.total == len(refs):
            return
        rest = Segment(refs[-1].entry_id, segment.upto)
        size = size.updated(len(refs), found.n_bytes, found.seconds)


def _document(row: dict[str, Any], spec: QuerySpec) -> dict[str, Any]:
    """The required parts of a search document, without empty sections."""
    document: dict[str, Any] = without_empties(required_part(row, spec.required))
    return document


async def _fetch_batch(
    client: Client, spec: QuerySpec, batch: EntryBatch, turn: asyncio.Event
) -> BatchResult:
    """Download one batch; if it fails, the result has its parts, to be requested next."""
    refs, suspect = batch.refs, batch.suspect
    tree = spec.required.request(in_place=spec.resolve_references)
    parts = halves = [refs[: len(refs) // 2], refs[len(refs) // 2 :]]
    options = RequestOptions(suspect=suspect, packed=batch.packed, turn=turn)
    before = _n_valid_answers(client)
    try:
        result = await _request(client, spec, refs, tree, options)
        if len(result.undecodable) < len(refs):
            return result
        suspect = True
    except RemoteReferenceError:
        if len(refs) == 1:
            return await _fetch_in_pieces(client, spec, refs[0])
        parts = await _isolate_remote(client, spec, refs) or halves
    except ServerError as error:
        if len(refs) == 1 or not suspect:
            if _n_valid_answers(client) == before:
                await check_alive(client, error)
            await _check_not_overloaded(client, error)
        if len(refs) == 1:
            return BatchResult(failures=[_failed(spec, refs[0], error)])
        suspect = not isinstance(error, AnswerTooLargeError)
    logger.debug("a request for %d entries failed; requesting them in %d parts", len(refs), len(parts))
    return BatchResult(retry=[replace(batch, refs=part, suspect=suspect) for part in parts])


def _failed(spec: QuerySpec, ref: Ref, error: ServerError) -> Failure:
    reason = error.reason
    if isinstance(error, AnswerTooLargeError):
        what = "document" if spec.source == "documents" else "archive"
        reason = f"its {what} is larger than {error.bound}"
    return Failure(*ref, error.status, reason, error.attempts)


def _n_valid_answers(client: Client) -> int:
    """Number of valid answers so far; if it grows, the server is not down."""
    statuses = client.stats.statuses
    return statuses["200"] - statuses["undecodable"] - statuses["malformed"]


async def _check_not_overloaded(client: Client, error: ServerError) -> None:
    """Raise `error` if the server also refuses a request without entries: then no entry caused it."""
    if error.status is None or not limited(StatusAnswer(error.status)):
        return
    minimal = {"owner": "public", "query": {"entry_id:any": ["-"]}, "pagination": {"page_size": 1}}
    try:
        await client.post(ARCHIVES, minimal | {"required": {"metadata": {"entry_id": "*"}}}, answers.archives)
    except RefusedError:
        pass  # the server is not overloaded
    except ServerError:
        raise error from None


async def _isolate_remote(
    client: Client, spec: QuerySpec, batch: Sequence[Ref]
) -> list[Sequence[Ref]] | None:
    """Split a batch refused for references to other installations: each such entry alone, and the rest."""
    try:
        unresolved = await _request(client, spec, batch, spec.required.request(in_place=False))
    except (ServerError, RefusedError):
        return None
    alone = [ref for ref, archive in unresolved.archives if refers_elsewhere(archive)]
    others = [ref for ref in batch if ref not in set(alone)]
    return [part for part in (*([ref] for ref in alone), others) if part] if alone else None


async def _fetch_in_pieces(client: Client, spec: QuerySpec, ref: Ref) -> BatchResult:
    """Download an entry with a reference to another installation; all other references are resolved."""
    try:
        archive = await _pieces(client, spec, ref, spec.required)
    except ServerError as error:
        return BatchResult(failures=[_failed(spec, ref, error)])
    except NomadDaskError:
        raise
    except Exception as error:
        why = f"its references cannot be resolved: {error_summary(error)}"
        return BatchResult(failures=[Failure(*ref, None, why, 1)])
    return BatchResult(absent=[ref]) if archive is None else BatchResult([(ref, archive)], received=1)


async def _pieces(client: Client, spec: QuerySpec, ref: Ref, required: Required) -> dict[str, Any] | None:
    """Download an archive in parts that the server resolves; a smallest part that fails is resolved here."""
    narrower = split(required)
    if len(narrower) == 1:
        archive = await _fetch_one(client, spec, ref, required.request(in_place=False))
        # The answer lacks required values that are also targets of references; the whole archive has them.
        whole = await _fetch_one(client, spec, ref, "*")
        return None if archive is None else resolve(archive, required, within=whole)
    found = []
    for piece in narrower:
        try:
            found.append(await _fetch_one(client, spec, ref, piece.request(in_place=True)))
        except RemoteReferenceError:
            found.append(await _pieces(client, spec, ref, piece))
    return None if None in found else merge(found)


async def _fetch_one(client: Client, spec: QuerySpec, ref: Ref, tree: Any) -> dict[str, Any] | None:
    result = await _request(client, spec, [ref], tree)
    for failure in result.failures:
        raise ServerError(failure.reason, f"{client.server.url}/{ARCHIVES}", status=failure.status)
    return result.archives[0][1] if result.archives else None


async def _request(
    client: Client,
    spec: QuerySpec,
    batch: Sequence[Ref],
    tree: Any,
    options: RequestOptions = DEFAULT_OPTIONS,
) -> BatchResult:
    """Send one archive request and join the answer to the entries by id."""
    body = {
        "owner": spec.owner,
        "query": both(spec.query, {"entry_id:any": [ref.entry_id for ref in batch]}),
        "pagination": {"page_size": len(batch)},
    }
    documents = spec.source == "documents"
    path, parse = (LISTING, answers.listing) if documents else (ARCHIVES, answers.archives)
    body |= including(include_of(spec.required)) if documents else {"required": tree}
    packed = options.packed and not documents
    try:
        options = replace(options, entries=len(batch), packed=packed, data=True)
        answer = await client.post(path, body, parse, options)
    except RefusedError as error:
        if error.status == 400 and _REMOTE in error.words:
            raise RemoteReferenceError(error.status, error.url, error.words) from error
        raise
    result = BatchResult(n_bytes=answer.n_bytes, seconds=answer.seconds)
    requested = RequestedEntries(batch, client.server.url)
    if answer.rows is not None:
        result.packed = (requested, answer.rows)
        return result
    rows = answer.data
    if isinstance(rows, ListingAnswer):
        pairs = zip(rows.refs, rows.rows, strict=True)
        rows = [{"entry_id": ref.entry_id, "archive": _document(row, spec)} for ref, row in pairs]
    places = {ref: place for place, ref in enumerate(batch)}
    result.archives = sorted(requested.joined(rows), key=lambda found: places[found[0]])
    result.failures = requested.failed(answer.rejected)
    (result.undecodable if answer.damaged else result.absent).extend(requested.left.values())
    result.received = len(rows)
    return result


async def _retry_absent(
    client: Client, spec: QuerySpec, absent: Sequence[Ref]
) -> AsyncGenerator[BatchResult, None]:
    """Request absent entries once more: a few one by one, many together first to save requests."""
    left, alone = [*absent], len(absent) <= _FEW
    for grouped in (True, False):
        if grouped == alone:
            continue
        batches = [EntryBatch(left)] if grouped else [EntryBatch([ref]) for ref in left]
        left = []
        batch_results = _run_batches(client, spec, iter(batches), lambda: client.in_flight + 1)
        async with aclosing(batch_results) as results:
            async for result in results:
                left += result.absent
                result.absent = []
                alone = alone or result.received > 0
                yield result
    yield BatchResult(missing=left)
