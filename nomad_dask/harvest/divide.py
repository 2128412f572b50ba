"""Division of a segment that killed its workers into smaller pieces, to find the entry that causes it.

A piece runs as the only task of the job, so it causes the death of its worker. A piece of several entries is
then divided; a single entry is retried after the others, and is a failure if its workers died too often for
chance (`Deaths`). If a worker dies by chance, the piece is only requested again, and no entry is blamed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from operator import methodcaller
from typing import Any, TypeVar

from distributed import Client, KilledWorker

from nomad_dask.cluster.workers import Workers, announce, outcomes
from nomad_dask.dataset.pieces import Pieces, PieceStore, new_name
from nomad_dask.dataset.report import Receipt
from nomad_dask.dataset.segment import Task, read_segment
from nomad_dask.errors import UnfinishedError
from nomad_dask.request import Failure, Ref
from nomad_dask.request.segments import spread
from nomad_dask.text.humanize import counted, size

T = TypeVar("T")
Refs = tuple[Ref, ...]
_PARTS = 8
"""Number of pieces of a division: one entry of 1,000 is found after four deaths."""
_IN_A_ROW = 30
"""Consecutive deaths after which a piece that was read before must be read again to continue."""
_TRIES = 5
"""Number of tries of a task that reads no archives: listing entries and writing the part."""
LEAST = 3
"""Minimum number of consecutive deaths before an entry is blamed."""
MOST = 20
"""Number of consecutive deaths after which an entry is not retried."""
_BY_CHANCE = 2e-4
"""Maximum probability that the deaths of a blamed entry are chance."""


class Deaths:
    """Decides if an entry causes the deaths of the workers that read it alone, or if they can be chance.

    A worker can be killed by the system, a user or another job. So the deaths for an entry are compared with
    how often workers die while they read entries that are read successfully in the end. If a dozen reads are
    known and no worker died, three or four deaths are enough to blame an entry; if every second worker died,
    13 are. Each read was the only running task of the job.
    """

    def __init__(self) -> None:
        self._n_reads = 0
        self._read: set[Ref] = set()
        self._deaths: list[frozenset[Ref]] = []
        self._alone: Counter[Ref] = Counter()

    def survived(self, refs: Iterable[Ref]) -> None:
        """Record that a worker read these entries (or did something else, if empty)."""
        self._n_reads += 1
        for ref in refs:
            self._read.add(ref)
            del self._alone[ref]

    def died(self, refs: Iterable[Ref]) -> None:
        """Record that a worker died while it read these entries (or did something else, if empty)."""
        dead = frozenset(refs)
        self._deaths.append(dead)
        if len(dead) == 1:
            self._alone.update(dead)

    def alone(self, ref: Ref) -> int:
        """Number of consecutive deaths of workers that read this entry alone."""
        return self._alone[ref]

    @property
    def by_chance(self) -> float:
        """Probability that a worker dies by chance during a read (rule of succession); 1/2 without data."""
        chance = sum(dead <= self._read for dead in self._deaths)
        return (chance + 1) / (chance + self._n_reads + 2)

    def blames(self, ref: Ref) -> bool:
        """True if an entry has too many consecutive deaths to be chance."""
        n = self._alone[ref]
        return n >= LEAST and self.by_chance**n <= _BY_CHANCE


def divide(client: Client, task: Task, workers: Workers, deaths: Deaths) -> Receipt | Exception:
    """Run a task in pieces; return its receipt, or the error that stops it.

    An entry that becomes a failure kills a worker once for each division, and then until the deaths are
    unlikely to be chance by the `deaths` of the job.
    """
    announce(f"segment {task.number} killed its workers; reading its entries in smaller pieces")
    return _Division(client, task, workers, deaths).run()


class _Division:
    """One segment, read in pieces."""

    def __init__(self, client: Client, task: Task, workers: Workers, deaths: Deaths) -> None:
        self._client, self._task, self._workers, self._deaths = client, task, workers, deaths
        self._names: list[str] = []
        self._kept: list[tuple[str, Refs]] = []
        self._lost: list[Failure] = []
        self._in_a_row = 0

    @property
    def _limit(self) -> str:
        return f" (a worker has {size(self._workers.memory)})" if self._workers.memory else ""

    def run(self) -> Receipt | Exception:
        """Read all pieces, and then write the part."""
        refs = self._retried(names_of, self._task, "listed its entries")
        if isinstance(refs, Exception):
            return refs
        try:
            if (error := self._read_all(refs)) is not None:
                return error
            pieces = Pieces(tuple(sorted(self._kept, key=lambda piece: piece[1])), tuple(sorted(self._lost)))
            outcome: Receipt | Exception = self._retried(
                methodcaller("write"),
                replace(self._task, pieces=pieces),
                f"wrote it: its table may be too large for a worker's memory{self._limit}; smaller "
                "partitions (partition_size) in a new folder take less",
            )
            return outcome
        finally:
            for name in self._names:
                PieceStore(self._task.store, name).drop()

    def _read_all(self, refs: Refs) -> Exception | None:
        """Read entries in ever smaller pieces until each is kept or lost; return the error that stops it."""
        to_do, suspects = deque(_groups(refs)), list[Ref]()
        while to_do:
            some = to_do.popleft()
            name, outcome = self._read(some)
            if isinstance(outcome, Receipt):
                self._kept.append((name, some))
            elif isinstance(outcome, Exception):
                return outcome
            elif len(some) > 1:
                to_do += _groups(some)
            elif self._deaths.alone(some[0]) < LEAST:
                to_do.append(some)
            else:
                suspects.append(some[0])
            if self._in_a_row >= _IN_A_ROW and not self._is_alive():
                return UnfinishedError(
                    f"{self._in_a_row} workers in a row died, with any entries{self._limit}: "
                    "do they have enough memory?"
                )
            if suspects and not to_do:  # the rate of deaths by chance is known best when all others are read
                to_do += [(ref,) for ref in suspects if not self._is_lost(ref)]
                suspects.clear()
                if any(self._deaths.alone(ref) >= MOST for (ref,) in to_do):
                    return UnfinishedError(
                        f"workers die so often that the entry of segment {self._task.number} that causes it "
                        "cannot be found: check if something else kills them"
                    )
        return None

    def _read(self, refs: Refs) -> tuple[str, Receipt | Exception | None]:
        """Read a piece; return its name and its receipt, its error, or None if its worker died."""
        name = new_name(self._task.number)
        self._names.append(name)
        outcome = _alone(self._client, self._workers, read_piece, SegmentPiece(self._task, name, refs))
        if outcome is None or isinstance(outcome, KilledWorker):
            self._deaths.died(refs)
            self._in_a_row += 1
            return name, None
        if isinstance(outcome, Receipt):
            self._deaths.survived(refs)
            self._in_a_row = 0
        return name, outcome

    def _is_alive(self) -> bool:
        """True if a piece that was read before can be read again; then other pieces kill their workers."""
        if not self._kept:
            return False
        _, refs = min(self._kept, key=lambda piece: len(piece[1]))
        return isinstance(self._read(refs)[1], Receipt)

    def _is_lost(self, ref: Ref) -> bool:
        """True if an entry is blamed for its workers' deaths; it is then added to the failures."""
        if not self._deaths.blames(ref):
            return False
        n = self._deaths.alone(ref)
        reason = (
            f"{counted(n, 'worker')} in a row died while they read only this entry, probably because of too "
            f"little memory{self._limit}; give workers more memory, or require less of the archive in a new "
            "folder, then retry failures"
        )
        self._lost.append(Failure(*ref, None, reason, n))
        return True

    def _retried(self, function: Callable[[T], Any], call: T, did: str) -> Any:
        """The result or error of a task that reads no archives, retried if its workers die."""
        for _ in range(_TRIES):
            outcome = _alone(self._client, self._workers, function, call)
            if not isinstance(outcome, KilledWorker):
                self._deaths.survived(())
                return outcome
            self._deaths.died(())
            last = outcome
        error = UnfinishedError(f"workers died {counted(_TRIES, 'time')} as they {did}")
        error.__cause__ = last
        return error


def _alone(client: Client, workers: Workers, function: Callable[[T], Any], call: T) -> Any:
    """The result or error of a function that runs as the only task of the job."""
    with closing(outcomes(client, [call], function, workers, name="piece")) as found:
        _, outcome = next(found)
        return outcome


def _groups(refs: Refs) -> list[Refs]:
    """Entries in at most `_PARTS` pieces of almost equal size."""
    groups, at = [], 0
    for n in spread(len(refs), min(_PARTS, len(refs))):
        groups.append(refs[at : at + n])
        at += n
    return groups


def names_of(task: Task) -> Refs:
    """List the entries that a task would read, in id order."""
    return tuple(sorted(task.names()))


@dataclass(frozen=True, slots=True)
class SegmentPiece:
    """Some entries of a task's segment, which one task reads."""

    task: Task
    name: str
    refs: Refs


def read_piece(piece: SegmentPiece) -> Receipt | None:
    """Read a piece, store it, and return its receipt.

    Returns None if the piece was started before and not finished, because its worker died. So each death is
    noticed even if Dask runs the task again.
    """
    task, aside = piece.task, PieceStore(piece.task.store, piece.name)
    if not aside.begin():
        return aside.receipt()
    tables, receipt = read_segment(task.job, task.segment, task.number, piece.refs)
    aside.keep(tables, receipt)
    return receipt
