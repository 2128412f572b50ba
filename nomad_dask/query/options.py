"""Options of `ArchiveQuery.to_delayed`, `to_dask_dataframe` and `to_parquet`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from nomad_dask.errors import UserError
from nomad_dask.frame.partition import OnFailure, check_options
from nomad_dask.layouts import LayoutName, layouts
from nomad_dask.layouts.schema import GivenTypes, check_given
from nomad_dask.layouts.to_pandas import DtypeBackend
from nomad_dask.layouts.units import GivenUnits, UnitChoice
from nomad_dask.layouts.wide import OnNew
from nomad_dask.plan.planner import TableOptions
from nomad_dask.request import QuerySpec, Source
from nomad_dask.text import hint, near


class _GuideMax(int):
    """The default of `results_max`, which differs from the same number given by the user."""


GUIDE_MAX: int = _GuideMax(1000)
"""The default maximum of `fetch` and `download`, from NOMAD's guide."""


def bulk_max(results_max: int | None) -> int | None:
    """The maximum number of entries in bulk: the given one; the default means all."""
    return None if isinstance(results_max, _GuideMax) else results_max


class LazyOptions(TypedDict, total=False):
    """Arguments of `to_dask_dataframe` that do not affect the type of its result."""

    partition_size: int | None
    npartitions: int | None
    source: Source | None
    resolve_references: bool
    on_failure: OnFailure
    on_new: OnNew
    schema: GivenTypes | None
    units: GivenUnits | None
    dtype_backend: DtypeBackend


class ReadOptions(LazyOptions, total=False):
    """Arguments of `to_pandas`, `to_arrow`, `to_polars`, `to_batches` and `to_csv`."""

    layout: LayoutName
    from_query: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """How a query becomes partitions, dataframes or a dataset, checked when created.

    `ArchiveQuery.to_dask_dataframe` describes each option.
    """

    partition_size: int | None = None
    npartitions: int | None = None
    layout: LayoutName = "wide"
    from_query: bool = False
    source: Source | None = None
    resolve_references: bool = True
    on_new: OnNew = "more"
    schema: GivenTypes | None = None
    units: GivenUnits | None = None
    on_failure: OnFailure = "raise"
    dtype_backend: DtypeBackend = "pyarrow"

    def __post_init__(self) -> None:
        if self.from_query and self.layout == "nested":
            raise UserError("from_query=True means layout='tables'; remove it or layout='nested'")
        check_options(self.on_failure, self.dtype_backend)

    @classmethod
    def of(cls, method: str, options: Mapping[str, Any]) -> OutputOptions:
        """The options of a method. TypeError, with similar names, for an unknown one."""
        for name in options:
            if name not in cls.__slots__:
                advice = hint(
                    name, near(name, cls.__slots__), f"its arguments are {', '.join(cls.__slots__)}"
                )
                raise TypeError(f"{method} has no argument {name!r}{advice}")
        return cls(**options)

    def tables(
        self, question: QuerySpec, max_columns: int | None = None, batch_size: int | None = None
    ) -> TableOptions:
        """The options of the tables. UserError if the schema names what the query does not request."""
        layout = layouts.layout("tables" if self.from_query else self.layout)
        if self.schema is not None:
            # The nested layout checks its own keys, which are required paths.
            check_given(self.schema, None if layout is layouts.NESTED else question.required)
        return TableOptions(
            layout=layout,
            schema=self.schema,
            max_columns=max_columns,
            batch_size=batch_size,
            on_new=self.on_new,
            on_failure=self.on_failure,
            dtype_backend=self.dtype_backend,
            units=UnitChoice.of(self.units, question.required),
        )
