"""Pages of entries: the positions of the entries that match a query, in order."""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nomad_dask.testing.corpus import Corpus, belongs
from nomad_dask.testing.quantities import Quantities, plugin_path
from nomad_dask.testing.refused import Refused, invalid, search_failed, unknown_quantity
from nomad_dask.testing.search import EVERYTHING, Query, split

MAX_WINDOW = 10_000
"""Maximum of page offset plus page size in the search engine."""
KEPT_RESULTS = 64


@dataclass(frozen=True, slots=True)
class Pagination:
    """The checked `pagination` of a request."""

    given: dict[str, Any]
    page_size: int
    order_by: str
    descending: bool
    after: str | None
    offset: int

    @classmethod
    def parse(cls, given: Any, quantities: Quantities) -> "Pagination":
        """Parse `pagination`. Raises `Refused` if it is invalid. A cursor need not name an entry."""
        given = {} if given is None else given
        loc = ["body", "pagination"]
        if not isinstance(given, dict):
            raise invalid("dict_type", loc, "Input should be a valid dictionary", given)
        given = {key: value for key, value in given.items() if value is not None}
        size = _whole(given, "page_size", 10, least=0)
        order = given.get("order", "asc")
        if order not in ("asc", "desc"):
            expected = {"expected": "'asc' or 'desc'"}
            raise invalid("enum", [*loc, "order"], "Input should be 'asc' or 'desc'", order, ctx=expected)
        ways = [
            key for key in ("page_after_value", "page", "page_offset") if given.get(key) not in (None, "")
        ]
        if size == 0 and ways:
            message = f"Cannot specify {ways[0]} when page_size is set to 0"
            raise invalid("invalid_pagination", loc, message, given)
        if len(ways) > 1:
            raise invalid("invalid_pagination", loc, f"Cannot specify both {ways[0]} and {ways[1]}", given)
        order_by = given.get("order_by", "entry_id")
        if order_by not in quantities:
            raise unknown_quantity(str(order_by), ["pagination", "order_by"])
        offset = _whole(given, "page_offset", (_whole(given, "page", 1, least=1) - 1) * size, least=0)
        if offset + size > MAX_WINDOW:
            raise search_failed(
                "Result window is too large, from + size must be less than or equal to: "
                f"[{MAX_WINDOW}] but was [{offset + size}]. "
                "See the scroll api for a more efficient way to request large data sets. "
                "This limit can be set by changing the [index.max_result_window] index level setting."
            )
        after = given.get("page_after_value") or None
        if after is not None and not isinstance(after, str):
            raise invalid("string_type", [*loc, "page_after_value"], "Input should be a valid string", after)
        fields, wanted = (0 if after is None else after.count(":") + 1), (1 if order_by == "entry_id" else 2)
        if after is not None and (fields == 1) != (wanted == 1):
            raise search_failed(f"search_after has {min(fields, 2)} value(s) but sort has {wanted}.")
        return cls(given, size, order_by, order == "desc", after, offset)


def _whole(given: dict[str, Any], key: str, default: int, *, least: int) -> int:
    value = given.get(key, default)
    loc = ["body", "pagination", key]
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid("int_type", loc, "Input should be a valid integer", value)
    if value < least:
        raise invalid(f"invalid_{key}", loc, f"{key} must be >= {least}", value)
    return value


@dataclass(frozen=True, slots=True)
class ResultPage:
    """One page of a result."""

    positions: Sequence[int]
    total: int
    next_after: str | None

    def echo(self, pagination: Pagination) -> dict[str, Any]:
        """Return the `pagination` of the answer."""
        echo = {
            "page_size": pagination.page_size,
            "order_by": pagination.order_by,
            "order": "desc" if pagination.descending else "asc",
            **pagination.given,
            "total": self.total,
        }
        return echo if self.next_after is None else echo | {"next_page_after_value": self.next_after}


class Listing:
    """Finds entries. Caches results by query, owner and user; bounds on ids cost two bisections."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._kept: OrderedDict[Any, Any] = OrderedDict()

    def page(self, query: Query, owner: str, user: str | None, pagination: Pagination) -> ResultPage:
        """Return one page.

        Once the result of the query is cached, the cost does not grow with the archive.
        """
        found, low, high = self._window(query, owner, user)
        total = high - low
        if pagination.order_by != "entry_id":
            return self._by_quantity(query, owner, user, pagination)
        ids, size = self._corpus.ids, pagination.page_size
        if pagination.descending:
            if pagination.after is not None:
                high = bisect_left(found, pagination.after, low, high, key=ids.__getitem__)
            end = max(high - pagination.offset, low)
            positions = found[max(end - size, low) : end][::-1]
        else:
            if pagination.after is not None:
                low = bisect_right(found, pagination.after, low, high, key=ids.__getitem__)
            start = min(low + pagination.offset, high)
            positions = found[start : min(start + size, high)]
        more = _names_cursor(len(positions), total, size)
        return ResultPage(positions, total, ids[positions[-1]] if more else None)

    def sees(self, i: int, user: str | None) -> bool:
        """Whether the entry is visible to the user."""
        return self._belongs(i, "visible", user)

    def _window(self, query: Query, owner: str, user: str | None) -> tuple[Sequence[int], int, int]:
        """Sorted positions, and the part of them that is the result."""
        parts = split(query)
        ids = self._corpus.ids
        if parts.ids is not None:
            found: Sequence[int] = self._among(parts.ids, parts.rest, owner, user)
        else:
            found = self._matching(parts.rest, owner, user)
        low, high = 0, len(found)
        for op, bound in parts.bounds:
            bisect = bisect_right if op in ("gt", "lte") else bisect_left
            at = bisect(found, bound, key=ids.__getitem__)
            low, high = (max(low, at), high) if op in ("gt", "gte") else (low, min(high, at))
        return found, low, max(low, high)

    def _among(self, ids: frozenset[str], rest: Query, owner: str, user: str | None) -> list[int]:
        found = (self._corpus.find(entry_id) for entry_id in sorted(ids))
        return [
            i for i in found if i is not None and self._belongs(i, owner, user) and self._matches(rest, i)
        ]

    def _belongs(self, i: int, owner: str, user: str | None) -> bool:
        return belongs(self._corpus.entries[i], owner, user)

    def _matching(self, query: Query, owner: str, user: str | None) -> Sequence[int]:
        visible = self._visible(owner, user)
        if query == EVERYTHING:
            return visible
        key = (query, owner, user)
        if key not in self._kept:
            self._keep(key, [i for i in visible if self._matches(query, i)])
        return self._recall(key)

    def _matches(self, query: Query, i: int) -> bool:
        return query.matches(partial(self._values, i))

    def _values(self, i: int, name: str) -> list[Any]:
        if name == "entry_id":
            return [self._corpus.ids[i]]
        if name == "upload_id":
            return [self._corpus.entries[i].upload_id]
        own = plugin_path(name)
        if own is not None:
            return self._corpus.plugin_values(i, *own)
        return self._corpus.values(i, name)

    def _visible(self, owner: str, user: str | None) -> Sequence[int]:
        # The list of public entries is the largest, and the same for all users.
        user = None if owner == "public" else user
        key = ("visible", owner, user)
        if key not in self._kept:
            self._keep(key, self._corpus.visible(owner, user))
        return self._recall(key)

    def _by_quantity(self, query: Query, owner: str, user: str | None, pagination: Pagination) -> ResultPage:
        keys, positions = self._ordered(query, owner, user, pagination.order_by)
        total, size = len(positions), pagination.page_size
        low, high = 0, total
        if pagination.after is not None:
            value, _, entry_id = pagination.after.rpartition(":")
            cursor = (0, _as_key(keys, value), entry_id)
            if pagination.descending:
                high = bisect_left(keys, cursor)
            else:
                low = bisect_right(keys, cursor)
        if pagination.descending:
            end = max(high - pagination.offset, 0)
            at = list(range(max(end - size, low), end))[::-1]
        else:
            at = list(range(low + pagination.offset, min(low + pagination.offset + size, high)))
        more = _names_cursor(len(at), total, size)
        following = f"{keys[at[-1]][1]}:{keys[at[-1]][2]}" if more else None
        return ResultPage([positions[k] for k in at], total, following)

    def _ordered(self, query: Query, owner: str, user: str | None, name: str) -> tuple[list[Any], list[int]]:
        """Return sorted keys (missing, value, id), with missing values last, and their positions."""
        key = ("ordered", query, owner, user, name)
        if key not in self._kept:
            found, low, high = self._window(query, owner, user)
            rows = []
            for i in found[low:high]:
                value = min((x for x in self._values(i, name) if not isinstance(x, dict)), default=None)
                missing = value is None
                rows.append(((int(missing), "" if missing else value, self._corpus.ids[i]), i))
            rows.sort()
            self._keep(key, ([row[0] for row in rows], [row[1] for row in rows]))
        ordered: tuple[list[Any], list[int]] = self._recall(key)
        return ordered

    def _keep(self, key: Any, value: Any) -> None:
        self._kept[key] = value
        if len(self._kept) > KEPT_RESULTS:
            self._kept.popitem(last=False)

    def _recall(self, key: Any) -> Any:
        self._kept.move_to_end(key)
        return self._kept[key]


def _names_cursor(rows: int, total: int, size: int) -> bool:
    """True if the answer has a next cursor: a full page has one, even the last, unless it holds the whole
    result."""
    return 0 < rows < total and rows >= size


def _as_key(keys: list[Any], value: str) -> Any:
    """Convert the text of a cursor to the type of the quantity."""
    if not keys or isinstance(keys[0][1], str):
        return value
    try:
        return float(value)
    except ValueError:
        raise Refused(400, f"The page_after_value {value} is not a number") from None
