"""Owns how JSON values become nested Arrow arrays: one key of all dicts of a block at once, checked in bulk (SPEC 7).

All dicts that stand at one place of a shape, over all rows of a block, are one vector. Each key is taken out of all of
them by one loop, and Arrow converts what it gave. Arrow's own inference is strict where its conversion is not: it
tells text from numbers and sections from both; only a bool among floats passes, and is looked for where a 0 or a 1 is.
Keys that no field has, and nulls that are there, are found by counting: then a dict has more keys than were used.
"""

from __future__ import annotations

from itertools import chain
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from nomad_dask.pure import types
from nomad_dask.pure.places import Place
from nomad_dask.pure.shapes import Cells, Shape, Struct

ABSENT: Any = object()
EMPTY: dict[str, Any] = {}
_NONE = type(None)
_FEW = 4
"""Where fewer than one in so many are dicts, these are looked at alone and put in place afterwards."""


class Assembler(Protocol):
    """Turns a vector of JSON values into an array of the same length."""

    absent: Any
    """What stands in the vector for "not there": None, where a null that is there is told of by who knows it."""

    def build(self, values: list[Any], place: Place) -> pa.Array:
        """The array. What does not fit is null in it, and told of."""


def assembler(shape: Shape, arrow: pa.DataType) -> Assembler:
    """The assembler of a shape that has this Arrow type."""
    if isinstance(shape, Cells):
        return Texts() if shape.type == types.JSON else _Cells(shape.type)
    if isinstance(shape, Struct):
        return _Structs(shape, arrow)
    return Lists(assembler(shape.item, arrow.value_type), arrow)


class Texts:
    """JSON text. A null that is there is the text `null`."""

    absent = ABSENT

    def build(self, values: list[Any], place: Place) -> pa.Array:
        """Every value has a text."""
        return pa.array([None if v is ABSENT else types.dumps(v) for v in values], pa.string())


class _Cells:
    """Scalars, and lists of them."""

    absent = None

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._arrow = types.to_arrow(kind)
        self._is_float = kind.replace("list<", "").rstrip(">") == types.FLOAT

    def build(self, values: list[Any], place: Place) -> pa.Array:
        found = self._in_bulk(values)
        return self._one_by_one(values, place) if found is None else found

    def _in_bulk(self, values: list[Any]) -> pa.Array | None:
        try:
            found = pa.array(values)
            if found.type != self._arrow:
                if pa.types.is_null(found.type):
                    return pa.nulls(len(values), self._arrow)
                if not _meets(found.type, self._arrow):
                    return None
                # The safe cast refuses integers that a float does not hold exactly.
                found = found.cast(self._arrow)
        except (ValueError, TypeError, OverflowError):
            return None
        return None if self._is_float and _may_hold_bools(found) and _holds_bools(values) else found

    def _one_by_one(self, values: list[Any], place: Place) -> pa.Array:
        kept = []
        for position, value in enumerate(values):
            fits = value is None or (
                types.fits(value, self._kind) and (not self._is_float or _is_exact(value))
            )
            if not fits:
                place.odd(position, value)
            # Arrow refuses integers past 2**53 among floats, those too that a float holds.
            kept.append((_as_floats(value) if self._is_float else value) if fits else None)
        try:
            return pa.array(kept, self._arrow)
        except UnicodeEncodeError:
            # Lone surrogates are no text for Arrow.
            for position, value in enumerate(kept):
                if not _is_text(value):
                    kept[position] = None
                    place.odd(position, value)
            return pa.array(kept, self._arrow)


class _Structs:
    """Dicts."""

    absent = None

    def __init__(self, shape: Struct, arrow: pa.StructType) -> None:
        self._type = arrow
        self._fields = [*arrow]
        self._below = [
            (key, assembler(below, field.type))
            for (key, below), field in zip(shape.fields, arrow, strict=True)
        ]
        self._absent = {key: below.absent for key, below in self._below}
        self._types = {field.name: field.type for field in arrow}
        # Keys that some dict was seen to lack: where none lacks it, taking it out is twice as fast.
        self._partial: set[str] = set()

    def build(self, values: list[Any], place: Place) -> pa.Array:
        classes = set(map(type, values))
        if classes == {dict}:
            return self._all(values, place)
        if not classes <= {dict, _NONE}:
            values = place.only(dict, values)
        picks = [position for position, value in enumerate(values) if value is not None]
        if not picks:
            return pa.nulls(len(values), self._type)
        missing = np.ones(len(values), np.bool_)
        missing[picks] = False
        if len(picks) * _FEW > len(values):
            sections = [EMPTY if value is None else value for value in values]
            return self._all(sections, place, mask=pa.array(missing))
        order = np.zeros(len(values), np.int64)
        order[picks] = np.arange(len(picks))
        cells = self._all([values[position] for position in picks], place.picked(picks))
        return cells.take(pa.array(order, mask=missing))

    def _all(self, sections: list[dict[str, Any]], place: Place, mask: pa.Array | None = None) -> pa.Array:
        held = sum(map(len, sections))
        columns = self._sparse(sections) if held * 2 < len(sections) * len(self._below) else None
        cells = []
        used = 0
        for key, below in self._below:
            if columns is None:
                values = self._taken(key, sections)
            elif key in columns:
                values = columns[key]
            else:
                cells.append(pa.nulls(len(sections), self._types[key]))
                continue
            under = place.under(key)
            found = below.build(values, under)
            used += len(found) - found.null_count + under.n_odd
            cells.append(found)
        if used != held:
            self._tell_strays(sections, place)
        return pa.StructArray.from_arrays(cells, fields=self._fields, mask=mask)

    def _taken(self, key: str, sections: list[dict[str, Any]]) -> list[Any]:
        if key not in self._partial:
            try:
                return list(map(itemgetter(key), sections))
            except KeyError:
                self._partial.add(key)
        absent = self._absent[key]
        return [section.get(key, absent) for section in sections]

    def _sparse(self, sections: list[dict[str, Any]]) -> dict[str, list[Any]]:
        """The vectors of the keys that are there, where most are not: by what dicts have, not by what they may have."""
        columns: dict[str, list[Any]] = {}
        for position, section in enumerate(sections):
            for key, value in section.items():
                column = columns.get(key)
                if column is None:
                    column = columns[key] = [self._absent.get(key)] * len(sections)
                column[position] = value
        return columns

    def _tell_strays(self, sections: list[dict[str, Any]], place: Place) -> None:
        for position, section in enumerate(sections):
            for key, value in section.items():
                is_known = key in self._absent
                if not is_known or (value is None and self._absent[key] is None):
                    place.under(key).odd(position, value, is_new=not is_known and value is not None)


class Lists:
    """Lists of what another assembler takes."""

    absent = None

    def __init__(self, item: Assembler, arrow: pa.DataType, *, tell_nulls: bool = False) -> None:
        self._item = item
        self._arrow = arrow
        self._tell_nulls = tell_nulls

    def build(self, values: list[Any], place: Place) -> pa.Array:
        """A null in a list is a null in it."""
        classes = set(map(type, values))
        if not classes <= {list, _NONE}:
            values = place.only(list, values)
        lengths = [0 if value is None else len(value) for value in values]
        starts = np.zeros(len(values) + 1, np.int32)
        np.cumsum(lengths, out=starts[1:])
        items = list(chain.from_iterable(filter(None, values)))
        below = place.items(starts.tolist())
        cells = self._item.build(items, below)
        if self._tell_nulls and cells.null_count:
            for position, item in enumerate(items):
                if item is None:
                    below.odd(position, None, is_new=False)
        mask = None if classes == {list} else pa.array([value is None for value in values], pa.bool_())
        return pa.ListArray.from_arrays(pa.array(starts), cells, type=self._arrow, mask=mask)


def _meets(found: pa.DataType, wanted: pa.DataType) -> bool:
    if found == wanted or pa.types.is_null(found):
        return True
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return _meets(found.value_type, wanted.value_type)
    return pa.types.is_int64(found) and pa.types.is_float64(wanted)


def _may_hold_bools(cells: pa.Array) -> bool:
    while pa.types.is_list(cells.type):
        cells = cells.values
    numbers = cells.to_numpy(zero_copy_only=False)
    return bool(((numbers == 0) | (numbers == 1)).any())


def _holds_bools(values: list[Any]) -> bool:
    classes = set(map(type, values))
    while list in classes:
        values = list(chain.from_iterable(value for value in values if value))
        classes = set(map(type, values))
    return bool in classes


def _is_exact(value: Any) -> bool:
    if type(value) is list:
        return all(map(_is_exact, value))
    return type(value) is not int or int(float(value)) == value


def _as_floats(value: Any) -> Any:
    if type(value) is list:
        return list(map(_as_floats, value))
    return float(value) if type(value) is int else value


def _is_text(value: Any) -> bool:
    try:
        pa.array([value])
    except UnicodeEncodeError:
        return False
    return True
