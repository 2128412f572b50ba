"""Progress of lazy dataframes while they are computed, shown in notebooks.

When a computation is prepared (`frame.expr`), the notebook cell gets a `Watch` of its segments. Tasks report
when they start and what they did: directly to the watches of their process, or on a Dask worker as events of
the topic `TOPIC`, to which the client subscribes while it has a watch. A watch shows its card when the first
task starts, and ends when all segments are done or the cell ends. Without a subscriber, the scheduler keeps
the last thousand events, as it does with its own. Dask's multiprocessing scheduler cannot send events, so it
shows no card.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from typing import Any, TypeVar

from distributed import Client, get_worker
from distributed.client import default_client

from nomad_dask.progress import display
from nomad_dask.progress.progress import CardState, Progress, WorkDone, listening
from nomad_dask.request.segments import Segment

T = TypeVar("T")

TOPIC = "nomad-dask"


@dataclass(frozen=True, slots=True)
class NamedReader:
    """A reader that all tasks of a dataframe share, and its name in the graph, which identifies the job."""

    job: str
    value: Any


def run_with_progress(function: Callable[[Any, Segment], T], shared: NamedReader, segment: Segment) -> T:
    """Call a function as a task of a job, and report when it starts and what it did."""
    read: list[WorkDone] = []
    _report(shared.job, segment, None)
    try:
        with listening(read.append):
            partition = function(shared.value, segment)
    except BaseException:
        _report(shared.job, segment, replace(sum(read, WorkDone()), entries=0, segments=0))
        raise
    _report(shared.job, segment, replace(sum(read, WorkDone()), segments=1))
    return partition


def _report(job: str, segment: Segment, done: WorkDone | None) -> None:
    """Report the start of a segment (None), or the work that was done for it."""
    try:
        worker = get_worker()
    except ValueError:
        _deliver(job, segment.after, done, to_all=False)
    else:
        worker.log_event(TOPIC, (job, segment.after, None if done is None else astuple(done)))


class Watch:
    """The progress card of one computation."""

    def __init__(self, job: str, label: str, segments: Iterable[Segment], client: Client | None) -> None:
        self.job, self.client = job, client
        self.waiting = {segment.after: segment.size for segment in segments}
        self.segments = len(self.waiting)
        sizes = [*self.waiting.values()]
        self.total = None if None in sizes else sum(size or 0 for size in sizes)
        self.started: float | None = None
        self.done = WorkDone()
        self.card = display.Card(label)

    def update(self, after: str, done: WorkDone | None) -> None:
        """Show that a segment started, finished or failed. A failed segment can be run again."""
        now = time.monotonic()
        if self.started is None:
            self.started = now
            self.card.open()
        if done is not None:
            self.done += done
            if done.segments:
                del self.waiting[after]
        self.card.show(Progress(self.done, self.total, self.segments, now - self.started))


_watches: list[Watch] = []
_lock = threading.RLock()


def watch(job: str, label: str, segments: Sequence[Segment]) -> None:
    """Show progress of these segments below the running notebook cell. Does nothing outside a display."""
    kernel = display.shell()
    if kernel is None:
        return
    with _lock:
        new = Watch(job, label, segments, current_client())
        if any(old.started is None and old.job == job and old.waiting == new.waiting for old in _watches):
            return
        if not _watches:
            kernel.events.register("post_run_cell", _cell_ended)
        if new.client is not None and not _watched(new.client):
            new.client.subscribe_topic(TOPIC, _event)
        _watches.append(new)


def _watched(client: Client) -> bool:
    return any(watch.client is client for watch in _watches)


def current_client() -> Client | None:
    """The default Dask client, if any."""
    with suppress(ValueError):
        return default_client()
    return None


def _event(event: tuple[float, Sequence[Any]]) -> None:
    """Pass a worker's report to all watches of its segment: a cluster runs equal tasks only once."""
    _, (job, after, done) = event
    _deliver(job, after, None if done is None else WorkDone(*done), to_all=True)


def _deliver(job: str, after: str, done: WorkDone | None, *, to_all: bool) -> None:
    """Update watches of a segment: all of them, or the oldest one that waits for it."""
    if not _watches:
        return
    with _lock:
        waiting = [watch for watch in _watches if watch.job == job and after in watch.waiting]
        for watch in waiting if to_all else waiting[:1]:
            watch.update(after, done)
            if not watch.waiting:
                _end(watch, CardState.DONE)


def _end(watch: Watch, state: CardState) -> None:
    watch.card.end(state)
    _ended.append(watch.card)
    _watches.remove(watch)
    client = watch.client
    if client is not None and client.status == "running" and not _watched(client):
        client.unsubscribe_topic(TOPIC)


_ended: list[display.Card] = []
"""Cards of this cell that may still have a pending update."""


def _cell_ended(result: Any) -> None:
    """End the watches of a cell, and unregister this IPython hook."""
    with _lock:
        for watch in [*_watches]:
            _end(watch, CardState.DETACHED if result.success else CardState.STOPPED)
        cards, _ended[:] = [*_ended], []
    for card in cards:
        card.wait()
    kernel = display.shell()
    if kernel is not None:
        kernel.events.unregister("post_run_cell", _cell_ended)
