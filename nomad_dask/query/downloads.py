"""Owns what was downloaded, until it is forgotten: archives as the JSON text that they came as, decoded when wanted.

Decoded JSON takes four to six times the memory of its text. Large answers are therefore kept as text, in the pieces in which
they were decoded and found whole once; a walk over one archive decodes its piece for good, a frame decodes piece after
piece and forgets each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

from ..edges.deliveries import Part
from ..pure.errors import UserError
from ..pure.growing import Entry
from ..pure.report import Ref
from ..pure.words import decoded

Tree: TypeAlias = dict[str, Any]

BLOCK_BYTES = 2**24
_BLOCK_ENTRIES = 4_000
"""What is decoded at the same time for a frame."""


class Piece:
    """Archives that were decoded together; as text again, where that is at hand."""

    def __init__(self, part: Part) -> None:
        self.refs = [ref for ref, _ in part.archives]
        self._text = part.text
        self._trees = None if part.text else [tree for _, tree in part.archives]

    @property
    def n_bytes(self) -> int:
        """Of its text; 0 where it is decoded."""
        return len(self._text or b"")

    def trees(self) -> list[Tree]:
        """The archives, which stay as they are now."""
        if self._trees is None:
            self._trees, self._text = self.glance(), None
        return self._trees

    def tree(self, number: int) -> Tree:
        """One of the archives."""
        return self.trees()[number]

    def glance(self) -> list[Tree]:
        """The archives, not to be kept."""
        if self._trees is not None:
            return self._trees
        by_id = {row["entry_id"]: row["archive"] for row in decoded(self._text or b"[]")}
        return [by_id[ref.entry_id] for ref in self.refs]


class Download:
    """What one call brought, in the order of the list of entries."""

    def __init__(self) -> None:
        self.refs: list[Ref] = []
        self._pieces: list[Piece] = []

    def add(self, pieces: Sequence[Piece], listed: Iterable[Ref]) -> None:
        """Take in archives that came, in the order in which their entries were listed."""
        came = {ref for piece in pieces for ref in piece.refs}
        self._pieces += pieces
        self.refs += [ref for ref in listed if ref in came]

    def __len__(self) -> int:
        return len(self.refs)

    def plain(self) -> list[Tree]:
        """The archives as plain JSON."""
        return [piece.tree(number) for piece, number in self._places()]

    def lazily(self) -> Iterator[tuple[Ref, partial[Tree]]]:
        """Of each entry a function that gives its archive, decoded when it is called first."""
        for ref, (piece, number) in zip(self.refs, self._places(), strict=True):
            yield ref, partial(piece.tree, number)

    def blocks(self) -> Iterator[list[Entry]]:
        """All entries in order, some at a time, so that they need not all be decoded at once."""
        if [ref for piece in self._pieces for ref in piece.refs] != self.refs:
            yield [(*ref, tree) for ref, tree in zip(self.refs, self.plain(), strict=True)]
            return
        block: list[Entry] = []
        n_bytes = 0
        for piece in self._pieces:
            block += [(*ref, tree) for ref, tree in zip(piece.refs, piece.glance(), strict=True)]
            n_bytes += piece.n_bytes
            if n_bytes >= BLOCK_BYTES or len(block) >= _BLOCK_ENTRIES:
                yield block
                block, n_bytes = [], 0
        if block:
            yield block

    def _places(self) -> list[tuple[Piece, int]]:
        places = {ref: (piece, n) for piece in self._pieces for n, ref in enumerate(piece.refs)}
        return [places[ref] for ref in self.refs]


def blocks_of(downloads: Sequence[Download]) -> Iterator[list[Entry]]:
    """All entries of several downloads, some at a time."""
    for download in downloads:
        yield from download.blocks()


def selected(downloads: Sequence[Download], which: str | Sequence[int]) -> list[Download]:
    """Those of all downloads that are asked for: the `last` that brought something, `all`, or their numbers from 0."""
    if not downloads:
        raise UserError(
            "nothing was downloaded yet, so there is nothing to make a frame of: call download() first"
        )
    if which == "last":
        return [found for found in downloads if len(found)][-1:]
    if which == "all":
        chosen: Sequence[int] = range(len(downloads))
    elif isinstance(which, Sequence) and not isinstance(which, str) and all(type(n) is int for n in which):
        chosen = sorted(set(which))
    else:
        raise UserError(f"query_selection is 'last', 'all' or a list of download numbers, not {which!r}")
    if wrong := [n for n in chosen if not 0 <= n < len(downloads)]:
        raise UserError(f"there is no download {wrong[0]}: {len(downloads)} were made, numbered from 0")
    return [downloads[n] for n in chosen]
