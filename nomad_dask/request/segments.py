"""Segments of the entry list: intervals `after < entry_id <= upto` in the byte order of ids, and the plan.

Entry ids are 28 characters of a 64-letter alphabet, uniformly distributed, so the id space is cut by
arithmetic. A bound need not be the id of an entry: the server accepts any string as a cursor. `Density` holds
counts of a few ranges, from which segments of nearly equal size are computed.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import orjson

from nomad_dask.common import stored_fields
from nomad_dask.text.humanize import count, counted

ALPHABET = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_VALUE = {letter: value for value, letter in enumerate(ALPHABET)}
_BITS = 6
_DEPTH = 16
_SPACE = 1 << (_BITS * _DEPTH)
"""Bounds have up to 16 characters: 2**96 positions, many more than an archive has entries."""


def position(bound: str) -> int:
    """The position of a cursor in the id space, from 0 to 2**96; 0 for the empty string.

    Monotonic: `a <= b` implies `position(a) <= position(b)`, also for strings with other characters.
    """
    found = 0
    for depth, letter in enumerate(bound[:_DEPTH], start=1):
        if letter not in _VALUE:
            return (found << _BITS) + bisect_left(ALPHABET, letter) << _BITS * (_DEPTH - depth)
        found = found << _BITS | _VALUE[letter]
    return found << _BITS * max(0, _DEPTH - len(bound))


def bound_at(position: int) -> str:
    """The shortest cursor at a position in the id space; the inverse of `position`."""
    if not 0 < position < _SPACE:
        raise ValueError(f"position must be between 1 and 2**96 - 1 (got {position})")
    letters = [ALPHABET[position >> _BITS * level & 63] for level in reversed(range(_DEPTH))]
    return "".join(letters).rstrip(ALPHABET[0]) or ALPHABET[0]


@dataclass(frozen=True, slots=True)
class Segment:
    """An interval of entry ids: `after < entry_id <= upto`, compared as bytes."""

    after: str = ""
    """Exclusive lower bound; empty for the first entry."""
    upto: str = ""
    """Inclusive upper bound; empty for the last entry."""
    size: int | None = None
    """Number of entries: exact in an exact plan, otherwise an estimate; None if unknown."""

    def __contains__(self, entry_id: str) -> bool:
        return (not self.after or self.after < entry_id) and (not self.upto or entry_id <= self.upto)

    def bounds(self) -> dict[str, str]:
        """The segment as a range of the server's query language; empty if it is unbounded."""
        return ({"gt": self.after} if self.after else {}) | ({"lte": self.upto} if self.upto else {})

    def within(self, query: dict[str, Any]) -> dict[str, Any]:
        """The user's query combined with the bounds of this segment."""
        return both(query, {"entry_id": self.bounds()} if self.bounds() else {})

    def __str__(self) -> str:
        return f"({self.after or 'start'}, {self.upto or 'end'}]"


def both(query: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The conjunction of two queries, of which either may be empty."""
    if not query or not other:
        return query or other
    return {"and": [query, other]}


@dataclass(frozen=True, slots=True)
class Density:
    """The distribution of entries: counts of consecutive ranges, assumed uniform within each."""

    bounds: tuple[str, ...]  # the bounds of the ranges `(bounds[i], bounds[i+1]]`; "" at either end is open
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Number of entries in all ranges."""
        return sum(self.counts)

    def positions(self) -> list[int]:
        """The positions of the bounds; an open upper end is the end of the id space."""
        last = len(self.bounds) - 1
        return [position(b) if b or i < last else _SPACE for i, b in enumerate(self.bounds)]

    def halves(self, ranges: Iterable[int], *, min_count: int, limit: int) -> dict[int, str]:
        """The middle bounds of up to `limit` ranges with more than `min_count` entries, the fullest first."""
        largest = sorted((i for i in ranges if self.counts[i] > min_count), key=lambda i: -self.counts[i])
        middles = {i: even_bounds(self.bounds[i], self.bounds[i + 1], 2) for i in largest[: max(0, limit)]}
        return {i: middle[1] for i, middle in middles.items() if len(middle) == 3}

    def halved(self, middles: Mapping[int, str], lower: Iterable[int]) -> tuple[Density, list[int]]:
        """The density with ranges halved at `middles`, and the new ranges to halve again.

        `lower` has the counts of the lower halves. Halves of a range that was not uniform are halved again.
        The archive may shrink between the counts, so counts are limited to 0.
        """
        below = dict(zip(middles, lower, strict=True))
        bounds, counts, to_halve = [self.bounds[0]], list[int](), list[int]()
        for i, n in enumerate(self.counts):
            if i in below:
                if uneven(below[i], n):
                    to_halve += [len(counts), len(counts) + 1]
                bounds.append(middles[i])
                counts += [below[i], max(0, n - below[i])]
            else:
                counts.append(n)
            bounds.append(self.bounds[i + 1])
        return Density(tuple(bounds), tuple(counts)), to_halve

    def cut(self, n: int) -> tuple[Segment, ...]:
        """Cut into at most `n` segments with nearly equal counts.

        Bounds inside a range are interpolated. There are never more segments than entries, and a range
        without entries is not a segment of its own.
        """
        n = max(1, min(n, self.total))
        positions, inner = self.positions(), list[int]()
        done, at = 0, 0
        for k in range(1, n):
            target = self.total * k / n
            while done + self.counts[at] < target:
                done += self.counts[at]
                at += 1
            low, high = positions[at], positions[at + 1]
            cut = low + round((high - low) * ((target - done) / self.counts[at]))
            if positions[0] < cut < positions[-1] and (not inner or cut > inner[-1]):
                inner.append(cut)
        cuts = [self.bounds[0], *map(bound_at, inner), self.bounds[-1]]
        return segments_between(cuts, spread(self.total, len(cuts) - 1))


def spread(total: int, n: int) -> list[int]:
    """Divide `total` into `n` integers that differ by at most 1, the larger ones first."""
    return [total // n + (i < total % n) for i in range(n)]


def uneven(lower: int, whole: int) -> bool:
    """True if a range of `whole` entries with `lower` in its lower half is uneven: by over 5% and 4 sigma.

    Ids are hashes, so the count in the lower half of a uniform range is binomial.
    """
    return abs(2 * lower - whole) > max(0.05 * whole, 4 * math.sqrt(whole))


def segments_between(bounds: Sequence[str], sizes: Sequence[int | None]) -> tuple[Segment, ...]:
    """Consecutive segments between ascending bounds."""
    return tuple(Segment(a, b, s) for a, b, s in zip(bounds[:-1], bounds[1:], sizes, strict=True))


def even_bounds(after: str, upto: str, n: int) -> tuple[str, ...]:
    """Bounds that cut `(after, upto]` into at most `n` ranges of equal width in the id space."""
    low, high = position(after), position(upto) if upto else _SPACE
    inner = sorted({low + (high - low) * k // n for k in range(1, n)} - {low, high, 0})
    return (after, *map(bound_at, inner), upto)


def cut_ids(ids: Sequence[str], n: int, after: str = "", upto: str = "") -> tuple[Segment, ...]:
    """Cut sorted ids into at most `n` segments with equal numbers of ids."""
    n = max(1, min(n, len(ids)))
    sizes = spread(len(ids), n)
    ends = [ids[at - 1] for at in accumulate(sizes[:-1])]
    return segments_between([after, *ends, upto], sizes)


@dataclass(frozen=True, slots=True)
class Cap:
    """A `results_max` that is below the number of matching entries."""

    results_max: int
    matched: int
    """Number of entries that match the query."""

    def __str__(self) -> str:
        limit = self.results_max
        return f"{count(limit)} of {count(self.matched)} that match: results_max={limit}"


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """The segments of a query with their sizes. A plain value, without a connection."""

    segments: tuple[Segment, ...]
    total: int
    """Number of entries in the plan."""
    exact: bool = False
    """True if the sizes of segments are exact, False if they are estimated from counts of ranges."""
    matched: int | None = field(default=None)
    """Number of entries that match the query, after the cursor `after`."""
    left_out: int = 0
    """Number of columns above `max_columns`, whose values go to `_more`."""
    results_max: int | None = None
    """Maximum number of entries, if one was given."""

    @property
    def cap(self) -> Cap | None:
        """The maximum and the number of matching entries, if the maximum excludes some."""
        if self.results_max is None or self.matched is None or self.matched <= self.results_max:
            return None
        return Cap(self.results_max, self.matched)

    def __len__(self) -> int:
        return len(self.segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __dask_tokenize__(self) -> tuple[str, bytes]:
        """One JSON text, because Dask hashes a plan often and is slow with many segments."""
        return "plan", orjson.dumps(self.to_json())

    def holding(self, entry_id: str) -> int:
        """The number of the segment that contains an id, which must be within the plan's bounds."""
        return bisect_left(self.segments, entry_id, hi=len(self) - 1, key=lambda segment: segment.upto)

    def exact_size(self, number: int) -> int | None:
        """The exact number of entries in a segment; None if it is estimated."""
        return self.segments[number].size if self.exact else None

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON; the inverse of `Plan.from_json`."""
        rows = [[s.after, s.upto, s.size] for s in self.segments]
        left_out = {"left_out": self.left_out} if self.left_out else {}
        facts = {"total": self.total, "exact": self.exact, "matched": self.matched}
        results_max = {} if self.results_max is None else {"results_max": self.results_max}
        return {**facts, **left_out, **results_max, "segments": rows}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Plan:
        """A plan from the JSON of `to_json`. Raises FieldError if it is invalid."""
        stored = stored_fields.fields(tree, "plan")
        segments = stored.get("segments", stored_fields.items(_segment))
        if not segments:
            raise stored_fields.FieldError("plan.segments must not be empty")
        for number, (one, next_one) in enumerate(pairwise(segments)):
            if one.upto != next_one.after or not one.upto:
                raise stored_fields.FieldError(
                    f"plan.segments[{number + 1}] must begin at the end of the previous segment"
                )
        return cls(
            segments,
            stored.get("total", stored_fields.whole),
            stored.get("exact", stored_fields.flag),
            stored.get("matched", stored_fields.optional(stored_fields.whole), default=None),
            stored.get("left_out", stored_fields.whole, default=0),
            stored.get("results_max", stored_fields.optional(stored_fields.whole), default=None),
        )

    def _repr_html_(self) -> str:
        """The plan in a notebook: a table of the first and last segments."""
        from nomad_dask.text.html import rows_card

        rows = [(n, s.after or "start", s.upto or "end", s.size) for n, s in enumerate(self.segments)]
        return rows_card(f"Plan: {self}", ("segment", "after", "up to", "entries"), rows, of="segment")

    def __repr__(self) -> str:
        return f"<Plan: {self}>"

    def __str__(self) -> str:
        summary = f"{counted(self.total, 'entry', 'entries')} in {counted(len(self), 'segment')}"
        if self.cap is not None:
            summary = f"{summary} ({self.cap})"
        sizes = {s.size for s in self.segments if s.size is not None}
        if len(self) == 1 or not sizes:
            return summary
        each = " to ".join(map(count, sorted({min(sizes), max(sizes)})))
        return f"{summary} of {each} entries{'' if self.exact else ' (estimated)'}"


def _segment(value: Any, name: str) -> Segment:
    if type(value) is not list or len(value) != 3:
        stored_fields.refuse(value, name, "a list of two bounds and a size")
    after, upto, size = value
    known = size is None or (type(size) is int and size >= 0)
    if type(after) is not str or type(upto) is not str or not known:
        stored_fields.refuse(value, name, "a list of two bounds and a size")
    return Segment(after, upto, size)
