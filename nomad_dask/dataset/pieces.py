"""Pieces of a segment, stored in the dataset's folder until the segment's part is written from them.

A segment that kills its workers is read in pieces. A piece is two files in `.aside/`: its tables, then its
receipt. The receipt's file first holds a marker that the piece has been started. The process that divides a
segment removes its pieces at the end; pieces left by a killed process are removed by the run that completes
the dataset.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

import orjson
import pyarrow as pa

from nomad_dask.dataset.files import ASIDE
from nomad_dask.dataset.report import Receipt
from nomad_dask.dataset.store import PIECE, Store
from nomad_dask.errors import StorageError
from nomad_dask.request import Failure, Ref

_STARTED = b"begun"
_ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")


def new_name(segment: int) -> str:
    """Return a unique name for a piece of a segment."""
    return f"{PIECE}{segment:05d}-{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class PieceStore:
    """The files of one piece."""

    store: Store
    name: str

    @property
    def _tables_file(self) -> str:
        return f"{ASIDE}/{self.name}.arrow"

    @property
    def _receipt_file(self) -> str:
        return f"{ASIDE}/{self.name}.json"

    def begin(self) -> bool:
        """Mark the piece as started. False if it already was."""
        if self.store.files.read(self._receipt_file) is not None:
            return False
        self.store.files.write(self._receipt_file, _STARTED)
        return True

    def receipt(self) -> Receipt | None:
        """Return the receipt of the piece; None if it is not finished."""
        content = self.store.files.read(self._receipt_file)
        return None if content in (None, _STARTED) else Receipt.from_json(orjson.loads(content or b""))

    def finished(self) -> Receipt:
        """Return the receipt of the piece. StorageError if there is none."""
        receipt = self.receipt()
        if receipt is None:
            raise StorageError(
                f"{self.store.url}/{ASIDE}/{self.name} was removed while it was needed; "
                "run the same command again"
            )
        return receipt

    def keep(self, tables: Mapping[str, pa.Table], receipt: Receipt) -> None:
        """Write the tables, in the layout's order, then the receipt."""
        sink = pa.BufferOutputStream()
        for table in tables.values():
            with pa.ipc.new_stream(sink, table.schema, options=_ZSTD) as stream:
                stream.write_table(table)
        self.store.files.write(self._tables_file, sink.getvalue())
        self.store.files.write(self._receipt_file, orjson.dumps(receipt.to_json()))

    def tables(self, keys: Iterable[str]) -> dict[str, pa.Table]:
        """Return the tables of a finished piece, by the layout's keys."""
        source = pa.BufferReader(self.store.files.read(self._tables_file))
        return {key: pa.ipc.open_stream(source).read_all() for key in keys}

    def drop(self) -> None:
        """Remove the files."""
        self.store.files.remove((self._receipt_file, self._tables_file))


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces that a segment's part is written from."""

    kept: tuple[tuple[str, tuple[Ref, ...]], ...]
    """The names of the pieces, each with its entries, in the order of the entries."""
    lost: tuple[Failure, ...]
    """Entries that killed their workers."""

    @property
    def refs(self) -> set[Ref]:
        """All entries of the segment."""
        return {ref for _, refs in self.kept for ref in refs} | {Ref(*failure[:2]) for failure in self.lost}

    def read(
        self, store: Store, empty: tuple[Mapping[str, pa.Table], Receipt]
    ) -> tuple[dict[str, pa.Table], Receipt]:
        """Return the tables of all pieces, concatenated, and their receipt.

        `empty` holds the tables and the receipt of a segment without entries.
        """
        tables, receipt = empty
        pieces = [PieceStore(store, name) for name, _ in self.kept]
        receipts = [piece.finished() for piece in pieces]
        parts = [piece.tables(tables) for piece in pieces]
        lost = Receipt(
            receipt.segment, receipt.after, receipt.upto, 0, failures=self.lost, finished=receipt.finished
        )
        merged = reduce(Receipt.merged, [*receipts, lost], receipt)
        return {
            key: pa.concat_tables([table, *(part[key] for part in parts)]) for key, table in tables.items()
        }, merged
