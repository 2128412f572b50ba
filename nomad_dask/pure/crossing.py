"""Owns the way from archives to a required leaf, of the vectors that nested columns are built of (SPEC 6)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa

from nomad_dask.pure.assembly import EMPTY, Assembler, Lists, assembler
from nomad_dask.pure.places import Place
from nomad_dask.pure.required import Leaf, Node, Required, Section
from nomad_dask.pure.shapes import Shape
from nomad_dask.pure.tables import Way


def required_part(archive: Any, required: Required) -> Any:
    """What an archive holds at and below the required leaves, and the references above; `{}` for nothing.

    A section above the leaves that holds nothing required is left out, as a null is there; in a list both keep their
    place, as `{}` and null. An empty list stays. What leads to no leaf (`{"run": {}}`) requires nothing.
    """
    return part_of(archive, asked(required))


def part_of(value: Any, node: Node) -> Any:
    """What a value holds of what is required of it."""
    if isinstance(node, Leaf):
        return value
    if value is None:
        return {}
    if type(value) is list:
        return [None if item is None else part_of(item, node) for item in value]
    if type(value) is not dict:
        return value
    kept = {}
    for key, item in value.items():
        child = node.child(key)
        if child is not None:
            part = part_of(item, child)
            if isinstance(child, Leaf) or part != {}:
                kept[key] = part
    return kept


def asked(required: Required) -> Section:
    """The tree less the sections that lead to no leaf."""
    return _leading(required.root) or Section()


def _leading(node: Section) -> Section | None:
    named = {
        key: _leading(child) if isinstance(child, Section) else child for key, child in node.named.items()
    }
    rest = _leading(node.rest) if isinstance(node.rest, Section) else node.rest
    return Section(named, rest) if rest or any(named.values()) else None


def _nodes(root: Node, way: Way) -> list[Node | None]:
    """What is required at each section on the way, from the archive down."""
    nodes: list[Node | None] = [root]
    for key in way.keys:
        node = nodes[-1]
        nodes.append(None if node is None else node.child(key))
    return nodes


def along(
    required: Required, way: Way, shape: Shape, crossed: tuple[int, ...], arrow: pa.DataType
) -> Assembler:
    """The assembler of a required path's column, from archives to an array of this type."""
    nodes = [node for node in _nodes(asked(required), way) if node is not None]
    alone = [node for node in _nodes(asked(way.required), way) if node is not None]
    if len(nodes) <= len(way.keys) or len(alone) <= len(way.keys):
        return Nothing(arrow)
    parts = [partial(part_of, node=node) for node in nodes]
    levels = [arrow]
    for _ in crossed:
        levels.append(levels[-1].value_type)
    found = assembler(shape, levels.pop())
    if way.is_open:
        found = Open(found, partial(part_of, node=alone[-1]), parts[-1])
    for place in reversed(range(len(way.keys))):
        if place in crossed:
            found = Crossed(found, levels.pop(), parts[place + 1])
        is_last = place + 1 == len(way.keys) and not way.is_open
        found = Through(way.keys[place], found, parts[place], is_last=is_last)
    return found


class Through:
    """One key on the way to a required leaf: dicts go in, what stands under the key comes out."""

    absent = None

    def __init__(
        self, key: str, below: Assembler, above_leaf: Callable[[Any], Any], *, is_last: bool
    ) -> None:
        self._key, self._below, self._part, self._is_last = key, below, above_leaf, is_last

    def build(self, values: list[Any], place: Place) -> pa.Array:
        """A reference as its string is told of; sections that lack the key, and null, are null."""
        if set(map(type, values)) != {dict}:
            values = _on_the_way(values, dict, EMPTY, place, self._part)
        key, under, absent = self._key, place.under(self._key), self._below.absent
        cells = self._below.build([section.get(key, absent) for section in values], under)
        if self._is_last and absent is None and cells.null_count:
            for position, section in enumerate(values):
                if key in section and section[key] is None:
                    under.odd(position, None, is_new=False)
        return cells


class Crossed:
    """A list on the way to a required leaf."""

    absent = None

    def __init__(self, item: Assembler, arrow: pa.DataType, above_leaf: Callable[[Any], Any]) -> None:
        self._lists, self._part = Lists(item, arrow, tell_nulls=True), above_leaf

    def build(self, values: list[Any], place: Place) -> pa.Array:
        """Positions are kept. A null in a list is told of: the array has null for a section without the key too."""
        if set(map(type, values)) != {list}:
            values = _on_the_way(values, list, None, place, self._part)
        return self._lists.build(values, place)


class Open:
    """The end of a way at a `*`: the section, less what was not asked for."""

    absent = None

    def __init__(
        self, below: Assembler, asked: Callable[[Any], Any], above_leaf: Callable[[Any], Any]
    ) -> None:
        self._below, self._asked, self._part = below, asked, above_leaf

    def build(self, values: list[Any], place: Place) -> pa.Array:
        """A section that holds nothing required is null."""
        values = _on_the_way(values, dict, EMPTY, place, self._part)
        absent = self._below.absent
        return self._below.build([self._asked(section) or absent for section in values], place)


class Nothing:
    """A path that leads nowhere: what the server itself adds is never a column."""

    absent = None

    def __init__(self, arrow: pa.DataType) -> None:
        self._arrow = arrow

    def build(self, values: list[Any], place: Place) -> pa.Array:
        """Nulls."""
        return pa.nulls(len(values), self._arrow)


def _on_the_way(
    values: list[Any], kind: type, instead: Any, place: Place, part: Callable[[Any], Any]
) -> list[Any]:
    """The values of the class that the way goes through; what else says something is told of."""
    for position, value in enumerate(values):
        if type(value) is not kind and value is not None:
            held = part(value)
            if held != {}:
                # A reference that could not be resolved is expected here.
                place.odd(position, held, is_new=type(held) is not str)
    return [value if type(value) is kind else instead for value in values]
