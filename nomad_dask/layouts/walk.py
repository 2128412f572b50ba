"""The names and values of the wide layout: the one walk that types are found, values counted and columns
filled with.

Keys of sections are joined with dots, and a list of only sections is numbered. Every other value below a
required leaf is one cell, except empty lists. A value above the leaves is a cell if it is a reference: its
required part, unless that is null. A `Level` keeps the column of each key of a section, so that a name is
built once for all archives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from nomad_dask.common import paths
from nomad_dask.request.required import Node, Required, RequiredLeaf, prune

Column = TypeVar("Column")


class Level(Generic[Column]):
    """One section of the walk: the columns and the levels below, made when a key first occurs."""

    __slots__ = ("below", "cells", "make", "node", "prefix")

    def __init__(self, node: Node, make: Callable[[str], Column], prefix: str = "") -> None:
        self.node, self.make, self.prefix = node, make, prefix
        self.cells: dict[str, tuple[Node, Column] | None] = {}
        """The required node and the column of each key; None if it is not required."""
        self.below: dict[str | int, Level[Column] | None] = {}

    def cell(self, key: str) -> tuple[Node, Column] | None:
        """The required node of a key, and the column of its full name."""
        node = self.node.child(key)
        self.cells[key] = found = None if node is None else (node, self.make(self.prefix + paths.escape(key)))
        return found

    def section(self, key: str | int) -> Level[Column] | None:
        """The level below a key, or below a number of a repeating section."""
        node = self.node.child(key) if type(key) is str else self.node
        prefix = f"{self.prefix}{paths.escape(str(key))}."
        self.below[key] = found = None if node is None else Level(node, self.make, prefix)
        return found


def walk(section: Mapping[str, Any], level: Level[Column], visit: Callable[[Column, Any], None]) -> None:
    """Call `visit` with the column and the value of each cell of a section."""
    cells, below = level.cells, level.below
    for key, value in section.items():
        kind = type(value)
        if kind is dict:
            inner = below[key] if key in below else level.section(key)
            if inner is not None:
                walk(value, inner, visit)
        elif kind is list and is_numbered(value):
            inner = below[key] if key in below else level.section(key)
            if inner is not None:
                for number, item in enumerate(value):
                    numbered = inner.below[number] if number in inner.below else inner.section(number)
                    walk(item, numbered, visit)  # type: ignore[arg-type]
        elif kind is not list or value:
            cell = cells[key] if key in cells else level.cell(key)
            if cell is None:
                continue
            node, column = cell
            if type(node) is not RequiredLeaf:
                if is_empty(value):
                    continue
                value = prune(value, node)
            visit(column, value)


def leaves(archive: Mapping[str, Any], required: Required) -> Iterator[tuple[str, Any]]:
    """Each column name of an archive with its value: a scalar, null, or a list."""
    found: list[tuple[str, Any]] = []
    walk(archive, Level(required.root, str), lambda name, value: found.append((name, value)))
    return iter(found)


def is_numbered(value: Any) -> bool:
    """True for a repeating section: a non-empty list of dicts only."""
    return type(value) is list and bool(value) and type(value[0]) is dict and set(map(type, value)) == {dict}


def is_empty(value: Any) -> bool:
    """True for null and for lists of only nulls, which are ignored above a required leaf."""
    return value is None or (type(value) is list and all(item is None for item in value))
