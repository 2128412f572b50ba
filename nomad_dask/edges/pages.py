"""Owns the questions to the server: counts, listing pages, archive batches, and the checks on their answers.

Answers are matched by `entry_id`, never by position. What the server must not do (repeat a cursor, answer what was
not asked, end early) is a ProtocolError here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..pure.errors import ProtocolError, RefusedError, RemoteReferenceError, ServerError
from ..pure.limits import BatchSize
from ..pure.manifest import Question
from ..pure.references import merge, refers_elsewhere, resolve
from ..pure.report import Failure, Ref
from ..pure.required import Required, split
from ..pure.segments import Segment, both
from .transport import Client

LISTING = "entries/query"
ARCHIVES = "entries/archive/query"
LARGEST_PAGE = 10_000
"""Entries in one listing page; the server refuses more (`nomad_api.md`)."""
_MOST_AT_ONCE = 1_000
"""Entries asked for by name in one request that is not sized by experience."""
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


async def count(client: Client, question: Question, segment: Segment, *, known: bool = True) -> int:
    """How many entries of a segment the query matches. One small request."""
    body = _listing_body(question, segment, {"page_size": 0})
    answer = await client.post(LISTING, body, _is_listing, known=known)
    return int(answer.data["pagination"]["total"])


async def list_page(client: Client, question: Question, segment: Segment, size: int) -> tuple[list[Ref], int]:
    """The first `size` entries of a segment in id order, and the total in the segment.

    A page that breaks the rules is asked for once more; twice is a ProtocolError.
    """
    size = min(size, LARGEST_PAGE)
    body = _listing_body(question, segment, {"page_size": size})
    wrong = ""
    for _ in range(2):
        answer = await client.post(LISTING, body, _is_listing)
        refs = sorted(Ref(row["entry_id"], row["upload_id"]) for row in answer.data["data"])
        pagination = answer.data["pagination"]
        wrong = _wrong_with(refs, pagination, segment, size)
        if not wrong:
            return refs, int(pagination["total"])
    raise ProtocolError(
        f"the server's list of the segment {segment} breaks its own rules: {wrong}. Going on could lose or repeat "
        f"entries [{client.server.url}]"
    )


def _wrong_with(refs: list[Ref], pagination: dict[str, Any], segment: Segment, size: int) -> str:
    """What is wrong with a listing page, in words; nothing when it is right."""
    if strangers := [r.entry_id for r in refs if r.entry_id not in segment]:
        return f"{strangers[0]} lies outside of what was asked for"
    if twice := [a.entry_id for a, b in pairwise(refs) if a.entry_id == b.entry_id]:
        return f"{twice[0]} is listed twice"
    if len(refs) != min(size, pagination["total"]):
        return f"it counts {pagination['total']} entries and lists {len(refs)} of them on a page of {size}"
    cursor = pagination.get("next_page_after_value")
    if cursor is not None and cursor != refs[-1].entry_id:
        return f"it names the cursor {cursor!r} after a page that ends at {refs[-1].entry_id}"
    return ""


def _is_listing(data: Any) -> bool:
    """Whether an answer has the shape of a listing."""
    match data:
        case {"pagination": {"total": int()}, "data": list(rows)}:
            return all(isinstance(r, dict) and _text(r, "entry_id") and _text(r, "upload_id") for r in rows)
    return False


def _is_archives(data: Any) -> bool:
    """Whether an answer has the shape of archives."""
    match data:
        case {"data": list(rows)}:
            return all(
                isinstance(r, dict) and _text(r, "entry_id") and isinstance(r.get("archive"), dict)
                for r in rows
            )
    return False


def _text(row: dict[str, Any], name: str) -> bool:
    return isinstance(row.get(name), str)


async def listing(
    client: Client, question: Question, segment: Segment, page_size: int = LARGEST_PAGE
) -> AsyncIterator[list[Ref]]:
    """Pages of all entries of a segment, in id order. A list shorter than the server's own count is an error."""
    rest = segment
    while True:
        refs, total = await list_page(client, question, rest, page_size)
        if refs:
            yield refs
        if total == len(refs):
            return
        rest = Segment(refs[-1].entry_id, segment.upto)


async def archives(
    client: Client, question: Question, refs: Iterable[Ref], size: BatchSize, in_flight: int, sizes: list[int]
) -> AsyncGenerator[Delivery, None]:
    """The archives of listed entries, batch by batch, in the order of the list, `in_flight` requests at a time.

    Entries that do not come are asked for once more, by themselves, after the rest. `sizes` is filled with the
    batch sizes used. A consumer that pauses holds back new requests.
    """
    todo, absent = deque(refs), list[Ref]()
    window: deque[asyncio.Task[Delivery]] = deque()
    try:
        while todo or window:
            while todo and len(window) < in_flight:
                batch = [todo.popleft() for _ in range(min(size.size, len(todo)))]
                sizes.append(len(batch))
                window.append(asyncio.create_task(_batch(client, question, batch)))
            delivery = await window.popleft()
            size = size.seen(len(delivery.archives), delivery.n_bytes, delivery.seconds)
            absent += delivery.missing
            delivery.missing = []
            yield delivery
    finally:
        for task in window:
            task.cancel()
    for start in range(0, len(absent), _MOST_AT_ONCE):
        yield await _once_more(client, question, absent[start : start + _MOST_AT_ONCE])


async def _batch(
    client: Client, question: Question, batch: Sequence[Ref], *, suspect: bool = False
) -> Delivery:
    """One batch, divided as long as it fails, so that only the bad entry is lost."""
    tree = question.required.request(in_place=question.resolve_references)
    parts = [list(batch[: len(batch) // 2]), list(batch[len(batch) // 2 :])]
    try:
        return await _ask(client, question, batch, tree, suspect=suspect)
    except RemoteReferenceError:
        if len(batch) == 1:
            return await _in_pieces(client, question, batch[0])
        parts = await _apart(client, question, batch) or parts
    except ServerError as error:
        if len(batch) == 1 or not suspect:
            await _still_there(client, error)
        if len(batch) == 1:
            failure = Failure(*batch[0], error.status, error.reason, error.attempts)
            return Delivery(failures=[failure])
        suspect = True
    whole = Delivery()
    for delivery in await asyncio.gather(*(_batch(client, question, p, suspect=suspect) for p in parts)):
        whole.add(delivery)
    return whole


async def _still_there(client: Client, error: ServerError) -> None:
    """A server that answers nothing at all is down, and that is no entry's fault."""
    try:
        body = {"owner": "public", "pagination": {"page_size": 0}}
        await client.post(LISTING, body, _is_listing)
    except ServerError:
        raise error from None


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
        return None if archive is None else resolve(archive, required)
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
        "required": tree,
    }
    try:
        answer = await client.post(ARCHIVES, body, _is_archives, entries=len(batch), suspect=suspect)
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
        found[row["entry_id"]] = row["archive"]
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


def _listing_body(question: Question, segment: Segment, pagination: dict[str, Any]) -> dict[str, Any]:
    """Every listing is bounded by its query, cursor included, so that `total` counts what is left."""
    return {
        "owner": question.owner,
        "query": segment.within(question.query),
        "pagination": pagination,
        "required": {"include": ["entry_id", "upload_id"]},
    }
