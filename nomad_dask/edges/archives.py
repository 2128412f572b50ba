"""Owns what is downloaded of entries: batches of archives, and pages of search documents, as deliveries.

Answers are matched by `entry_id`, never by position. What keeps failing is divided until the bad entry stands alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..pure.errors import ProtocolError, RefusedError, RemoteReferenceError, ServerError
from ..pure.include import include_of, without_empties
from ..pure.limits import BatchSize
from ..pure.manifest import Question
from ..pure.references import merge, refers_elsewhere, resolve
from ..pure.report import Failure, Ref
from ..pure.required import Required, split
from ..pure.segments import Segment, both
from .pages import LISTING, alive, including, is_listing, is_text, page
from .transport import Client

ARCHIVES = "entries/archive/query"
_MOST_AT_ONCE = 1_000
"""Entries asked for by name in one request that is not sized by experience."""
HELD_BYTES = 80e6
"""Of answers under way or waiting to be taken, uncompressed: decoded they are several times as large."""
_UNKNOWN = 3
"""Batches under way, of so few entries that one may be huge, before the first has come."""
_FEW = 4
_REMOTE = "reference to remote archive"


@dataclass(slots=True)
class Delivery:
    """What one batch brought: archives, entries that have none, entries that failed; each entry in one of them."""

    archives: list[tuple[Ref, dict[str, Any]]] = field(default_factory=list)
    n_bytes: int = 0
    """Of the answers that brought the archives, as JSON."""
    seconds: float = 0.0
    """Of the longest of them."""
    missing: list[Ref] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Delivery) -> None:
        """Take in what another batch brought."""
        self.archives += other.archives
        self.n_bytes += other.n_bytes
        self.seconds = max(self.seconds, other.seconds)
        self.missing += other.missing
        self.failures += other.failures


async def archives(
    client: Client,
    question: Question,
    refs: Iterable[Ref],
    size: BatchSize,
    in_flight: int | None,
    sizes: list[int],
) -> AsyncGenerator[Delivery, None]:
    """The archives of listed entries, batch by batch, in the order of the list, `in_flight` requests at a time.

    `in_flight` None: as many as this process's part of the limits, and one that waits its turn, at every moment anew.
    Never more than `HELD_BYTES` of answers, by the size of those before; a few of a size that is not known yet.
    Entries that do not come are asked for once more, by themselves, after the rest. `sizes` is filled with the
    batch sizes used. A consumer that pauses holds back new requests.
    """
    todo, absent = deque(refs), list[Ref]()
    window: deque[asyncio.Task[Delivery]] = deque()
    room = _UNKNOWN if size.size < _UNKNOWN else len(todo)
    try:
        while todo or window:
            while todo and len(window) < min(room, in_flight or client.in_flight + 1):
                batch = [todo.popleft() for _ in range(min(size.size, len(todo)))]
                sizes.append(len(batch))
                window.append(asyncio.create_task(_batch(client, question, batch)))
            delivery = await window.popleft()
            size = size.seen(len(delivery.archives), delivery.n_bytes, delivery.seconds)
            if delivery.archives:
                expected = size.size * delivery.n_bytes / len(delivery.archives)
                room = max(1, int(HELD_BYTES / max(1, expected)))
            absent += delivery.missing
            delivery.missing = []
            yield delivery
    finally:
        for task in window:
            task.cancel()
    for start in range(0, len(absent), _MOST_AT_ONCE):
        yield await _once_more(client, question, absent[start : start + _MOST_AT_ONCE])


async def documents(
    client: Client, question: Question, segment: Segment, size: BatchSize, sizes: list[int]
) -> AsyncGenerator[Delivery, None]:
    """The search documents of a segment, page after page: one request both lists and downloads (SPEC 8).

    A page that keeps failing is asked for again as a smaller one. `sizes` is filled with the page sizes used.
    """
    rest, include = segment, include_of(question.required)
    while True:
        sizes.append(size.size)
        try:
            found = await page(client, question, rest, size.size, include, entries=size.size)
        except ServerError as error:
            await alive(client, error)
            if size.size == 1:
                raise
            size = replace(size, size=size.size // 2)
            continue
        refs = found.refs
        delivered = list(zip(refs, map(without_empties, found.rows), strict=True))
        yield Delivery(archives=delivered, n_bytes=found.n_bytes, seconds=found.seconds)
        if found.total == len(refs):
            return
        rest = Segment(refs[-1].entry_id, segment.upto)
        size = size.seen(len(refs), found.n_bytes, found.seconds)


async def _batch(
    client: Client, question: Question, batch: Sequence[Ref], *, suspect: bool = False
) -> Delivery:
    """One batch, divided as long as it fails, so that only the bad entry is lost."""
    tree = question.required.request(in_place=question.resolve_references)
    parts = [list(batch[: len(batch) // 2]), list(batch[len(batch) // 2 :])]
    before = _whole_answers(client)
    try:
        return await _ask(client, question, batch, tree, suspect=suspect)
    except RemoteReferenceError:
        if len(batch) == 1:
            return await _in_pieces(client, question, batch[0])
        parts = await _apart(client, question, batch) or parts
    except ServerError as error:
        if (len(batch) == 1 or not suspect) and _whole_answers(client) == before:
            await alive(client, error)
        if len(batch) == 1:
            failure = Failure(*batch[0], error.status, error.reason, error.attempts)
            return Delivery(failures=[failure])
        suspect = True
    whole = Delivery()
    for delivery in await asyncio.gather(*(_batch(client, question, p, suspect=suspect) for p in parts)):
        whole.add(delivery)
    return whole


def _whole_answers(client: Client) -> int:
    """How many requests were answered as they should be so far: a server that answers others meanwhile is not down."""
    return client.tally.statuses["200"] - client.tally.statuses["undecodable"]


async def _apart(client: Client, question: Question, batch: Sequence[Ref]) -> list[list[Ref]] | None:
    """A batch refused for a reference to another installation, as each entry that has one, and the others.

    One request without references resolved shows them; None where it does not.
    """
    try:
        plain = await _ask(client, question, batch, question.required.request(in_place=False))
    except (ServerError, RefusedError):
        return None
    alone = [ref for ref, archive in plain.archives if refers_elsewhere(archive)]
    others = [ref for ref in batch if ref not in set(alone)]
    return [[ref] for ref in alone] + ([others] if others else []) if alone else None


async def _in_pieces(client: Client, question: Question, ref: Ref) -> Delivery:
    """One entry that refers to another installation, so that only that reference stays open."""
    try:
        archive = await _pieces(client, question, ref, question.required)
    except ServerError as error:
        return Delivery(failures=[Failure(*ref, error.status, error.reason, error.attempts)])
    if archive is None:
        return Delivery(missing=[ref])
    return Delivery(archives=[(ref, archive)])


async def _pieces(client: Client, question: Question, ref: Ref, required: Required) -> dict[str, Any] | None:
    """An archive by narrower trees, in place where that works; the narrowest without, resolved here."""
    narrower = split(required)
    if len(narrower) == 1:
        archive = await _one(client, question, ref, required.request(in_place=False))
        # What is asked for itself and is a reference's target too is lost in such an answer; the whole has it.
        whole = await _one(client, question, ref, "*")
        return None if archive is None else resolve(archive, required, within=whole)
    found = []
    for piece in narrower:
        try:
            found.append(await _one(client, question, ref, piece.request(in_place=True)))
        except RemoteReferenceError:
            found.append(await _pieces(client, question, ref, piece))
    return None if None in found else merge(found)


async def _one(client: Client, question: Question, ref: Ref, tree: Any) -> dict[str, Any] | None:
    delivery = await _ask(client, question, [ref], tree)
    return delivery.archives[0][1] if delivery.archives else None


async def _ask(
    client: Client, question: Question, batch: Sequence[Ref], tree: Any, *, suspect: bool = False
) -> Delivery:
    """One archive request: what it answered, joined to what was asked by id."""
    asked = {ref.entry_id: ref for ref in batch}
    body = {
        "owner": question.owner,
        "query": both(question.query, {"entry_id:any": list(asked)}),
        "pagination": {"page_size": len(batch)},
    }
    if question.source == "documents":
        path, expected = LISTING, is_listing
        body |= including(include_of(question.required))
    else:
        path, expected = ARCHIVES, _is_archives
        body["required"] = tree
    try:
        answer = await client.post(path, body, expected, entries=len(batch), suspect=suspect)
    except RefusedError as error:
        if error.status == 400 and _REMOTE in error.words:
            raise RemoteReferenceError(error.status, error.url, error.words) from error
        raise
    found: dict[str, dict[str, Any]] = {}
    for row in answer.data["data"]:
        if row["entry_id"] not in asked or row["entry_id"] in found:
            raise ProtocolError(
                f"the server answered entry {row['entry_id']}, which was not asked for, or twice, among "
                f"{len(batch)} from {batch[0].entry_id} on [{client.server.url}]"
            )
        found[row["entry_id"]] = row["archive"] if path == ARCHIVES else without_empties(row)
    return Delivery(
        archives=[(asked[entry_id], found[entry_id]) for entry_id in asked if entry_id in found],
        missing=[ref for ref in batch if ref.entry_id not in found],
        n_bytes=answer.n_bytes,
        seconds=answer.seconds,
    )


async def _once_more(client: Client, question: Question, absent: list[Ref]) -> Delivery:
    """Entries that were not answered, once more: a few each alone, many together first to spare requests.

    Many that are all absent again have no archive; when some come, the server is forgetful, and the others are
    asked for each alone.
    """
    delivery = Delivery(missing=absent)
    if len(absent) > _FEW:
        delivery = await _batch(client, question, absent)
        if not delivery.archives:
            return delivery
    each = await asyncio.gather(*(_batch(client, question, [ref]) for ref in delivery.missing))
    delivery.missing = []
    for part in each:
        delivery.add(part)
    return delivery


def _is_archives(data: Any) -> bool:
    """Whether an answer has the shape of archives."""
    match data:
        case {"data": list(rows)}:
            return all(
                isinstance(r, dict) and is_text(r, "entry_id") and isinstance(r.get("archive"), dict)
                for r in rows
            )
    return False
