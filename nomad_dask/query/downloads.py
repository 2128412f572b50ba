"""The entry list of a query, and its downloaded archives.

Archives are kept as JSON text and decoded on demand, because decoded JSON takes four to six times the memory.
Access to one archive decodes its block permanently; conversion to a dataframe decodes one block at a time and
discards it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, SupportsIndex, TypeAlias

from nomad_dask._core import native
from nomad_dask.client.answers import rows_of
from nomad_dask.client.archives import ArchiveBlock, BatchResult, DownloadOptions, archives
from nomad_dask.client.event_loop import run
from nomad_dask.client.linked_archives import linked_archives
from nomad_dask.client.metainfo_cache import definitions_of, with_accepted_names
from nomad_dask.client.search import check_end, get_page, iter_pages
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.errors import EntriesFailedError, UserError
from nomad_dask.layouts.compiled import JsonRows, checked_rows
from nomad_dask.layouts.wide import Entry
from nomad_dask.limits import BatchSize
from nomad_dask.progress import display
from nomad_dask.progress.progress import Progress, WorkDone
from nomad_dask.request import Failure, QuerySpec, Ref, required_of
from nomad_dask.request.check import EmptyPaths
from nomad_dask.request.no_match import no_match_message
from nomad_dask.request.references import links_of
from nomad_dask.request.required import Link
from nomad_dask.request.segments import Cap, Segment
from nomad_dask.text import shown

Tree: TypeAlias = dict[str, Any]

BLOCK_BYTES = 2**24
_BLOCK_ENTRIES = 4_000
"""Limits of a block that is decoded at once for a dataframe."""


class DownloadedBlock:
    """Archives of one response, as text if it was kept."""

    def __init__(self, refs: Sequence[Ref], text: bytes | None, trees: list[Tree] | None = None) -> None:
        self.refs = refs
        self.text = text
        """JSON of the rows, with commas between them."""
        self._trees = trees

    @classmethod
    def decoded(cls, part: ArchiveBlock) -> DownloadedBlock:
        """A block whose archives were decoded; only its text is kept, if there is one."""
        refs, text = [ref for ref, _ in part.archives], part.text
        return cls(refs, text, None if text else [tree for _, tree in part.archives])

    @property
    def n_bytes(self) -> int:
        """Size of the text; 0 if the block is decoded."""
        return len(self.text or b"")

    def trees(self) -> list[Tree]:
        """The archives; they stay decoded."""
        if self._trees is None:
            self._trees, self.text = self.decode(), None
        return self._trees

    def tree(self, number: int) -> Tree:
        """One archive; the block stays decoded."""
        return self.trees()[number]

    def decode(self) -> list[Tree]:
        """The archives, without keeping them decoded."""
        if self._trees is not None:
            return self._trees
        by_id = {row["entry_id"]: row["archive"] for row in rows_of(b"[%b]" % (self.text or b""))}
        return [by_id[ref.entry_id] for ref in self.refs]


class _KeptRows:
    """The blocks of a download; rows that the core has checked stay text and are not decoded."""

    def __init__(self) -> None:
        self.blocks: list[DownloadedBlock] = []
        self._text = b""

    def feed(
        self, text: bytes, begin: int, end: int, uploads: Mapping[str, str]
    ) -> tuple[Sequence[str], int]:
        """Take valid rows of a text, as `BatchResult.blocks` asks for."""
        ids, stop = checked_rows(text, begin, end)
        self._text = text[begin:stop].rstrip(b", \t\r\n")
        return ids, stop

    def add(self, block: ArchiveBlock) -> DownloadedBlock:
        """Add a block: its archives, or the rows that `feed` has just taken."""
        added = DownloadedBlock(block.taken, self._text) if block.taken else DownloadedBlock.decoded(block)
        if added.refs:
            self.blocks.append(added)
        return added


class Download:
    """The archives of one `download` call, in the order of the entry list."""

    def __init__(self) -> None:
        self.refs: list[Ref] = []
        self._pieces: list[DownloadedBlock] = []

    def add(self, pieces: Sequence[DownloadedBlock], listed: Iterable[Ref]) -> None:
        """Add downloaded archives, in the order of the listed entries."""
        downloaded = {ref: piece for piece in pieces for ref in piece.refs}
        refs = [ref for ref in listed if ref in downloaded]
        self._pieces += dict.fromkeys(downloaded[ref] for ref in refs)
        self.refs += refs

    def __len__(self) -> int:
        return len(self.refs)

    def plain(self) -> list[Tree]:
        """The archives as plain JSON."""
        return [piece.tree(number) for piece, number in self._locations()]

    def lazily(self) -> Iterator[tuple[Ref, partial[Tree]]]:
        """Each entry with a function that returns its archive and decodes it on the first call."""
        for ref, (piece, number) in zip(self.refs, self._locations(), strict=True):
            yield ref, partial(piece.tree, number)

    def blocks(self) -> Iterator[list[Entry]]:
        """All entries in order, in blocks, so that only one block is decoded at a time."""
        if [ref for piece in self._pieces for ref in piece.refs] != self.refs:
            yield [(*ref, tree) for ref, tree in zip(self.refs, self.plain(), strict=True)]
            return
        block: list[Entry] = []
        n_bytes = 0
        for piece in self._pieces:
            block += [(*ref, tree) for ref, tree in zip(piece.refs, piece.decode(), strict=True)]
            n_bytes += piece.n_bytes
            if n_bytes >= BLOCK_BYTES or len(block) >= _BLOCK_ENTRIES:
                yield block
                block, n_bytes = [], 0
        if block:
            yield block

    def texts(self) -> Iterator[JsonRows] | None:
        """All entries in order as text; None if a block is decoded, or in another order."""
        if [ref for piece in self._pieces for ref in piece.refs] != self.refs:
            return None
        if any(piece.text is None for piece in self._pieces):
            return None
        return ((piece.text or b"", dict(piece.refs)) for piece in self._pieces)

    def _locations(self) -> list[tuple[DownloadedBlock, int]]:
        locations = {ref: (piece, n) for piece in self._pieces for n, ref in enumerate(piece.refs)}
        return [locations[ref] for ref in self.refs]


def blocks_of(downloads: Sequence[Download]) -> Iterator[list[Entry]]:
    """All entries of several downloads, in blocks."""
    for download in downloads:
        yield from download.blocks()


def texts_of(downloads: Sequence[Download]) -> Iterator[JsonRows] | None:
    """All entries of several downloads as text; None if it was not kept for some."""
    found = [download.texts() for download in downloads]
    return None if None in found else chain.from_iterable(filter(None, found))


def selected(downloads: Sequence[Download], which: str | Sequence[int]) -> list[Download]:
    """The downloads to convert: `last` (the last one with archives), `all`, or their numbers, from 0."""
    if not downloads:
        raise UserError("nothing was downloaded yet: call download() first")
    if which == "last":
        return [found for found in downloads if len(found)][-1:]
    if which == "all":
        chosen: Sequence[int] = range(len(downloads))
    elif isinstance(which, Sequence) and not isinstance(which, str) and all(type(n) is int for n in which):
        chosen = sorted(set(which))
    else:
        raise UserError(
            f"query_selection must be 'last', 'all' or a list of download numbers (got {shown(which)})"
        )
    if wrong := [n for n in chosen if not 0 <= n < len(downloads)]:
        raise UserError(
            f"query_selection names download {wrong[0]}, but there are only {len(downloads)}, numbered from 0"
        )
    return [downloads[n] for n in chosen]


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Options of an `EntryList`, as in `ArchiveQuery`."""

    after: str
    results_max: int | None
    page_size: int
    batch_size: int | None

    @property
    def batch(self) -> BatchSize:
        """A fixed batch size, or one that adapts."""
        return BatchSize() if self.batch_size is None else BatchSize(size=self.batch_size, fixed=True)


class EntryList:
    """The entries of one query, listed page by page and downloaded in order.

    A failed entry moves to the end and is retried only when no other entries are left, so that a loop that
    downloads until the result is empty delivers all other entries.
    """

    def __init__(
        self, server: Server, question: QuerySpec, options: ListOptions, *, show_progress: bool
    ) -> None:
        self._server, self._question, self._options = server, question, options
        self._show_progress = show_progress
        self._cursor: str | None = options.after
        self._counted: int | None = None
        """Number of entries that the server reported with the first page."""
        self._waiting: deque[Ref] = deque()
        self._failing: dict[str, Failure] = {}
        self._missing: list[Ref] = []
        self._lock = asyncio.Lock()
        self.fetched = 0
        """Number of entries listed so far."""
        self.empty_paths = EmptyPaths.of(question.required)
        """Required paths at which no archive has a value so far."""

    def refs(self) -> list[Ref]:
        """Entries that are not downloaded yet; failed entries come last."""
        return [*self._waiting, *(Ref(f.entry_id, f.upload_id) for f in self._failing.values())]

    @property
    def failures(self) -> list[Failure]:
        """Entries whose last download failed."""
        return list(self._failing.values())

    @property
    def missing(self) -> list[Ref]:
        """Listed entries that have no archive."""
        return list(self._missing)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = asyncio.Lock()

    async def fetch(self, n: int = 0) -> int:
        """List at least `n` more entries in whole pages (0: all), and return the number of entries added."""
        _check_n(n)
        async with self._lock:
            return await self._fetch(n)

    async def download(self, n: int = 0, *, decoded: bool = False) -> Download:
        """Download the archives of the next `n` entries (0: all); fetch more if the list is too short.

        `decoded` returns plain JSON. After an error or Ctrl-C the entries are back in the list.
        """
        _check_n(n)
        async with self._lock:
            found = Download()
            try:
                await self._download_next(n, found, decoded)
            except BaseException:
                self._waiting.extendleft(reversed(found.refs))
                raise
            return found

    async def stream(self) -> AsyncGenerator[list[tuple[Ref, Tree]]]:
        """Download all archives, answer by answer, without keeping them.

        Raises EntriesFailedError after the last one if entries failed.
        """
        client, left = Client(self._server), self._options.results_max
        if self._question.required.sent is None:
            self._question = await with_accepted_names(client, self._question)
        options = DownloadOptions(self._options.batch, self._server.limits.max_concurrency)
        async for page in iter_pages(client, self._question, Segment(self._options.after)):
            refs = page.refs[:left]
            deliveries = linked_archives(client, self._question, refs, options, links=self._links)
            async with aclosing(deliveries) as running:
                async for delivery in running:
                    self._record_undelivered(delivery)
                    yield delivery.archives
            left = None if left is None else left - len(refs)
            if left == 0:
                break
        if self._failing:
            raise EntriesFailedError(tuple(self.failures))

    def _say(self, message: str) -> None:
        if self._show_progress:
            display.say(message)

    def _progress(self, label: str) -> AbstractContextManager[display.Show]:
        return display.download_progress(label) if self._show_progress else nullcontext(lambda progress: None)

    async def _fetch(self, n: int) -> int:
        self._say("Fetching remote uploads...")
        client, added = Client(self._server), 0
        while self._cursor is not None and (n <= 0 or added < n):
            size = self._options.page_size
            if self._options.results_max is not None:
                size = min(size, self._options.results_max - self.fetched)
            if size <= 0:
                break
            found = await get_page(client, self._question, Segment(self._cursor), size)
            refs, total = found.refs, found.total
            if self._counted is None:
                self._counted = total
            check_end(client, Segment(self._options.after), self._counted, self.fetched + len(refs))
            self._waiting.extend(refs)
            added += len(refs)
            self.fetched += len(refs)
            self._cursor = refs[-1].entry_id if refs and total > len(refs) else None
        self._say(f"{added} entries are qualified and added to the download list.")
        limit, counted = self._options.results_max, self._counted
        if counted == 0:
            question = self._question
            self._say(no_match_message(question.owner, question.query, self._options.after))
        elif limit is not None and counted is not None and limit < counted and self.fetched >= limit:
            self._say(str(Cap(limit, counted)))
        return added

    async def _download_next(self, n: int, found: Download, decoded: bool) -> None:
        """Add the next `n` archives (0: all) to `found`; retry failed entries only if no others are left."""
        tried = False
        while len(found) < n or not tried:
            await self._fetch_enough(n - len(found))
            batch = self._next(n - len(found) if n > 0 else len(self._waiting))
            if not batch:
                if not tried:
                    await self._download(self.refs(), found, decoded)
                return
            await self._download(batch, found, decoded)
            tried = True

    async def _fetch_enough(self, n: int) -> None:
        """Fetch until the list has `n` entries. For `n` <= 0, fetch all if nothing was fetched yet."""
        short = n - len(self._waiting)
        if self._cursor is not None and (short > 0 if n > 0 else not self.fetched):
            await self._fetch(max(0, short))

    def _next(self, n: int) -> list[Ref]:
        return [self._waiting.popleft() for _ in range(min(n, len(self._waiting)))]

    async def _download(self, refs: list[Ref], found: Download, decoded: bool) -> None:
        if not refs:
            return
        settled: set[Ref] = set()
        in_flight = self._server.limits.max_concurrency
        client, began, done = Client(self._server), time.monotonic(), WorkDone()
        if self._question.required.sent is None:
            self._question = await with_accepted_names(client, self._question)
        packed = not decoded
        options = DownloadOptions(self._options.batch, in_flight, packed=packed)
        deliveries = linked_archives(client, self._question, refs, options, links=self._links)

        def progress() -> Progress:
            costs = WorkDone(n_bytes=client.stats.n_bytes, requests=client.stats.requests)
            return Progress(done + costs, len(refs), seconds=time.monotonic() - began)

        try:
            kept = _KeptRows()
            async with aclosing(deliveries) as running:
                with self._progress(f"Downloading {len(refs)} entries...") as show:
                    show(Progress(total=len(refs)))
                    async for delivery in running:
                        for block in delivery.blocks(kept.feed if native is not None else None):
                            added = kept.add(block)
                            trees = added.decode() if self.empty_paths.paths else []
                            self.empty_paths = self.empty_paths.excluding(trees)
                            for ref in added.refs:
                                self._failing.pop(ref.entry_id, None)
                            done += WorkDone(len(added.refs))
                            show(progress())
                        settled |= self._record_undelivered(delivery)
                        failed = len(delivery.failures)
                        done += WorkDone(len(delivery.missing) + failed, failed)
                        show(progress())
        except BaseException:
            left = [ref for ref in refs if ref not in settled and ref.entry_id not in self._failing]
            self._waiting.extendleft(reversed(left))
            raise
        found.add(kept.blocks, refs)

    async def _links(self) -> tuple[Link, ...]:
        """The references that `required` follows, by the server's schema; requested once."""
        required = self._question.required
        if required.links is None:
            links = links_of(required, await definitions_of(Client(self._server)))
            self._question = replace(self._question, required=replace(required, links=links))
            return links
        return required.links

    def _record_undelivered(self, delivery: BatchResult) -> set[Ref]:
        """Record failed and missing entries of a batch, and return them."""
        self._missing += delivery.missing
        for ref in delivery.missing:
            self._failing.pop(ref.entry_id, None)
        self._failing |= {failure.entry_id: failure for failure in delivery.failures}
        return {*delivery.missing, *(Ref(f.entry_id, f.upload_id) for f in delivery.failures)}


class RecordedDownloads(Sequence[list[Tree]]):
    """The downloads of a query as lists of plain archives.

    A download is recorded when it is made, so that `append` changes nothing.
    """

    def __init__(self, downloads: Sequence[Download]) -> None:
        self._downloads = downloads

    def __len__(self) -> int:
        return len(self._downloads)

    def __getitem__(self, which: Any) -> Any:
        found = self._downloads[which]
        return [one.plain() for one in found] if isinstance(found, list) else found.plain()

    def append(self, archives: object) -> None:
        """Nothing: the archives are recorded already."""


class EntriesByReference:
    """The entries that references of a query's archives lead to, each downloaded whole and once."""

    def __init__(self, server: Server, owner: str) -> None:
        self._server, self._owner = server, owner
        self._loaded: OrderedDict[str, Tree] = OrderedDict()

    def loaded(self, entry_id: str) -> Tree | None:
        """The archive of an entry that was downloaded; the last `_MAX_LOADED` are kept."""
        return self._loaded.get(entry_id)

    def load(self, entry_id: str, upload_id: str) -> None:
        """Download an entry. EntriesFailedError if it fails, or is not visible; the message names it."""
        question = QuerySpec(self._owner, {}, required_of("archives", "*"), resolve_references=False)
        try:
            found = run(download_unresolved(self._server, question, [Ref(entry_id, upload_id)]))
        except EntriesFailedError as error:
            reasons = [f"a reference leads to it; {failure.reason}" for failure in error.failures]
            failures = zip(error.failures, reasons, strict=True)
            raise EntriesFailedError(tuple(f._replace(reason=reason) for f, reason in failures)) from error
        (tree,) = found.plain()
        self._loaded[entry_id] = tree
        while len(self._loaded) > _MAX_LOADED:
            self._loaded.popitem(last=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return EntriesByReference, (self._server, self._owner)


_MAX_LOADED = 100


def _check_n(n: Any) -> None:
    if not isinstance(n, SupportsIndex) or isinstance(n, bool) or n.__index__() < 0:
        raise UserError(f"n must be a non-negative integer (0 = all), got {shown(n)}")


async def download_unresolved(server: Server, question: QuerySpec, refs: list[Ref]) -> Download:
    """Download entries again, with references as strings; EntriesFailedError if an entry fails."""
    pieces: list[DownloadedBlock] = []
    failures: list[Failure] = []
    in_flight = server.limits.max_concurrency
    options = DownloadOptions(BatchSize(), in_flight, packed=True)
    async for delivery in archives(Client(server), question, refs, options):
        for block in delivery.blocks():
            pieces.append(DownloadedBlock.decoded(block))
        failures += delivery.failures
        failures += [Failure(*ref, None, "its archive no longer exists", 2) for ref in delivery.missing]
    if failures:
        raise EntriesFailedError(tuple(failures))
    found = Download()
    found.add(pieces, refs)
    return found
