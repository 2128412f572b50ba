"""Conversion of downloaded archives to pandas dataframes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa

from nomad_dask.common import paths
from nomad_dask.common.memory import collector_paused, system_memory
from nomad_dask.errors import NomadDaskError, error_summary
from nomad_dask.layouts import compiled, select
from nomad_dask.layouts.column_limit import MOST_COLUMNS, ColumnLimit, left_out_message
from nomad_dask.layouts.compiled import JsonRows
from nomad_dask.layouts.layouts import ONLY, TABLES, TablesSchema, left_out
from nomad_dask.layouts.schema import ENTRY_ID, MORE, UPLOAD_ID, wide_schema
from nomad_dask.layouts.tables import Tables, TableSchema, infer_tables
from nomad_dask.layouts.to_pandas import DtypeBackend, check_backend, to_pandas
from nomad_dask.layouts.units import SI, UnitChoice
from nomad_dask.layouts.wide import Blocks, Entry, build_wide
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.check import why_empty
from nomad_dask.request.required import Required
from nomad_dask.text.humanize import counted

T = TypeVar("T")
logger = logging.getLogger("nomad_dask")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOptions:
    """How downloaded archives become dataframes; see `ArchiveQuery.entries_to_dataframe`."""

    keys_to_filter: str | Sequence[str] | None = None
    from_query: bool = False
    dtype_backend: DtypeBackend = "pyarrow"
    definitions: Definitions | None = None
    max_columns: int | None = MOST_COLUMNS
    units: UnitChoice = SI


def entries_to_dataframe(
    blocks: Blocks,
    required: Required,
    options: FrameOptions = FrameOptions(),
    *,
    texts: Callable[[], Iterable[JsonRows] | None] = lambda: None,
) -> pd.DataFrame | dict[str, pd.DataFrame]:
    """Convert archives, as `ArchiveQuery.entries_to_dataframe` does.

    An entry without an archive is a row of nulls. Resolved references appear under the path that `required`
    follows, others as strings. Sections that were not required, such as reference targets that the server
    adds elsewhere, are not included. A column that equals a key keeps its name, as do columns whose short
    names would be equal; with `from_query`, keys select dataframes and columns and do not change names.

    The archives are read twice (with `from_query`, twice for each required path). A wide dataframe needs
    memory for the table and one block of archives; `from_query` needs memory for all archives. Where `texts`
    returns the same entries as JSON text, a wide dataframe is built by the compiled core, if there is one.
    """
    check_backend(options.dtype_backend)
    options.units.check_paths(options.definitions)
    table_options: Any = {
        "required": required,
        "keys": select.check_keys(options.keys_to_filter),
        "definitions": options.definitions,
        "limit": options.max_columns,
        "units": options.units,
    }
    with collector_paused(), system_memory():
        made: Any = None if options.from_query else _compiled_wide(texts, **table_options)
        if made is None:
            convert: Any = path_tables if options.from_query else wide_table
            made = _without_bad_archives(partial(convert, **table_options), blocks)
    backend = options.dtype_backend
    if not options.from_query:
        return to_pandas(made, index=(ENTRY_ID,), dtype_backend=backend)
    return {
        path: to_pandas(table, index=(ENTRY_ID, *levels), dtype_backend=backend)
        for path, (table, levels) in made.items()
    }


def _without_bad_archives(make: Callable[[Blocks], T], blocks: Blocks) -> T:
    """Convert all entries. Archives that cannot be converted become None, with a warning that names them."""
    try:
        return make(blocks)
    except (NomadDaskError, MemoryError):
        raise
    except Exception:
        faults = {entry[0]: fault for block in blocks() for entry in block if (fault := _fault(make, entry))}
        if not faults:
            raise
    named = "; ".join(f"{entry_id}: {fault}" for entry_id, fault in [*faults.items()][:3])
    n = counted(len(faults), "archive")
    warnings.warn(f"{n} could not be converted to rows because of a bug in nomad-dask: {named}", stacklevel=4)
    return make(
        lambda: (
            [
                (entry_id, upload_id, None if entry_id in faults else tree)
                for entry_id, upload_id, tree in block
            ]
            for block in blocks()
        )
    )


def _fault(make: Callable[[Blocks], Any], entry: Entry) -> str:
    """The error that an entry causes when it is converted alone, or an empty string."""
    try:
        make(lambda: [[entry]])
    except (NomadDaskError, MemoryError):
        return ""
    except Exception as error:
        return error_summary(error)
    return ""


def wide_table(
    blocks: Blocks,
    required: Required,
    *,
    keys: Sequence[str] = (),
    definitions: Definitions | None = None,
    limit: int | None = MOST_COLUMNS,
    units: UnitChoice = SI,
) -> pa.Table:
    """`entry_id` and the columns of the wide dataframe, with units and descriptions in the field metadata."""
    make_schema = partial(wide_schema, required=required, definitions=definitions)
    table, omitted = build_wide(blocks, required, make_schema, ColumnLimit(required, definitions, limit))
    if omitted:
        warnings.warn(left_out_message(ONLY, table.num_columns - 3, omitted), stacklevel=6)
    return _shown(units.convert(table), required, keys, definitions)


def _compiled_wide(
    texts: Callable[[], Iterable[JsonRows] | None],
    required: Required,
    keys: Sequence[str],
    definitions: Definitions | None,
    limit: int | None,
    units: UnitChoice,
) -> pa.Table | None:
    """`wide_table` by the compiled core; None if only Python can build it."""
    if texts() is None:
        return None
    make_schema = partial(wide_schema, required=required, definitions=definitions)
    try:
        made = compiled.build_wide(
            lambda: texts() or (), required, make_schema, ColumnLimit(required, definitions, limit)
        )
    except (NomadDaskError, MemoryError):
        raise
    except Exception as error:
        logger.info("the dataframe is built again, without the compiled core: %s", error_summary(error))
        return None
    return None if made is None else _shown(units.convert(made), required, keys, definitions)


def _shown(
    table: pa.Table, required: Required, keys: Sequence[str], definitions: Definitions | None
) -> pa.Table:
    """The columns of a wide table that the dataframe has, named as in it."""
    table = _without_own_columns(table)
    if required.is_whole:
        table = _non_null(table)
    if not keys:
        return table
    why = partial(why_empty, required=required, definitions=definitions)
    shown = select.select(table.column_names[1:], keys, taken=(ENTRY_ID,), reason=why)
    return table.select([ENTRY_ID, *shown]).rename_columns([ENTRY_ID, *shown.values()])


def path_tables(
    blocks: Blocks,
    required: Required,
    *,
    keys: Sequence[str] = (),
    definitions: Definitions | None = None,
    limit: int | None = MOST_COLUMNS,
    units: UnitChoice = SI,
) -> dict[str, tuple[pa.Table, tuple[str, ...]]]:
    """By required path: a table of `entry_id`, index levels and columns, and the names of the levels."""
    entries = list(chain.from_iterable(blocks()))
    archives = [archive for _, _, archive in entries if archive is not None]
    schemas = infer_tables(archives, required, definitions=definitions, max_columns=limit)
    for omitted in left_out(TablesSchema(tuple(schemas.values()))):
        warnings.warn(left_out_message(*omitted), stacklevel=6)
    builder = Tables(schemas, required)
    for entry_id, upload_id, archive in entries:
        builder.append(entry_id, upload_id, archive)
    full_names = TABLES.full_names(TablesSchema(tuple(schemas.values())))
    kept = _kept(schemas, keys, partial(why_empty, required=required, definitions=definitions))
    return {
        path: (
            _selected(units.convert(table, full_names[path]), schemas[path], kept[path]),
            schemas[path].level_names,
        )
        for path, table in builder.finish().items()
        if path in kept
    }


def _non_null(table: pa.Table) -> pa.Table:
    """The columns with at least one value: NOMAD's dataframe of whole archives has no others."""
    rows = table.num_rows
    return table.select([n for n in table.column_names if n == ENTRY_ID or table[n].null_count < rows])


def _without_own_columns(table: pa.Table) -> pa.Table:
    """The table without `upload_id`, and without `_more` if it is empty."""
    return table.drop_columns([UPLOAD_ID] if table[MORE].null_count < len(table) else [UPLOAD_ID, MORE])


def _selected(table: pa.Table, schema: TableSchema, kept: frozenset[str]) -> pa.Table:
    """The table of a path with the kept columns, named as in a dataframe without `upload_id`."""
    names = schema.names(taken=(ENTRY_ID, MORE))
    shown = dict(zip(schema.names(), names, strict=True))
    table = _without_own_columns(table)
    table = table.rename_columns([shown.get(name, name) for name in table.column_names])
    dropped = [name for name, whole in zip(names, schema.values.names, strict=True) if whole not in kept]
    return table.drop_columns(dropped)


def _kept(
    schemas: Mapping[str, TableSchema], keys: Sequence[str], why: select.Reason
) -> dict[str, frozenset[str]]:
    """The tables that the keys select, with the full names of their columns; without keys, all tables."""
    if not keys:
        return {path: frozenset(schema.values.names) for path, schema in schemas.items()}
    known = {path: (path, schema.end, *schema.values.names) for path, schema in schemas.items()}
    if any(schema.values.names for schema in schemas.values()):
        select.check_keys_match(keys, [name for names in known.values() for name in names], why)
    kept = {}
    for path, schema in schemas.items():
        whole = any(paths.is_below(name, key) for name in (path, schema.end) for key in keys)
        columns = [
            name for name in schema.values.names if whole or any(paths.is_below(name, key) for key in keys)
        ]
        if whole or columns:
            kept[path] = frozenset(columns)
    return kept
