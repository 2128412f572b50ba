"""Comparison of values by the kind of a quantity in the index (see `quantities`).

Like the search engine, it also reads numbers, booleans and times from strings:
`{"results.material.n_elements:gt": "2"}` is the number 2. A value that cannot be read is a 400.

- `keyword`: whole strings. Numbers and booleans of a query are converted: `3` is `"3"`.
- `integer`, `double`: numbers. `boolean`: true and false.
- `date`: times in ISO 8601, or milliseconds since 1970. A time without hours is a whole day, without days a
  whole month.
- `text`: any of the words; `words`: the same, with the last as a prefix; `phrase`: the words in sequence;
  `path`: any of the parts between slashes.
- `section`, `nested`, `object`: not comparable.
- `any`: by the type of the entry's value.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from nomad_dask.testing.refused import search_failed

_NUMBERS = ("integer", "double")
_WORD = re.compile(r"\w+(?:['.:]\w+)*")
_TIME = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?(Z|[+-]\d\d:?(?:\d\d)?)?)?)?)?"  # noqa: E501
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Test:
    """A test of one value: an operator, and the converted value of the query. Equal tests have equal hits."""

    kind: str
    op: str
    """`is`; `lt`, `lte`, `gt`, `gte`; `starts`, `ends`, `contains`."""
    wanted: Any

    @classmethod
    def of(cls, kind: str, op: str, given: Any) -> "Test":
        """Return the test for a value of a query. Raises `Refused` 400 if the index cannot read the value."""
        return cls(kind, op, _READ.get(kind, _as_text)(given))

    def holds(self, value: Any) -> bool:
        """True if a value of a document passes the test. Sections never do."""
        if isinstance(value, dict | list) or value is None:
            return False
        match self.kind:
            case "keyword":
                return _compared(_as_text(value), self.op, self.wanted)
            case "integer" | "double":
                number = _number_in(value)
                return number is not None and _compared(number, self.op, self.wanted)
            case "boolean":
                return _compared(_as_text(value), self.op, self.wanted)
            case "date":
                return self._in_time(value)
            case "any":
                return self._like(value)
            case "section" | "nested" | "object":
                return False
            case _:
                return _has_words(self.kind, _as_text(value), self.wanted)

    def _in_time(self, value: Any) -> bool:
        try:
            began, _ = time_of(value)
        except ValueError:
            return False
        first, last = self.wanted
        match self.op:
            case "is":
                return bool(first <= began <= last)
            case "gt" | "lte":
                return _compared(began, self.op, last)
            case _:
                return _compared(began, self.op, first)

    def _like(self, value: Any) -> bool:
        """Compare by the type of the value."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return _compared(_as_text(value), self.op, self.wanted)
        number = _number_in(self.wanted)
        return number is not None and _compared(value, self.op, number)


def exactly(kind: str) -> Callable[[Any], Any] | None:
    """Return the function that converts a document's value for lookups; None for kinds without exact
    comparison."""
    if kind in ("keyword", "boolean"):
        return _as_text
    return _number_in if kind in _NUMBERS else None


def _compared(value: Any, op: str, wanted: Any) -> bool:
    match op:
        case "is":
            return bool(value == wanted)
        case "gt":
            return bool(value > wanted)
        case "gte":
            return bool(value >= wanted)
        case "lt":
            return bool(value < wanted)
        case "lte":
            return bool(value <= wanted)
        case "starts":
            return _as_text(value).startswith(_as_text(wanted))
        case "ends":
            return _as_text(value).endswith(_as_text(wanted))
        case _:
            return _as_text(wanted) in _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _as_number(given: Any) -> int | float:
    number = None if isinstance(given, bool) else _number_in(given)
    if number is None:
        raise search_failed(f'failed to create query: For input string: "{_as_text(given)}"')
    return number


def _number_in(value: Any) -> int | float | None:
    if isinstance(value, int | float):
        return value
    try:
        return int(value)
    except (TypeError, ValueError):
        pass
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number - number == 0 else None


def _as_boolean(given: Any) -> str:
    text = _as_text(given)
    if text not in ("true", "false", ""):
        reason = f"Can't parse boolean value [{text}], expected [true] or [false]"
        raise search_failed(f"failed to create query: {reason}")
    return text or "false"


def _as_time(given: Any) -> tuple[datetime, datetime]:
    try:
        return time_of(given)
    except ValueError as error:
        formats = "[strict_date_optional_time||epoch_millis]"
        reason = f"failed to parse date field [{_as_text(given)}] with format {formats}"
        raise search_failed(reason) from error


@lru_cache(maxsize=1 << 16)
def time_of(value: Any) -> tuple[datetime, datetime]:
    """Return the first and the last microsecond of a time. ValueError if it is not a time."""
    if isinstance(value, int | float) or re.fullmatch(r"-?\d{5,}", value):
        try:
            moment = _EPOCH + timedelta(milliseconds=int(value))
        except OverflowError as error:
            raise ValueError(value) from error
        return moment, moment
    found = _TIME.fullmatch(value)
    if found is None:
        raise ValueError(value)
    *numbers, part, zone = found.groups()
    given = [int(number) for number in numbers if number is not None]
    micro = int(f"{part or '':0<6}"[:6]) if part else 0
    year, month, day, hour, minute, second = [*given, *(1, 1, 1, 0, 0, 0)[len(given) :]]
    first = datetime(year, month, day, hour, minute, second, micro, _zone(zone))
    return first, first if part else first + _length(first, len(given)) - _MICROSECOND


def _zone(text: str | None) -> Any:
    return datetime.fromisoformat(f"2000-01-01T00:00:00{text}").tzinfo if text else UTC


def _length(first: datetime, given: int) -> timedelta:
    """Return the length of the period named by this number of fields: a year, month, day, hour, minute or
    second."""
    if given > 2:
        return (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1))[given - 3]
    month = first.month % 12 + 1 if given == 2 else first.month
    year = first.year + 1 if given == 1 or month == 1 else first.year
    return first.replace(year=year, month=month) - first


def _words_in(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))


def _parts_of(given: Any) -> tuple[str, ...]:
    return tuple(part for part in _as_text(given).split("/") if part)


def _has_words(kind: str, text: str, wanted: tuple[str, ...]) -> bool:
    if kind == "path":
        return not {*wanted}.isdisjoint(_parts_of(text))
    there, last = _words_in(text), wanted[-1] if wanted else ""
    if kind == "text":
        return not {*wanted}.isdisjoint(there)
    if kind == "words":
        return not {*wanted[:-1]}.isdisjoint(there) or any(word.startswith(last) for word in there if last)
    ends = range(len(wanted) - 1, len(there))
    before = wanted[:-1]
    return bool(wanted) and any(
        there[end - len(before) : end] == before and there[end].startswith(last) for end in ends
    )


_READ: dict[str, Callable[[Any], Any]] = {
    "integer": _as_number,
    "double": _as_number,
    "boolean": _as_boolean,
    "date": _as_time,
    "path": _parts_of,
    **dict.fromkeys(("text", "words", "phrase"), lambda given: _words_in(_as_text(given))),
}
