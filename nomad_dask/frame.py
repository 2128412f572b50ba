"""Owns the lazy side: segments as Dask partitions, and datasets opened as Dask frames."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pandas as pd

from .edges.store import Store
from .pure.errors import UserError
from .pure.frames import check_backend, to_pandas, units_of
from .pure.layouts import ONLY
from .pure.report import Receipt
from .pure.segments import Plan
from .sides.partitions import Reading, read_any
from .sides.worker import job_of

if TYPE_CHECKING:
    import dask.dataframe as dd
    from dask.delayed import Delayed

    from .pure.frames import DtypeBackend

LazyFrames: TypeAlias = "dd.DataFrame | dict[str, dd.DataFrame]"
"""One lazy frame; in the layout tables a dict of them by required path."""


def partitions(reading: Reading, plan: Plan) -> list[Delayed]:
    """One Delayed per segment of a plan: a pandas frame indexed by entry_id, of tables a dict of them. Asks for nothing."""
    from dask import delayed
    from dask.base import tokenize

    from .limiter import within_limits
    from .logins import lend_to_default

    lend_to_default(reading.job.server)
    shared = delayed(reading, name=f"job-{tokenize(reading)}", traverse=False)
    read = delayed(within_limits, pure=True)
    return [read(read_any, shared, segment) for segment in plan.segments]


def lazy_frames(reading: Reading, plan: Plan, *, spoken: bool = False) -> LazyFrames:
    """A plan as lazy frames: one partition per segment, meta and divisions known. Nothing is asked for now.

    `spoken`: a notebook shows how far a computation is.
    """
    from .expression import frame_of, frames_of

    of = frames_of if reading.job.layout.name == "tables" else frame_of
    frames: LazyFrames = of(reading, plan, spoken=spoken)
    return frames


def units(
    data: pd.DataFrame | dd.DataFrame | Mapping[str, Any] | str | os.PathLike[str],
) -> dict[str, Any]:
    """The unit of each column that has one, as the server's schema names it: of a frame of ours, or of a dataset.

    >>> units("titania")
    {'workflow2.results.calculation_result_ref.energy.total.value': 'joule'}

    `data` is a frame, a dict of frames, or the path of a dataset, of which one small file is read. Of a dict of frames, and
    of a dataset of tables, such a dict for each.

    Raises DatasetError where the path holds no dataset.
    """
    if isinstance(data, str | os.PathLike):
        manifest = Store.at(data).stored()
        found = {key: units_of(arrow) for key, arrow in manifest.layout.arrow(manifest.schema).items()}
        return cast("dict[str, Any]", found.get(ONLY, found))
    if isinstance(data, Mapping):
        return {key: units(frame) for key, frame in data.items()}
    frame = getattr(data, "_meta", data)
    if not hasattr(frame, "attrs"):
        raise UserError(f"units are of a frame or of the path of a dataset, not of {data!r}")
    return dict(frame.attrs.get("units", {}))


def open_dataset(path: str | os.PathLike[str], *, dtype_backend: DtypeBackend = "pyarrow") -> LazyFrames:
    """The dataset at `path` as a lazy frame with known divisions, indexed by entry_id. Reads small files now.

    >>> frame = open_dataset("titania")
    >>> last = frame.loc["z":].compute()  # reads the last part

    A dataset of tables is a dict of frames by required path. Of a harvest in progress (or one that was killed) only
    finished segments are seen.

    `dtype_backend` is `pyarrow`, `numpy_nullable` or `numpy`, as in `ArchiveQuery.to_dask_dataframe`.

    Raises DatasetError where there is none.
    """
    check_backend(dtype_backend)
    store = Store.at(path)
    manifest = store.stored()
    full = [r for r in store.receipts(manifest.id).values() if r.rows]
    metas = Reading(job_of(manifest), dtype_backend=dtype_backend).meta()
    folders = manifest.layout.folders(manifest.schema)
    frames = {key: _opened(store, full, folders[key], meta, dtype_backend) for key, meta in metas.items()}
    return frames.get(ONLY, frames)


def _opened(
    store: Store, full: Sequence[Receipt], folder: str, meta: pd.DataFrame, dtype_backend: DtypeBackend
) -> dd.DataFrame:
    import dask.dataframe as dd

    if not full:
        return dd.from_pandas(meta, npartitions=1)
    divisions = (*(str(r.first) for r in full), str(full[-1].last))
    how = {"store": store, "folder": folder, "dtype_backend": dtype_backend}
    return dd.from_map(_read_part, [r.segment for r in full], **how, meta=meta, divisions=divisions)


def _read_part(
    number: int,
    *,
    store: Store,
    folder: str,
    dtype_backend: DtypeBackend,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One part; with `columns` (which Dask passes on from a selection) only those are read."""
    return to_pandas(store.read_part(number, folder, columns), dtype_backend=dtype_backend, alike=True)
