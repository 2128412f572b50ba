"""The cells of the nested layout: the value at the end of a required path, as the column's shape holds it.

A cell consists of dicts and lists as the shape has them. What it cannot hold is reported with its keys, and
null in the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from nomad_dask.common import paths, types
from nomad_dask.layouts.shapes import Cells, Shape, Struct
from nomad_dask.layouts.tables import RequiredPath
from nomad_dask.request.required import Node, Required, RequiredLeaf, RequiredSection

Keys: TypeAlias = tuple[Any, ...]
"""The keys of a value, from the last one up: `(((), "run"), "0")`. Cheap to extend for every value."""
End: TypeAlias = Callable[[Any, Keys], Any]
"""Makes a cell from a value at the keys."""
Report: TypeAlias = Callable[[Keys, Any, bool], None]
"""Called with the keys and value of a misfit, and True if it is outside the schema (a null is not)."""


def name_of(at: Keys) -> str:
    """The keys as a name of the wide layout."""
    keys = []
    while at:
        at, key = at
        keys.append(key)
    return paths.join(map(str, reversed(keys)))


def ignore(at: Keys, value: Any, is_new: bool) -> None:
    """Report nothing."""


def required_part(archive: Any, required: Required) -> Any:
    """The values of an archive at and below the required leaves, and references above them; `{}` if there are
    none.

    Sections without required values and nulls above the leaves are omitted; in lists they keep their position
    as `{}` and null. Empty lists are kept. Branches without a leaf (`{"run": {}}`) require nothing.
    """
    return part_of(archive, leading_tree(required))


def part_of(value: Any, node: Node) -> Any:
    """The required part of a value."""
    if isinstance(node, RequiredLeaf):
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
            if isinstance(child, RequiredLeaf) or part != {}:
                kept[key] = part
    return kept


def leading_tree(required: Required) -> RequiredSection:
    """The tree without sections that lead to no leaf."""
    return _leading(required.root) or RequiredSection()


def _leading(node: RequiredSection) -> RequiredSection | None:
    named = {
        key: _leading(child) if isinstance(child, RequiredSection) else child
        for key, child in node.named.items()
    }
    rest = _leading(node.rest) if isinstance(node.rest, RequiredSection) else node.rest
    return RequiredSection(named, rest) if rest or any(named.values()) else None


class ColumnCells:
    """The cells of one required path, of which the keys at `crossed` hold lists.

    `end` makes the cell of a value at the end of the path; `report` is for values above it.
    """

    def __init__(
        self,
        whole: RequiredSection,
        path: RequiredPath,
        crossed: Collection[int],
        end: End,
        report: Report = ignore,
    ) -> None:
        self._keys, self._is_open, self._crossed = path.keys, path.is_open, frozenset(crossed)
        self._end, self._report = end, report
        self._whole = _nodes(whole, path)
        """The required nodes on the path, from the archive down."""
        self._own = _nodes(leading_tree(path.required), path)[-1]
        """The required node at its end, of this path alone."""

    def cell(self, archive: Mapping[str, Any] | None) -> Any:
        """The cell of an archive; None if there is no value."""
        if self._own is None or self._whole[-1] is None:
            return None  # keys that the server adds are never a column
        return self._section(archive, 0, ())

    def _section(self, section: Any, place: int, at: Keys) -> Any:
        if type(section) is not dict:
            return self._above(section, place, at)
        if place == len(self._keys):
            part = part_of(section, self._own)
            return self._end(part, at) if part else None
        key = self._keys[place]
        if key not in section:
            return None
        value, at = section[key], (at, key)
        if place + 1 == len(self._keys) and not self._is_open:
            return self._end(value, at)
        if place not in self._crossed:
            return self._section(value, place + 1, at)
        if type(value) is not list:
            return self._above(value, place + 1, at)
        return [self._item(item, place + 1, (at, number)) for number, item in enumerate(value)]

    def _item(self, item: Any, place: int, at: Keys) -> Any:
        if item is None:  # a section without the next key is null too
            self._report(at, None, False)
        return self._section(item, place, at)

    def _above(self, value: Any, place: int, at: Keys) -> None:
        """Report a value where the path needs a section or a list; a reference that could not be resolved is
        not new."""
        if value is not None and (part := part_of(value, self._whole[place])) != {}:
            self._report(at, part, type(part) is not str)


def _nodes(root: Node, path: RequiredPath) -> list[Any]:
    """The required node at each key of the path, from the archive down; None if it is not required."""
    nodes: list[Node | None] = [root]
    for key in path.keys:
        node = nodes[-1]
        nodes.append(None if node is None else node.child(key))
    return nodes


def end_of(shape: Shape, report: Report) -> End:
    """Makes the cells at the end of a path. A null is reported, since no value is null too."""
    cell = cell_of(shape, report)
    if _is_text(shape):
        return cell

    def end(value: Any, at: Keys) -> Any:
        if value is None:
            report(at, None, False)
        return cell(value, at)

    return end


def cell_of(shape: Shape, report: Report) -> End:
    """Makes cells of a shape."""
    if isinstance(shape, Cells):
        return _text if _is_text(shape) else _values(shape.type, report)
    if isinstance(shape, Struct):
        return _struct(shape, report)
    return _items(cell_of(shape.item, report), report)


def _is_text(shape: Shape) -> bool:
    """True for JSON text, in which null is a value."""
    return isinstance(shape, Cells) and shape.type == types.JSON


def _text(value: Any, at: Keys) -> str:
    return types.dumps(value)


def _values(kind: str, report: Report) -> End:
    """Scalars, and lists of them."""
    is_float = types.scalar_of(kind) == types.FLOAT

    def cell(value: Any, at: Keys) -> Any:
        if value is None:
            return None
        found = value if types.fits(value, kind) else None
        if is_float and found is not None:
            found = _floats(value)
        if found is None:
            report(at, value, True)
        return found

    return cell


def _struct(shape: Struct, report: Report) -> End:
    below = {key: (_unchanged(inner), end_of(inner, report)) for key, inner in shape.fields}
    unknown = None, None

    def cell(value: Any, at: Keys) -> Any:
        if type(value) is not dict:
            if value is not None:
                report(at, value, True)
            return None
        cells = {}
        for key, item in value.items():
            unchanged, inner = below.get(key, unknown)
            if type(item) is unchanged:
                cells[key] = item
            elif inner is not None:
                cells[key] = inner(item, (at, key))
            else:
                report((at, key), item, item is not None)
        return cells

    return cell


def _unchanged(shape: Shape) -> type | None:
    """The class of the values that are cells of a shape as they are."""
    found = types.class_of(shape.type) if isinstance(shape, Cells) else None
    return found if found in (bool, float, str) else None


def _items(item_cell: End, report: Report) -> End:
    """Lists, in which a null is a null."""

    def cell(value: Any, at: Keys) -> Any:
        if type(value) is list:
            return [item_cell(item, (at, number)) for number, item in enumerate(value)]
        if value is not None:
            report(at, value, True)
        return None

    return cell


def _floats(value: Any) -> Any:
    """The value with its integers as floats; None if one of them is not exact."""
    if type(value) is list:
        if set(map(type, value)) <= _NO_INTEGERS:
            return value
        found = [None if item is None else _floats(item) for item in value]
        is_exact = all(one is not None or item is None for one, item in zip(found, value, strict=True))
        return found if is_exact else None
    return float(value) if type(value) is float or int(float(value)) == value else None


_NO_INTEGERS = {float, type(None)}
