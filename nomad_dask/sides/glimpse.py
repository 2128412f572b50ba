"""Owns looks into a dataset's parts: shares of nulls from some footers, examples from a few rows of one part.

Its price does not grow with the dataset: a dozen footers (of wide parts fewer), and the first rows of one row group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq

from ..edges.store import Store, part_name
from ..pure.errors import NomadDaskError
from ..pure.manifest import Manifest
from ..pure.page.columns import Columns, Glimpse, Leaf, example, leaf_arrays, leaves
from ..pure.report import Receipt

_MOST_PARTS, _MOST_CHUNKS = 12, 50_000
"""Footers that are read, and columns in them: those of wide parts take their time."""
_ROWS, _MOST_BYTES = 500, 64_000_000
"""What is read for examples: rows, and the bytes that the columns' chunks have, of which it is the beginning."""


def glimpses(store: Store, manifest: Manifest, receipts: Mapping[int, Receipt]) -> Columns:
    """The leaves of a dataset's tables, and what some of its parts show of their values.

    A part that cannot be read, since it is being replaced, is passed over.
    """
    found = {key: leaves(schema) for key, schema in manifest.layout.arrow(manifest.schema).items()}
    folders = manifest.layout.folders(manifest.schema)
    most = max(1, _MOST_PARTS // max(1, len(found)))
    looks, left = {}, 2 * _MOST_PARTS
    for key, mine in found.items():
        few = min(most, left, max(1, _MOST_CHUNKS // max(1, len(mine))))
        looks[key] = _look(store, folders[key], mine, _spread(receipts, folders[key], few))
        left -= few
    return Columns(found, looks, sum(1 for receipt in receipts.values() if receipt.rows))


def _spread(receipts: Mapping[int, Receipt], folder: str, most: int) -> list[int]:
    """The numbers of at most so many parts with rows, over the whole dataset."""
    full = [n for n, receipt in receipts.items() if receipt.rows and part_name(folder, n) in receipt.parts]
    few = min(len(full), most)
    return [full[len(full) * i // few] for i in range(few)]


def _look(store: Store, folder: str, mine: Sequence[Leaf], numbers: Sequence[int]) -> Glimpse:
    nulls = dict.fromkeys(range(len(mine)), 0)
    parts, rows, richest = 0, 0, (-1, -1)
    for number in numbers:
        with suppress(NomadDaskError, OSError, pa.ArrowException), store.opened_part(number, folder) as part:
            filled = _count(part.metadata, nulls)
            parts, rows = parts + 1, rows + part.metadata.num_rows
            richest = max(richest, (filled, number))
    if not rows:
        return Glimpse(parts)
    nulls = {place: n for place, n in nulls.items() if not mine[place].listed}
    places = dict.fromkeys(nulls, rows)
    examples: dict[int, str] = {}
    with suppress(NomadDaskError, OSError, pa.ArrowException), store.opened_part(richest[1], folder) as part:
        for place, array in _first_rows(part, mine).items():
            if (found := example(array)) is not None:
                examples[place] = found
            if place not in nulls:
                nulls[place], places[place] = array.null_count, len(array)
    return Glimpse(parts, rows, nulls, places, examples)


def _count(metadata: pq.FileMetaData, nulls: dict[int, int]) -> int:
    """Add the nulls of one part; how many of its leaves hold anything."""
    filled = 0
    for place in nulls:
        here = values = 0
        for number in range(metadata.num_row_groups):
            column = metadata.row_group(number).column(place)
            statistics, values = column.statistics, values + column.num_values
            here += statistics.null_count if statistics is not None and statistics.has_null_count else 0
        nulls[place] += here
        filled += here < values
    return filled


def _first_rows(part: pq.ParquetFile, mine: Sequence[Leaf]) -> dict[int, pa.Array]:
    """The leaves' values in the first rows, of as many columns as are cheap enough."""
    schema, group = part.schema_arrow, part.metadata.row_group(0)
    wanted, numbers, place, n_bytes = [], list[int](), 0, 0
    for one in schema:
        below = range(place, place + len(leaves(pa.schema([one]))))
        place = below.stop
        n_bytes += sum(group.column(number).total_uncompressed_size for number in below)
        if n_bytes > _MOST_BYTES:
            break
        wanted.append(one.name)
        numbers += below
    batch = next(part.iter_batches(_ROWS, row_groups=[0], columns=wanted), None)
    if batch is None or len(mine) != part.metadata.num_columns:
        return {}
    arrays = [array for name in wanted for array in leaf_arrays(batch.column(name))]
    return dict(zip(numbers, arrays, strict=True))
