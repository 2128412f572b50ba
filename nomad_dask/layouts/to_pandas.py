"""Conversion of Arrow tables to pandas frames: dtypes, the index, and units in `attrs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from nomad_dask.common import paths, types
from nomad_dask.errors import UserError
from nomad_dask.layouts.schema import ENTRY_ID, is_json

DtypeBackend: TypeAlias = Literal["pyarrow", "numpy_nullable", "numpy"]
BACKENDS = ("pyarrow", "numpy_nullable", "numpy")
_NULLABLE = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.string(): pd.StringDtype(),
}

_NULLED = {"i": "float64", "b": "object"}
"""NumPy dtypes for kinds without a null value."""


class Units(dict[str, str]):
    """Units by column name. Immutable by convention, so that pandas need not copy it with every operation."""

    def __deepcopy__(self, memo: Any) -> Units:
        return self


def units_of(fields: pa.Schema) -> Units:
    """The units in the metadata of Arrow fields, by path inside nested columns, without list numbers."""
    found = ((keys, field.metadata) for keys, field in _below(fields) if field.metadata)
    return Units((_name(keys), facts[b"unit"].decode()) for keys, facts in found if b"unit" in facts)


def _name(keys: tuple[str, ...]) -> str:
    return ".".join((keys[0], *map(paths.escape, keys[1:])))


class JsonTextKeys(tuple[tuple[str, ...], ...]):
    """Columns, and keys inside them, whose cells are JSON text; never copied, like `Units`."""

    def __deepcopy__(self, memo: Any) -> JsonTextKeys:
        return self


def texts_of(fields: pa.Schema) -> JsonTextKeys:
    """The places marked as JSON text in the metadata of Arrow fields: `(column, *keys)`, without list
    numbers."""
    return JsonTextKeys(keys for keys, field in _below(fields) if is_json(field))


def _below(
    fields: Iterable[pa.Field], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], pa.Field]]:
    """The fields, and those inside their structs and lists, with their keys."""
    for field in fields:
        keys = (*above, field.name)
        yield keys, field
        while pa.types.is_list(field.type):
            field = field.type.value_field
            yield keys, field
        if pa.types.is_struct(field.type):
            yield from _below(field.type, keys)


def check_backend(dtype_backend: str) -> None:
    """Raise UserError for an unknown backend."""
    if dtype_backend not in BACKENDS:
        raise UserError(f"dtype_backend must be one of {', '.join(BACKENDS)} (got {dtype_backend!r})")


def to_pandas(
    table: pa.Table,
    *,
    index: Sequence[str] = (ENTRY_ID,),
    dtype_backend: DtypeBackend = "pyarrow",
    alike: bool = False,
) -> pd.DataFrame:
    """A table as a pandas frame.

    `index` names the columns that become the index. The units of columns are in `frame.attrs["units"]`, and
    the places of JSON text in `frame.attrs["json"]`. With `alike` all tables of a schema have the same
    dtypes: with the backend `numpy`, integers are floats and booleans are objects even in columns without
    nulls.
    """
    plain = table.replace_schema_metadata(None)
    frame = _typed(plain.drop_columns([*index]), dtype_backend)
    if alike and dtype_backend == "numpy":
        frame = frame.astype({n: _NULLED[d.kind] for n, d in frame.dtypes.items() if d.kind in _NULLED})
    if index:
        nullable = dtype_backend == "numpy" and any(plain[name].null_count for name in index)
        levels = _typed(plain.select([*index]), "numpy_nullable" if nullable else dtype_backend)
        frame.index = levels.set_index([*index]).index
    frame.attrs |= {"units": units_of(table.schema), "json": texts_of(table.schema)}
    return frame


def _typed(table: pa.Table, dtype_backend: DtypeBackend) -> pd.DataFrame:
    mappers: Mapping[str, Any] = {"pyarrow": pd.ArrowDtype, "numpy_nullable": _NULLABLE.get, "numpy": None}
    frame: pd.DataFrame = table.to_pandas(types_mapper=mappers[dtype_backend])
    return frame


def decoded(data: pd.DataFrame | pa.Table, texts: Iterable[Sequence[str]] | None = None) -> pd.DataFrame:
    """A frame with the cells at `texts` decoded; by default those named in `frame.attrs["json"]`.

    Columns with such cells then hold Python objects, with None for nulls. Other columns are unchanged.
    """
    if isinstance(data, pa.Table):
        data = to_pandas(data, index=(ENTRY_ID,) if ENTRY_ID in data.column_names else ())
    texts = data.attrs["json"] if texts is None else texts
    found: dict[str, list[Any]] = {}
    for column, *keys in texts:
        if column in data.columns:
            cells = found.get(column)
            cells = data[column].tolist() if cells is None else cells
            found[column] = [_decoded(cell, keys) for cell in cells]
    columns = {name: pd.Series(cells, data.index, dtype=object) for name, cells in found.items()}
    frame = data.assign(**columns)
    frame.attrs = {**data.attrs, "json": ()}
    return frame


def _decoded(cell: Any, keys: Sequence[str]) -> Any:
    if isinstance(cell, str):
        return cell if keys else types.loads(cell)
    if isinstance(cell, list | np.ndarray):
        return [_decoded(item, keys) for item in cell]
    if isinstance(cell, dict):
        return cell | {keys[0]: _decoded(cell[keys[0]], keys[1:])} if keys and keys[0] in cell else cell
    return None if cell is None or cell is pd.NA or cell != cell else cell
