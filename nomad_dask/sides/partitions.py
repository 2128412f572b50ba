"""Owns the task of a lazy frame: one segment as pandas frames, with the columns asked for and no more on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
import pyarrow as pa

from ..edges.loop import iterate
from ..edges.pages import listing
from ..edges.transport import Client
from ..pure.errors import EntriesFailedError, RefusedError, UserError
from ..pure.frames import DtypeBackend, check_backend, to_pandas
from ..pure.include import settled
from ..pure.layouts import ONLY, empty
from ..pure.progress import Done
from ..pure.projection import narrow, narrow_tables
from ..pure.report import Failure, Receipt
from ..pure.required import Required
from ..pure.schema import ENTRY_ID, UPLOAD_ID
from ..pure.sections import Definitions
from ..pure.segments import Segment
from .telling import tell
from .worker import Job, Tables, in_order, read_segment

OnFailure = Literal["raise", "null"]


def check_options(on_failure: str, dtype_backend: str) -> None:
    """UserError for an option that is none."""
    if on_failure not in ("raise", "null"):
        raise UserError(f"on_failure must be 'raise' or 'null', not {on_failure!r}")
    check_backend(dtype_backend)


@dataclass(frozen=True, slots=True)
class Reading:
    """What all partitions of a lazy frame share: a plain value, checked when made."""

    job: Job
    on_failure: OnFailure = "raise"
    """Whether entries that fail raise, or are rows of nulls (in the layout tables: no rows)."""
    dtype_backend: DtypeBackend = "pyarrow"
    columns: tuple[str, ...] | None = None
    """The columns to read, of tables the required paths; None: all."""

    def __post_init__(self) -> None:
        check_options(self.on_failure, self.dtype_backend)

    def of(self, columns: Sequence[str] | None, definitions: Definitions | None = None) -> Reading:
        """The same for some columns: narrowed once, for all partitions."""
        if columns is None:
            return self
        narrower = narrow(self.job.question.required, columns, self.job.schema, definitions=definitions)
        return self._asking(tuple(columns), narrower, definitions)

    def of_tables(
        self, wanted: Mapping[str, Sequence[str] | None], definitions: Definitions | None = None
    ) -> Reading:
        """The same for some tables, and for some columns of them (None: all)."""
        asked = self.job.question.required
        narrower = narrow_tables(asked, wanted, self.job.schema, definitions=definitions)  # type: ignore[arg-type]
        return self._asking(tuple(wanted), narrower, definitions)

    def _asking(
        self, columns: tuple[str, ...], narrower: Required, definitions: Definitions | None
    ) -> Reading:
        if narrower.documents and narrower != self.job.question.required:
            narrower = settled(narrower, definitions)
        return replace(self, columns=columns, job=replace(self.job, narrower=narrower))

    def meta(self) -> dict[str, pd.DataFrame]:
        """Empty frames like those that will be read, by the layout's keys."""
        tables = empty(self.job.layout, self.job.schema)
        return {key: self._pandas(table) for key, table in tables.items()}

    def _pandas(self, table: pa.Table) -> pd.DataFrame:
        return to_pandas(table, dtype_backend=self.dtype_backend, alike=True)


def read_frame(reading: Reading, segment: Segment) -> pd.DataFrame:
    """One segment as a pandas frame indexed by entry_id, of the reading's columns; the server is asked for no others.

    Where nothing of the archives is needed (no columns, or `upload_id`), the listing is all that is asked for. Entries
    that fail raise EntriesFailedError, or are rows of nulls under `on_failure="null"`.
    """
    columns = reading.columns
    if columns is not None and set(columns) <= {UPLOAD_ID}:
        return reading._pandas(_listed(reading.job, segment)).loc[:, list(columns)]
    tables, receipt = _read(reading, segment)
    table = tables[ONLY]
    if receipt.failures:
        table = in_order(pa.concat_tables([table, _nulls(receipt.failures, table.schema)]))
    return reading._pandas(table if columns is None else table.select([ENTRY_ID, *columns]))


def read_frames(reading: Reading, segment: Segment) -> dict[str, pd.DataFrame]:
    """One segment in the layout tables: a frame for each required path, or for those of the reading's columns.

    Indexed by entry_id; the numbers of repeating sections are columns. Entries that fail raise EntriesFailedError, or have
    no rows under `on_failure="null"`.
    """
    tables, _ = _read(reading, segment)
    wanted = tables if reading.columns is None else reading.columns
    return {key: reading._pandas(tables[key]) for key in wanted}


def read_any(reading: Reading, segment: Segment) -> pd.DataFrame | dict[str, pd.DataFrame]:
    """`read_frames` in the layout tables, else `read_frame`."""
    return (read_frames if reading.job.layout.name == "tables" else read_frame)(reading, segment)


def _read(reading: Reading, segment: Segment) -> tuple[Tables, Receipt]:
    job = reading.job
    try:
        tables, receipt = read_segment(job, segment)
    except RefusedError as error:
        # A document may hold names that a server's search does not know, which only the whole brings.
        if error.status != 422 or job.narrower is None or job.question.source != "documents":
            raise
        tables, receipt = read_segment(replace(job, narrower=None), segment)
    tell(Done.of(receipt))
    if receipt.failures and reading.on_failure == "raise":
        raise EntriesFailedError(receipt.failures)
    return tables, receipt


def _listed(job: Job, segment: Segment) -> pa.Table:
    client = Client(job.server)
    refs = [ref for page in iterate(listing(client, job.question, segment)) for ref in page]
    tell(Done(len(refs), 0, client.tally.n_bytes, client.tally.requests, 1))
    names = {ENTRY_ID: [r.entry_id for r in refs], UPLOAD_ID: [r.upload_id for r in refs]}
    return pa.table({name: pa.array(values, pa.string()) for name, values in names.items()})


def _nulls(failures: Sequence[Failure], schema: pa.Schema) -> pa.Table:
    names = {
        ENTRY_ID: pa.array([f.entry_id for f in failures], pa.string()),
        UPLOAD_ID: pa.array([f.upload_id for f in failures], pa.string()),
    }
    return pa.table([names.get(f.name, pa.nulls(len(failures), f.type)) for f in schema], schema=schema)
