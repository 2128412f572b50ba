"""Owns the task of a lazy frame: one segment as a pandas frame, with the columns asked for and no more on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import pyarrow as pa

from ..edges.loop import iterate
from ..edges.pages import listing
from ..edges.transport import Client
from ..pure.errors import EntriesFailedError
from ..pure.frames import to_pandas
from ..pure.projection import narrow
from ..pure.report import Failure
from ..pure.schema import ENTRY_ID, UPLOAD_ID
from ..pure.segments import Segment
from .worker import Job, in_order, read_segment


def read_columns(
    job: Job, segment: Segment, on_failure: str, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """One segment as a pandas frame indexed by entry_id; with `columns` only those, and the server is asked for those.

    Where nothing of the archives is needed (no columns, or `upload_id`), the listing is all that is asked for. Entries
    that fail raise EntriesFailedError, or are rows of nulls under `on_failure="null"`.
    """
    if columns is not None and set(columns) <= {UPLOAD_ID}:
        return to_pandas(_listed(job, segment)).loc[:, list(columns)]
    if columns is not None:
        question = job.question
        required = narrow(question.required, columns, job.schema)
        job = replace(job, question=replace(question, required=required))
    table, receipt = read_segment(job, segment)
    if receipt.failures and on_failure == "raise":
        raise EntriesFailedError(receipt.failures)
    if receipt.failures:
        table = in_order(pa.concat_tables([table, _nulls(receipt.failures, table.schema)]))
    return to_pandas(table if columns is None else table.select([ENTRY_ID, *columns]))


def _listed(job: Job, segment: Segment) -> pa.Table:
    refs = [ref for page in iterate(listing(Client(job.server), job.question, segment)) for ref in page]
    names = {ENTRY_ID: [r.entry_id for r in refs], UPLOAD_ID: [r.upload_id for r in refs]}
    return pa.table({name: pa.array(values, pa.string()) for name, values in names.items()})


def _nulls(failures: Sequence[Failure], schema: pa.Schema) -> pa.Table:
    names = {
        ENTRY_ID: pa.array([f.entry_id for f in failures], pa.string()),
        UPLOAD_ID: pa.array([f.upload_id for f in failures], pa.string()),
    }
    return pa.table([names.get(f.name, pa.nulls(len(failures), f.type)) for f in schema], schema=schema)
