"""Owns the lazy frame's node in Dask's expressions: partitions that read segments, and only the columns asked for.

`ddf[["a", "b"]]`, filters and aggregations push their columns into it; `len` and `.index` push none, and need the
listing alone. What all partitions share (the job) stands in the graph once.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import pandas as pd
from dask._task_spec import DataNode, Task, TaskRef
from dask.dataframe.dask_expr._collection import new_collection
from dask.dataframe.dask_expr._expr import Expr, Index, PartitionsFiltered, Projection
from dask.dataframe.dask_expr._reductions import Len
from dask.dataframe.dask_expr.io.io import BlockwiseIO

from .pure.segments import Segment
from .sides.partitions import read_columns
from .sides.worker import Job


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
        return {(self._name, 0): DataNode((self._name, 0), self.operand("value"))}


class ReadSegments(PartitionsFiltered, BlockwiseIO):
    """A frame whose partitions are segments; `columns` of None are all, and an empty list is the index alone."""

    _parameters = [  # noqa: RUF012
        "job",
        "segments",
        "user_meta",
        "user_divisions",
        "on_failure",
        "columns",
        "_partitions",
        "_series",
    ]
    _defaults = {"columns": None, "_partitions": None, "_series": False}  # noqa: RUF012
    _absorb_projections = True

    @functools.cached_property
    def _name(self) -> str:
        return f"nomad-{self.deterministic_token}"

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        chosen = self.operand("columns")
        return list(self.operand("user_meta").columns if chosen is None else chosen)

    @functools.cached_property
    def _meta(self) -> pd.DataFrame | pd.Series:
        meta = self.operand("user_meta")[self.columns]
        return meta[self.columns[0]] if self.operand("_series") else meta

    def _divisions(self) -> tuple[str, ...]:
        divisions: tuple[str, ...] = self.operand("user_divisions")
        return divisions

    def _simplify_up(self, parent: Expr, dependents: Any) -> Expr | None:
        if isinstance(parent, Len | Index) and self.columns:
            bare: Any = parent.substitute(self, self.substitute_parameters({"columns": [], "_series": False}))
            return bare
        if isinstance(parent, Projection) and self.operand("_series"):
            return None
        simplified: Expr | None = super()._simplify_up(parent, dependents)
        return simplified

    def _filtered_task(self, name: Any, index: int) -> Task:
        columns = self.operand("columns")
        task = Task(
            name,
            read_columns,
            TaskRef((self.operand("job")._name, 0)),
            self.operand("segments")[index],
            self.operand("on_failure"),
            None if columns is None else tuple(columns),
            _data_producer=True,
        )
        if self.operand("_series"):
            return Task(name, operator.getitem, task, self.columns[0])
        return task


def frame_of(
    job: Job, segments: tuple[Segment, ...], meta: pd.DataFrame, divisions: tuple[str, ...], on_failure: str
) -> Any:
    """The Dask collection over segments."""
    return new_collection(ReadSegments(Shared(job), segments, meta, divisions, on_failure))
