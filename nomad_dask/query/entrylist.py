"""Owns the guide's list: entries fetched and not yet downloaded, and what became of those that were tried."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import aclosing
from dataclasses import replace
from typing import Any, SupportsIndex

from ..edges.archives import archives
from ..edges.deliveries import Delivery
from ..edges.pages import list_page
from ..edges.server import Server
from ..edges.transport import Client
from ..pure.errors import EntriesFailedError, UserError
from ..pure.limits import BatchSize
from ..pure.manifest import Question
from ..pure.progress import Done, Progress
from ..pure.report import Failure, Ref
from ..pure.segments import Segment
from ..pure.unknown import Idle
from .downloads import Download, Piece
from .messages import Messages


class EntryList:
    """The entries of one query, listed page by page and downloaded in the order of the list.

    An entry that fails goes to the end and is tried again only when nothing else is left, so that a loop that
    downloads until nothing comes ends with every other entry delivered.
    """

    def __init__(
        self,
        server: Server,
        question: Question,
        *,
        after: str,
        results_max: int | None,
        page_size: int,
        batch: BatchSize,
        messages: Messages,
    ) -> None:
        self._server, self._question = server, question
        self._results_max, self._page_size = results_max, page_size
        self._batch, self._messages = batch, messages
        self._cursor: str | None = after
        self._waiting: deque[Ref] = deque()
        self._failing: dict[str, Failure] = {}
        self._missing: list[Ref] = []
        self._turn = asyncio.Lock()
        self.fetched = 0
        """Entries listed so far."""
        self.idle = Idle.of(question.required)
        """The required paths at which no archive had anything so far."""

    def refs(self) -> list[Ref]:
        """Listed and not yet downloaded; those that failed stand at the end."""
        return [*self._waiting, *(Ref(f.entry_id, f.upload_id) for f in self._failing.values())]

    @property
    def failures(self) -> list[Failure]:
        """Entries that failed when they were last tried."""
        return list(self._failing.values())

    @property
    def missing(self) -> list[Ref]:
        """Entries that were listed and have no archive."""
        return list(self._missing)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._turn = asyncio.Lock()

    async def fetch(self, n: int = 0) -> int:
        """List at least `n` more entries in whole pages, or all up to the maximum; how many were added."""
        _check(n)
        async with self._turn:
            return await self._fetch(n)

    async def download(self, n: int = 0, *, decoded: bool = False) -> Download:
        """The archives of the next `n` entries, or of all; fetches more where the list is too short.

        `decoded`: all of them are wanted as plain JSON. An error, or Ctrl-C, on the way gives the entries back to the list:
        nothing is lost.
        """
        _check(n)
        async with self._turn:
            found = Download()
            try:
                await self._download_next(n, found, decoded)
            except BaseException:
                self._waiting.extendleft(reversed(found.refs))
                raise
            return found

    async def _fetch(self, n: int) -> int:
        self._messages.say("Fetching remote uploads...")
        client, added = Client(self._server), 0
        while self._cursor is not None and (n <= 0 or added < n):
            size = self._page_size
            if self._results_max is not None:
                size = min(size, self._results_max - self.fetched)
            if size <= 0:
                break
            refs, total = await list_page(client, self._question, Segment(self._cursor), size)
            self._waiting.extend(refs)
            added += len(refs)
            self.fetched += len(refs)
            self._cursor = refs[-1].entry_id if refs and total > len(refs) else None
        self._messages.say(f"{added} entries are qualified and added to the download list.")
        return added

    async def _download_next(self, n: int, found: Download, decoded: bool) -> None:
        """Fill `found` with the next `n` archives, or all; entries that failed before only where nothing else is left."""
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
        """Fetch as many as are short of `n`; for all (`n` not above 0), fetch when nothing was fetched yet."""
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
        client, began, done = Client(self._server), time.monotonic(), Done()
        packed = not decoded
        deliveries = archives(client, self._question, refs, self._batch, in_flight, [], packed=packed)

        def progress() -> Progress:
            costs = Done(n_bytes=client.tally.n_bytes, requests=client.tally.requests)
            return Progress(done + costs, len(refs), seconds=time.monotonic() - began)

        try:
            bar = self._messages.bar(f"Downloading {len(refs)} entries...")
            pieces: list[Piece] = []
            async with aclosing(deliveries) as running:
                with bar as show:
                    show(Progress(total=len(refs)))
                    async for delivery in running:
                        for part in delivery.parts():
                            pieces.append(Piece(part))
                            self.idle = self.idle.less([tree for _, tree in part.archives])
                            for ref, _ in part.archives:
                                self._failing.pop(ref.entry_id, None)
                            done += Done(len(part.archives))
                            show(progress())
                        settled |= self._told(delivery)
                        failed = len(delivery.failures)
                        done += Done(len(delivery.missing) + failed, failed)
                        show(progress())
        except BaseException:
            kept = [ref for ref in refs if ref not in settled and ref.entry_id not in self._failing]
            self._waiting.extendleft(reversed(kept))
            raise
        found.add(pieces, refs)

    def _told(self, delivery: Delivery) -> set[Ref]:
        """Remember the entries that a delivery tells of and did not bring: which they are."""
        self._missing += delivery.missing
        for ref in delivery.missing:
            self._failing.pop(ref.entry_id, None)
        self._failing |= {failure.entry_id: failure for failure in delivery.failures}
        return {*delivery.missing, *(Ref(f.entry_id, f.upload_id) for f in delivery.failures)}


def _check(n: Any) -> None:
    if not isinstance(n, SupportsIndex) or isinstance(n, bool) or n.__index__() < 0:
        raise UserError(f"n is how many entries, from 0 (all) up, not {n!r}")


async def again_without_references(server: Server, question: Question, refs: list[Ref]) -> Download:
    """The same entries' archives with references as strings; EntriesFailedError where some do not come again."""
    pieces: list[Piece] = []
    failures: list[Failure] = []
    in_flight = server.limits.max_concurrency
    async for delivery in archives(Client(server), question, refs, BatchSize(), in_flight, [], packed=True):
        for part in delivery.parts():
            pieces.append(Piece(part))
        failures += delivery.failures
        failures += [Failure(*ref, None, "it has no archive any more", 2) for ref in delivery.missing]
    if failures:
        raise EntriesFailedError(tuple(failures))
    found = Download()
    found.add(pieces, refs)
    return found


def batch_of(size: int | None) -> BatchSize:
    """The user's fixed batch size, or one that adapts."""
    return BatchSize() if size is None else replace(BatchSize(), size=size, fixed=True)
