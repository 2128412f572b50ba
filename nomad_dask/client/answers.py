"""Answers of the server: decoding them, and parsers that check types and return plain values.

Values with one possible meaning are accepted (`200.0` is 200, a null `upload_id` is an empty string).
Anything else raises an AnswerError that names the field, its value and the expected type; invalid optional
values are ignored.

An invalid row does not affect the others. Large answers are split into pieces of whole rows, which are
decoded one at a time: each piece fits in the processor's cache, and the memory is a tenth of that for the
whole answer. The split points are the beginnings of rows as the server writes them, `},{"entry_id":`. This
sequence cannot occur inside a JSON string, where quotes are escaped; a split inside a row leaves unbalanced
brackets, so the piece is invalid JSON and the mistake is noticed.

Pieces and small answers are decoded in one call if the result is the same as row by row: if they have no
integers beyond 64 bits and nothing that `common.json_rules` rejects. Otherwise each row is decoded alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

from nomad_dask.common.json_rules import (
    ANSWER,
    LIST,
    ROW,
    ContentError,
    decode,
    decode_fast,
    decode_or_explain,
    decode_shallow,
    fingerprint,
    has_long_integer,
    list_under,
    may_be_object,
    objects,
    texts_of,
)
from nomad_dask.request import Ref
from nomad_dask.text import one_line

Row = dict[str, Any]
Parse = Callable[[Any], Any]  # parses a decoded answer; raises AnswerError

_MAX_LENGTH, _MAX_HTML, _MAX_DEPTH, _MAX_ITEMS = 400, 16_384, 4, 20
"""Limits of error texts: characters, bytes of HTML that are read, depth and items of JSON."""
MAX_ENTRIES = 10**12  # larger than any archive; a larger count is invalid
_ID = re.compile(r"[-0-9A-Z_a-z]{1,64}")
_TOKEN = re.compile(r"[!-~]+")
_ONE_DAY = 86_400.0
_TOKEN_SECONDS = 300.0  # lifetime of a token whose answer has no `expires_in`; the maximum is a day
_SURROGATE = re.compile("[\ud800-\udfff]")
_MIN_DATE = datetime(2000, 1, 1, tzinfo=UTC)


class AnswerError(ValueError):
    """An answer has an invalid structure; the message names the field."""


@dataclass(frozen=True, slots=True)
class ListingAnswer:
    """A page of a listing."""

    rows: list[Row]  # the requested part of each search document, unchanged
    refs: list[Ref]  # the entry of each row
    total: int  # number of matching entries, as counted by the server
    cursor: str | None  # cursor of the next page; None on the last one


@dataclass(frozen=True, slots=True)
class Token:
    """An access token."""

    text: str
    seconds: float  # its lifetime

    def __repr__(self) -> str:
        return f"<token ***, {self.seconds:g} s>"


def listing(answer: Any) -> ListingAnswer:
    """Parse the answer to `entries/query`; sorts its rows by id."""
    tree = _object("the listing", answer)
    pagination = _object("the listing's pagination", tree.get("pagination"))
    total = _count("the listing's pagination.total", pagination.get("total"))
    cursor = pagination.get("next_page_after_value")
    if cursor is not None and not isinstance(cursor, str):
        raise _wrong("the listing's pagination.next_page_after_value", cursor, "a string")
    rows = _list("the listing's data", tree.get("data"))
    named = [(_ref(f"the listing's data.{place}", row), row) for place, row in enumerate(rows)]
    named.sort(key=lambda pair: pair[0].entry_id)
    return ListingAnswer([row for _, row in named], [ref for ref, _ in named], total, cursor)


def archives(answer: Any) -> list[Row]:
    """Parse the answer to `entries/archive/query`: rows with `entry_id` and `archive`."""
    return archive_rows(_object("the answer", answer).get("data"))


def archive_rows(rows: Any) -> list[Row]:
    """Check rows of such an answer."""
    found = _list("the answer's data", rows)
    for place, row in enumerate(found):
        if not (
            type(row) is dict
            and type(entry_id := row.get("entry_id")) is str
            and _ID.fullmatch(entry_id)
            and isinstance(row.get("archive"), dict)
        ):
            where = f"the answer's data.{place}"
            entry_id = _entry_id(where, _object(where, row))
            raise _wrong(f"{where}.archive (of entry {entry_id})", row.get("archive"), "an object")
    return found


def token(answer: Any) -> Token:
    """Parse the answer to `auth/token`. Messages do not repeat its content."""
    tree = _object("the login's answer", answer, shown=False)
    text = tree.get("access_token")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise AnswerError("the login's access_token is not a string of printable ASCII characters")
    seconds = _number(tree.get("expires_in")) or 0.0
    return Token(text, min(seconds, _ONE_DAY) if seconds > 0 else _TOKEN_SECONDS)


def json_object(answer: Any) -> Row:
    """Check that an answer is an object; used for the schema and `info`, whose readers check the rest."""
    return _object("the answer", answer)


def server_fingerprint(info: Row) -> str:
    """Hash of the server's `info`, without its statistics; identifies the server."""
    return fingerprint({name: value for name, value in info.items() if name != "statistics"})


def error_words(body: bytes) -> str:
    """Return the text of an error answer (JSON or HTML) in one line of at most 400 characters."""
    try:
        tree = orjson.loads(body)
        text = _text_of_detail(tree.get("detail", tree) if isinstance(tree, dict) else tree)
    except orjson.JSONDecodeError:
        text = _text_of_html(body[:_MAX_HTML].decode("utf-8", "replace"))
    return one_line(text, max_length=_MAX_LENGTH)


def _text_of_detail(detail: Any, depth: int = 0) -> str:
    """Text of `detail` as FastAPI and NOMAD send it: a string, a list of `{msg, loc}`, or an exception."""
    if isinstance(detail, dict | list) and depth > _MAX_DEPTH:
        return "..."

    def of(value: Any) -> str:
        return _text_of_detail(value, depth + 1)

    match detail:
        case str():
            return detail
        case list():
            return "; ".join(map(of, detail[:_MAX_ITEMS]))
        case {"msg": msg, "loc": loc}:
            words, place = of(msg), ".".join(map(of, loc)) if isinstance(loc, list) else of(loc)
            return words if place in words else f"{words} (at {place})"
        case {"reason": reason}:
            what = ": ".join(of(detail[k]) for k in ("exception_class", "exception") if detail.get(k))
            return f"{of(reason)} ({what})" if what else of(reason)
        case dict():
            return ", ".join(f"{key}: {of(value)}" for key, value in [*detail.items()][:_MAX_ITEMS])
    return str(detail)


def _text_of_html(page: str) -> str:
    low = page.lower()
    begin, end = low.find("<title>"), low.find("</title>")
    return page[begin + len("<title>") : end] if 0 <= begin < end else re.sub(r"<[^<>]*>", " ", page)


def retry_after(text: str | None, now: float) -> float | None:
    """Seconds in a `Retry-After` header: a number, or a date compared with `now` (Unix seconds).

    None if it is invalid or more than a day.
    """
    if not text:
        return None
    seconds = _number(text)
    if seconds is None:
        moment = date(text)
        seconds = None if moment is None else moment.timestamp() - now
    return None if seconds is None or seconds > _ONE_DAY else max(0.0, seconds)


def date(text: str | None) -> datetime | None:
    """Parse a date header to UTC; None if it is invalid."""
    try:
        moment = parsedate_to_datetime(text or "")
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        return None


def server_time(header: str | None, now: datetime) -> datetime:
    """Time in the server's `Date` header, or `now` if that is invalid or more than a day ahead.

    The earlier time is safe: an update from then on misses no entry.
    """
    theirs = date(header)
    if theirs is None or theirs > now + timedelta(days=1):
        return now
    return max(theirs, _MIN_DATE)


def _ref(where: str, row: Any) -> Ref:
    entry_id = _entry_id(where, _object(where, row))
    upload_id = row.get("upload_id")
    if upload_id is None:
        return Ref(entry_id, "")
    if not isinstance(upload_id, str) or _SURROGATE.search(upload_id):
        raise _wrong(f"{where}.upload_id", upload_id, "a string")
    return Ref(entry_id, upload_id)


def _entry_id(where: str, row: Row) -> str:
    entry_id = row.get("entry_id")
    if isinstance(entry_id, str) and _ID.fullmatch(entry_id):
        return entry_id
    raise _wrong(f"{where}.entry_id", entry_id, "an id (1 to 64 letters, digits, - and _)")


def _object(where: str, value: Any, *, shown: bool = True) -> Row:
    if isinstance(value, dict):
        return value
    raise _wrong(where, value if shown else ..., "an object")


def _list(where: str, value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    raise _wrong(where, value, "a list")


def _count(where: str, value: Any) -> int:
    number = value if type(value) in (int, float) else None
    if number is None or number != number or number % 1 != 0 or not 0 <= number <= MAX_ENTRIES:
        raise _wrong(where, value, f"a whole number from 0 to {MAX_ENTRIES:,}")
    return int(number)


def _number(value: Any) -> float | None:
    """A finite number, also from a string; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _wrong(where: str, value: Any, expected: str) -> AnswerError:
    return AnswerError(f"{where} is {_describe(value)}, not {expected}")


def _describe(value: Any) -> str:
    match value:
        case None:
            return "missing or null"
        case bool() | float():
            return str(value).lower()
        case int():
            return str(value) if value.bit_length() < 100 else "a very long number"
        case str():
            return repr(one_line(value, max_length=60))
        case dict():
            return "an object"
    return "a list" if isinstance(value, list) else "something else"


PIECE = 1_000_000  # size of a piece in bytes: fits in the cache, with negligible fixed costs
_LARGE = 400_000  # size of an answer in bytes from which its rows are left undecoded
_HEAD, _TAIL = b'"data":[', b"]"
_ROW = b'},{"entry_id":'


class RejectedRow(NamedTuple):
    """A row that violates the rules of `common.json_rules`."""

    entry_id: str | None
    upload_id: str | None  # None if it cannot be read
    reason: str


@dataclass(slots=True)
class RowBlock:
    """Rows of an answer that were decoded together."""

    rows: list[Any]
    texts: list[memoryview]  # their JSON, in one or several parts
    rejected: list[RejectedRow] = field(default_factory=list)
    damaged: bool = False  # True if other rows are invalid JSON
    taken: Sequence[str] = ()  # entry ids of rows that `Take` read instead


Take: TypeAlias = Callable[[bytes, int, int], tuple[Sequence[str], int]]
"""Reads rows between two positions of a text; returns their ids, and the position of the first row left."""


@dataclass(frozen=True, slots=True)
class PackedRows:
    """The undecoded rows of an answer."""

    body: bytes
    bounds: tuple[int, ...]  # start of each piece, and end of the last one

    def pieces(self, take: Take | None = None) -> Iterator[RowBlock]:
        """Decode the rows piece by piece. Raises ValueError if they are not a list of objects.

        If a piece begins inside a row, its rows are decoded with the previous piece. `take` gets the text
        first; rows that it leaves are decoded one by one.
        """
        begin = self.bounds[0]
        for until in self.bounds[1:]:
            if until <= begin:
                continue
            end = until - (until != self.bounds[-1])
            if take is not None:
                taken, begin = take(self.body, begin, end)
                yield RowBlock([], [], taken=taken)
                if begin < end:
                    piece, begin = self._one_by_one(begin, until)
                    yield piece
                else:
                    begin = until
                continue
            text = memoryview(self.body)[begin:end]
            rows = _at_once(text, LIST, b"[", b"]")
            if rows is not None:
                begin = until
                yield RowBlock(rows, [text])
            else:
                piece, begin = self._one_by_one(begin, until)
                yield piece

    def _one_by_one(self, begin: int, until: int) -> tuple[RowBlock, int]:
        """Decode the rows between two positions one by one; also return the position of the next row."""
        piece = RowBlock([], [])
        for start, end in objects(self.body, begin, self.bounds[-1]):
            if start >= until:
                return piece, start
            text = self.body[start:end]
            try:
                piece.rows.append(decode_or_explain(text, ROW))
                piece.texts.append(memoryview(text))
            except ContentError as error:
                names = texts_of(text, "entry_id", "upload_id")
                piece.rejected.append(RejectedRow(names.get("entry_id"), names.get("upload_id"), str(error)))
            except ValueError:
                piece.damaged = True
        return piece, self.bounds[-1]


def _at_once(text: bytes | memoryview, above: int, before: bytes = b"", after: bytes = b"") -> Any:
    """Decode a text in one call; None if the result could differ from decoding each row alone."""
    if has_long_integer(text):
        return None
    try:
        return decode_fast(text, above, before, after)
    except ValueError:
        return None


RowMode = Literal["together", "separate", "packed"]
"""How rows are decoded: all or none; each one separately; or, in large answers, later."""


@dataclass(slots=True)
class Answer:
    """A decoded answer and its cost."""

    data: Any  # the whole answer, or after parsing what it contains
    rows: PackedRows | None = None  # undecoded rows of a large answer; `data` has none then
    rejected: list[RejectedRow] = field(default_factory=list)  # `data` has the other rows
    damaged: bool = False  # True if rows are invalid JSON in an otherwise valid answer
    n_bytes: int = 0  # size of the uncompressed body
    seconds: float = 0.0  # duration of the successful try
    date: str = ""  # the `Date` header


def read_answer(body: bytes, mode: RowMode, size: int = PIECE, check: Take | None = None) -> Answer:
    """Decode an answer. Raises ValueError if it is invalid JSON, except in packed rows.

    With `check`, which reads rows without decoding them, the rows of small answers stay packed too.
    """
    is_large = len(body) >= min(_LARGE, 2 * size)
    if mode == "packed" and (is_large or check is not None):
        begin, end = body.find(_HEAD) + len(_HEAD), body.rfind(_TAIL)
        bare = _without_rows(body, begin, end)
        if bare is not None and (is_large or (check is not None and check(body, begin, end)[1] == end)):
            return Answer(bare, _cut(body, begin, end, size))
    whole = _at_once(body, ANSWER)
    if whole is not None:
        return Answer(whole)
    begin, end = (list_under(body, b'"data"') if may_be_object(body) else None) or (0, 0)
    bare = _without_rows(body, begin, end)
    if bare is None:
        return Answer(decode(body))
    if mode == "packed":
        return Answer(bare, _cut(body, begin, end, size))
    found = Answer(bare)
    for piece in _cut(body, begin, end, len(body)).pieces():
        bare["data"] += piece.rows
        found.rejected += piece.rejected
        found.damaged |= piece.damaged
    if mode == "together" and (found.damaged or found.rejected):
        raise ValueError(found.rejected[0].reason if found.rejected else "a row is invalid JSON")
    return found


def rows_of(text: bytes) -> list[Any]:
    """Decode the JSON list of rows that were decoded before."""
    return [row for piece in PackedRows(text, (1, len(text) - 1)).pieces() for row in piece.rows]


def _cut(body: bytes, begin: int, end: int, size: int) -> PackedRows:
    bounds = [begin]
    while (at := body.find(_ROW, bounds[-1] + size, end)) >= 0:
        bounds.append(at + 2)
    return PackedRows(body, (*bounds, end))


def _without_rows(body: bytes, begin: int, end: int) -> dict[str, Any] | None:
    """Decode an answer without the text between two positions, if that text is all of its data."""
    if not len(_HEAD) <= begin <= end:
        return None
    try:
        bare = decode_shallow(body[:begin] + body[end:])
    except ValueError:
        return None
    return bare if isinstance(bare, dict) and bare.get("data") == [] else None
