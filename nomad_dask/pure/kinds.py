"""Owns what samples say of the types of columns: for each name of the wide layout the narrowest that holds all (SPEC 7).

The rule is that of `leaves`; here each value costs a look-up, and only what is new to its column is looked at closely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from nomad_dask.pure import types
from nomad_dask.pure.leaves import is_numbered, is_void
from nomad_dask.pure.levels import Level
from nomad_dask.pure.required import Leaf, Node, Required, prune


def kinds_of(samples: Iterable[Mapping[str, Any]], required: Required) -> dict[str, str]:
    """The type of each name that the samples have, in the order in which they were met; `null` and `list<null>` where
    nothing but nulls and empty lists was seen. Cost: one walk over the samples."""
    kinds = Kinds(required)
    kinds.add(samples)
    return kinds.found()


class Kinds:
    """The types of all names that were seen so far."""

    def __init__(self, required: Required) -> None:
        self._seen: list[_Seen] = []
        self._root = Level("", required.root, self._compile)

    def _compile(self, name: str, node: Node | None) -> _Seen:
        self._seen.append(_Seen(name, node))
        return self._seen[-1]

    def add(self, samples: Iterable[Mapping[str, Any]]) -> None:
        """Look at more archives."""
        for archive in samples:
            _walk(archive, self._root)

    def found(self) -> dict[str, str]:
        """As `kinds_of`."""
        return {seen.name: seen.kind for seen in self._seen if seen.kind is not None}


class _Seen:
    """What was seen under one name."""

    __slots__ = ("classes", "elements", "has_int", "kind", "name", "node")

    def __init__(self, name: str, node: Node | None) -> None:
        self.name, self.node = name, node
        self.kind: str | None = None
        self.has_int = node is None
        self.classes = set(_SCALARS) if node is None else set()
        """Whose values say nothing new."""
        self.elements: tuple[set[type], set[type]] = set(), set()
        """Classes that were in lists of scalars, and in lists of those."""

    def add(self, value: Any) -> None:
        """Look at a value that is no section."""
        if self.node is None:
            return
        if not isinstance(self.node, Leaf):
            if is_void(value):
                return
            value = prune(value, self.node)
        kind = types.type_of(value)
        self.kind = kind if self.kind is None or self.kind == kind else types.join(self.kind, kind)
        if kind == types.INT:
            self.has_int = True
        elif type(value) in _SCALARS:
            self.classes.add(type(value))
        elif type(value) is list:
            classes = set(map(type, value))
            if classes == _LISTS:
                deeper = set(map(type, chain.from_iterable(value)))
                self.elements[1].update(deeper if deeper <= _SCALARS else ())
            elif classes <= _SCALARS:
                self.elements[0].update(classes)

    def knows(self, cell: list[Any]) -> bool:
        """Whether a list says nothing new, as far as that is quickly told."""
        if type(cell[0]) is not list:
            return self.elements[0].issuperset(map(type, cell))
        known = self.elements[1]
        return (
            bool(known)
            and _LISTS.issuperset(map(type, cell))
            and known.issuperset(map(type, chain.from_iterable(cell)))
        )


_SCALARS = frozenset({str, float, bool, type(None)})
_LISTS = {list}


def _walk(section: Mapping[str, Any], level: Level[_Seen]) -> None:
    slots, sections = level.slots, level.sections
    for key, value in section.items():
        kind = type(value)
        if kind is dict:
            below = sections[key]
            if below is not None:
                _walk(value, below)
            continue
        seen = slots[key]
        if kind in seen.classes or (kind is int and seen.has_int and -_PAST <= value < _PAST):
            continue
        if kind is not list:
            seen.add(value)
        elif value and type(value[0]) is dict and is_numbered(value):
            below = sections[key]
            if below is not None:
                for number, item in enumerate(value):
                    _walk(item, below.sections[number])
        elif value and not seen.knows(value):
            seen.add(value)


_PAST = 2**63
