"""Writing of the harvest page of a dataset.

Figures of columns are from a sample of parts: nulls from footers, examples from the first rows. The cost does
not grow with the dataset: at most 24 footers (fewer for wide tables), and the first rows of one part of each
table.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import resources
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from nomad_dask import __version__
from nomad_dask.dataset.files import absolute, is_url, write_file
from nomad_dask.dataset.manifest import Manifest
from nomad_dask.dataset.report import Receipt
from nomad_dask.dataset.store import PAGE, Store, part_name
from nomad_dask.errors import DatasetError, NomadDaskError, UserError
from nomad_dask.report_page.column_figures import (
    ColumnFigures,
    ColumnSample,
    LeafFigures,
    example,
    leaf_arrays,
    leaves,
)
from nomad_dask.report_page.document import document
from nomad_dask.report_page.figures import Page, figures_of, host_only


def write_page(path: str | os.PathLike[str], out: str | None = None) -> str:
    """Write the page of the dataset at `path`, and return the path of the page.

    Reads the manifest, the receipts and a small sample of the parts. Works on a harvest in progress.

    Parameters
    ----------
    path
        Folder or fsspec url of the dataset.
    out
        File or url of the page. Default: `report.html` in the dataset.

    Raises
    ------
    DatasetError
        There is no dataset at `path`.
    UserError, StorageError
        The page cannot be written, or would replace a file of the dataset.
    """
    store = Store.at(path)
    if out is not None:
        _check_target(store, absolute(out))
    content = _content(store, None if out is None else absolute(out))
    if out is None:
        store.write_page(content)
        return f"{os.fspath(path).rstrip('/')}/{PAGE}"
    write_file(out, content)
    return out


def leave_page(path: str) -> str | None:
    """Write the page at the end of a harvest. An error is printed as a note and does not fail the harvest."""
    try:
        return write_page(path)
    except DatasetError:  # the harvest made no dataset
        return None
    except Exception as error:
        print(f"note: no harvest page was written: {error}", file=sys.stderr)
        return None


def _check_target(store: Store, out: str) -> None:
    """UserError if the page would replace another file, or lie in a folder of the dataset."""
    if not out.lower().endswith((".html", ".htm")):
        raise UserError(f"the harvest page must be a .html file, to overwrite no other file (got {out})")
    if out.startswith(f"{store.url}/") and "/" in out.removeprefix(f"{store.url}/"):
        raise UserError(
            f"{out} is in a folder of the dataset, which is for its own files only; choose another folder"
        )


def _content(store: Store, out: str | None) -> bytes:
    manifest = store.stored()
    receipts = store.finished(manifest)
    found = Page(
        **figures_of(manifest, receipts, sample_columns(store, manifest, receipts)),
        name=store.url.rstrip("/").rsplit("/", 1)[-1],
        path=_shown_path(store.url),
        failures=_link_to_failures(store.url, out),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
    )
    own = resources.files("nomad_dask.report_page")
    style, script = ((own / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return document(found, style, script).encode("utf-8", "replace")


def _shown_path(url: str) -> str:
    """The path of the dataset in commands: a url, or only the name of a local folder."""
    return host_only(url) if is_url(url) else os.path.basename(url)


def _link_to_failures(url: str, out: str | None) -> str | None:
    """A relative link from the page to failures.parquet; None if there can be none, as between urls."""
    if out is None:
        return "failures.parquet"
    if is_url(url) or is_url(out):
        return None
    link = os.path.relpath(f"{url}/failures.parquet", os.path.dirname(out))
    return quote(os.fsencode(link.replace(os.sep, "/")))


_MAX_PARTS, _MAX_CHUNKS = 12, 50_000
"""Maximum number of footers to read, and of columns in them: footers of wide parts are slow to read."""
_ROWS, _MAX_BYTES = 500, 64_000_000
"""Rows to read for examples, and the maximum size of the column chunks that are opened for them."""


def sample_columns(store: Store, manifest: Manifest, receipts: Mapping[int, Receipt]) -> ColumnFigures:
    """The leaves of a dataset's tables, with figures from a sample of its parts.

    Parts that cannot be read (a harvest may be replacing them) are skipped.
    """
    found = {key: leaves(schema) for key, schema in manifest.arrow().items()}
    folders = manifest.folders()
    limit = max(1, _MAX_PARTS // max(1, len(found)))
    samples, left = {}, 2 * _MAX_PARTS
    for key, columns in found.items():
        n = min(limit, left, max(1, _MAX_CHUNKS // max(1, len(columns))))
        samples[key] = _sample(store, folders[key], columns, _spread(receipts, folders[key], n))
        left -= n
    return ColumnFigures(found, samples, sum(1 for receipt in receipts.values() if receipt.rows))


def _spread(receipts: Mapping[int, Receipt], folder: str, limit: int) -> list[int]:
    """Numbers of at most `limit` parts with rows, spread evenly over the dataset."""
    full = [n for n, receipt in receipts.items() if receipt.rows and part_name(folder, n) in receipt.parts]
    n = min(len(full), limit)
    return [full[len(full) * i // n] for i in range(n)]


def _sample(
    store: Store, folder: str, columns: Sequence[LeafFigures], numbers: Sequence[int]
) -> ColumnSample:
    nulls = dict.fromkeys(range(len(columns)), 0)
    parts, rows, richest = 0, 0, (-1, -1)
    for number in numbers:
        with suppress(NomadDaskError, OSError, pa.ArrowException), store.opened_part(number, folder) as part:
            filled = _count(part.metadata, nulls)
            parts, rows = parts + 1, rows + part.metadata.num_rows
            richest = max(richest, (filled, number))
    if not rows:
        return ColumnSample(parts)
    nulls = {leaf: n for leaf, n in nulls.items() if not columns[leaf].listed}
    counts = dict.fromkeys(nulls, rows)
    examples: dict[int, str] = {}
    with suppress(NomadDaskError, OSError, pa.ArrowException), store.opened_part(richest[1], folder) as part:
        for leaf, array in _first_rows(part, columns).items():
            if (found := example(array)) is not None:
                examples[leaf] = found
            if leaf not in nulls:
                nulls[leaf], counts[leaf] = array.null_count, len(array)
    return ColumnSample(parts, rows, nulls, counts, examples)


def _count(metadata: pq.FileMetaData, nulls: dict[int, int]) -> int:
    """Add the nulls of one part to `nulls`. Returns the number of its leaves with values."""
    filled = 0
    for leaf in nulls:
        here = values = 0
        for number in range(metadata.num_row_groups):
            column = metadata.row_group(number).column(leaf)
            statistics, values = column.statistics, values + column.num_values
            here += statistics.null_count if statistics is not None and statistics.has_null_count else 0
        nulls[leaf] += here
        filled += here < values
    return filled


def _first_rows(part: pq.ParquetFile, columns: Sequence[LeafFigures]) -> dict[int, pa.Array]:
    """The first rows of the leaves, as far as their column chunks fit into `_MAX_BYTES`."""
    schema, group = part.schema_arrow, part.metadata.row_group(0)
    names, numbers, leaf, n_bytes = [], list[int](), 0, 0
    for column in schema:
        below = range(leaf, leaf + len(leaves(pa.schema([column]))))
        leaf = below.stop
        n_bytes += sum(group.column(number).total_uncompressed_size for number in below)
        if n_bytes > _MAX_BYTES:
            break
        names.append(column.name)
        numbers += below
    # A process that ends while Arrow starts its threads is aborted, and a command ends soon after this.
    batches = part.iter_batches(_ROWS, row_groups=[0], columns=names, use_threads=False)
    batch = next(batches, None)
    if batch is None or len(columns) != part.metadata.num_columns:
        return {}
    arrays = [array for name in names for array in leaf_arrays(batch.column(name))]
    return dict(zip(numbers, arrays, strict=True))
