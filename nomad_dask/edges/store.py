"""Owns the dataset on disk, or on any fsspec url: what lies where, and the order in which it is written.

::

    harvest/
      data/part-00000.parquet ...   one part per segment, and nothing else; of tables one in each table's own folder,
                                    data/run.calculation/part-00000.parquet
      manifest.json                 what was asked, the plan, the schema: written first; updates add to its history
      segments/00000.json ...       one receipt per finished segment: written after its part
      failures.parquet              entries that failed or have no archive; written at the end of a run
      report.html                   the harvest page, made of all these; may be thrown away

What has no receipt did not happen. Every file comes whole (`files`), so a rerun overwrites and never duplicates. Two
runs on one dataset at the same time do each other no harm: both follow the manifest that stands, write the same parts
under the same names, and prove at the end that the parts are those of their receipts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ..pure.errors import DatasetError, UserError
from ..pure.manifest import Manifest
from ..pure.report import Failure, Receipt, Ref
from .files import Files, absolute

FORMAT = 1
PAGE = "report.html"
_OURS = {"data", "segments", ".aside", "failures.parquet", PAGE}
_LOOK_BYTES = 1 << 16
"""Read at once of a part that is looked into."""
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
    """One dataset's place. A value: it pickles, and opens the file system where it is used."""

    url: str
    """A path or an fsspec url, made absolute by `Store.at`."""

    @classmethod
    def at(cls, url: str | os.PathLike[str]) -> Store:
        """The dataset at a path or url; a local path is made absolute, so that workers elsewhere mean the same."""
        return cls(absolute(url))

    @property
    def _files(self) -> Files:
        return Files(self.url)

    @property
    def data(self) -> str:
        """Where the parts lie."""
        return f"{self.url}/data"

    def check_shared(self) -> None:
        """UserError where it lies in this process's memory alone, and no worker process would see it."""
        if self.url.startswith("memory://"):
            raise UserError(
                f"{self.url} lies in this process's memory, and the workers are others; give a folder"
            )

    def create(self, manifest: Manifest) -> Manifest:
        """Begin a dataset: its folders, and its manifest before any data. The manifest that stands.

        Where another run began one at the same moment, that is the other's.
        """
        tree = {"format": FORMAT} | manifest.to_json()
        self._make_folders(manifest)
        self._files.begin("manifest.json", orjson.dumps(tree, option=orjson.OPT_INDENT_2))
        return self.manifest() or manifest

    def rewrite(self, manifest: Manifest) -> None:
        """Put a manifest with a longer history in the place of the one that stands."""
        tree = {"format": FORMAT} | manifest.to_json()
        self._write("manifest.json", orjson.dumps(tree, option=orjson.OPT_INDENT_2))

    def check_writable(self) -> None:
        """UserError or StorageError where no dataset can be written; to be asked before any work is done."""
        self._files.check()

    def open_for_writing(self, manifest: Manifest) -> None:
        """Make sure of a dataset that is to go on: that it may be written to, and has its folders.

        A copy may have come without the empty ones. Raises what `check_writable` does.
        """
        self._files.check()
        self._make_folders(manifest)

    def _make_folders(self, manifest: Manifest) -> None:
        tables = (f"data/{folder}" for folder in manifest.layout.folders(manifest.schema).values())
        with self._files.writing("data"):
            self._files.make(("data", "segments", *tables))

    def manifest(self) -> Manifest | None:
        """What the folder says it holds; None where there is no dataset yet. DatasetError where it is no dataset's."""
        raw = self._files.read("manifest.json")
        if raw is None:
            self._refuse_strangers()
            return None
        try:
            tree = orjson.loads(raw)
            if tree["format"] != FORMAT:
                raise DatasetError(
                    f"{self.url} has format {tree['format']}; this version reads format {FORMAT}"
                )
            return Manifest.from_json(tree)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(
                f"{self.url}/manifest.json is damaged ({error!r}); choose another folder"
            ) from error

    def stored(self) -> Manifest:
        """The manifest of a dataset that must be there. DatasetError where there is none."""
        try:
            manifest = self.manifest()
        except DatasetError:
            self._refuse_inside()
            raise
        if manifest is None:
            self._refuse_inside()
            raise DatasetError(
                f"{self.url} holds no dataset; is the path right? If so, harvest one there first"
            )
        return manifest

    def _refuse_inside(self) -> None:
        """Whoever names `data/`, or a file of a dataset, is told of the dataset."""
        above, found, _ = f"{self.url}/".rpartition("/data/")
        if not found:
            above, _, name = self.url.rpartition("/")
            found = name if name in _OURS | {"manifest.json"} else ""
        if found and Files(above).read("manifest.json") is not None:
            raise DatasetError(f"{self.url} lies inside the dataset {above}; give that folder")

    def _refuse_strangers(self) -> None:
        if strangers := sorted(self._files.names() - _OURS):
            raise DatasetError(
                f"{self.url} is no dataset and not empty (it holds {', '.join(strangers[:3])}); choose another folder"
            )

    def write_part(self, tables: Mapping[str, pa.Table], receipt: Receipt) -> Receipt:
        """Write one part, a file for each table by its folder; then the receipt that makes it count, which is returned.

        Overwrites an earlier try's.
        """
        sizes = {}
        for folder, table in tables.items():
            name, content = part_name(folder, receipt.segment), _parquet(table)
            sizes[name] = content.size
            self._write(f"data/{name}", content)
        receipt = replace(receipt, parts=sizes)
        self._write(_receipt_name(receipt.segment), orjson.dumps(receipt.to_json()))
        return receipt

    def read_part(self, number: int, folder: str = "", columns: Sequence[str] | None = None) -> pa.Table:
        """One part's table; with `columns` only those, and entry_id."""
        wanted = None if columns is None else ["entry_id", *(c for c in columns if c != "entry_id")]
        with self._files.open(f"data/{part_name(folder, number)}") as file:
            return pq.ParquetFile(file).read(wanted)

    @contextmanager
    def opened_part(self, number: int, folder: str = "") -> Iterator[pq.ParquetFile]:
        """One part's file to look into: its footer is read, and of its rows as few bytes as asked for."""
        with self._files.open(f"data/{part_name(folder, number)}") as file:
            yield pq.ParquetFile(file, buffer_size=_LOOK_BYTES)

    def receipts(self, manifest: str) -> dict[int, Receipt]:
        """The finished segments of one manifest, by number. Two listings, and one small read each.

        A receipt that is unreadable, another manifest's, or whose part is gone or of another size, is none.
        """
        names = {name for name in self._files.names("segments") if name.endswith(".json")}
        raw = self._files.read_all(f"segments/{name}" for name in sorted(names))
        found = {receipt.segment: receipt for content in raw if (receipt := _receipt(content))}
        sizes = self.part_sizes()
        return {
            number: receipt
            for number, receipt in sorted(found.items())
            if receipt.dataset == manifest and receipt.stands(sizes)
        }

    def receipt(self, manifest: str, number: int) -> Receipt | None:
        """One segment's receipt, whether or not its part is still as it says. One small read, whatever the dataset's size."""
        content = self._files.read(_receipt_name(number))
        receipt = _receipt(content) if content is not None else None
        return receipt if receipt is not None and receipt.dataset == manifest else None

    def part_sizes(self) -> dict[str, int]:
        """The sizes of the files that are there, by their names below `data/`. One listing."""
        return self._files.sizes("data")

    def write_failures(self, receipts: Iterable[Receipt]) -> None:
        """Write failures.parquet from the receipts: entries that failed, and entries that have no archive."""
        rows = [row for receipt in receipts for row in _failure_rows(receipt.missing, receipt.failures)]
        table = pa.Table.from_pylist(
            [dict(zip(_FAILURES.names, row, strict=True)) for row in rows], _FAILURES
        )
        self._write("failures.parquet", _parquet(table))

    def write_page(self, content: bytes) -> None:
        """Put the harvest page beside the manifest. StorageError where that cannot be."""
        with self._files.writing(PAGE):
            self._files.make(())
        self._write(PAGE, content)

    def _write(self, name: str, content: Any) -> None:
        """Write a file of a dataset that was begun; one that was taken away meanwhile is not begun again."""
        self._files.write(name, content, unless_gone="manifest.json")


def part_name(folder: str, number: int) -> str:
    """The name of a part's file below `data/`."""
    return f"{folder}/part-{number:05d}.parquet" if folder else f"part-{number:05d}.parquet"


def _receipt_name(number: int) -> str:
    return f"segments/{number:05d}.json"


def _parquet(table: pa.Table) -> pa.Buffer:
    buffer = pa.BufferOutputStream()
    rows = max(1, min(len(table), 50_000))
    # Numbers are seldom the same often enough for a dictionary, and thousands of columns pay for each try.
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    pq.write_table(table, buffer, compression="zstd", row_group_size=rows, use_dictionary=texts)
    return buffer.getvalue()


def _receipt(content: bytes) -> Receipt | None:
    """A receipt, or None where the file was cut off or is of another kind."""
    try:
        return Receipt.from_json(orjson.loads(content))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _failure_rows(missing: tuple[Ref, ...], failures: tuple[Failure, ...]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [
        (*ref, "no archive", None, "listed, but nothing to send", 2) for ref in missing
    ]
    rows += [(f.entry_id, f.upload_id, "failed", f.status, f.reason, f.attempts) for f in failures]
    return sorted(rows)
