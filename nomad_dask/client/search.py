"""Search requests: counts, and pages of entry ids or documents, with checks of the answers.

Invalid listings (a repeated cursor, entries outside the segment, an early end) raise ProtocolError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from operator import itemgetter
from typing import Any

from nomad_dask.client import answers
from nomad_dask.client.answers import ListingAnswer
from nomad_dask.client.answers import listing as parse_listing
from nomad_dask.client.retry import BrokenAnswer
from nomad_dask.client.transport import DEFAULT_OPTIONS, Client, RequestOptions
from nomad_dask.errors import AnswerTooLargeError, ProtocolError, ServerError
from nomad_dask.request import QuerySpec, Ref
from nomad_dask.request.segments import Segment
from nomad_dask.text import one_line

LISTING = "entries/query"
LARGEST_PAGE = 10_000  # maximum page size that the server accepts
NAMES = ("entry_id", "upload_id")


@dataclass(frozen=True, slots=True)
class SegmentPage:
    """One page of a segment, in id order."""

    rows: list[dict[str, Any]]  # documents, or the requested parts of them
    refs: list[Ref]  # the entry of each row
    total: int  # number of entries in the segment, as counted by the server
    n_bytes: int
    seconds: float
    failed: Mapping[Ref, str] = field(default_factory=dict)  # reasons of documents that cannot be decoded


async def count(client: Client, spec: QuerySpec, segment: Segment, *, known: bool = True) -> int:
    """Count the entries of a segment that match the query. One small request."""
    body = _body(spec, segment, 0, NAMES)
    found: ListingAnswer = (await client.post(LISTING, body, parse_listing, RequestOptions(known=known))).data
    return found.total


async def check_include(client: Client, owner: str, names: Sequence[str]) -> None:
    """Raise RefusedError if the server rejects one of the names. One small request without entries."""
    body = {"owner": owner, "pagination": {"page_size": 0}, **including(names)}
    await client.post(LISTING, body, parse_listing)


async def get_page(
    client: Client,
    spec: QuerySpec,
    segment: Segment,
    size: int,
    include: Sequence[str] | None = NAMES,
    options: RequestOptions = DEFAULT_OPTIONS,
) -> SegmentPage:
    """Get the first `size` entries of a segment in id order; `include` None: whole documents.

    An invalid page is requested once more; the second one raises ProtocolError.
    """
    size = min(size, LARGEST_PAGE)
    body = _body(spec, segment, size, include)
    mistake = ""
    for _ in range(2):
        answer = await client.post(LISTING, body, parse_listing, options)
        rejected = [row for row in answer.rejected if row.entry_id is not None]
        failed = {Ref(row.entry_id or "", row.upload_id or ""): row.reason for row in rejected}
        if answer.damaged or len(failed) < len(answer.rejected):
            raise ServerError(str(BrokenAnswer("undecodable")), f"{client.server.url}/{LISTING}", status=200)
        found: ListingAnswer = answer.data
        if failed:  # entries that cannot be decoded are listed too
            others = [(ref, ref._asdict()) for ref in failed]
            pairs = sorted([*zip(found.refs, found.rows, strict=True), *others], key=itemgetter(0))
            found = replace(found, rows=[row for _, row in pairs], refs=[ref for ref, _ in pairs])
        mistake = _mistake(found, segment, size)
        if not mistake:
            return SegmentPage(found.rows, found.refs, found.total, answer.n_bytes, answer.seconds, failed)
    raise ProtocolError(
        f"the server's listing of the segment {segment} is invalid: {mistake}. Continuing could lose or "
        f"repeat entries [{client.server.url}]"
    )


def _mistake(found: ListingAnswer, segment: Segment, size: int) -> str:
    """Describe the mistake in a listing page; empty if it is valid."""
    refs, total, cursor = found.refs, found.total, found.cursor
    if outside := [r.entry_id for r in refs if r.entry_id not in segment]:
        return f"{outside[0]} is outside the segment"
    if twice := [a.entry_id for a, b in pairwise(refs) if a.entry_id == b.entry_id]:
        return f"{twice[0]} is listed twice"
    if len(refs) != min(size, total):
        return f"it counts {total} entries and lists {len(refs)} on a page of {size}"
    last = refs[-1].entry_id if refs else "the start"
    if cursor is not None and cursor != last:
        return f"its cursor is {one_line(cursor, max_length=60)!r}, but the page ends at {last}"
    return ""


async def server_time(client: Client) -> str:
    """Time of the server (ISO 8601), or the local time if it sends none. One small request."""
    body = {"owner": "public", "pagination": {"page_size": 0}}
    answer = await client.post(LISTING, body, parse_listing, RequestOptions(known=False))
    return answers.server_time(answer.date, datetime.now(UTC)).isoformat(timespec="seconds")


async def check_alive(client: Client, error: ServerError) -> None:
    """Raise `error` if the server does not answer a minimal request either: then no entry caused it."""
    try:
        body = {"owner": "public", "pagination": {"page_size": 0}}
        await client.post(LISTING, body, parse_listing)
    except ServerError:
        raise error from None


async def iter_pages(
    client: Client,
    spec: QuerySpec,
    segment: Segment,
    include: Sequence[str] = NAMES,
    page_size: int = LARGEST_PAGE,
) -> AsyncIterator[SegmentPage]:
    """Iterate over the pages of a segment in id order, without empty ones.

    Raises ProtocolError if the listing is shorter than the server's count, or more than twice as long. If a
    page is too large, the page size is reduced.
    """
    rest, counted, listed = segment, None, 0
    while True:
        try:
            found = await get_page(client, spec, rest, page_size, include)
        except AnswerTooLargeError:
            if page_size == 1:
                raise
            page_size = max(1, page_size // 10)
            continue
        counted, listed = found.total if counted is None else counted, listed + len(found.rows)
        check_end(client, segment, counted, listed)
        if found.rows:
            yield found
        if found.total == len(found.rows):
            return
        rest = Segment(found.refs[-1].entry_id, segment.upto)


def check_end(client: Client, segment: Segment, counted: int, listed: int) -> None:
    """Raise ProtocolError if a listing is much longer than the server's first count."""
    if listed > 2 * counted + LARGEST_PAGE:  # entries may be added meanwhile
        raise ProtocolError(
            f"the server counted {counted} entries in the segment {segment}, but has listed {listed} and "
            f"continues [{client.server.url}]"
        )


def _body(spec: QuerySpec, segment: Segment, size: int, include: Sequence[str] | None) -> dict[str, Any]:
    """Body of a page request; the cursor is part of the query, so that `total` counts what remains."""
    return {
        "owner": spec.owner,
        "query": segment.within(spec.query),
        "pagination": {"page_size": size},
        **including(include),
    }


def including(names: Sequence[str] | None) -> dict[str, Any]:
    """Part of a body that selects the parts of each document; None: all."""
    return {} if names is None else {"required": {"include": [*names]}}
