"""Owns what a computation of lazy frames tells of itself while it runs, and who listens: a notebook, and nobody else.

As a computation is made ready (`expression`), a notebook's cell gets a `Watch` of its segments. Its tasks tell when they
begin and what they did: straight to the watches of their process, or from a Dask worker as an event of the topic
`TOPIC`, which the client subscribes to for as long as it watches. The watch shows its card when the first task begins. It
ends when all segments are done, and with the cell at the latest; then nothing of it is left. Events that nobody
subscribed to are kept by the scheduler as it keeps its own: the last thousand. Under Dask's scheduler of processes
there is no way back for them, and so no card.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from .display import notebook
from .pure.cards import State
from .pure.progress import Done, Progress
from .pure.segments import Segment
from .sides.telling import listening

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

TOPIC = "nomad-dask"


@dataclass(frozen=True, slots=True)
class Named:
    """What all tasks of a frame share, with the name that it has in the graph: by it they are known as one job."""

    job: str
    value: Any


def read_told(function: Callable[[Any, Segment], T], shared: Named, segment: Segment) -> T:
    """Call a function as a task of a job, and tell when it begins and what it has done."""
    read: list[Done] = []
    _tell(shared.job, segment, None)
    try:
        with listening(read.append):
            partition = function(shared.value, segment)
    except BaseException:
        _tell(shared.job, segment, replace(sum(read, Done()), entries=0, segments=0))
        raise
    _tell(shared.job, segment, replace(sum(read, Done()), segments=1))
    return partition


def _tell(job: str, segment: Segment, done: Done | None) -> None:
    """News of one segment. None: it has begun; else what it took, and, if it is whole, what it has."""
    try:
        from distributed import get_worker

        worker = get_worker()
    except (ImportError, ValueError):
        _hear(job, segment.after, done, everyone=False)
    else:
        worker.log_event(TOPIC, (job, segment.after, None if done is None else astuple(done)))


class Watch:
    """One computation's card, from the first news of its segments to the last."""

    def __init__(self, job: str, label: str, segments: Iterable[Segment], client: Client | None) -> None:
        self.job, self.client = job, client
        self.waiting = {segment.after: segment.size for segment in segments}
        self.segments = len(self.waiting)
        sizes = [*self.waiting.values()]
        self.total = None if None in sizes else sum(size or 0 for size in sizes)
        self.began: float | None = None
        self.done = Done()
        self.card = notebook.Card(label)

    def hear(self, after: str, done: Done | None) -> None:
        """A segment has begun, or is done as far as it came. A segment that failed may come again."""
        now = time.monotonic()
        if self.began is None:
            self.began = now
            self.card.open()
        if done is not None:
            self.done += done
            if done.segments:
                del self.waiting[after]
        self.card.show(Progress(self.done, self.total, self.segments, now - self.began))


_watches: list[Watch] = []
_lock = threading.RLock()


def watch(job: str, label: str, segments: Sequence[Segment]) -> None:
    """Show the computation of these segments below the cell that is running; outside of a notebook do nothing."""
    kernel = notebook.shell()
    if kernel is None:
        return
    with _lock:
        news = Watch(job, label, segments, _client())
        if any(old.began is None and old.job == job and old.waiting == news.waiting for old in _watches):
            return
        if not _watches:
            kernel.events.register("post_run_cell", _cell_ended)
        if news.client is not None and not _watched(news.client):
            news.client.subscribe_topic(TOPIC, _event)
        _watches.append(news)


def _watched(client: Client) -> bool:
    return any(watch.client is client for watch in _watches)


def _client() -> Client | None:
    """The Dask client that is in use."""
    from distributed.client import default_client

    try:
        client: Client = default_client()
    except ValueError:
        return None
    return client


def _event(event: tuple[float, Sequence[Any]]) -> None:
    """What a worker told. All who wait for the segment hear it: a cluster does alike tasks once."""
    _, (job, after, done) = event
    _hear(job, after, None if done is None else Done(*done), everyone=True)


def _hear(job: str, after: str, done: Done | None, *, everyone: bool) -> None:
    """Pass news on. Of two computations of one frame in one process the older hears it, until it has the segment."""
    if not _watches:
        return
    with _lock:
        waiting = [watch for watch in _watches if watch.job == job and after in watch.waiting]
        for watch in waiting if everyone else waiting[:1]:
            watch.hear(after, done)
            if not watch.waiting:
                _end(watch, State.DONE)


def _end(watch: Watch, state: State) -> None:
    watch.card.end(state)
    _ended.append(watch.card)
    _watches.remove(watch)
    client = watch.client
    if client is not None and client.status == "running" and not _watched(client):
        client.unsubscribe_topic(TOPIC)


_ended: list[notebook.Card] = []
"""Cards of this cell that may still be drawn once more."""


def _cell_ended(result: Any) -> None:
    """IPython's word that a cell is over: so are its watches, and this hook."""
    with _lock:
        for watch in [*_watches]:
            _end(watch, State.LEFT if result.success else State.STOPPED)
        cards, _ended[:] = [*_ended], []
    for card in cards:
        card.wait()
    kernel = notebook.shell()
    if kernel is not None:
        kernel.events.unregister("post_run_cell", _cell_ended)
