"""Owns the way back from nested tables to JSON archives (SPEC 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pyarrow as pa

from nomad_dask.pure import paths, types
from nomad_dask.pure.assembly import ABSENT
from nomad_dask.pure.references import merge
from nomad_dask.pure.required import Required
from nomad_dask.pure.schema import MORE, is_json
from nomad_dask.pure.tables import Way, ways

PATH, CROSSED = b"nomad_dask.path", b"nomad_dask.crossed"
"""In a column's metadata: its required path as written, and the places on the way that hold lists."""

_READ_TOGETHER = 64


def to_json_rows(table: pa.Table, required: Required) -> Iterator[dict[str, Any]]:
    """Each row's archive again, as `nested.required_part` defines it. Costs about what `to_pylist` does.

    Integers in a column of floats come back as floats; a row without archive as `{}`. Needs the metadata of the fields,
    which Parquet keeps, and all columns of the table.
    """
    by_path = {way.path: way for way in ways(required)}
    readers = [
        (field.name, _Reader(field, by_path[field.metadata[PATH].decode()]))
        for field in table.schema
        if field.metadata and PATH in field.metadata
    ]
    for batch in table.to_batches(max_chunksize=_READ_TOGETHER):
        cells = [(reader, batch.column(name).to_pylist()) for name, reader in readers]
        for row, more in enumerate(batch.column(MORE).to_pylist()):
            archive: Any = {}
            for reader, column in cells:
                archive = reader.merge(archive, column[row])
            for name, value in (types.loads(more) if more else {}).items():
                _patch(archive, paths.split(name), value)
            yield archive


class _Reader:
    """Puts the cells of one column back where they stood."""

    def __init__(self, field: pa.Field, way: Way) -> None:
        self._keys = way.keys
        self._crossed = frozenset(orjson.loads(field.metadata[CROSSED]))
        arrow = field.type
        for _ in self._crossed:
            arrow = arrow.value_type
        self._plain = _plain(arrow, is_json(field))

    def merge(self, found: Any, cell: Any, place: int = 0) -> Any:
        """A section with a cell put in; `found` as it is for a null cell."""
        if cell is None:
            return found
        if place == len(self._keys):
            value = self._plain(cell) if self._plain else cell
            # Paths with a `*` may share sections: each has its part of them.
            return joined(found, value)
        section = {} if found is ABSENT else found
        key = self._keys[place]
        if place in self._crossed:
            before = section.get(key) or [ABSENT] * len(cell)
            merged = [self.merge(one, item, place + 1) for one, item in zip(before, cell, strict=True)]
            section[key] = [{} if item is ABSENT else item for item in merged]
        elif (below := self.merge(section.get(key, ABSENT), cell, place + 1)) is not ABSENT:
            section[key] = below
        return section


def _plain(arrow: pa.DataType, is_text: bool) -> Callable[[Any], Any] | None:
    """What makes JSON of a cell as pyarrow gives it; None where it is JSON already."""
    if is_text:
        return types.loads
    if pa.types.is_list(arrow):
        item = _plain(arrow.value_type, is_json(arrow.value_field))
        return item and (lambda cell: [None if one is None else item(one) for one in cell])
    if not pa.types.is_struct(arrow):
        return None
    below = {field.name: _plain(field.type, is_json(field)) or _same for field in arrow}
    return lambda cell: {key: below[key](value) for key, value in cell.items() if value is not None}


def _same(cell: Any) -> Any:
    return cell


def _patch(archive: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    holder: Any = archive
    for key in keys[:-1]:
        holder = holder[int(key)] if type(holder) is list else holder.setdefault(key, {})
    if type(holder) is list:
        holder[int(keys[-1])] = joined(holder[int(keys[-1])], value)
    else:
        holder[keys[-1]] = joined(holder.get(keys[-1]), value)


def joined(found: Any, value: Any) -> Any:
    """Two parts of one value, of which the first may be missing or say nothing."""
    return value if found is ABSENT or found is None or found == {} else merge((found, value))
