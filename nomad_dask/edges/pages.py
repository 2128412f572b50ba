"""Owns what is asked of the search: counts and pages, of names alone or of documents, and the checks on them.

What the server must not do (repeat a cursor, list what was not asked for, end early) is a ProtocolError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

from ..pure.errors import ProtocolError, ServerError
from ..pure.manifest import Question
from ..pure.report import Ref
from ..pure.segments import Segment
from .transport import Client

LISTING = "entries/query"
LARGEST_PAGE = 10_000
"""Entries in one page; the server refuses more (`nomad_api.md`)."""
NAMES = ("entry_id", "upload_id")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a segment, in id order."""

    rows: list[dict[str, Any]]
    """Documents, or what was asked of them; their two names at the least."""
    total: int
    """Entries in the segment, by the server's count."""
    n_bytes: int
    seconds: float

    @property
    def refs(self) -> list[Ref]:
        """The entries' names."""
        return [Ref(row["entry_id"], row["upload_id"]) for row in self.rows]


async def count(client: Client, question: Question, segment: Segment, *, known: bool = True) -> int:
    """How many entries of a segment the query matches. One small request."""
    body = _body(question, segment, 0, NAMES)
    answer = await client.post(LISTING, body, is_listing, known=known)
    return int(answer.data["pagination"]["total"])


async def page(
    client: Client,
    question: Question,
    segment: Segment,
    size: int,
    include: Sequence[str] | None = NAMES,
    *,
    entries: int = 1,
    data: bool = False,
) -> Page:
    """The first `size` entries of a segment in id order; `include` None: whole documents.

    A page that breaks the rules is asked for once more; twice is a ProtocolError. `entries` and `data` as in `Client.post`.
    """
    size = min(size, LARGEST_PAGE)
    body = _body(question, segment, size, include)
    wrong = ""
    for _ in range(2):
        answer = await client.post(LISTING, body, is_listing, entries=entries, data=data)
        rows = sorted(answer.data["data"], key=lambda row: row["entry_id"])
        pagination = answer.data["pagination"]
        found = Page(rows, int(pagination["total"]), answer.n_bytes, answer.seconds)
        wrong = _wrong_with(found.refs, pagination, segment, size)
        if not wrong:
            return found
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


async def list_page(client: Client, question: Question, segment: Segment, size: int) -> tuple[list[Ref], int]:
    """The names of the first `size` entries of a segment in id order, and the total in the segment."""
    found = await page(client, question, segment, size)
    return found.refs, found.total


async def server_time(client: Client) -> str:
    """What time it is by the server's clock (ISO 8601); by ours where it does not tell. One small request."""
    body = {"owner": "public", "pagination": {"page_size": 0}}
    answer = await client.post(LISTING, body, is_listing, known=False)
    try:
        return parsedate_to_datetime(answer.date).astimezone(UTC).isoformat()
    except ValueError:
        return datetime.now(UTC).isoformat(timespec="seconds")


async def alive(client: Client, error: ServerError) -> None:
    """A server that answers nothing at all is down, and that is no entry's fault: the error is raised then."""
    try:
        body = {"owner": "public", "pagination": {"page_size": 0}}
        await client.post(LISTING, body, is_listing)
    except ServerError:
        raise error from None


def is_listing(data: Any) -> bool:
    """Whether an answer has the shape of a listing."""
    match data:
        case {"pagination": {"total": int()}, "data": list(rows)}:
            return all(isinstance(r, dict) and all(is_text(r, name) for name in NAMES) for r in rows)
    return False


def is_text(row: dict[str, Any], name: str) -> bool:
    """Whether a row of an answer has a text under a name."""
    return isinstance(row.get(name), str)


async def walk(
    client: Client,
    question: Question,
    segment: Segment,
    include: Sequence[str] = NAMES,
    page_size: int = LARGEST_PAGE,
) -> AsyncIterator[Page]:
    """The pages of all entries of a segment, in id order, but for empty ones.

    A list shorter than the server's own count is an error.
    """
    rest = segment
    while True:
        found = await page(client, question, rest, page_size, include)
        if found.rows:
            yield found
        if found.total == len(found.rows):
            return
        rest = Segment(found.refs[-1].entry_id, segment.upto)


async def listing(
    client: Client, question: Question, segment: Segment, page_size: int = LARGEST_PAGE
) -> AsyncIterator[list[Ref]]:
    """The names of all entries of a segment, in id order, page by page."""
    async for found in walk(client, question, segment, NAMES, page_size):
        yield found.refs


def _body(question: Question, segment: Segment, size: int, include: Sequence[str] | None) -> dict[str, Any]:
    """Every page is bounded by its query, cursor included, so that `total` counts what is left."""
    return {
        "owner": question.owner,
        "query": segment.within(question.query),
        "pagination": {"page_size": size},
        **including(include),
    }


def including(names: Sequence[str] | None) -> dict[str, Any]:
    """The part of a body that says what of each document to send; None: all."""
    return {} if names is None else {"required": {"include": [*names]}}
