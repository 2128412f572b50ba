"""Owns the lazy frame's nodes in Dask's expressions: partitions that read segments, and only the columns asked for.

`ddf[["a", "b"]]`, filters and aggregations push their columns into `ReadSegments`; `len` and `.index` push none, and need
the listing alone. In the layout tables one `ReadTables` stands under all frames that are computed together, and reads
the required paths of those. Both stand in the graph as `Read`: what all partitions share once, and for each its segment.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

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

from .limiter import within_limits
from .logins import lend_to_default
from .pure.sections import Definitions
from .pure.segments import ALPHABET, Plan, Segment
from .sides.definitions import known_definitions
from .sides.partitions import Reading, read_frame, read_frames
from .watching import Named, read_told, watch


class Shared(Expr):
    """One value in the graph, which tasks refer to instead of holding it."""

    _parameters = ["value"]  # noqa: RUF012

    ndim = 0

    @functools.cached_property
    def _name(self) -> str:
        return f"job-{self.deterministic_token}"

    def _divisions(self) -> tuple[None, None]:
        return (None, None)

    def _layer(self) -> dict[Any, Any]:
        return {(self._name, 0): DataNode((self._name, 0), Named(self._name, self.operand("value")))}


class _Told(Expr):
    """Known by its other operands: of these `user_meta` is made, which is slow to hash; and `spoken` changes no data."""

    def __dask_tokenize__(self) -> str:
        if not self._determ_token:
            named = zip(self._parameters, self.operands, strict=True)
            told = [operand for name, operand in named if name not in ("user_meta", "spoken")]
            self._determ_token = tokenize(type(self), *told, ensure_deterministic=True)
        return self._determ_token


class _OfPlan(_Told, PartitionsFiltered, BlockwiseIO):
    """What has one partition for each segment of a plan."""

    @functools.cached_property
    def _name(self) -> str:
        return f"nomad-{self.deterministic_token}"

    def _divisions(self) -> tuple[str, ...]:
        return divisions_of(self.operand("plan").segments)


class _Logical(_OfPlan):
    """What a user's frame is made of, until a computation begins."""

    @property
    def reading(self) -> Reading:
        """What all partitions share."""
        reading: Reading = self.operand("reading")
        return reading

    def _layer(self) -> dict[Any, Any]:
        """None: the tasks are those of `Read`. Dask of 2025 asks for a graph to learn that this is a collection."""
        return {}

    def _definitions(self) -> Definitions | None:
        """The server's schema, as a computation begins on the client; its workers get the login now."""
        lend_to_default(self.reading.job.server)
        return known_definitions(self.reading.job.server)

    def _read(self, reading: Reading, meta: Any, function: Callable[..., Any]) -> Read:
        """The node that stands in the graph. From now on a notebook that is spoken to looks out for its tasks."""
        read = Read(Shared(reading), self.operand("plan"), meta, function, self.operand("_partitions"))
        if self.operand("spoken"):
            segments = self.operand("plan").segments
            watch(read.job, _label(reading), [segments[index] for index in read._partitions])
        return read


class ReadSegments(_Logical):
    """A frame whose partitions are segments; `columns` of None are all, and an empty list is the index alone."""

    _parameters = [  # noqa: RUF012
        *("reading", "plan", "user_meta", "spoken"),
        *("columns", "_partitions", "_series"),
    ]
    _defaults = {"columns": None, "_partitions": None, "_series": False}  # noqa: RUF012
    _absorb_projections = True

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
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

    def _lower(self) -> Expr:
        reading = self.reading.of(self.operand("columns"), self._definitions())
        read = self._read(reading, self.operand("user_meta")[self.columns], read_frame)
        return Part(read, self.columns[0], self._meta) if self.operand("_series") else read


class ReadTables(_Logical):
    """Partitions that are dicts of frames by required path.

    `wanted`: the paths to read, each with the columns that are needed of it, or None for all of them.
    """

    _parameters = ["reading", "plan", "spoken", "wanted", "_partitions"]  # noqa: RUF012
    _defaults = {"wanted": None, "_partitions": None}  # noqa: RUF012

    ndim = 0
    _meta = None

    def _simplify_up(self, parent: Expr, dependents: Any) -> Any:
        """Read what the frames above need, and no more; all parents decide alike, and so share the node."""
        above = [reference() for reference in dependents[self._name]]
        parts = [part for part in above if isinstance(part, Part)]
        if not isinstance(parent, Part) or not parts:
            return None
        columns: dict[str, set[str] | None] = {}
        for part in parts:
            path, some = part.operand("key"), part.operand("columns")
            before = columns.get(path, set())
            columns[path] = None if some is None or before is None else before | {*some}
        wanted = {
            path: None if some is None else tuple(sorted(some))
            for path, some in sorted(columns.items(), key=lambda item: self._paths.index(item[0]))
        }
        if wanted == self.wanted:
            return None
        return parent.substitute(self, self.substitute_parameters({"wanted": wanted}))

    @functools.cached_property
    def _paths(self) -> list[str]:
        job = self.reading.job
        return list(job.layout.arrow(job.schema))

    @property
    def wanted(self) -> dict[str, tuple[str, ...] | None]:
        """The required paths that are read, and the columns that are needed of each."""
        chosen: dict[str, tuple[str, ...] | None] | None = self.operand("wanted")
        return dict.fromkeys(self._paths) if chosen is None else chosen

    def _lower(self) -> Expr:
        wanted = self.wanted
        reading = self.reading
        if wanted != dict.fromkeys(self._paths):
            reading = reading.of_tables(wanted, self._definitions())
        return self._read(reading, None, read_frames)


class Read(_OfPlan):
    """The tasks: what all share, and a segment each."""

    _parameters = ["shared", "plan", "user_meta", "function", "_partitions"]  # noqa: RUF012
    _defaults = {"_partitions": None}  # noqa: RUF012

    @property
    def _meta(self) -> Any:
        return self.operand("user_meta")

    @property
    def job(self) -> str:
        """The name by which its tasks tell how far they are."""
        name: str = self.operand("shared")._name
        return name

    def _filtered_task(self, name: Any, index: int) -> Task:
        shared = TaskRef((self.job, 0))
        segment = self.operand("plan").segments[index]
        called = within_limits, read_told, self.operand("function")
        return Task(name, *called, shared, segment, _data_producer=True)


class Part(_Told, Blockwise):
    """One item of each partition: a frame of the tables, with some of its columns, or a column of a frame."""

    _parameters = ["frame", "key", "user_meta", "columns"]  # noqa: RUF012
    _defaults = {"columns": None}  # noqa: RUF012

    @functools.cached_property
    def _name(self) -> str:
        return f"part-{self.deterministic_token}"

    @functools.cached_property
    def _meta(self) -> Any:
        columns = self.operand("columns")
        meta = self.operand("user_meta")
        return meta if columns is None else meta[[*columns]]

    def _simplify_up(self, parent: Expr, dependents: Any) -> Any:
        """Columns that are all that is needed of a table are told to what reads it."""
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


def _label(reading: Reading) -> str:
    """What a computation reads, for people."""
    if reading.columns is None:
        return "Computing all columns"
    if not reading.columns:
        return "Computing the list of entries"
    more = len(reading.columns) - _NAMED
    return f"Computing {', '.join(reading.columns[:_NAMED])}" + (f" and {more} more" if more > 0 else "")


_NAMED = 3
"""Columns that a label names."""


def _item(partition: Any, key: str, columns: Sequence[str] | None) -> Any:
    found = partition[key]
    return found if columns is None else found[[*columns]]


def divisions_of(segments: Sequence[Segment]) -> tuple[str, ...]:
    """Dask's divisions of a plan. They are closed below, segments above: a bound's successor is where the next begins."""
    return (
        segments[0].after + ALPHABET[0],
        *(segment.upto + ALPHABET[0] for segment in segments[:-1]),
        segments[-1].upto or _LAST,
    )


_LAST = "~"
"""After every entry id."""


def frame_of(reading: Reading, plan: Plan, *, spoken: bool = False) -> Any:
    """The Dask collection over a plan's segments, wide or nested; `spoken`: a notebook shows how far it is computed."""
    (meta,) = reading.meta().values()
    return new_collection(ReadSegments(reading, plan, meta, spoken))


def frames_of(reading: Reading, plan: Plan, *, spoken: bool = False) -> dict[str, Any]:
    """The Dask collections of the tables, by required path; those that are computed together share their downloads."""
    shared = ReadTables(reading, plan, spoken)
    return {path: new_collection(Part(shared, path, meta)) for path, meta in reading.meta().items()}
