"""Owns what a batch brought on its way to whoever uses it: archives, decoded already or a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..pure.errors import ProtocolError
from ..pure.report import Failure, Ref
from ..pure.rows import Rows
from .quiet import collector_paused

Archived = tuple[Ref, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """The entries that one request asked for, to join the answer to: by id, never by position."""

    refs: Sequence[Ref]
    url: str

    def joined(self, rows: Sequence[Mapping[str, Any]], left: dict[str, Ref]) -> list[Archived]:
        """The rows' archives with the entries they belong to, which are taken out of `left`.

        ProtocolError for a row that was not asked for, or came before.
        """
        found = []
        for row in rows:
            ref = left.pop(row["entry_id"], None)
            if ref is None:
                raise ProtocolError(
                    f"the server answered entry {row['entry_id']}, which was not asked for, or twice, among "
                    f"{len(self.refs)} from {self.refs[0].entry_id} on [{self.url}]"
                )
            found.append((ref, row["archive"]))
        return found


class Part(NamedTuple):
    """Archives of a delivery that were decoded together."""

    archives: list[Archived]
    n_bytes: int
    """As JSON."""
    text: bytes | None = None
    """The JSON list of rows that they were decoded of; None where that is not at hand."""


@dataclass(slots=True)
class Delivery:
    """What one batch brought: archives, entries that have none, entries that failed; each entry in one of them."""

    archives: list[Archived] = field(default_factory=list)
    n_bytes: int = 0
    """Of the answers that brought the archives, as JSON."""
    seconds: float = 0.0
    """Of the longest of them."""
    missing: list[Ref] = field(default_factory=list)
    """Entries that were asked for twice and did not come."""
    failures: list[Failure] = field(default_factory=list)
    absent: list[Ref] = field(default_factory=list)
    """Entries that did not come, and are to be asked for once more."""
    packed: list[tuple[Asked, Rows]] = field(default_factory=list)
    """Answers whose rows `parts` decodes."""
    broken: list[Ref] = field(default_factory=list)
    """Entries of packed answers that turned out to be no JSON."""
    brought: int = 0
    """Archives that came, so far."""

    def add(self, other: Delivery) -> None:
        """Take in what another batch brought."""
        for name in ("archives", "missing", "failures", "absent", "packed", "broken"):
            getattr(self, name).extend(getattr(other, name))
        self.n_bytes += other.n_bytes
        self.brought += other.brought
        self.seconds = max(self.seconds, other.seconds)

    def parts(self) -> Iterator[Part]:
        """The archives, a piece at a time; once.

        A piece is forgotten here when the next is asked for. `absent` and `broken` are known when all were taken. Python's
        collector rests from the first piece to the last: it would look at each while it lives.
        """
        with collector_paused():
            if self.archives:
                yield Part(self.archives, self.n_bytes - sum(len(rows.body) for _, rows in self.packed))
            while self.packed:
                asked, rows = self.packed.pop()
                left = {ref.entry_id: ref for ref in asked.refs}
                yield from self._unpacked(asked, rows, left)

    def _unpacked(self, asked: Asked, rows: Rows, left: dict[str, Ref]) -> Iterator[Part]:
        pieces = rows.pieces()
        while True:
            try:
                some, text = next(pieces, (None, b""))
                if some is not None and not are_archives(some):
                    raise ValueError
            except ValueError:
                self.broken += left.values()
                return
            if some is None:
                self.absent += left.values()
                return
            part = asked.joined(some, left)
            self.brought += len(part)
            del some
            yield Part(part, len(text), text)
            del part


def are_archives(rows: Any) -> bool:
    """Whether an answer's rows have the shape of archives."""
    return isinstance(rows, list) and all(
        isinstance(row, dict) and type(row.get("entry_id")) is str and isinstance(row.get("archive"), dict)
        for row in rows
    )
