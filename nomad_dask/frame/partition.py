"""Tasks of a lazy dataframe: read a segment, with only the required columns, as pandas dataframes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
import pyarrow as pa

from nomad_dask.client.event_loop import iterate, run
from nomad_dask.client.metainfo_cache import with_accepted_names
from nomad_dask.client.search import iter_pages
from nomad_dask.client.transport import Client
from nomad_dask.common.portable_errors import call
from nomad_dask.dataset.segment import Job, Tables, read_segment, sorted_by_id
from nomad_dask.dataset.store import Store
from nomad_dask.errors import EntriesFailedError, RefusedError, UserError
from nomad_dask.layouts.layouts import ONLY
from nomad_dask.layouts.projection import narrow, narrow_tables
from nomad_dask.layouts.schema import ENTRY_ID, UPLOAD_ID
from nomad_dask.layouts.to_pandas import DtypeBackend, check_backend, to_pandas
from nomad_dask.layouts.units import UnitChoice
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.progress.progress import WorkDone, report_work
from nomad_dask.request import Failure, Ref
from nomad_dask.request.include import with_sent_names
from nomad_dask.request.required import Required
from nomad_dask.request.segments import Segment

OnFailure = Literal["raise", "null"]


def check_options(on_failure: str, dtype_backend: str) -> None:
    """UserError if an option is invalid."""
    if on_failure not in ("raise", "null"):
        raise UserError(f"on_failure must be 'raise' or 'null' (got {on_failure!r})")
    check_backend(dtype_backend)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionReader(Job):
    """The settings that all partitions of a lazy dataframe share, checked when created."""

    on_failure: OnFailure = "raise"
    """Raise if entries fail, or return rows of nulls for them (no rows in the layout `tables`)."""
    dtype_backend: DtypeBackend = "pyarrow"
    columns: tuple[str, ...] | None = None
    """The columns to read (required paths in the layout `tables`); None means all."""

    def __post_init__(self) -> None:
        check_options(self.on_failure, self.dtype_backend)

    def of(self, columns: Sequence[str] | None, definitions: Definitions | None = None) -> PartitionReader:
        """A reader of some columns, which requests only these."""
        if columns is None:
            return self
        narrower = narrow(self.question.required, columns, self.schema, definitions=definitions)
        return self._narrowed(columns, narrower, definitions)

    def of_tables(
        self, wanted: Mapping[str, Sequence[str] | None], definitions: Definitions | None = None
    ) -> PartitionReader:
        """A reader of some tables, and of some of their columns (None: all)."""
        required, schema = self.question.required, self.schema
        narrower = narrow_tables(required, wanted, schema, definitions=definitions)  # type: ignore[arg-type]
        return self._narrowed(wanted, narrower, definitions)

    def _narrowed(
        self, columns: Iterable[str], narrower: Required, definitions: Definitions | None
    ) -> PartitionReader:
        if narrower.documents and narrower != self.question.required:
            narrower = with_sent_names(narrower, definitions)
        return replace(self, columns=tuple(columns), narrower=narrower)

    def meta(self) -> dict[str, pd.DataFrame]:
        """Empty dataframes with the columns and types of the partitions, by the layout's keys."""
        return {key: self.pandas(table) for key, table in self.empty().items()}

    def pandas(self, table: pa.Table) -> pd.DataFrame:
        """A table as a pandas dataframe."""
        return to_pandas(table, dtype_backend=self.dtype_backend, alike=True)


def read_frame(reader: PartitionReader, segment: Segment) -> pd.DataFrame:
    """Read a segment as a pandas dataframe, indexed by entry_id; only the reader's columns are requested.

    If no values of archives are needed (no columns, or only `upload_id`), only the listing is requested.
    Failed entries raise EntriesFailedError, or are rows of nulls with `on_failure="null"`.
    """
    columns = reader.columns
    if columns is not None and set(columns) <= {UPLOAD_ID}:
        return reader.pandas(_listed(reader, segment)).loc[:, list(columns)]
    table = read_tables(reader, segment)[0][ONLY]
    return reader.pandas(table if columns is None else table.select([ENTRY_ID, *columns]))


def read_frames(reader: PartitionReader, segment: Segment) -> dict[str, pd.DataFrame]:
    """Read a segment in the layout `tables`: one dataframe per required path that the reader selects.

    Indexed by entry_id; indices of repeating sections are columns. Failed entries raise EntriesFailedError,
    or have no rows with `on_failure="null"`.
    """
    tables, _ = read_tables(reader, segment)
    wanted = tables if reader.columns is None else reader.columns
    return {key: reader.pandas(tables[key]) for key in wanted}


def read_any(reader: PartitionReader, segment: Segment) -> pd.DataFrame | dict[str, pd.DataFrame]:
    """`read_frames` in the layout `tables`, else `read_frame`."""
    return (read_frames if reader.layout.name == "tables" else read_frame)(reader, segment)


def read_tables(reader: PartitionReader, segment: Segment) -> tuple[Tables, WorkDone]:
    """Read a segment as Arrow tables, by the layout's keys.

    Failed entries raise EntriesFailedError, or are rows of nulls with `on_failure="null"` (in the layout
    `tables`: no rows).
    """
    try:
        tables, receipt = read_segment(reader, segment)
    except RefusedError as error:
        # Documents can contain names that the server's search rejects.
        if error.status != 422 or reader.narrower is None or reader.question.source != "documents":
            raise
        question = run(with_accepted_names(Client(reader.server), reader.requested, known=True))
        tables, receipt = read_segment(replace(reader, narrower=question.required), segment)
    work = receipt.work_done()
    report_work(work)
    failures = receipt.failures
    if failures and reader.on_failure == "raise":
        raise EntriesFailedError(failures)
    if failures and ONLY in tables:
        table = tables[ONLY]
        tables = {ONLY: sorted_by_id(pa.concat_tables([table, _nulls(failures, table.schema)]))}
    return tables, work


def _listed(job: Job, segment: Segment) -> pa.Table:
    client = Client(job.server)
    refs = [ref for page in iterate(iter_pages(client, job.question, segment)) for ref in page.refs]
    report_work(WorkDone(len(refs), 0, client.stats.n_bytes, client.stats.requests, 1))
    return pa.table(_ids(refs))


def _nulls(failures: Sequence[Failure], schema: pa.Schema) -> pa.Table:
    ids = _ids(failures)
    return pa.table([ids.get(f.name, pa.nulls(len(failures), f.type)) for f in schema], schema=schema)


def _ids(entries: Sequence[Ref | Failure]) -> dict[str, pa.Array]:
    return {
        ENTRY_ID: pa.array([entry.entry_id for entry in entries], pa.string()),
        UPLOAD_ID: pa.array([entry.upload_id for entry in entries], pa.string()),
    }


@dataclass(frozen=True, slots=True)
class StoredPart:
    """How the parts of a dataset's table become dataframes."""

    store: Store
    folder: str
    dtype_backend: DtypeBackend
    units: UnitChoice
    full_names: Mapping[str, str]

    def to_pandas(self, table: pa.Table) -> pd.DataFrame:
        """A table as a pandas dataframe, in the chosen units."""
        converted = self.units.convert(table, self.full_names)
        return to_pandas(converted, dtype_backend=self.dtype_backend, alike=True)


def read_part(
    part: StoredPart, number: int, columns: Sequence[str] | None = None, as_series: bool = False
) -> pd.DataFrame | pd.Series:
    """Read one part of a dataset, or only some columns; with `as_series` the only one of these."""
    frame: pd.DataFrame = call(part.to_pandas, call(part.store.read_part, number, part.folder, columns))
    if columns is not None:
        frame = frame[[*columns]]
    return frame[frame.columns[0]] if as_series else frame
