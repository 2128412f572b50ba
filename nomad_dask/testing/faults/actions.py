"""Actions of faults: disturbances of how an answer is sent, and edits that make a correct answer wrong."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this status code.

    `html`: with nginx's HTML; `retry_after`: seconds in a `Retry-After` header.
    """

    code: int
    html: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """Announce the whole body, send this fraction of it, and close the connection."""

    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Garble:
    """Send a body that is not JSON: 16 bytes, from this fraction of the body on, are replaced by zeros."""

    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Stall:
    """Send half of the body, then pause for this number of seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Delay:
    """Answer correctly, this number of seconds late."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Say:
    """Send exactly this body instead of the answer.

    A function that returns an iterable is sent in pieces, without a length, until the client closes the
    connection.
    """

    body: bytes | Callable[[], Iterable[bytes]]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers to add; may replace `Content-Type: application/json`."""


@dataclass(frozen=True, slots=True)
class Change:
    """Send the correct answer, changed by a function of its JSON. The function may modify its argument."""

    change: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Send the correct answer, changed by a function of its bytes, for text that JSON libraries do not
    write."""

    change: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Reorder:
    """Reverse the rows of a page."""

    def edit(self, answer: Json) -> Json:
        """Return the changed answer."""
        return {**answer, "data": _rows(answer)[::-1]}


@dataclass(frozen=True, slots=True)
class RepeatCursor:
    """Repeat the cursor of the request as the next cursor (on the first page, the id of its first row)."""

    def edit(self, answer: Json) -> Json:
        """Return the changed answer."""
        page, rows = answer.get("pagination", {}), _rows(answer)
        cursor = page.get("page_after_value") or (rows[0].get("entry_id") if rows else None)
        return {**answer, "pagination": {**page, "next_page_after_value": cursor}} if cursor else dict(answer)


@dataclass(frozen=True, slots=True)
class InflateTotal:
    """Add n to `total`."""

    n: int

    def edit(self, answer: Json) -> Json:
        """Return the changed answer."""
        page = answer.get("pagination", {})
        return {**answer, "pagination": {**page, "total": page.get("total", 0) + self.n}}


@dataclass(frozen=True, slots=True)
class Unasked:
    """Append rows of entries that were not requested: a copy of the first row for each id."""

    ids: tuple[str, ...]

    def edit(self, answer: Json) -> Json:
        """Return the changed answer."""
        rows = _rows(answer)
        like = rows[0] if rows else {"upload_id": "A" * 22}
        return {**answer, "data": [*rows, *({**like, "entry_id": entry_id} for entry_id in self.ids)]}


@dataclass(frozen=True, slots=True)
class EndEarly:
    """Leave out the next cursor although more pages follow."""

    def edit(self, answer: Json) -> Json:
        """Return the changed answer."""
        page = {k: v for k, v in answer.get("pagination", {}).items() if k != "next_page_after_value"}
        return {**answer, "pagination": page}


@dataclass(frozen=True, slots=True)
class Drop:
    """Leave out the last n rows of the page, and keep cursor and total."""

    n: int = 1

    def edit(self, answer: Json) -> Json:
        """Return the changed answer."""
        rows = _rows(answer)
        return {**answer, "data": rows[: max(0, len(rows) - self.n)]}


Spoil = Status | Reset | Truncate | Garble | Stall | Delay | Say | Change | Rewrite
Edit = Reorder | RepeatCursor | InflateTotal | Unasked | EndEarly | Drop
Action = Spoil | Edit


def _rows(answer: Json) -> list[Json]:
    rows = answer.get("data")
    return list(rows) if isinstance(rows, list) else []
