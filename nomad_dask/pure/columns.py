"""Owns how gathered Python values become Arrow columns: many of one type are built at once, then cut apart.

An archive in the wide layout has thousands of sparse columns. To build an Arrow array for each costs more
than to read the JSON; so the values of all columns of a type go through one conversion, are spread over one
block of columns times rows, and each column is a slice of that block.

List cells are taken apart soon after they come. Lists that wait keep Python's garbage collector busy, which
costs more than all the rest; numbers in an array do not.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nomad_dask.pure import types

_Positions = npt.NDArray[np.int64]

_CLASS = {types.BOOL: bool, types.INT: int, types.FLOAT: float, types.STRING: str}
_NUMPY: dict[str, Any] = {types.BOOL: np.bool_, types.INT: np.int64, types.FLOAT: np.float64}
_CODE = {types.BOOL: "b", types.INT: "q", types.FLOAT: "d"}


class Misfit(NamedTuple):
    """A value that its column does not hold."""

    row: int
    column: int
    value: Any


class Gathered:
    """The values of all columns of one type, in the order in which they were met, since the last block.

    `put` takes a list for a list type, else a scalar of the type's own class (for `double` an int of 64 bits too);
    `mark` takes its column's number.
    """

    put: Callable[[Any], None]

    def __init__(self, type_name: str) -> None:
        self.type = type_name
        inner = types.inner_of(type_name)
        self._values = _Lists(inner) if inner is not None else _Scalars(type_name)
        self._columns: list[int] = []
        self._ends: list[int] = []
        self.put = self._values.put
        self.mark = self._columns.append

    def end_row(self) -> None:
        """Close the row."""
        self._ends.append(len(self._columns))

    def settle(self) -> int:
        """Take apart list cells that wait; how many values wait now."""
        self._values.settle()
        return len(self._values)

    def block(self, misfits: list[Misfit]) -> Iterator[tuple[int, pa.Array]]:
        """Each column that got a value, one cell per row. Empties this; misfits are added to `misfits`."""
        n_rows = len(self._ends)
        columns = np.fromiter(self._columns, np.int64, len(self._columns))
        ends = np.array([0, *self._ends])
        rows = np.repeat(np.arange(n_rows), ends[1:] - ends[:-1])
        misplaced = self._values.misplaced()
        if misplaced:
            misfits.extend(Misfit(int(rows[i]), int(columns[i]), value) for i, value in misplaced.items())
            columns, rows = np.delete(columns, list(misplaced)), np.delete(rows, list(misplaced))
        cells = self._values.take()
        self._columns.clear()
        self._ends.clear()
        yield from _cut(cells, rows, columns, n_rows)


class _Scalars:
    """Waiting scalars. Nulls are not put: a cell without value is null."""

    def __init__(self, type_name: str) -> None:
        self._type = type_name
        self._values: list[Any] = []
        self.put = self._values.append

    def __len__(self) -> int:
        return len(self._values)

    def settle(self) -> None:
        """Scalars may wait as they are."""

    def misplaced(self) -> dict[int, Any]:
        """Take out integers past int64, by their positions; the class of a value was the walk's care."""
        if self._type != types.INT or not self._values or types.type_of(self._values) != types.JSON:
            return {}
        big = {i: value for i, value in enumerate(self._values) if not types.fits(value, types.INT)}
        self._values[:] = [value for value in self._values if types.fits(value, types.INT)]
        return big

    def take(self) -> pa.Array:
        """All values, in the order in which they were put."""
        values = self._values
        if self._type == types.STRING:
            cells = pa.array(values, pa.string())
        else:
            cells = pa.array(np.fromiter(values, _NUMPY[self._type], len(values)))
        # In place: the walk holds on to this list's `append`.
        values.clear()
        return cells


class _Lists:
    """Waiting list cells, taken apart some at a time: lengths here (-1 for null), what they hold one level down."""

    def __init__(self, inner: str) -> None:
        deeper = types.inner_of(inner)
        self._holds = _Lists(deeper) if deeper is not None else _Elements(inner)
        self._lengths = array("q")
        self._whole: list[Any] = []
        self._n_settled = 0
        self._misplaced: dict[int, Any] = {}
        self.put = self._whole.append

    def __len__(self) -> int:
        return len(self._whole) + len(self._lengths) + len(self._holds)

    def settle(self) -> None:
        """Take apart the cells that were put; keep aside what does not fit."""
        cells = self._whole
        if not self.extend(cells):
            for i, cell in enumerate(cells, self._n_settled):
                if not self.extend([cell]):
                    self._misplaced[i] = cell
        self._n_settled += len(cells)
        # In place: the walk holds on to this list's `append`.
        cells.clear()

    def extend(self, cells: list[Any]) -> bool:
        """Take lists apart, if all of them fit."""
        classes = set(map(type, cells))
        lengths: Iterable[int] = map(len, cells)
        full: Iterable[list[Any]] = cells
        if classes == _ONLY_LISTS:
            pass
        elif classes <= _LISTS:
            lengths, full = (-1 if cell is None else len(cell) for cell in cells), filter(None, cells)
        else:
            return False
        if not self._holds.extend(list(chain.from_iterable(full))):
            return False
        self._lengths.extend(lengths)
        return True

    def misplaced(self) -> dict[int, Any]:
        """Take out the cells that do not fit, by their positions."""
        self.settle()
        aside, self._misplaced, self._n_settled = self._misplaced, {}, 0
        return aside

    def take(self) -> pa.Array:
        """All cells, in the order in which they were put."""
        lengths = np.array(self._lengths, np.int64)
        del self._lengths[:]
        absent = lengths < 0
        offsets = np.zeros(len(lengths) + 1, np.int32)
        np.cumsum(np.where(absent, 0, lengths), out=offsets[1:])
        mask = pa.array(absent) if absent.any() else None
        return pa.ListArray.from_arrays(pa.array(offsets), self._holds.take(), mask=mask)


_ONLY_LISTS, _LISTS = {list}, {list, type(None)}


class _Elements:
    """What the innermost lists hold, with the places of nulls."""

    def __init__(self, type_name: str) -> None:
        self._type = type_name
        self._only = {_CLASS[type_name]}
        self._values: Any
        self._values = [] if type_name == types.STRING else array(_CODE[type_name])
        # `fromlist` takes all or nothing, where an integer is too large.
        self._add = self._values.extend if type_name == types.STRING else self._values.fromlist
        self._nulls: list[int] = []

    def __len__(self) -> int:
        return len(self._values)

    def extend(self, elements: list[Any]) -> bool:
        classes = set(map(type, elements))
        nulls: list[int] = []
        if not classes <= self._only:
            if not types.fits(elements, types.list_of(self._type)):
                return False
            if type(None) in classes and self._type != types.STRING:
                start = len(self._values)
                nulls = [start + i for i, element in enumerate(elements) if element is None]
                elements = [0 if element is None else element for element in elements]
        try:
            self._add(elements)
        except OverflowError:
            return False
        self._nulls += nulls
        return True

    def take(self) -> pa.Array:
        if self._type == types.STRING:
            cells = pa.array(self._values, pa.string())
        else:
            mask = None
            if self._nulls:
                mask = np.zeros(len(self._values), np.bool_)
                mask[self._nulls] = True
            cells = pa.array(np.array(self._values, _NUMPY[self._type]), mask=mask)
        del self._values[:]
        self._nulls.clear()
        return cells


def _cut(
    cells: pa.Array, rows: _Positions, columns: _Positions, n_rows: int
) -> Iterator[tuple[int, pa.Array]]:
    if not len(columns):
        return
    used = np.zeros(int(columns.max()) + 1, np.bool_)
    used[columns] = True
    place = np.cumsum(used) - 1
    touched = np.flatnonzero(used).tolist()
    block = _spread(cells, place[columns] * n_rows + rows, len(touched) * n_rows)
    for number, column in enumerate(touched):
        yield column, block.slice(number * n_rows, n_rows)


def _spread(cells: pa.Array, positions: _Positions, size: int) -> pa.Array:
    """An array of `size` with the cells, of which none is null, at their positions and null elsewhere."""
    filled = np.zeros(size, np.bool_)
    filled[positions] = True
    if not (pa.types.is_string(cells.type) or pa.types.is_list(cells.type)):
        numbers = cells.to_numpy(zero_copy_only=False)
        spread = np.zeros(size, numbers.dtype)
        spread[positions] = numbers
        return pa.array(spread, mask=~filled)
    # Strings and lists are put in order first, then only their offsets are spread: the nulls cost next to nothing.
    order = np.argsort(positions, kind="stable")
    ordered = cells.take(pa.array(order))
    ends = np.frombuffer(ordered.buffers()[1], np.int32, len(ordered) + 1)
    lengths = np.zeros(size, np.int32)
    lengths[positions[order]] = ends[1:] - ends[:-1]
    offsets = np.zeros(size + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    head = [pa.py_buffer(np.packbits(filled, bitorder="little")), pa.py_buffer(offsets)]
    if pa.types.is_list(cells.type):
        return pa.Array.from_buffers(cells.type, size, head, children=[ordered.values])
    return pa.Array.from_buffers(cells.type, size, [*head, ordered.buffers()[2]])
