"""Owns what is downloaded of entries: batches of archives, and pages of search documents, as deliveries.

Answers are matched by `entry_id`, never by position. What keeps failing is divided until the bad entry stands alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ..pure.errors import RefusedError, RemoteReferenceError, ServerError
from ..pure.include import include_of, without_empties
from ..pure.limits import BatchSize
from ..pure.manifest import Question
from ..pure.references import merge, refers_elsewhere, resolve
from ..pure.report import Failure, Ref
from ..pure.required import Required, split
from ..pure.segments import Segment, both
from .deliveries import Asked, Delivery, are_archives
from .pages import LISTING, alive, including, is_listing, page
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


async def archives(
    client: Client,
    question: Question,
    refs: Iterable[Ref],
    size: BatchSize,
    in_flight: int | None,
    sizes: list[int],
    *,
    packed: bool = False,
) -> AsyncGenerator[Delivery, None]:
    """The archives of listed entries, batch by batch in the order of the list, `in_flight` requests at a time.

    `in_flight` None: as many as this process's part of the limits, and one that waits its turn, at every moment anew.
    Never more than `HELD_BYTES` of answers, by the size of those before; a few of a size that is not known yet.
    Entries that do not come are asked for once more, by themselves, after the rest. `sizes` is filled with the
    batch sizes used. A consumer that pauses holds back new requests. `packed`: for a consumer that takes each delivery by
    its `parts`, which decodes large answers a piece at a time.
    """
    todo, absent = deque(refs), list[Ref]()
    window: deque[asyncio.Task[Delivery]] = deque()
    room = _UNKNOWN if size.size < _UNKNOWN else len(todo)
    try:
        while todo or window:
            while todo and len(window) < min(room, in_flight or client.in_flight + 1):
                batch = [todo.popleft() for _ in range(min(size.size, len(todo)))]
                sizes.append(len(batch))
                window.append(asyncio.create_task(_batch(client, question, batch, packed=packed)))
            delivery = await window.popleft()
            yield delivery
            absent += delivery.absent
            size = size.seen(delivery.brought, delivery.n_bytes, delivery.seconds)
            if delivery.brought:
                expected = size.size * delivery.n_bytes / delivery.brought
                room = max(1, int(HELD_BYTES / max(1, expected)))
            if delivery.broken:
                client.tally.statuses["undecodable"] += 1
                client.tally.retries += 1
                again = await _batch(client, question, delivery.broken)
                absent += again.absent
                yield again
            del delivery
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
            found = await page(client, question, rest, size.size, include, entries=size.size, data=True)
        except ServerError as error:
            await alive(client, error)
            if size.size == 1:
                raise
            size = replace(size, size=size.size // 2)
            continue
        refs = found.refs
        delivered = list(zip(refs, map(without_empties, found.rows), strict=True))
        yield Delivery(delivered, found.n_bytes, found.seconds, brought=len(delivered))
        if found.total == len(refs):
            return
        rest = Segment(refs[-1].entry_id, segment.upto)
        size = size.seen(len(refs), found.n_bytes, found.seconds)


async def _batch(
    client: Client, question: Question, batch: Sequence[Ref], *, suspect: bool = False, packed: bool = False
) -> Delivery:
    """One batch, divided as long as it fails, so that only the bad entry is lost."""
    tree = question.required.request(in_place=question.resolve_references)
    parts = [list(batch[: len(batch) // 2]), list(batch[len(batch) // 2 :])]
    before = _whole_answers(client)
    try:
        return await _ask(client, question, batch, tree, suspect=suspect, packed=packed)
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
    each = (_batch(client, question, part, suspect=suspect, packed=packed) for part in parts)
    for delivery in await asyncio.gather(*each):
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
        return Delivery(absent=[ref])
    return Delivery([(ref, archive)], brought=1)


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
    client: Client,
    question: Question,
    batch: Sequence[Ref],
    tree: Any,
    *,
    suspect: bool = False,
    packed: bool = False,
) -> Delivery:
    """One archive request: what it answered, joined to what was asked by id."""
    body = {
        "owner": question.owner,
        "query": both(question.query, {"entry_id:any": [ref.entry_id for ref in batch]}),
        "pagination": {"page_size": len(batch)},
    }
    documents = question.source == "documents"
    if documents:
        body |= including(include_of(question.required))
    else:
        body["required"] = tree
    path, expected = (LISTING, is_listing) if documents else (ARCHIVES, _is_archives)
    try:
        answer = await client.post(
            path,
            body,
            expected,
            entries=len(batch),
            suspect=suspect,
            packed=packed and not documents,
            data=True,
        )
    except RefusedError as error:
        if error.status == 400 and _REMOTE in error.words:
            raise RemoteReferenceError(error.status, error.url, error.words) from error
        raise
    delivery = Delivery(n_bytes=answer.n_bytes, seconds=answer.seconds)
    asked = Asked(batch, client.server.url)
    if answer.rows is not None:
        delivery.packed.append((asked, answer.rows))
        return delivery
    rows = answer.data["data"]
    if documents:
        rows = [{"entry_id": row["entry_id"], "archive": without_empties(row)} for row in rows]
    left = {ref.entry_id: ref for ref in batch}
    places = {ref: place for place, ref in enumerate(batch)}
    delivery.archives = sorted(asked.joined(rows, left), key=lambda found: places[found[0]])
    delivery.absent = [*left.values()]
    delivery.brought = len(rows)
    return delivery


async def _once_more(client: Client, question: Question, absent: list[Ref]) -> Delivery:
    """Entries that were not answered, once more: a few each alone, many together first to spare requests.

    Many that are all absent again have no archive; when some come, the server is forgetful, and the others are
    asked for each alone.
    """
    delivery = Delivery(absent=absent)
    if len(absent) > _FEW:
        delivery = await _batch(client, question, absent)
    if len(absent) <= _FEW or delivery.archives:
        each = await asyncio.gather(*(_batch(client, question, [ref]) for ref in delivery.absent))
        delivery.absent = []
        for part in each:
            delivery.add(part)
    delivery.missing, delivery.absent = delivery.absent, []
    return delivery


def _is_archives(data: Any) -> bool:
    """Whether an answer has the shape of archives."""
    return isinstance(data, dict) and are_archives(data.get("data"))
