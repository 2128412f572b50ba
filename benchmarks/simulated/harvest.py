"""A harvest as a discrete simulation: events on a heap, the real policies, and nobody sleeps.

What is simulated stands in `nomad_dask` under the same names: segments are taken in order by the threads of
workers
(`harvest`), each lists its pages and keeps a window of batches in flight (`dataset.segment`,
`client.archives`), and each
request waits for its turn and is tried again as `client.retry` decides (`client.transport`). The batch size,
the pace and
the decision are the real ones, imported. A worker has one core; its two threads share it.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, repeat
from random import Random

from nomad_dask.client.retry import Outcome, Policy, Wait, decide
from nomad_dask.client.search import LARGEST_PAGE
from nomad_dask.limits import BatchSize, Limits
from simulated.events import Events, Signal, Steps
from simulated.server import Gate, Installation, Server

_MOST_AT_ONCE, _FEW = 1_000, 4
_ROW = 85
"""Bytes of one row of a listing."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What harvesting one `required` tree costs on our side: see `measured`."""

    entry_bytes: Sequence[int]
    """Of the JSON of some entries, as drawn; the simulated ones are like them."""
    per_byte: float
    """Seconds of CPU, for JSON into Arrow and Parquet."""
    decoding: float
    """Seconds for each byte, of `per_byte`, until the JSON is read: while that lasts the request is not
    over."""
    per_request: float
    per_segment: float
    batch: BatchSize
    """To begin with."""
    missing: float
    """Share of entries without archive."""
    row_bytes: float
    """Of the Arrow table."""
    object_bytes: float
    """Of Python objects for each byte of JSON."""
    base_bytes: float
    """Of a worker, besides these."""

    def slower(self, times: float, batch: BatchSize) -> "Costs":
        """The same on a machine where all takes so many times as long, and with another batch size to begin
        with."""
        seconds = {
            name: getattr(self, name) * times
            for name in ("per_byte", "decoding", "per_request", "per_segment")
        }
        return replace(self, batch=batch, **seconds)


@dataclass(slots=True)
class Outcomes:
    """What came of a harvest."""

    seconds: float = 0.0
    segments: int = 0
    left_over: int = 0
    """Segments whose listing failed for good."""
    rows: int = 0
    missing: int = 0
    failed: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    """By what was asked for."""
    retries: int = 0
    refused: int = 0
    n_bytes: int = 0
    batch_sizes: list[int] = field(default_factory=list)
    server_busy: float = 0.0
    """Seconds of work of all of its processes."""
    cpu: float = 0.0
    """Seconds of ours, of all workers."""
    peak_bytes: float = 0.0
    """Memory of the worker that needed most."""


@dataclass(slots=True)
class _Worker:
    """One process: a core, and what lies in its memory."""

    idle_from: float = 0.0
    answers: float = 0.0
    """Bytes of JSON that have come and are not in a table yet."""
    tables: float = 0.0
    peak: float = 0.0


@dataclass(slots=True)
class _Delivery:
    """What one batch brought."""

    entries: int = 0
    n_bytes: float = 0.0
    seconds: float = 0.0
    missing: int = 0
    failed: int = 0

    def add(self, other: "_Delivery") -> None:
        self.entries += other.entries
        self.n_bytes += other.n_bytes
        self.seconds = max(self.seconds, other.seconds)
        self.missing += other.missing
        self.failed += other.failed


class Harvest:
    """One harvest; `run` gives what came of it."""

    def __init__(
        self,
        segments: Iterable[int],
        costs: Costs,
        server: Installation,
        limits: Limits,
        *,
        workers: int,
        threads: int = 2,
        policy: Policy = Policy(),
        seed: int = 0,
    ) -> None:
        self._events, self._dice, self._out = Events(), Random(seed), Outcomes()
        self._todo, self._costs, self._model = deque(segments), costs, server
        self._server = Server(self._events, server, self._dice)
        self._gate, self._policy = Gate(self._events, limits), policy
        # What a process asks for is its part of the limits; who may send is decided by the gate of all.
        self._in_flight = limits.share(workers).max_concurrency
        self._workers, self._threads = [_Worker() for _ in range(workers)], threads
        self._sums = [0]
        for size in (*costs.entry_bytes, *costs.entry_bytes):
            self._sums.append(self._sums[-1] + size)

    def run(self) -> Outcomes:
        for worker in self._workers:
            for _ in range(self._threads):
                self._events.start(self._thread(worker))
        self._events.run()
        self._out.seconds = self._events.now
        self._out.server_busy, self._out.refused = self._server.busy, self._server.refused
        self._out.peak_bytes = self._costs.base_bytes + max(worker.peak for worker in self._workers)
        return self._out

    def _thread(self, worker: _Worker) -> Steps:
        while self._todo:
            yield from self._segment(worker, self._todo.popleft())

    def _segment(self, worker: _Worker, size: int) -> Steps:
        rows = 0
        for listed in pages(size):
            if not (yield from self._served(worker, "listings", listed * self._model.per_id, listed * _ROW)):
                self._out.left_over += 1
                return
            rows += yield from self._archives(worker, listed)
        table = rows * self._costs.row_bytes
        self._keep(worker, tables=table)  # sorted, and written to memory, beside the one that was built
        yield self._worked(worker, self._costs.per_segment)
        self._keep(worker, tables=-2 * table)
        self._out.segments += 1
        self._out.rows += rows

    def _archives(self, worker: _Worker, todo: int) -> Steps:
        """The archives of one listed page; rows."""
        window: deque[Signal] = deque()
        batch, absent, rows = self._costs.batch, 0, 0
        while todo or window:
            while todo and len(window) < self._in_flight:
                n = min(batch.size, todo)
                todo -= n
                self._out.batch_sizes.append(n)
                window.append(self._events.start(self._batch(worker, n, self._absent(n))))
            delivery: _Delivery = yield window.popleft()
            batch = batch.updated(delivery.entries, int(delivery.n_bytes), delivery.seconds)
            absent += delivery.missing
            rows += delivery.entries
            self._out.failed += delivery.failed
            yield from self._built(worker, delivery)
        for start in range(0, absent, _MOST_AT_ONCE):
            yield from self._once_more(worker, min(_MOST_AT_ONCE, absent - start))
        self._keep(worker, tables=absent * self._costs.row_bytes)
        return rows + absent

    def _once_more(self, worker: _Worker, absent: int) -> Steps:
        together = absent > _FEW
        parts = [self._batch(worker, n, n) for n in ([absent] if together else repeat(1, absent))]
        for signal in [self._events.start(part) for part in parts]:
            delivery: _Delivery = yield signal
            self._out.missing += delivery.missing
            self._out.failed += delivery.failed

    def _batch(self, worker: _Worker, n: int, absent: int, suspect: bool = False) -> Steps:
        n_bytes = self._bytes_of(n - absent)
        began = self._events.now
        work = n * self._model.per_entry
        if (yield from self._served(worker, "archives", work, n_bytes, entries=n, suspect=suspect)):
            return _Delivery(n - absent, n_bytes, self._events.now - began, absent)
        if n == 1 or not suspect:
            yield from self._served(worker, "counts", 0.0, 0.0)
        if n == 1:
            return _Delivery(failed=1)
        whole, half, lost = _Delivery(), n // 2, min(absent, n // 2)
        halves = [(half, lost), (n - half, absent - lost)]
        for signal in [self._events.start(self._batch(worker, *part, True)) for part in halves]:
            whole.add((yield signal))
        return whole

    def _served(
        self,
        worker: _Worker,
        what: str,
        work: float,
        n_bytes: float,
        *,
        entries: int = 1,
        suspect: bool = False,
    ) -> Steps:
        """One question with its retries; whether it was answered."""
        for attempt in count(1):
            yield from self._gate.enter()
            self._out.requests[what] += 1
            outcome: Outcome | None = yield from self._server.answer(work, n_bytes)
            if outcome is None:
                self._out.n_bytes += int(n_bytes)
                self._keep(worker, answers=n_bytes if what == "archives" else 0.0)
                yield self._worked(worker, n_bytes * self._costs.decoding + self._costs.per_request)
            self._gate.leave(outcome)
            if outcome is None:
                return True
            jitter = self._dice.random()
            match decide(outcome, attempt, self._policy, entries=entries, suspect=suspect, jitter=jitter):
                case Wait(seconds, everyone):
                    self._out.retries += 1
                    if everyone:
                        self._gate.hold(seconds)
                    yield seconds
                case _:
                    return False
        raise AssertionError("unreachable")

    def _built(self, worker: _Worker, delivery: _Delivery) -> Steps:
        yield self._worked(worker, delivery.n_bytes * (self._costs.per_byte - self._costs.decoding))
        self._keep(worker, answers=-delivery.n_bytes, tables=delivery.entries * self._costs.row_bytes)

    def _worked(self, worker: _Worker, seconds: float) -> float:
        """Seconds from now until the worker's core has done it."""
        worker.idle_from = max(worker.idle_from, self._events.now) + seconds
        self._out.cpu += seconds
        return worker.idle_from - self._events.now

    def _keep(self, worker: _Worker, answers: float = 0.0, tables: float = 0.0) -> None:
        worker.answers += answers
        worker.tables += tables
        worker.peak = max(worker.peak, worker.answers * self._costs.object_bytes + worker.tables)

    def _absent(self, n: int) -> int:
        return min(n, int(n * self._costs.missing + self._dice.random()))

    def _bytes_of(self, n: int) -> int:
        """The JSON of n entries that follow one another among those measured, from a random one on."""
        rounds, rest = divmod(n, len(self._costs.entry_bytes))
        start = self._dice.randrange(len(self._costs.entry_bytes))
        whole = self._sums[len(self._costs.entry_bytes)]
        return rounds * whole + self._sums[start + rest] - self._sums[start]


def pages(size: int) -> list[int]:
    """Entries on each listing page of a segment; an empty one costs a page too."""
    full, rest = divmod(size, LARGEST_PAGE)
    return [LARGEST_PAGE] * full + ([rest] if rest or not full else [])
