"""Owns the lazy side: segments as Dask partitions, and datasets opened as Dask frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from .edges.store import Store
from .pure.errors import DatasetError, UserError
from .pure.frames import to_pandas, units_of
from .pure.manifest import Manifest
from .pure.segments import ALPHABET, Plan, Segment
from .sides.partitions import read_columns
from .sides.worker import Job

if TYPE_CHECKING:
    import dask.dataframe as dd
    from dask.delayed import Delayed


def partitions(job: Job, plan: Plan, *, on_failure: str = "raise") -> list[Delayed]:
    """One Delayed per segment of a plan: a pandas frame indexed by entry_id. Nothing is asked for now."""
    from dask import delayed
    from dask.base import tokenize

    _check(on_failure)
    shared = delayed(job, name=f"job-{tokenize(job)}", traverse=False)
    read = delayed(read_columns, pure=True)
    return [read(shared, segment, on_failure) for segment in plan.segments]


def lazy_frame(job: Job, plan: Plan, *, on_failure: str = "raise") -> dd.DataFrame:
    """A plan as a lazy frame: one partition per segment, meta and divisions known. Nothing is asked for now."""
    from .expression import frame_of

    _check(on_failure)
    meta = to_pandas(job.schema.to_arrow().empty_table())
    return frame_of(job, plan.segments, meta, divisions_of(plan.segments), on_failure)


def divisions_of(segments: Sequence[Segment]) -> tuple[str, ...]:
    """Dask's divisions of a plan. They are closed below, segments above: a bound's successor is where the next begins."""
    return (
        segments[0].after + ALPHABET[0],
        *(segment.upto + ALPHABET[0] for segment in segments[:-1]),
        segments[-1].upto or _LAST,
    )


_LAST = "~"
"""After every entry id."""


def _check(on_failure: str) -> None:
    if on_failure not in ("raise", "null"):
        raise UserError(f"on_failure must be 'raise' or 'null', not {on_failure!r}")


def units(data: pd.DataFrame | dd.DataFrame | str | os.PathLike[str]) -> dict[str, str]:
    """The unit of each column that has one, as the server's schema names it: of a frame of ours, or of a dataset."""
    if isinstance(data, str | os.PathLike):
        return units_of(_manifest_of(Store.at(data)).schema.to_arrow())
    return dict(getattr(data, "_meta", data).attrs.get("units", {}))


def open_dataset(path: str | os.PathLike[str]) -> dd.DataFrame:
    """The dataset at `path` as a lazy frame with known divisions, indexed by entry_id. Reads small files now.

    Of a harvest in progress (or one that was killed) only finished segments are seen.
    """
    import dask.dataframe as dd

    store = Store.at(path)
    manifest = _manifest_of(store)
    meta = to_pandas(manifest.schema.to_arrow().empty_table())
    full = [r for r in store.receipts(manifest.id).values() if r.rows]
    if not full:
        return dd.from_pandas(meta, npartitions=1)
    divisions = (*(str(r.first) for r in full), str(full[-1].last))
    return dd.from_map(_read_part, [r.segment for r in full], store=store, meta=meta, divisions=divisions)


def _manifest_of(store: Store) -> Manifest:
    manifest = store.manifest()
    if manifest is None:
        raise DatasetError(f"{store.url} holds no dataset; harvest one first")
    return manifest


def _read_part(number: int, *, store: Store, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One part; with `columns` (which Dask passes on from a selection) only those are read."""
    return to_pandas(store.read_part(number, columns))
