"""Owns the dataset on disk, or on any fsspec url: what lies where, and the order in which it is written.

::

    harvest/
      data/part-00000.parquet ...   one part per segment, and nothing else
      manifest.json                 what was asked, the plan, the schema: written first, never changed
      segments/00000.json ...       one receipt per finished segment: written after its part
      failures.parquet              entries that failed or have no archive; written at the end of a run

What has no receipt did not happen. Every file comes whole: written aside and renamed on a local disk, as one put on an
object store; so a rerun overwrites and never duplicates.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import fsspec.core
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ..pure.errors import DatasetError, StorageError
from ..pure.manifest import Manifest
from ..pure.report import Failure, Receipt, Ref

FORMAT = 1
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
        text = os.fspath(url)
        if "://" not in text:
            text = os.path.abspath(os.path.expanduser(text))
        return cls(text.rstrip("/"))

    @property
    def data(self) -> str:
        """Where the parts lie."""
        return f"{self.url}/data"

    def part(self, number: int) -> str:
        """The path or url of one part."""
        return f"{self.data}/part-{number:05d}.parquet"

    def create(self, manifest: Manifest) -> None:
        """Begin a dataset: its manifest, before any data."""
        tree = {"format": FORMAT} | manifest.to_json()
        self._write("manifest.json", orjson.dumps(tree, option=orjson.OPT_INDENT_2))

    def manifest(self) -> Manifest | None:
        """What the folder says it holds; None where there is no dataset yet. DatasetError where it is no dataset's."""
        raw = self._read("manifest.json")
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

    def _refuse_strangers(self) -> None:
        fs, root = self._fs()
        if not fs.exists(root):
            return
        if not fs.isdir(root):
            raise DatasetError(f"{self.url} is a file; a dataset needs a folder of its own")
        names = {path.rstrip("/").rsplit("/", 1)[-1] for path in fs.ls(root, detail=False)}
        if strangers := sorted(
            names - {"data", "segments", ".aside", "failures.parquet"} - {root.rsplit("/", 1)[-1]}
        ):
            raise DatasetError(
                f"{self.url} is no dataset and not empty (it holds {', '.join(strangers[:3])}); choose another folder"
            )

    def write_part(self, table: pa.Table, receipt: Receipt) -> None:
        """Write one part, then the receipt that makes it count. Overwrites an earlier try's."""
        buffer = pa.BufferOutputStream()
        pq.write_table(
            table,
            buffer,
            compression="zstd",
            row_group_size=max(1, min(len(table), 50_000)),
            write_statistics=True,
        )
        self._write(f"data/part-{receipt.segment:05d}.parquet", buffer.getvalue())
        self._write(f"segments/{receipt.segment:05d}.json", orjson.dumps(receipt.to_json()))

    def read_part(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """One part's table; with `columns` only those, and entry_id."""
        fs, root = self._fs()
        wanted = None if columns is None else ["entry_id", *(c for c in columns if c != "entry_id")]
        with fs.open(f"{root}/data/part-{number:05d}.parquet", "rb") as file:
            return pq.ParquetFile(file).read(wanted)

    def receipts(self, numbers: Iterable[int] | None = None) -> dict[int, Receipt]:
        """The finished segments (or those named), by number. One listing, and one small read each."""
        fs, root = self._fs()
        try:
            paths = [p for p in fs.ls(f"{root}/segments", detail=False) if p.endswith(".json")]
        except FileNotFoundError:
            return {}
        if numbers is not None:
            wanted = {f"{n:05d}.json" for n in numbers}
            paths = [p for p in paths if p.rsplit("/", 1)[-1] in wanted]
        raw = fs.cat(paths) if paths else {}
        found = (Receipt.from_json(orjson.loads(content)) for content in raw.values())
        return {receipt.segment: receipt for receipt in sorted(found, key=lambda r: r.segment)}

    def write_failures(self, receipts: Iterable[Receipt]) -> None:
        """Write failures.parquet from the receipts: entries that failed, and entries that have no archive."""
        rows = [row for receipt in receipts for row in _failure_rows(receipt.missing, receipt.failures)]
        table = pa.Table.from_pylist(
            [dict(zip(_FAILURES.names, row, strict=True)) for row in rows], _FAILURES
        )
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd")
        self._write("failures.parquet", buffer.getvalue())

    def _fs(self) -> tuple[Any, str]:
        return fsspec.core.url_to_fs(self.url)

    def _read(self, name: str) -> bytes | None:
        fs, root = self._fs()
        try:
            return bytes(fs.cat_file(f"{root}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _write(self, name: str, content: Any) -> None:
        try:
            fs, root = self._fs()
            if "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)):
                _write_aside(root, name, content)
            else:
                fs.pipe_file(f"{root}/{name}", bytes(content))
        except OSError as error:
            raise StorageError(
                f"cannot write {self.url}/{name}: {error.strerror or error}; "
                "free space or mend the target, then run the same command again: finished segments are kept"
            ) from error


def _write_aside(root: str, name: str, content: Any) -> None:
    """Whole or not at all: a temporary file on the same disk, flushed, then renamed over the name."""
    target, aside = os.path.join(root, name), os.path.join(root, ".aside")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.makedirs(aside, exist_ok=True)
    temporary = os.path.join(aside, f"{os.path.basename(name)}.{os.getpid()}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _failure_rows(missing: tuple[Ref, ...], failures: tuple[Failure, ...]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [
        (*ref, "no archive", None, "listed, but nothing to send", 2) for ref in missing
    ]
    rows += [(f.entry_id, f.upload_id, "failed", f.status, f.reason, f.attempts) for f in failures]
    return sorted(rows)
