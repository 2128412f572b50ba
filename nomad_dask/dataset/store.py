"""A dataset on disk or at any fsspec URL: its files, and the order in which they are written.

::

    harvest/
      data/part-00000.parquet ...   one part per segment, and nothing else; in the layout "tables", one for
                                    each table, such as data/run.calculation/part-00000.parquet
      manifest.json                 query, plan and schema; written first; updates append to its history
      segments/00000.json ...       one receipt per finished segment; written after its part
      failures.parquet              entries that failed or have no archive; written at the end of a run
      report.html                   the harvest page, generated from the other files; may be deleted

A segment without a receipt is not done. Files are written atomically (`files`), so a rerun overwrites parts
and never duplicates rows. Two runs can work on one dataset at the same time: both follow the stored manifest,
write the same parts under the same names, and check at the end that the parts match their receipts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from nomad_dask.common import stored_fields as stored
from nomad_dask.dataset.files import (
    ASIDE,
    MANIFEST,
    Files,
    absolute,
    damaged,
    files_at,
    resume,
    words,
    writing,
)
from nomad_dask.dataset.manifest import Manifest
from nomad_dask.dataset.report import Receipt
from nomad_dask.errors import DatasetError, NomadDaskError, UserError

FORMAT = 1
PAGE, FAILURES = "report.html", "failures.parquet"
PIECE = "piece-"
"""The prefix of the file names of `dataset.pieces`."""
_OURS = {"data", "segments", ASIDE, FAILURES, PAGE}
_PART = re.compile(r"part-\d{5,}\.parquet")
_FAILURES = pa.schema(
    [
        ("entry_id", pa.string()),
        ("upload_id", pa.string()),
        ("kind", pa.string()),
        ("status", pa.int64()),
        ("reason", pa.string()),
        ("attempts", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Store:
    """The files of one dataset. A picklable value: the file system is opened by each operation."""

    url: str
    """The absolute path or the fsspec URL."""

    @classmethod
    def at(cls, url: str | os.PathLike[str]) -> Store:
        """Return the store at a path or URL."""
        return cls(absolute(url))

    @property
    def files(self) -> Files:
        """The files by name."""
        return files_at(self.url)

    @property
    def data(self) -> str:
        """The path or URL of the parts."""
        return f"{self.url}/data"

    def check_shared(self) -> None:
        """Raise UserError if the dataset is in the memory of this process."""
        if self.url.startswith("memory://"):
            raise UserError(
                f"{self.url} is in this process's memory, which worker processes cannot see; give a folder"
            )

    def create(self, manifest: Manifest) -> Manifest:
        """Make the folders and write the manifest. Returns the stored one, maybe that of another run."""
        self._make_folders(manifest)
        self.files.create(MANIFEST, _manifest_json(manifest))
        return self.manifest() or manifest

    def rewrite(self, manifest: Manifest) -> None:
        """Replace the stored manifest by one with a longer history."""
        self.files.write(MANIFEST, _manifest_json(manifest))

    def open_for_writing(self, manifest: Manifest) -> None:
        """Check that an existing dataset is writable, and make the empty folders that a copy may lack.

        Raises UserError or StorageError if it is not, and DatasetError if a folder has a file's name.
        """
        self.files.check()
        self.files.must_be_file(FAILURES)
        self._make_folders(manifest)

    def _make_folders(self, manifest: Manifest) -> None:
        tables = (f"data/{folder}" for folder in manifest.folders().values())
        with writing(self.url, "data"):
            self.files.make(("data", "segments", *tables))

    def manifest(self) -> Manifest | None:
        """Return the stored manifest; None if the folder is empty. DatasetError if it holds other files."""
        found = self._read_manifest()
        if found is None and (others := self._other_files()):
            found = self._read_manifest()  # another run may have written it meanwhile
            if found is None:
                raise DatasetError(
                    f"{self.url} is not a dataset and not empty (it contains {others}); choose another folder"
                )
        return found

    def _read_manifest(self) -> Manifest | None:
        raw = self.files.read(MANIFEST)
        if raw is None:
            return None
        try:
            tree = orjson.loads(raw)
            stored_format = stored.fields(tree).get("format", stored.positive)
            if stored_format == FORMAT:
                return Manifest.from_json(tree)
        except orjson.JSONDecodeError as error:
            raise damaged(self.url, MANIFEST, f"is damaged (not JSON: {error})") from error
        except (UserError, RecursionError) as error:
            raise damaged(self.url, MANIFEST, f"is damaged ({error})") from error
        raise damaged(
            self.url,
            MANIFEST,
            f"has format {stored_format}, but this version of nomad-dask reads format {FORMAT}",
            "install the version that wrote it, or a newer one: pip install -U nomad-dask",
        )

    def stored(self) -> Manifest:
        """Return the stored manifest. DatasetError if there is no dataset."""
        manifest = self._read_manifest()
        if manifest is None:
            self._refuse_inside()
            if others := self._other_files():
                raise DatasetError(
                    f"{self.url} is not a dataset (it contains {others}); give the folder of a dataset"
                )
            raise DatasetError(
                f"{self.url} is not a dataset; check the path, or harvest a dataset there first"
            )
        return manifest

    def _refuse_inside(self) -> None:
        """Raise DatasetError, naming the dataset, if the path is `data/` or a file inside one."""
        above, found, _ = f"{self.url}/".rpartition("/data/")
        if not found:
            above, _, name = self.url.rpartition("/")
            found = name if name in _OURS | {MANIFEST} else ""
        if found and files_at(above).read(MANIFEST) is not None:
            raise DatasetError(f"{self.url} is inside the dataset {above}; give that folder")

    def _other_files(self) -> str:
        """Names of up to three files that are not of a dataset."""
        return ", ".join(sorted(self.files.names() - _OURS)[:3])

    def write_part(self, tables: Mapping[str, pa.Table], receipt: Receipt) -> Receipt:
        """Write or replace one part, a file for each table by its folder, then the receipt. Returns it."""
        sizes = {}
        for folder, table in tables.items():
            name, content = part_name(folder, receipt.segment), _parquet(table)
            sizes[name] = content.size
            self.files.write(f"data/{name}", content)
        receipt = replace(receipt, parts=sizes)
        self.files.write(_receipt_name(receipt.segment), orjson.dumps(receipt.to_json()))
        return receipt

    def read_part(self, number: int, folder: str = "", columns: Sequence[str] | None = None) -> pa.Table:
        """Read the table of a part, or only `entry_id` and `columns`. DatasetError if it is damaged."""
        selected = None if columns is None else ["entry_id", *(c for c in columns if c != "entry_id")]
        name = f"data/{part_name(folder, number)}"
        with self._parquet_in(name) as part:
            for column in selected or ("entry_id",):
                if column not in part.schema_arrow.names:
                    raise damaged(self.url, name, f"is damaged (column {column} is missing)")
            return part.read(selected)

    @contextmanager
    def opened_part(self, number: int, folder: str = "") -> Iterator[pq.ParquetFile]:
        """Open the file of one part. Reads the footer, and of the rows only what is requested."""
        with self._parquet_in(f"data/{part_name(folder, number)}", buffer_size=1 << 16) as part:
            yield part

    @contextmanager
    def _parquet_in(self, name: str, **options: Any) -> Iterator[pq.ParquetFile]:
        """Open a Parquet file. DatasetError if it is missing or Arrow cannot read it."""
        try:
            with self.files.open(name) as file:
                try:
                    yield pq.ParquetFile(file, page_checksum_verification=True, **options)
                except NomadDaskError:
                    raise
                except Exception as error:
                    if isinstance(error, OSError) and (
                        error.errno is not None or isinstance(error, TimeoutError)
                    ):
                        raise  # an error of the disk or store, not of Arrow
                    raise damaged(self.url, name, f"is damaged ({words(error)})") from error
        except (FileNotFoundError, NotADirectoryError) as error:
            raise damaged(self.url, name, "is missing", f"`{resume(self.url)}` fetches it again") from error

    def finished(self, manifest: Manifest) -> dict[int, Receipt]:
        """Return the receipts of the finished segments, by number. Two listings, and a read per segment.

        Ignores receipts that are damaged or belong to another dataset, and receipts whose part is missing or
        has another size.
        """
        folders, runs = manifest.folders().values(), len(manifest.history)
        return {
            number: receipt
            for number, receipt in self.receipts(manifest.id).items()
            if receipt.fits(manifest.plan, runs)
            and receipt.parts.keys() == {part_name(folder, number) for folder in folders}
        }

    def receipts(self, manifest: str) -> dict[int, Receipt]:
        """Return the receipts with this manifest id whose parts exist with the right sizes, by number."""
        names = sorted(name for name in self.files.names("segments") if name.endswith(".json"))
        raw = self.files.read_all(f"segments/{name}" for name in names)
        found = [receipt for name, content in raw.items() if (receipt := _receipt(name, content))]
        sizes = self.part_sizes()
        return {
            receipt.segment: receipt
            for receipt in found
            if receipt.dataset == manifest and receipt.has_parts(sizes)
        }

    def receipt(self, manifest: str, number: int) -> Receipt | None:
        """Return the receipt of one segment, without a check of its part. One small read."""
        name = _receipt_name(number)
        content = self.files.read(name)
        receipt = _receipt(name, content) if content is not None else None
        return receipt if receipt is not None and receipt.dataset == manifest else None

    def part_sizes(self) -> dict[str, int]:
        """Return the sizes of the files below `data/`, by relative name. One listing."""
        return self.files.sizes("data", lambda name: _PART.fullmatch(name) is not None)

    def write_failures(self, receipts: Iterable[Receipt]) -> None:
        """Write failures.parquet: the entries that failed, and the entries without archive."""
        rows: list[tuple[Any, ...]] = []
        for receipt in receipts:
            missing = [
                (*ref, "no archive", None, "listed, but nothing to send", 2) for ref in receipt.missing
            ]
            failed = [
                (f.entry_id, f.upload_id, "failed", f.status, f.reason, f.attempts) for f in receipt.failures
            ]
            rows += sorted([*missing, *failed])
        columns = zip(*rows, strict=True) if rows else [()] * len(_FAILURES)
        self.files.write(FAILURES, _parquet(pa.table([*map(list, columns)], schema=_FAILURES)))

    def mend_failures(self, receipts: Collection[Receipt]) -> None:
        """Write failures.parquet again if it is missing or damaged."""
        self.files.must_be_file(FAILURES)
        try:
            with self._parquet_in(FAILURES) as file:
                found = file.metadata.num_rows
        except DatasetError:
            found = None
        if found != sum(len(receipt.missing) + len(receipt.failures) for receipt in receipts):
            self.write_failures(receipts)

    def write_page(self, content: bytes) -> None:
        """Write the harvest page. StorageError if that fails."""
        with writing(self.url, PAGE):
            self.files.make(())
        self.files.write(PAGE, content)

    def drop_pieces(self) -> None:
        """Remove the files of `dataset.pieces` that killed runs have left. One listing."""
        self.files.remove(f"{ASIDE}/{name}" for name in self.files.names(ASIDE) if name.startswith(PIECE))


def part_name(folder: str, number: int) -> str:
    """Return the file name of a part, relative to `data/`."""
    return f"{folder}/part-{number:05d}.parquet" if folder else f"part-{number:05d}.parquet"


def _manifest_json(manifest: Manifest) -> bytes:
    return orjson.dumps({"format": FORMAT} | manifest.to_json(), option=orjson.OPT_INDENT_2)


def _receipt_name(number: int) -> str:
    return f"segments/{number:05d}.json"


def _parquet(table: pa.Table) -> pa.Buffer:
    buffer = pa.BufferOutputStream()
    rows = max(1, min(len(table), 50_000))
    # Numbers rarely repeat often enough for a dictionary, and with thousands of columns attempts are slow.
    strings = [field.name for field in table.schema if pa.types.is_string(field.type)]
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        row_group_size=rows,
        use_dictionary=strings,
        write_page_checksum=True,
    )
    return buffer.getvalue()


def _receipt(name: str, content: bytes) -> Receipt | None:
    """Return the receipt in a file; None if it is damaged or belongs to another segment."""
    try:
        receipt = Receipt.from_json(orjson.loads(content))
    except (orjson.JSONDecodeError, UserError, RecursionError):
        return None
    return receipt if name == _receipt_name(receipt.segment) else None
