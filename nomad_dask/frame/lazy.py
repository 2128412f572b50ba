"""Lazy dataframes: segments of a query as Dask partitions, and datasets opened as Dask dataframes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pandas as pd
import pyarrow as pa

from nomad_dask.dataset.store import Store
from nomad_dask.errors import UserError
from nomad_dask.frame.partition import PartitionReader, StoredPart, read_any
from nomad_dask.layouts.layouts import ONLY
from nomad_dask.layouts.to_pandas import check_backend, decoded, units_of
from nomad_dask.layouts.units import GivenUnits, UnitChoice
from nomad_dask.request.segments import Plan
from nomad_dask.text import shown

if TYPE_CHECKING:
    import dask.dataframe as dd
    from dask.delayed import Delayed

    from nomad_dask.layouts.to_pandas import DtypeBackend


LazyFrames: TypeAlias = "dd.DataFrame | dict[str, dd.DataFrame]"
"""A lazy dataframe; in the layout `tables` a dict of them by required path."""


def partitions(reader: PartitionReader, plan: Plan) -> list[Delayed]:
    """One Delayed per segment: a pandas dataframe, or a dict of them in the layout `tables`."""
    from dask import delayed
    from dask.base import tokenize

    from nomad_dask.cluster.no_workers import SHARED, end_without_workers
    from nomad_dask.cluster.shared_limits import run_with_shared_limits
    from nomad_dask.cluster.workers import lend_to_default

    end_without_workers()
    lend_to_default(reader.server)
    shared = delayed(reader, name=f"{SHARED}{tokenize(reader)}", traverse=False)
    read = delayed(run_with_shared_limits, pure=True)
    return [read(read_any, shared, segment) for segment in plan.segments]


def units(data: pd.DataFrame | dd.DataFrame | Mapping[str, Any] | str | os.PathLike[str]) -> dict[str, Any]:
    """Return the units of columns, as the server's schema names them.

    Parameters
    ----------
    data
        A dataframe that nomad-dask made, a dict of these, or the path of a dataset, of which one small file
        is read.

    Returns
    -------
    dict
        Column names and units; columns without a unit are left out. For a dict of dataframes or a dataset
        with the layout `tables`, a dict of such dicts.

    Raises
    ------
    DatasetError
        There is no dataset at the path.
    UserError
        `data` is not a dataframe, a dict of dataframes or a path.

    Examples
    --------
    >>> units("titania")
    {'workflow2.results.calculation_result_ref.energy.total.value': 'joule'}
    """
    if isinstance(data, str | os.PathLike):
        manifest = Store.at(data).stored()
        found = {key: units_of(arrow) for key, arrow in manifest.arrow().items()}
        return cast("dict[str, Any]", found.get(ONLY, found))
    if isinstance(data, Mapping):
        return {key: units(frame) for key, frame in data.items()}
    frame = getattr(data, "_meta", data)
    if not hasattr(frame, "attrs"):
        raise UserError(f"units takes a dataframe or the path of a dataset (got {shown(data)})")
    return dict(frame.attrs.get("units", {}))


def decode(data: Any) -> Any:
    """Replace JSON text in columns with the values it represents.

    Values without a common type are stored as JSON text (marked `nomad_dask.json` in the field metadata), as
    are the values in `_more`. Columns that contain JSON text, also inside lists and structs, become columns
    of Python objects; other columns do not change. A lazy dataframe stays lazy.

    Parameters
    ----------
    data
        A dataframe from `open_dataset`, `ArchiveQuery.to_dask_dataframe` or
        `ArchiveQuery.entries_to_dataframe`, lazy or computed; an Arrow table that was read from a dataset; or
        a dict of these.

    Returns
    -------
    pandas.DataFrame, dask.dataframe.DataFrame, or dict of these
        An Arrow table becomes a pandas dataframe indexed by `entry_id`.

    Raises
    ------
    UserError
        The dataframe has no information about JSON text, for example after a merge. Decode it before the
        merge, or read the dataset with `pyarrow.parquet` and decode the table.

    Examples
    --------
    >>> frame = decode(open_dataset("titania"))
    >>> frame["_more"].dtype
    dtype('O')
    """
    if isinstance(data, Mapping):
        return {key: decode(frame) for key, frame in data.items()}
    if isinstance(data, pa.Table):
        return decoded(data)
    meta = getattr(data, "_meta", data)
    if not isinstance(meta, pd.DataFrame):
        raise UserError(
            f"decode takes a dataframe, an Arrow table or a dict of them (got {type(data).__name__})"
        )
    if "json" not in meta.attrs:
        raise UserError(
            "the dataframe has no information about JSON text (a merge loses it): decode it before the "
            "merge, or read the dataset with pyarrow.parquet and decode the table"
        )
    if meta is data:
        return decoded(data)
    return data.map_partitions(decoded, meta.attrs["json"], meta=decoded(meta))


def open_dataset(
    path: str | os.PathLike[str],
    *,
    units: GivenUnits | None = None,
    dtype_backend: DtypeBackend = "pyarrow",
) -> LazyFrames:
    """Open a dataset as a lazy dataframe, indexed by `entry_id`, with known divisions.

    Reads small files now and data on `.compute()`. If a harvest is unfinished, only its finished segments are
    included.

    Parameters
    ----------
    path : str or path-like
        Folder or fsspec URL of the dataset.
    units : "SI", "atomistic" or dict, optional
        Convert numbers when they are read, as `convert_units` does. The default is the units of the dataset.
    dtype_backend : {"pyarrow", "numpy_nullable", "numpy"}, default "pyarrow"
        As in `ArchiveQuery.to_dask_dataframe`.

    Returns
    -------
    dask.dataframe.DataFrame, or dict of them by required path for the layout `tables`

    Raises
    ------
    DatasetError
        There is no dataset at `path`, or it is damaged.

    Examples
    --------
    >>> frame = open_dataset("titania")
    >>> last = frame.loc["z":].compute()  # reads the last part
    """
    from nomad_dask.frame.expr import parts_of

    check_backend(dtype_backend)
    store = Store.at(path)
    manifest = store.stored()
    full = [r for r in store.finished(manifest).values() if r.rows]
    choice = UnitChoice.of(units, stored=True)
    names = manifest.layout.full_names(manifest.schema) if choice.chosen else {}
    frames = {}
    for key, empty in manifest.empty().items():
        part = StoredPart(store, manifest.folders()[key], dtype_backend, choice, names.get(key, {}))
        frames[key] = parts_of(part, full, part.to_pandas(empty))
    return frames.get(ONLY, frames)
