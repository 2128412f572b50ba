"""Owns the id space: the byte order of entry ids, the interval `after < entry_id <= upto`, cuts, and the plan.

Entry ids are 28 characters of a 64-letter alphabet and uniformly spread (SPEC 1), so the space between two
bounds is cut by arithmetic. A bound need not be the id of an entry (`nomad_api.md`: any string is a cursor).
How dense the space really is comes in as counts of a few ranges (`Density`); the cut follows the counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from .amounts import count, counted

ALPHABET = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_VALUE = {letter: value for value, letter in enumerate(ALPHABET)}
_BITS = 6
_DEPTH = 16
_SPACE = 1 << (_BITS * _DEPTH)
"""Bounds are cut 16 letters deep: 2**96 places, far finer than any archive is dense."""


def position(bound: str) -> int:
    """The place of a cursor in the id space, 0 to 2**96; the empty string is the beginning.

    Keeps the order of cursors: `a <= b` gives `position(a) <= position(b)`, also for strings with other letters.
    """
    place = 0
    for depth, letter in enumerate(bound[:_DEPTH], start=1):
        if letter not in _VALUE:
            return (place << _BITS) + bisect_left(ALPHABET, letter) << _BITS * (_DEPTH - depth)
        place = place << _BITS | _VALUE[letter]
    return place << _BITS * max(0, _DEPTH - len(bound))


def bound_at(place: int) -> str:
    """The shortest cursor at a place of the id space; the inverse of `position` for places inside it."""
    if not 0 < place < _SPACE:
        raise ValueError(f"no bound at {place}: outside the id space")
    letters = []
    for level in range(_DEPTH):
        letters.append(ALPHABET[place >> _BITS * (_DEPTH - 1 - level) & 63])
    return "".join(letters).rstrip(ALPHABET[0]) or ALPHABET[0]


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of the entry list in id order: `after < entry_id <= upto`, compared as bytes."""

    after: str = ""
    """Exclusive lower bound; empty: from the first entry."""
    upto: str = ""
    """Inclusive upper bound; empty: to the last entry."""
    size: int | None = None
    """How many entries, as planned: exact in an exact plan, else an estimate; None: not known."""

    def __contains__(self, entry_id: str) -> bool:
        return (not self.after or self.after < entry_id) and (not self.upto or entry_id <= self.upto)

    def bounds(self) -> dict[str, str]:
        """The segment as a range of the server's query language; empty when it is unbounded."""
        return ({"gt": self.after} if self.after else {}) | ({"lte": self.upto} if self.upto else {})

    def within(self, query: dict[str, Any]) -> dict[str, Any]:
        """The user's query, unaltered, and-ed with this segment's bounds (SPEC 1)."""
        return both(query, {"entry_id": self.bounds()} if self.bounds() else {})

    def __str__(self) -> str:
        return f"({self.after or 'start'}, {self.upto or 'end'}]"


def both(query: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Two queries and-ed; an empty one asks for nothing more."""
    if not query or not ours:
        return query or ours
    return {"and": [query, ours]}


@dataclass(frozen=True, slots=True)
class Density:
    """How entries are spread between two bounds: counts of consecutive ranges, taken as even inside each."""

    bounds: tuple[str, ...]
    """Inner bounds with both ends: ranges are `(bounds[i], bounds[i+1]]`; an end "" is open."""
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Entries in all ranges together."""
        return sum(self.counts)

    def places(self) -> list[int]:
        """The bounds as places of the id space, the open end being its end."""
        last = len(self.bounds) - 1
        return [position(b) if b or i < last else _SPACE for i, b in enumerate(self.bounds)]

    def halves(self, ranges: Iterable[int], *, least: int, most: int) -> dict[int, str]:
        """The middle bounds of the ranges that are worth counting again: of over `least` entries, the `most` fullest."""
        worth = sorted((i for i in ranges if self.counts[i] > least), key=lambda i: -self.counts[i])
        middles = {i: even_bounds(self.bounds[i], self.bounds[i + 1], 2) for i in worth[: max(0, most)]}
        return {i: middle[1] for i, middle in middles.items() if len(middle) == 3}

    def halved(self, middles: Mapping[int, str], lower: Iterable[int]) -> tuple[Density, list[int]]:
        """The density with these ranges halved, their `lower` halves counted; and its ranges that are in doubt now.

        In doubt is what came out of a range that was uneven. An archive that shrinks meanwhile counts nothing below 0.
        """
        below = dict(zip(middles, lower, strict=True))
        bounds, counts, doubtful = [self.bounds[0]], list[int](), list[int]()
        for i, n in enumerate(self.counts):
            if i in below:
                if uneven(below[i], n):
                    doubtful += [len(counts), len(counts) + 1]
                bounds.append(middles[i])
                counts += [below[i], max(0, n - below[i])]
            else:
                counts.append(n)
            bounds.append(self.bounds[i + 1])
        return Density(tuple(bounds), tuple(counts)), doubtful

    def cut(self, n: int) -> tuple[Segment, ...]:
        """At most `n` segments of near-equal counts, together exactly the density's interval.

        A bound falls on a range's bound or, by interpolation, inside a range. Never more segments than
        entries, and no range without entries gets a segment of its own.
        """
        n = max(1, min(n, self.total))
        places, inner = self.places(), list[int]()
        done, at = 0, 0
        for k in range(1, n):
            want = self.total * k / n
            while done + self.counts[at] < want:
                done += self.counts[at]
                at += 1
            low, high = places[at], places[at + 1]
            place = low + round((high - low) * ((want - done) / self.counts[at]))
            if places[0] < place < places[-1] and (not inner or place > inner[-1]):
                inner.append(place)
        cuts = [self.bounds[0], *map(bound_at, inner), self.bounds[-1]]
        return segments_between(cuts, spread(self.total, len(cuts) - 1))


def spread(total: int, n: int) -> list[int]:
    """`total` things in `n` shares as equal as whole numbers can be, larger shares first."""
    return [total // n + (i < total % n) for i in range(n)]


def uneven(lower: int, whole: int) -> bool:
    """Whether a range of `whole` entries with `lower` in its lower half is no even spread: by over 5% and chance.

    Ids are hashes, so the lower half of an even range is binomial; four standard deviations are beyond chance.
    """
    return abs(2 * lower - whole) > max(0.05 * whole, 4 * whole**0.5)


def segments_between(bounds: Sequence[str], sizes: Sequence[int | None]) -> tuple[Segment, ...]:
    """Consecutive segments between ascending bounds (the ends may be open)."""
    return tuple(Segment(a, b, s) for a, b, s in zip(bounds[:-1], bounds[1:], sizes, strict=True))


def even_bounds(after: str, upto: str, n: int) -> tuple[str, ...]:
    """Bounds that cut `(after, upto]` into at most `n` ranges of equal width in the id space."""
    low, high = position(after), position(upto) if upto else _SPACE
    places = sorted({low + (high - low) * k // n for k in range(1, n)} - {low, high, 0})
    return (after, *map(bound_at, places), upto)


def cut_ids(ids: Sequence[str], n: int, after: str = "", upto: str = "") -> tuple[Segment, ...]:
    """`n` segments of equal numbers of the given sorted ids (fewer where there are fewer ids): an exact cut."""
    n = max(1, min(n, len(ids)))
    sizes = spread(len(ids), n)
    ends, at = [], 0
    for size in sizes[:-1]:
        at += size
        ends.append(ids[at - 1])
    return segments_between([after, *ends, upto], sizes)


@dataclass(frozen=True, slots=True)
class Plan:
    """The segments of one query, with what is known of their sizes. A plain value: no session inside."""

    segments: tuple[Segment, ...]
    total: int
    """Entries that the plan covers."""
    exact: bool = False
    """Whether the segments' sizes were counted id by id (else estimated from counts of ranges)."""
    matched: int | None = field(default=None)
    """Entries that the whole query matches, where `results_max` or `after` leave some out."""

    def __len__(self) -> int:
        return len(self.segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __dask_tokenize__(self) -> tuple[str, bytes]:
        """Dask hashes a plan at every step of a computation: as one text it is done at once."""
        return "plan", orjson.dumps(self.to_json())

    def holding(self, entry_id: str) -> int:
        """The number of the segment that an id falls in; it must be within the plan's bounds."""
        return bisect_left(self.segments, entry_id, hi=len(self) - 1, key=lambda segment: segment.upto)

    def exact_size(self, number: int) -> int | None:
        """How many entries a segment holds, where that was counted; None where it is an estimate."""
        return self.segments[number].size if self.exact else None

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON; `Plan.from_json` gives it back."""
        rows = [[s.after, s.upto, s.size] for s in self.segments]
        return {"total": self.total, "exact": self.exact, "matched": self.matched, "segments": rows}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Plan:
        """A plan from what `to_json` gave."""
        segments = tuple(Segment(*row) for row in tree["segments"])
        return cls(segments, tree["total"], tree["exact"], tree.get("matched"))

    def _repr_html_(self) -> str:
        """The plan in a notebook: its segments, of many the first and the last."""
        from .cards import rows_card

        rows = [(n, s.after or "start", s.upto or "end", s.size) for n, s in enumerate(self.segments)]
        return rows_card(f"Plan: {self}", ("segment", "after", "up to", "entries"), rows, of="segment")

    def __str__(self) -> str:
        told = f"{counted(self.total, 'entry', 'entries')} in {counted(len(self), 'segment')}"
        sizes = {s.size for s in self.segments if s.size is not None}
        if len(self) == 1 or not sizes:
            return told
        each = " to ".join(map(count, sorted({min(sizes), max(sizes)})))
        return f"{told} of {each} entries{'' if self.exact else ' (estimated)'}"
