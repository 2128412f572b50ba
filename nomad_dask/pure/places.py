"""Owns where the values of a vector stand: the row and the keys of each, reckoned back only for what does not fit."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

Tell = Callable[[int, tuple[str, ...], Any, bool], None]
"""Takes the row, keys and value of what does not fit, and whether it is outside the schema (a null is not)."""


class Place:
    """Where the values of one vector stand: under a key of the dicts above, or in the lists above."""

    __slots__ = ("_above", "_key", "_picks", "_starts", "_tell", "n_odd")

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._above: Place | None = None
        self._key: str | None = None
        self._picks: Sequence[int] | None = None
        self._starts: Sequence[int] | None = None
        self.n_odd = 0

    def under(self, key: str) -> Place:
        """What stands under a key of each."""
        below = self._below()
        below._key = key
        return below

    def picked(self, picks: Sequence[int]) -> Place:
        """Some of them, by their positions."""
        below = self._below()
        below._picks = picks
        return below

    def items(self, starts: Sequence[int]) -> Place:
        """The items of each, which begin at these positions."""
        below = self._below()
        below._starts = starts
        return below

    def odd(self, position: int, value: Any, *, is_new: bool = True) -> None:
        """Tell of a value that does not fit."""
        self.n_odd += 1
        row, keys = self._find(position)
        self._tell(row, keys, value, is_new)

    def only(self, kind: type, values: list[Any]) -> list[Any]:
        """The values of a class, null for the others, which are told of."""
        for position, value in enumerate(values):
            if type(value) is not kind and value is not None:
                self.odd(position, value)
        return [value if type(value) is kind else None for value in values]

    def _below(self) -> Place:
        below = Place(self._tell)
        below._above = self
        return below

    def _find(self, position: int) -> tuple[int, tuple[str, ...]]:
        keys = []
        place = self
        while place._above is not None:
            if place._key is not None:
                keys.append(place._key)
            elif place._picks is not None:
                position = place._picks[position]
            elif place._starts is not None:
                number = bisect_right(place._starts, position) - 1
                keys.append(str(position - place._starts[number]))
                position = number
            place = place._above
        return position, tuple(reversed(keys))
