"""Conversion of a frame in hand to other units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from nomad_dask.errors import UserError
from nomad_dask.layouts.to_pandas import Units, units_of
from nomad_dask.layouts.units import GivenUnits, UnitChoice, in_units


def convert_units(data: Any, units: GivenUnits) -> Any:
    """Convert the numbers of a dataframe or Arrow table to other units.

    Columns with a unit that `units` names are multiplied by a factor and become floats, also inside lists and
    structs; other columns do not change. A lazy dataframe stays lazy. Costs one multiplication per number.

    Parameters
    ----------
    data
        A dataframe that nomad-dask made, lazy or computed; an Arrow table that was read from a dataset; or a
        dict of these.
    units : "SI", "atomistic" or dict
        As in `ArchiveQuery.to_dask_dataframe`; paths are names of columns, or paths inside them, with or
        without indices. ``"SI"`` converts energies to joule, lengths to meter, and so on.

    Returns
    -------
    pandas.DataFrame, dask.dataframe.DataFrame, pyarrow.Table, or dict of these

    Raises
    ------
    UserError
        The dataframe has no information about units (a merge loses it), or `units` is invalid.

    Examples
    --------
    >>> frame = convert_units(open_dataset("titania"), "atomistic")
    >>> units(frame)["workflow2.results.calculation_result_ref.energy.total.value"]
    'eV'
    """
    choice = UnitChoice.of(units, stored=True)
    if isinstance(data, Mapping):
        return {key: convert_units(one, units) for key, one in data.items()}
    if isinstance(data, pa.Table):
        return choice.convert(data)
    meta = getattr(data, "_meta", data)
    if not isinstance(meta, pd.DataFrame):
        raise UserError(
            f"convert_units takes a dataframe, an Arrow table or a dict of them (got {type(data).__name__})"
        )
    if "units" not in meta.attrs:
        raise UserError(
            "the dataframe has no information about units (a merge loses it): convert it before the merge, "
            "or multiply the columns yourself"
        )
    if meta is data:
        return _converted(data, choice, data.attrs["units"])
    found = meta.attrs["units"]
    return data.map_partitions(_converted, choice, found, meta=_converted(meta, choice, found))


def _converted(frame: pd.DataFrame, choice: UnitChoice, units: Mapping[str, str]) -> pd.DataFrame:
    changed, found = {}, dict(units)
    for name in frame.columns:
        mine = {path: unit for path, unit in units.items() if path == name or path.startswith(f"{name}.")}
        if not mine:
            continue
        array = pa.array(frame[name], from_pandas=True)
        (field,) = in_units([pa.field(name, array.type)], mine)
        before = pa.table([array], schema=pa.schema([field]))
        after = choice.convert(before)
        if after.schema.equals(before.schema, check_metadata=True):
            continue
        found |= units_of(after.schema)
        changed[name] = _like(frame[name], after.column(0))
    made = frame.assign(**changed)
    made.attrs = {**frame.attrs, "units": Units(found)}
    return made


def _like(column: pd.Series, cells: pa.ChunkedArray) -> pd.Series:
    """Cells as a column with the kind of dtype that the old one has."""
    if isinstance(column.dtype, pd.ArrowDtype):
        return pd.Series(pd.arrays.ArrowExtensionArray(cells), index=column.index, name=column.name)
    values = cells.to_pandas()
    dtype = pd.Float64Dtype() if isinstance(column.dtype, pd.Int64Dtype | pd.Float64Dtype) else values.dtype
    return pd.Series(values.to_numpy(), index=column.index, name=column.name, dtype=dtype)
