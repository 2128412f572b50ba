"""Dask expressions of lazy dataframes: partitions that read segments, with only the columns that are needed.

`ddf[["a", "b"]]`, filters and aggregations push their columns into `ReadSegments`; `len` and `.index` push an
empty list, which needs only the listing. In the layout `tables`, all dataframes that are computed together
share one `ReadTables`, which reads their required paths. Both are lowered to `SegmentTasks`: one shared
value, and a segment per task.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import dask.dataframe as dd
import pandas as pd
from dask._task_spec import DataNode, Task, TaskRef
from dask.base import tokenize
from dask.dataframe.dask_expr._collection import new_collection
from dask.dataframe.dask_expr._expr import (
    Blockwise,
    Expr,
    Index,
    PartitionsFiltered,
    Projection,
    determine_column_projection,
)
from dask.dataframe.dask_expr._reductions import Len
from dask.dataframe.dask_expr._util import _convert_to_list
from dask.dataframe.dask_expr.io.io import BlockwiseIO

from nomad_dask.client.metainfo_cache import cached_definitions
from nomad_dask.cluster.no_workers import SHARED, end_without_workers
from nomad_dask.cluster.shared_limits import run_with_shared_limits
from nomad_dask.cluster.task_progress import NamedReader, run_with_progress, watch
from nomad_dask.cluster.workers import lend_to_default
from nomad_dask.dataset.report import Receipt
from nomad_dask.frame.partition import PartitionReader, StoredPart, read_frame, read_frames, read_part
from nomad_dask.layouts.layouts import ONLY
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.segments import ALPHABET, Plan, Segment

if TYPE_CHECKING:
    from nomad_dask.frame.lazy import LazyFrames


class SharedValue(Expr):
    """A value that is in the graph once, and that tasks refer to."""

    _parameters = ["value"]

    ndim = 0

    @functools.cached_property
    def _name(self) -> str:
        return f"{SHARED}{self.deterministic_token}"

    def _divisions(self) -> tuple[None, None]:
        return (None, None)

    def _layer(self) -> dict[Any, Any]:
        return {(self._name, 0): DataNode((self._name, 0), NamedReader(self._name, self.operand("value")))}


class _Tokenized(Expr):
    """Its token leaves out `show_progress`, and `user_meta`, which is derived and slow to hash."""

    def __dask_tokenize__(self) -> str:
        if not self._determ_token:
            named = zip(self._parameters, self.operands, strict=True)
            operands = [operand for name, operand in named if name not in ("user_meta", "show_progress")]
            self._determ_token = tokenize(type(self), *operands, ensure_deterministic=True)
        return self._determ_token


class _PlanExpr(_Tokenized, PartitionsFiltered, BlockwiseIO):
    """An expression with one partition per segment of a plan."""

    @functools.cached_property
    def _name(self) -> str:
        return f"nomad-{self.deterministic_token}"

    def _divisions(self) -> tuple[str, ...]:
        return divisions_of(self.operand("plan").segments)


class _Logical(_PlanExpr):
    """The expression of a user's dataframe until it is computed."""

    @property
    def reader(self) -> PartitionReader:
        reader: PartitionReader = self.operand("reader")
        return reader

    def _layer(self) -> dict[Any, Any]:
        """Empty, as `SegmentTasks` has the tasks. Dask 2025 calls it to check that this is a collection."""
        return {}

    def _definitions(self) -> Definitions | None:
        """The server's schema. Prepares a computation: workers get the login, and it ends without workers."""
        end_without_workers()
        lend_to_default(self.reader.server)
        return cached_definitions(self.reader.server)

    def _read(self, reader: PartitionReader, meta: Any, function: Callable[..., Any]) -> SegmentTasks:
        """The expression that replaces this one in the graph. Starts to show progress in a notebook."""
        read = SegmentTasks(
            SharedValue(reader), self.operand("plan"), meta, function, self.operand("_partitions")
        )
        if self.operand("show_progress"):
            segments = self.operand("plan").segments
            watch(read.job, _label(reader), [segments[index] for index in read._partitions])
        return read


class _Columns(Expr):
    """A dataframe that reads only the `columns` that are needed: None means all, an empty list only the
    index.
    """

    _defaults = {"columns": None, "_partitions": None, "_series": False}
    _absorb_projections = True

    @property
    def columns(self) -> list[str]:
        """The columns to read."""
        chosen = self.operand("columns")
        return list(self.operand("user_meta").columns if chosen is None else chosen)

    @functools.cached_property
    def _meta(self) -> pd.DataFrame | pd.Series:
        meta = self.operand("user_meta")[self.columns]
        return meta[self.columns[0]] if self.operand("_series") else meta

    def _simplify_up(self, parent: Expr, dependents: Any) -> Expr | None:
        if isinstance(parent, Len | Index) and self.columns:
            bare: Any = parent.substitute(self, self.substitute_parameters({"columns": [], "_series": False}))
            return bare
        if isinstance(parent, Projection) and self.operand("_series"):
            return None
        simplified: Expr | None = super()._simplify_up(parent, dependents)
        return simplified


class ReadParts(_Columns, _Tokenized, PartitionsFiltered, BlockwiseIO):
    """The finished parts of a dataset. `versions` differ where a part was written again."""

    _parameters = ["part", "segments", "versions", "ends", "user_meta", "columns", "_partitions", "_series"]

    @functools.cached_property
    def _name(self) -> str:
        return f"parts-{self.deterministic_token}"

    def _divisions(self) -> tuple[str, ...]:
        ends: tuple[str, ...] = self.operand("ends")
        return ends

    def _filtered_task(self, name: Any, index: int) -> Task:
        chosen = self.operand("columns")
        columns = None if chosen is None else [*chosen]
        number, one = self.operand("segments")[index], bool(self.operand("_series"))
        return Task(name, read_part, self.operand("part"), number, columns, one, _data_producer=True)


class ReadSegments(_Columns, _Logical):
    """A dataframe with one partition per segment."""

    _parameters = ["reader", "plan", "user_meta", "show_progress", "columns", "_partitions", "_series"]

    def _lower(self) -> Expr:
        reader = self.reader.of(self.operand("columns"), self._definitions())
        read = self._read(reader, self.operand("user_meta")[self.columns], read_frame)
        return PartitionItem(read, self.columns[0], self._meta) if self.operand("_series") else read


class ReadTables(_Logical):
    """Partitions that are dicts of dataframes by required path.

    `wanted` maps the paths to read to the columns that are needed, or to None for all columns.
    """

    _parameters = ["reader", "plan", "show_progress", "wanted", "_partitions"]
    _defaults = {"wanted": None, "_partitions": None}

    ndim = 0
    _meta = None

    def _simplify_up(self, parent: Expr, dependents: Any) -> Any:
        """Read only what the parents need. Each parent computes the same union, so they share the result."""
        parents = [reference() for reference in dependents[self._name]]
        parts = [part for part in parents if isinstance(part, PartitionItem)]
        if not isinstance(parent, PartitionItem) or not parts:
            return None
        columns: dict[str, set[str] | None] = {}
        for part in parts:
            path, needed = part.operand("key"), part.operand("columns")
            before = columns.get(path, set())
            columns[path] = None if needed is None or before is None else before | {*needed}
        wanted = {
            path: None if needed is None else tuple(sorted(needed))
            for path, needed in sorted(columns.items(), key=lambda item: self._paths.index(item[0]))
        }
        if wanted == self.wanted:
            return None
        return parent.substitute(self, self.substitute_parameters({"wanted": wanted}))

    @functools.cached_property
    def _paths(self) -> list[str]:
        return list(self.reader.arrow())

    @property
    def wanted(self) -> dict[str, tuple[str, ...] | None]:
        """The required paths to read, and the columns that are needed of each."""
        chosen: dict[str, tuple[str, ...] | None] | None = self.operand("wanted")
        return dict.fromkeys(self._paths) if chosen is None else chosen

    def _lower(self) -> Expr:
        wanted = self.wanted
        reader = self.reader
        if wanted != dict.fromkeys(self._paths):
            reader = reader.of_tables(wanted, self._definitions())
        return self._read(reader, None, read_frames)


class SegmentTasks(_PlanExpr):
    """One task per segment; all tasks refer to one shared value."""

    _parameters = ["shared", "plan", "user_meta", "function", "_partitions"]
    _defaults = {"_partitions": None}

    @property
    def _meta(self) -> Any:
        return self.operand("user_meta")

    @property
    def job(self) -> str:
        """The name under which the tasks report progress."""
        name: str = self.operand("shared")._name
        return name

    def _filtered_task(self, name: Any, index: int) -> Task:
        shared = TaskRef((self.job, 0))
        segment = self.operand("plan").segments[index]
        functions = run_with_shared_limits, run_with_progress, self.operand("function")
        return Task(name, *functions, shared, segment, _data_producer=True)


class PartitionItem(_Tokenized, Blockwise):
    """An item of each partition: one table, or some of its columns, or a column of a dataframe."""

    _parameters = ["frame", "key", "user_meta", "columns"]
    _defaults = {"columns": None}

    @functools.cached_property
    def _name(self) -> str:
        return f"part-{self.deterministic_token}"

    @functools.cached_property
    def _meta(self) -> Any:
        columns = self.operand("columns")
        meta = self.operand("user_meta")
        return meta if columns is None else meta[[*columns]]

    def _simplify_up(self, parent: Expr, dependents: Any) -> Any:
        """Push the columns that are needed of a table down, so that only these are read."""
        if not isinstance(parent, Projection) or not isinstance(self.operand("frame"), ReadTables):
            return None
        needed: Any = _convert_to_list(determine_column_projection(self, parent, dependents))
        kept = [column for column in self._meta.columns if column in needed]
        if kept == [*self._meta.columns]:
            return None
        narrower: Any = self.substitute_parameters({"columns": kept})
        return type(parent)(narrower, *parent.operands[1:])

    def _task(self, name: Any, index: int) -> Task:
        frame = TaskRef((self.operand("frame")._name, index))
        return Task(name, _item, frame, self.operand("key"), self.operand("columns"))


def _label(reader: PartitionReader) -> str:
    """A description of a computation for its progress display."""
    if reader.columns is None:
        return "Computing all columns"
    if not reader.columns:
        return "Computing the list of entries"
    more = len(reader.columns) - 3
    names = ", ".join(reader.columns[:3])
    return f"Computing {names}" + (f" and {more} more" if more > 0 else "")


def _item(partition: Any, key: str, columns: Sequence[str] | None) -> Any:
    found = partition[key]
    return found if columns is None else found[[*columns]]


def divisions_of(segments: Sequence[Segment]) -> tuple[str, ...]:
    """Dask's divisions of a plan: they include their lower bound, segments their upper bound."""
    bounds = [segments[0].after, *(segment.upto for segment in segments[:-1])]
    last = segments[-1].upto or "~"  # greater than every entry id
    return (*(bound + ALPHABET[0] for bound in bounds), last)


def frame_of(reader: PartitionReader, plan: Plan, *, show_progress: bool = False) -> LazyFrames:
    """A plan as a lazy dataframe with one partition per segment, or a dict of them in the layout `tables`.

    Sends no request. `show_progress` shows computations in a notebook.
    """
    metas = reader.meta()
    if reader.layout.name != "tables":
        return new_collection(ReadSegments(reader, plan, metas[ONLY], show_progress))
    shared = ReadTables(reader, plan, show_progress)
    return {path: new_collection(PartitionItem(shared, path, meta)) for path, meta in metas.items()}


def parts_of(part: StoredPart, full: Sequence[Receipt], meta: pd.DataFrame) -> dd.DataFrame:
    """The parts of a dataset's table as a lazy dataframe; `full` are the receipts of those with rows."""
    if not full:
        return dd.from_pandas(meta, npartitions=1)
    ends = (*(str(receipt.first) for receipt in full), str(full[-1].last))
    versions = tuple((receipt.dataset, receipt.finished) for receipt in full)
    segments = tuple(receipt.segment for receipt in full)
    return new_collection(ReadParts(part, segments, versions, ends, meta))
