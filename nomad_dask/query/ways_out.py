"""Arrow, pandas and Polars tables and CSV files of a query, read in this process without Dask.

Segments are read one after another, each with concurrent requests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from nomad_dask.errors import StorageError, UserError
from nomad_dask.frame.partition import PartitionReader, read_tables
from nomad_dask.layouts.layouts import ONLY
from nomad_dask.progress import display
from nomad_dask.progress.progress import Progress, WorkDone
from nomad_dask.request.segments import Plan
from nomad_dask.text import hint, near

Tables: TypeAlias = Mapping[str, pa.Table]

BATCH_ROWS = 16_384
"""Maximum number of rows of a record batch."""


def record_batches(reader: PartitionReader, plan: Plan) -> pa.RecordBatchReader:
    """The rows of a query as Arrow record batches, read segment by segment when they are taken."""
    return pa.RecordBatchReader.from_batches(
        reader.arrow()[ONLY], _batches(reader, plan, show_progress=False)
    )


def arrow_tables(reader: PartitionReader, plan: Plan, *, show_progress: bool) -> Tables:
    """All rows of a query, by the layout's keys."""
    found = list(_segments(reader, plan, show_progress=show_progress))
    return {key: pa.concat_tables([tables[key] for tables in found]) for key in reader.arrow()}


def pandas_frames(reader: PartitionReader, tables: Tables) -> dict[str, pd.DataFrame]:
    """Tables as pandas dataframes, as the partitions of a lazy dataframe."""
    return {key: reader.pandas(table) for key, table in tables.items()}


def polars_frames(tables: Tables) -> dict[str, Any]:
    """Tables as Polars dataframes."""
    polars = import_polars()
    return {key: polars.from_arrow(table) for key, table in tables.items()}


def import_polars() -> Any:
    """The module `polars`. UserError if it is not installed."""
    try:
        import polars
    except ImportError as error:
        raise UserError("to_polars needs the package polars: pip install 'nomad-dask[polars]'") from error
    return polars


def single_table(layout: str, method: str) -> None:
    """UserError if a layout has more than one table."""
    if layout == "tables":
        raise UserError(
            f"{method} makes one table: use layout='wide' or 'nested'; to_arrow and to_parquet also support "
            "layout='tables'"
        )


def write_csv(
    path: str | os.PathLike[str], reader: PartitionReader, plan: Plan, *, show_progress: bool
) -> int:
    """Write the rows of a query to a CSV file, segment by segment, and return their number.

    The file appears when it is complete. Lists and structs are JSON text.
    """
    target = local_file(path)
    partial, rows = target.with_name(f"{target.name}.{os.getpid()}.part"), 0
    try:
        schema = _flat(pa.RecordBatch.from_pylist([], reader.arrow()[ONLY])).schema
        with csv.CSVWriter(partial, schema) as file:
            for batch in _batches(reader, plan, show_progress=show_progress):
                file.write_batch(_flat(batch))
                rows += batch.num_rows
        os.replace(partial, target)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return rows


def local_file(path: str | os.PathLike[str]) -> Path:
    """The path of a file to write. UserError for a URL or a folder."""
    text = os.fspath(path)
    if "://" in text:
        raise UserError(f"to_csv writes a local file (got {text!r}); to_parquet also writes to urls")
    if Path(text).is_dir():
        raise UserError(f"to_csv: {text} is a folder; give the path of a file")
    return Path(text)


def _batches(reader: PartitionReader, plan: Plan, *, show_progress: bool) -> Iterator[pa.RecordBatch]:
    for tables in _segments(reader, plan, show_progress=show_progress):
        yield from filter(len, tables[ONLY].to_batches(BATCH_ROWS))


def _segments(reader: PartitionReader, plan: Plan, *, show_progress: bool) -> Iterator[Tables]:
    """The tables of each segment, with the types of all."""
    schemas, done = reader.arrow(), WorkDone()
    label = f"Downloading {plan.total} entries..."
    with display.download_progress(label) if show_progress else nullcontext(lambda _: None) as show:
        for segment in plan:
            tables, work = read_tables(reader, segment)
            yield {key: tables[key].cast(schema) for key, schema in schemas.items()}
            done += work
            show(Progress(done, plan.total, len(plan)))


def _flat(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with lists and structs as JSON text."""
    columns = [
        pa.array([None if value is None else _text(value) for value in column.to_pylist()], pa.string())
        if pa.types.is_nested(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _text(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


_ELSEWHERE = {
    "columns": "to_dask_dataframe().columns, or query.schema for the server's schema",
    "compute": "to_pandas(), or to_dask_dataframe().compute()",
    "dataframe": "to_pandas()",
    "df": "to_pandas()",
    "dtypes": "to_dask_dataframe().dtypes",
    "execute": "download(), or to_pandas()",
    "get": "download()",
    "get_entries": "fetch() and entry_list()",
    "harvest": "to_parquet(path)",
    "head": "download(5), or results_max=5 and to_pandas()",
    "items": "download()",
    "load": "download(), or nomad_dask.open_dataset(path) for a dataset",
    "read": "download(), or to_pandas()",
    "results": "download()",
    "run": "download(), or to_pandas()",
    "save": "to_parquet(path), or to_csv(path)",
    "search": "fetch() and entry_list(), or source='documents' for search documents",
    "shape": "len(query) for the number of entries, query.schema for their parts",
    "size": "len(query), or count()",
    "to_ddf": "to_dask_dataframe()",
    "to_dask": "to_dask_dataframe()",
    "to_dataframe": "to_pandas(), or entries_to_dataframe() for what was downloaded",
    "to_dataset": "to_parquet(path), and nomad_dask.open_dataset(path)",
    "to_df": "to_pandas()",
    "to_dict": "download(as_plain_dict=True)",
    "to_dicts": "download(as_plain_dict=True)",
    "to_duckdb": "duckdb.from_arrow(query.to_arrow())",
    "to_json": "download(as_plain_dict=True)",
    "to_list": "list(query), or download()",
    "to_reader": "to_batches()",
    "to_record_batches": "to_batches()",
    "to_table": "to_arrow()",
    "total": "len(query), or count()",
    "write_parquet": "to_parquet(path)",
}
"""Where to find what other libraries have by these names."""


def not_there(name: str, known: list[str]) -> str:
    """The message of the AttributeError for a name that a query does not have."""
    names = [one for one in known if not one.startswith("_")]
    place = _ELSEWHERE.get(name)
    advice = f"; use {place}" if place else hint(name, near(name, names), f"it has {', '.join(names)}")
    return f"ArchiveQuery has no attribute {name!r}{'' if name.startswith('_') else advice}"
