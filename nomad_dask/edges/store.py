"""Owns the dataset on disk, or on any fsspec url: what lies where, and the order in which it is written.

::

    harvest/
      data/part-00000.parquet ...   one part per segment, and nothing else; of tables one in each table's own folder,
                                    data/run.calculation/part-00000.parquet
      manifest.json                 what was asked, the plan, the schema: written first; updates add to its history
      segments/00000.json ...       one receipt per finished segment: written after its part
      failures.parquet              entries that failed or have no archive; written at the end of a run

What has no receipt did not happen. Every file comes whole: written aside and renamed on a local disk, as one put on an
object store; so a rerun overwrites and never duplicates.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import fsspec
import fsspec.core
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ..pure.errors import DatasetError, StorageError, UserError
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

    @property
    def in_memory(self) -> bool:
        """Whether it lies in this process's memory alone, where no other process sees it."""
        return self.url.startswith("memory://")

    def create(self, manifest: Manifest) -> Manifest:
        """Begin a dataset: its folders, and its manifest before any data. The manifest that stands.

        Where another run began one at the same moment, that is the other's.
        """
        tree = {"format": FORMAT} | manifest.to_json()
        content = orjson.dumps(tree, option=orjson.OPT_INDENT_2)
        with self._writing("manifest.json") as (fs, root):
            if _is_local(fs):
                _make_folders(root, manifest)
                _write_aside(root, "manifest.json", content, anew=True)
            elif not fs.exists(f"{root}/manifest.json"):
                fs.pipe_file(f"{root}/manifest.json", content)
        return self.manifest() or manifest

    def rewrite(self, manifest: Manifest) -> None:
        """Put a manifest with a longer history in the place of the one that stands."""
        tree = {"format": FORMAT} | manifest.to_json()
        self._write("manifest.json", orjson.dumps(tree, option=orjson.OPT_INDENT_2))

    def open_for_writing(self, manifest: Manifest) -> None:
        """Make sure of the folders of a dataset that is to go on: a copy may have come without the empty ones."""
        with self._writing("data") as (fs, root):
            if _is_local(fs):
                _make_folders(root, manifest)

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
        self._write(f"segments/{receipt.segment:05d}.json", orjson.dumps(receipt.to_json()))
        return receipt

    def read_part(self, number: int, folder: str = "", columns: Sequence[str] | None = None) -> pa.Table:
        """One part's table; with `columns` only those, and entry_id."""
        fs, root = self._fs()
        wanted = None if columns is None else ["entry_id", *(c for c in columns if c != "entry_id")]
        with fs.open(f"{root}/data/{part_name(folder, number)}", "rb") as file:
            return pq.ParquetFile(file).read(wanted)

    def receipts(self, manifest: str, numbers: Iterable[int] | None = None) -> dict[int, Receipt]:
        """The finished segments (or those named) of one manifest, by number. Two listings, and one small read each.

        A receipt that is unreadable, another manifest's, or whose part is gone or of another size, is none.
        """
        fs, root = self._fs()
        try:
            paths = [p for p in fs.ls(f"{root}/segments", detail=False, refresh=True) if p.endswith(".json")]
        except FileNotFoundError:
            return {}
        if numbers is not None:
            wanted = {f"{n:05d}.json" for n in numbers}
            paths = [p for p in paths if p.rsplit("/", 1)[-1] in wanted]
        raw = fs.cat(paths) if paths else {}
        found = {receipt.segment: receipt for content in raw.values() if (receipt := _receipt(content))}
        sizes = self.part_sizes()
        return {
            number: receipt
            for number, receipt in sorted(found.items())
            if receipt.dataset == manifest and receipt.stands(sizes)
        }

    def part_sizes(self) -> dict[str, int]:
        """The sizes of the files that are there, by their names below `data/`. One listing."""
        fs, root = self._fs()
        fs.invalidate_cache()
        try:
            files = fs.find(f"{root}/data", detail=True)
        except FileNotFoundError:
            return {}
        return {name[len(root) + len("/data/") :]: int(file["size"]) for name, file in files.items()}

    def write_failures(self, receipts: Iterable[Receipt]) -> None:
        """Write failures.parquet from the receipts: entries that failed, and entries that have no archive."""
        rows = [row for receipt in receipts for row in _failure_rows(receipt.missing, receipt.failures)]
        table = pa.Table.from_pylist(
            [dict(zip(_FAILURES.names, row, strict=True)) for row in rows], _FAILURES
        )
        self._write("failures.parquet", _parquet(table))

    def _fs(self) -> tuple[Any, str]:
        try:
            return fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            kind = self.url.split("://")[0]
            hint = "pip install 'nomad-dask[s3]'" if kind == "s3" else str(error)
            raise UserError(f"{self.url}: {kind}:// needs one more package: {hint}") from error
        except ValueError as error:
            raise UserError(f"{self.url}: no path, and no url that fsspec knows: {error}") from error

    def _read(self, name: str) -> bytes | None:
        fs, root = self._fs()
        try:
            return bytes(fs.cat_file(f"{root}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _write(self, name: str, content: Any) -> None:
        """Write a file of a dataset that was begun; one that was taken away meanwhile is not begun again."""
        with self._writing(name) as (fs, root):
            if _is_local(fs):
                _write_aside(root, name, content)
            elif fs.exists(f"{root}/manifest.json"):
                fs.pipe_file(f"{root}/{name}", bytes(content))
            else:
                raise FileNotFoundError(root)

    @contextmanager
    def _writing(self, name: str) -> Iterator[tuple[Any, str]]:
        try:
            yield self._fs()
        except FileNotFoundError as error:
            raise StorageError(
                f"cannot write {self.url}/{name}: the dataset was taken away while it was written; begin it again"
            ) from error
        except OSError as error:
            raise StorageError(
                f"cannot write {self.url}/{name}: {error.strerror or error}; "
                "free space or mend the target, then run the same command again: finished segments are kept"
            ) from error


def part_name(folder: str, number: int) -> str:
    """The name of a part's file below `data/`."""
    return f"{folder}/part-{number:05d}.parquet" if folder else f"part-{number:05d}.parquet"


def _parquet(table: pa.Table) -> pa.Buffer:
    buffer = pa.BufferOutputStream()
    rows = max(1, min(len(table), 50_000))
    pq.write_table(table, buffer, compression="zstd", row_group_size=rows, write_statistics=True)
    return buffer.getvalue()


def _is_local(fs: Any) -> bool:
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def _make_folders(root: str, manifest: Manifest) -> None:
    tables = (f"data/{folder}" for folder in manifest.layout.folders(manifest.schema).values())
    for folder in ("data", "segments", ".aside", *tables):
        os.makedirs(os.path.join(root, folder), exist_ok=True)


def _write_aside(root: str, name: str, content: Any, *, anew: bool = False) -> None:
    """Whole or not at all: a temporary file on the same disk, flushed, then renamed over the name.

    With `anew` a file that is there already stays.
    """
    target = os.path.join(root, name)
    temporary = os.path.join(root, ".aside", f"{os.path.basename(name)}.{os.getpid()}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if anew:
            with suppress(FileExistsError):
                os.link(temporary, target)
        else:
            os.replace(temporary, target)
        _flush_folder(os.path.dirname(target))
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _flush_folder(folder: str) -> None:
    """Make a rename last through a power cut, where the system can (POSIX)."""
    with suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
