"""Owns the step from Arrow tables to pandas frames: dtypes, the index, and the units that ride along (SPEC 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import pandas as pd
import pyarrow as pa

from . import paths
from .errors import UserError
from .schema import ENTRY_ID

DtypeBackend: TypeAlias = Literal["pyarrow", "numpy_nullable", "numpy"]
BACKENDS = ("pyarrow", "numpy_nullable", "numpy")
_NULLABLE = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.string(): pd.StringDtype(),
}


_NULLED = {"i": "float64", "b": "object"}
"""What numpy makes of a kind that has no null."""


class Units(dict[str, str]):
    """Column names and their units. Pandas copies what rides on a frame at every operation; this is never changed."""

    def __deepcopy__(self, memo: Any) -> Units:
        return self


def units_of(fields: pa.Schema) -> Units:
    """The units in the metadata of Arrow fields; of what stands inside a nested column by its path, numbers left out."""
    return Units(found for field in fields for found in _units(field.name, field))


def _units(name: str, field: pa.Field) -> Iterator[tuple[str, str]]:
    if field.metadata and b"unit" in field.metadata:
        yield name, field.metadata[b"unit"].decode()
    if pa.types.is_list(field.type):
        yield from _units(name, field.type.value_field)
    elif pa.types.is_struct(field.type):
        for below in field.type:
            yield from _units(f"{name}.{paths.escape(below.name)}", below)


def check_backend(dtype_backend: str) -> None:
    """UserError for a backend that is none."""
    if dtype_backend not in BACKENDS:
        raise UserError(f"dtype_backend is one of {', '.join(BACKENDS)}, not {dtype_backend!r}")


def to_pandas(
    table: pa.Table,
    *,
    index: Sequence[str] = (ENTRY_ID,),
    dtype_backend: DtypeBackend = "pyarrow",
    alike: bool = False,
) -> pd.DataFrame:
    """A table as a pandas frame: `index` names the columns that become its index, of integers where they are.

    The columns' units are in `frame.attrs["units"]`. With `alike` all tables of one schema have the same dtypes: under
    `numpy` integers are then floats and booleans objects also where no null is beside them.
    """
    plain = table.replace_schema_metadata(None)
    frame = _typed(plain.drop_columns([*index]), dtype_backend)
    if alike and dtype_backend == "numpy":
        frame = frame.astype({n: _NULLED[d.kind] for n, d in frame.dtypes.items() if d.kind in _NULLED})
    nullable = dtype_backend == "numpy" and any(plain[name].null_count for name in index)
    levels = _typed(plain.select([*index]), "numpy_nullable" if nullable else dtype_backend)
    frame.index = levels.set_index([*index]).index
    frame.attrs["units"] = units_of(table.schema)
    return frame


def _typed(table: pa.Table, dtype_backend: DtypeBackend) -> pd.DataFrame:
    mappers: Mapping[str, Any] = {"pyarrow": pd.ArrowDtype, "numpy_nullable": _NULLABLE.get, "numpy": None}
    frame: pd.DataFrame = table.to_pandas(types_mapper=mappers[dtype_backend])
    return frame
