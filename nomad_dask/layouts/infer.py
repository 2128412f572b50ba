"""Type inference: the narrowest type that holds all sampled values of each column of the wide layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nomad_dask.common import types
from nomad_dask.layouts.column_limit import ColumnLimit
from nomad_dask.layouts.walk import Level, is_empty, walk
from nomad_dask.request.required import Required

MOST_NAMES = 2_000_000
"""Maximum number of names whose types are inferred, to bound memory; `Kinds.skipped` counts the names beyond
it."""


def kinds_of(samples: Iterable[Mapping[str, Any]], required: Required) -> dict[str, str]:
    """The type of each name in the samples, in order of first occurrence. Cost: one walk over the samples.

    The type is `null` or `list<null>` for a name with only nulls and empty lists.
    """
    kinds = Kinds(required)
    kinds.add(samples)
    return kinds.found()


class Kinds:
    """The types of names: of the first `MOST_NAMES`, and of names with `is_known` up to twice that number."""

    def __init__(self, required: Required, *, is_known: Callable[[str], bool] | None = None) -> None:
        self._columns: list[_ObservedKind] = []
        self._is_known = is_known or (lambda name: False)
        self._root = Level(required.root, self._column)
        self._other = _ObservedKind("")
        self.skipped = 0

    def _column(self, name: str) -> _ObservedKind:
        column, n = _ObservedKind(name), len(self._columns)
        if n < MOST_NAMES or (n < 2 * MOST_NAMES and self._is_known(name)):
            self._columns.append(column)
            return column
        self.skipped += 1
        return self._other

    def add(self, samples: Iterable[Mapping[str, Any]]) -> None:
        """Include more archives."""
        for archive in samples:
            walk(archive, self._root, _observe)

    def found(self) -> dict[str, str]:
        """The types so far, as `kinds_of` returns them."""
        return {column.name: column.kind for column in self._columns if column.kind}

    def within(
        self, archives: Callable[[], Iterable[Mapping[str, Any]]], limit: ColumnLimit
    ) -> tuple[dict[str, str], int]:
        """The types of the names that the limit allows, and the number of names left out.

        `archives` returns the archives that were added, for a second walk if there are too many names.
        """
        found = self.found()
        if limit.allows(len(found)):
            return found, self.skipped
        kept = limit.choose(self.filled(archives()), str)
        return {name: found[name] for name in found if name in kept}, len(found) - len(kept) + self.skipped

    def filled(self, archives: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        """Number of these archives, all added before, in which each name has a value other than null."""
        for column in self._columns:
            column.n = 0
        for archive in archives:
            walk(archive, self._root, _count)
        return {column.name: column.n for column in self._columns if column.kind}


def kinds_within(
    archives: Callable[[], Iterable[Mapping[str, Any]]], limit: ColumnLimit
) -> tuple[dict[str, str], int]:
    """The types of the names in all archives that the limit allows, and the number of names left out."""
    kinds = Kinds(limit.required, is_known=limit.known_name_test())
    kinds.add(archives())
    return kinds.within(archives, limit)


class _ObservedKind:
    """The type of the values under one name, and their number."""

    __slots__ = ("kind", "n", "name")

    def __init__(self, name: str) -> None:
        self.name, self.kind, self.n = name, "", 0


def _observe(column: _ObservedKind, value: Any) -> None:
    kind = types.type_of(value)
    if kind != column.kind:
        column.kind = types.join(column.kind, kind) if column.kind else kind


def _count(column: _ObservedKind, value: Any) -> None:
    column.n += not is_empty(value)
