"""What can go wrong: ways to spoil how an answer is sent, and edits that make a right answer wrong."""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this status code; as nginx's HTML with `html`, with a `Retry-After` header in seconds."""

    code: int
    html: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """Announce the whole body, send this share of it, and close."""

    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Garble:
    """Send a whole body that is no JSON: 16 bytes, from this share of it on, are written over with zeros."""

    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Stall:
    """Begin the body, then send nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Delay:
    """Answer rightly, so many seconds late."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reorder:
    """The rows of a page in reverse order."""

    def edit(self, answer: Json) -> Json:
        """The answer with its rows reversed."""
        return {**answer, "data": _rows(answer)[::-1]}


@dataclass(frozen=True, slots=True)
class RepeatCursor:
    """The next cursor is the one that was just used (on a first page: the page's first id)."""

    def edit(self, answer: Json) -> Json:
        """The answer with a cursor that leads nowhere new."""
        page, rows = answer.get("pagination", {}), _rows(answer)
        cursor = page.get("page_after_value") or (rows[0].get("entry_id") if rows else None)
        return {**answer, "pagination": {**page, "next_page_after_value": cursor}} if cursor else dict(answer)


@dataclass(frozen=True, slots=True)
class InflateTotal:
    """`total` is n too high."""

    n: int

    def edit(self, answer: Json) -> Json:
        """The answer with n added to its total."""
        page = answer.get("pagination", {})
        return {**answer, "pagination": {**page, "total": page.get("total", 0) + self.n}}


@dataclass(frozen=True, slots=True)
class Unasked:
    """Rows of entries that nobody asked for, after the others."""

    ids: tuple[str, ...]

    def edit(self, answer: Json) -> Json:
        """The answer with one more row for each id, otherwise like its first row."""
        rows = _rows(answer)
        like = rows[0] if rows else {"upload_id": "A" * 22}
        return {**answer, "data": [*rows, *({**like, "entry_id": entry_id} for entry_id in self.ids)]}


@dataclass(frozen=True, slots=True)
class EndEarly:
    """No next cursor, although more would follow."""

    def edit(self, answer: Json) -> Json:
        """The answer without `next_page_after_value`."""
        page = {k: v for k, v in answer.get("pagination", {}).items() if k != "next_page_after_value"}
        return {**answer, "pagination": page}


@dataclass(frozen=True, slots=True)
class Drop:
    """The last n rows of the page are left out; cursor and total stay."""

    n: int = 1

    def edit(self, answer: Json) -> Json:
        """The answer with n rows fewer."""
        rows = _rows(answer)
        return {**answer, "data": rows[: max(0, len(rows) - self.n)]}


Spoil = Status | Reset | Truncate | Garble | Stall | Delay
Edit = Reorder | RepeatCursor | InflateTotal | Unasked | EndEarly | Drop
Action = Spoil | Edit


def _rows(answer: Json) -> list[Json]:
    rows = answer.get("data")
    return list(rows) if isinstance(rows, list) else []
