"""Owns the pandas frames made of archives in memory: what `ArchiveQuery.entries_to_dataframe` returns (SPEC 6, 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain

import pandas as pd
import pyarrow as pa

from ..edges.memory import system_memory
from ..edges.quiet import collector_paused
from ..pure import paths, selection
from ..pure.frames import DtypeBackend, check_backend, to_pandas
from ..pure.growing import Blocks, grown
from ..pure.layouts import wide_schema
from ..pure.required import Required
from ..pure.schema import ENTRY_ID, MORE, UPLOAD_ID
from ..pure.sections import Definitions
from ..pure.tables import Tables, TableSchema, infer_tables
from ..pure.unknown import why_idle


def entries_to_dataframe(
    blocks: Blocks,
    required: Required,
    *,
    keys_to_filter: str | Sequence[str] | None = None,
    from_query: bool = False,
    dtype_backend: DtypeBackend = "pyarrow",
    definitions: Definitions | None = None,
) -> pd.DataFrame | dict[str, pd.DataFrame]:
    """Archives as one wide frame, or as a dict of frames, one for each required path.

    References stand as they do in the archives: under the path that `required` walks where they were resolved on
    the way here, as their strings in archives that were downloaded without. What was not required, such as the targets
    that the server places elsewhere in those, is in no frame.

    - ``from_query=False``: one row per entry, in the order given, index `entry_id`; columns sorted by name. An entry
      without archive is a row of nulls.
    - ``from_query=True``: ``{required path as written: frame}``; one row per occurrence; the index is `entry_id` and
      one integer level per repeating section crossed, named after it (equal names by their whole paths), null where
      an entry has one section in the list's place. Columns are relative to the path (see `pure.tables`).

    Cost: two walks over the archives (for `from_query` two for each required path), and the frame. Memory of the wide one: the
    table, and one block of archives at a time; with `from_query` all are in memory.

    Args:
        blocks: what was downloaded.
        required: what was asked for.
        keys_to_filter: paths; only columns at or below one of them stay, and it is cut off their names. One that is a
            whole column leaves it its name; names that would collide stay whole. None or empty: no filter. With
            `from_query` they choose among the frames and their columns, by required paths as written or by whole
            names without numbers, and names stay relative to the required paths.
        from_query: see above.
        dtype_backend: `pyarrow` keeps all types; `numpy_nullable` has lists as objects; `numpy` also makes integers
            beside nulls floats, exact up to 2**53.
        definitions: the server's schema, for types.

    Raises:
        UserError: a key that matches nothing, with the reason or near misses (not where there are no columns at all); an unknown
            `dtype_backend`.
    """
    check_backend(dtype_backend)
    keys = selection.keys_of(keys_to_filter)
    if not from_query:
        with collector_paused(), system_memory():
            table = wide_table(blocks, required, keys=keys, definitions=definitions)
        return to_pandas(table, index=(ENTRY_ID,), dtype_backend=dtype_backend)
    with collector_paused(), system_memory():
        tables = path_tables(blocks, required, keys=keys, definitions=definitions)
    return {
        path: to_pandas(table, index=(ENTRY_ID, *levels), dtype_backend=dtype_backend)
        for path, (table, levels) in tables.items()
    }


def wide_table(
    blocks: Blocks, required: Required, *, keys: Sequence[str] = (), definitions: Definitions | None = None
) -> pa.Table:
    """`entry_id` and the columns of the wide frame, with their units and descriptions in the fields' metadata."""
    table = grown(blocks, required, partial(wide_schema, required=required, definitions=definitions))
    table = _without_idle(table)
    if required.is_whole:
        table = _with_values(table)
    if not keys:
        return table
    why = partial(why_idle, required=required, definitions=definitions)
    shown = selection.select(table.column_names[1:], keys, taken=(ENTRY_ID,), why=why)
    return table.select([ENTRY_ID, *shown]).rename_columns([ENTRY_ID, *shown.values()])


def path_tables(
    blocks: Blocks, required: Required, *, keys: Sequence[str] = (), definitions: Definitions | None = None
) -> dict[str, tuple[pa.Table, tuple[str, ...]]]:
    """By required path as written: `entry_id`, the levels and the columns of its table, and the levels' names."""
    entries = list(chain.from_iterable(blocks()))
    archives = [archive for _, _, archive in entries if archive is not None]
    schemas = infer_tables(archives, required, definitions=definitions, documents=required.documents)
    builder = Tables(schemas, required)
    for entry_id, upload_id, archive in entries:
        builder.append(entry_id, upload_id, archive)
    kept = _kept(schemas, keys, partial(why_idle, required=required, definitions=definitions))
    return {
        path: (_shown(table, schemas[path], kept[path]), schemas[path].level_names)
        for path, table in builder.finish().items()
        if path in kept
    }


def _with_values(table: pa.Table) -> pa.Table:
    """The columns that hold a value anywhere. Where nothing is asked for by name, NOMAD's own frame has no others."""
    rows = table.num_rows
    return table.select([n for n in table.column_names if n == ENTRY_ID or table[n].null_count < rows])


def _without_idle(table: pa.Table) -> pa.Table:
    """Less `upload_id`, and `_more`, which is empty but where an archive has keys of the table's own names."""
    return table.drop_columns([UPLOAD_ID] if table[MORE].null_count < len(table) else [UPLOAD_ID, MORE])


def _shown(table: pa.Table, schema: TableSchema, kept: frozenset[str]) -> pa.Table:
    """A path's table with the kept columns, named for a frame that has no `upload_id`."""
    names = schema.names(taken=(ENTRY_ID, MORE))
    shown = dict(zip(schema.names(), names, strict=True))
    table = _without_idle(table)
    table = table.rename_columns([shown.get(name, name) for name in table.column_names])
    dropped = [name for name, whole in zip(names, schema.values.names, strict=True) if whole not in kept]
    return table.drop_columns(dropped)


def _kept(
    schemas: Mapping[str, TableSchema], keys: Sequence[str], why: selection.Why
) -> dict[str, frozenset[str]]:
    """The tables that the keys choose, with the whole names of their columns; without keys all."""
    if not keys:
        return {path: frozenset(schema.values.names) for path, schema in schemas.items()}
    known = {path: (path, schema.end, *schema.values.names) for path, schema in schemas.items()}
    if any(schema.values.names for schema in schemas.values()):
        selection.refuse_idle(keys, [name for names in known.values() for name in names], why)
    kept = {}
    for path, schema in schemas.items():
        whole = any(paths.below(name, key) for name in (path, schema.end) for key in keys)
        columns = [
            name for name in schema.values.names if whole or any(paths.below(name, key) for key in keys)
        ]
        if whole or columns:
            kept[path] = frozenset(columns)
    return kept
