"""Owns the eager, resumable job: a plan's segments through a Dask cluster into a Parquet dataset (SPEC 9).

The client keeps a bounded window of segments in flight; a task reads its segment, writes its part and returns the
receipt, never data. What is to do is the plan less the receipts, so the same call again goes on where a killed one
stopped.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from .clusters import Cluster
from .edges.server import Server
from .edges.store import Store
from .limiter import within_limits
from .logins import lent_login
from .pure.errors import ServerError, StorageError, UnfinishedError, UnreachableError
from .pure.manifest import Manifest
from .pure.report import Receipt, Report
from .pure.segments import Plan
from .sides.worker import Task

if TYPE_CHECKING:
    from distributed import Client

Progress = Callable[[Report], None]
_GIVE_UP_AFTER = 3
"""Segments that may fail as a whole, one after the other, before the harvest stops."""
_NONE: dict[str, Any] = {}
_LOOK_EVERY = 2.0
"""Seconds between two looks at how many workers there are."""


def harvest(
    store: Store,
    manifest: Manifest,
    server: Server,
    *,
    cluster: Cluster | Client | None = None,
    retry_failures: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Bring a dataset to its plan: run what has no receipt yet (and, if asked, what failed), then sum up.

    The dataset's manifest must be in its place already. Returns the report; raises UnfinishedError when segments are
    left over because the server or workers kept failing, with what was done kept.
    """
    receipts = store.receipts(manifest.id)
    again = [n for n, r in receipts.items() if r.failures] if retry_failures else []
    first = Task(store, manifest.id, server, 0)
    tasks = [replace(first, number=n) for n in range(len(manifest.plan)) if n not in receipts]
    tasks += [replace(first, number=n, retry_failures=True) for n in again]
    carry_out(store, manifest, server, tasks, receipts, cluster=cluster, progress=progress)
    return Report.of(manifest.plan, receipts.values(), manifest.last_run)


def carry_out(
    store: Store,
    manifest: Manifest,
    server: Server,
    tasks: Sequence[Task],
    receipts: dict[int, Receipt],
    *,
    cluster: Cluster | Client | None = None,
    progress: Progress | None = None,
) -> None:
    """Run tasks of a dataset, and bring `receipts` and `failures.parquet` up to date; then all parts must stand.

    Of the receipts given, too, only what the client needs to the end is kept.
    """
    for number, receipt in receipts.items():
        receipts[number] = _kept(receipt)
    if tasks:
        store.open_for_writing(manifest)
        try:
            with _opened(cluster or Cluster()) as client, lent_login(client, server) as login:
                tasks = [replace(task, server=replace(server, login=login)) for task in tasks]
                _drive(client, tasks, receipts, manifest.plan, progress)
        except BaseException:
            with suppress(StorageError):  # the first error is the one to tell
                store.write_failures(receipts.values())
            raise
        store.write_failures(receipts.values())
    _prove(store, receipts, manifest.plan)


def _prove(store: Store, receipts: dict[int, Receipt], plan: Plan) -> None:
    """A dataset is complete when all of its parts lie there as they were written; anything else is said."""
    sizes = store.part_sizes()
    if gone := [n for n, receipt in receipts.items() if not receipt.stands(sizes)]:
        raise UnfinishedError(
            f"{len(gone)} of {len(plan)} parts of {store.url} are gone or changed, the first is number {gone[0]}: "
            "run the same command again to write them anew"
        )


@contextmanager
def _opened(cluster: Cluster | Client) -> Iterator[Client]:
    if isinstance(cluster, Cluster):
        with cluster.client() as client:
            yield client
    else:
        yield cluster


def _drive(
    client: Client, tasks: Sequence[Task], receipts: dict[int, Receipt], plan: Plan, progress: Progress | None
) -> None:
    """Run tasks, bringing `receipts` up to date as they finish.

    A segment that fails as a whole is left for later, and run again after the others for as long as that gets any of
    them done: so a worker that was lost, or a server that was down for a while, costs nothing.
    """
    redone = {task.number for task in tasks}
    report = Report.of(plan, (r for n, r in receipts.items() if n not in redone))
    tell = progress or (lambda report: None)
    tell(report)
    began = time.monotonic()
    window = _window(client)
    to_do, before, patience = list(tasks), len(tasks) + 1, _Patience(window)
    while 0 < len(to_do) < before and not patience.is_over():
        before, left_over = len(to_do), list[Task]()
        for task, outcome in _in_flight(client, to_do, window):
            if isinstance(outcome, Receipt):
                receipts[task.number] = _kept(outcome)
                report = report.plus(outcome, plan.exact_size(task.number))
                patience.renew()
            elif _passes(outcome):
                left_over.append(task)
                stopped = task.number, outcome
                patience.spend(outcome)
            else:
                raise outcome
            tell(replace(report, seconds=time.monotonic() - began))
            if patience.is_over():
                break
        to_do = left_over
    if to_do:
        number, error = stopped
        raise UnfinishedError(
            f"{len(plan) - report.done} of {len(plan)} segments are left to do; segment {number} stopped with: {error}. "
            "Finished segments are kept: run the same command again to go on"
        ) from error


class _Patience:
    """For how many segments in a row that failed as a whole a harvest goes on.

    A worker that dies takes all that it had along, which is none of the segments' fault: of those that lost several
    workers each, as many may come in a row as there are tasks under way.
    """

    def __init__(self, window: Callable[[], int]) -> None:
        self._window = window
        self.renew()

    def renew(self) -> None:
        """A segment was finished."""
        self._failed = self._killed = 0

    def spend(self, error: Exception) -> None:
        """A segment failed."""
        if _lost_workers(error):
            self._killed += 1
        else:
            self._failed += 1

    def is_over(self) -> bool:
        """Whether to stop."""
        return self._failed >= _GIVE_UP_AFTER or self._killed >= max(_GIVE_UP_AFTER, self._window())


def _kept(receipt: Receipt) -> Receipt:
    """What the client needs of a receipt to the end: its counts, its part, and the entries to tell of.

    A harvest may have hundreds of thousands; whoever wants the rest finds it in the dataset.
    """
    nothing = {"after": "", "upto": "", "first": None, "last": None, "finished": "", "dataset": ""}
    lists = {"statuses": _NONE, "seen": _NONE, "batch_sizes": (), "concurrency": (), "bare": ()}
    return replace(receipt, **nothing, **lists)  # type: ignore[arg-type]


def _in_flight(
    client: Client, tasks: Sequence[Task], window: Callable[[], int]
) -> Iterator[tuple[Task, Receipt | Exception]]:
    """Outcomes of tasks as they come, never more than `window()` tasks with the scheduler; the rest is cancelled."""
    from distributed import Future, as_completed

    waiting = iter(tasks)
    running: dict[str, tuple[Task, Future]] = {}
    finished = as_completed(loop=client.loop)

    def submit() -> None:
        for task in islice(waiting, max(0, window() - len(running))):
            key = f"segment-{task.number:05d}-{uuid.uuid4().hex}"
            running[key] = task, client.submit(within_limits, type(task).write, task, key=key, pure=False)
            finished.add(running[key][1])

    try:
        submit()
        for future in finished:
            task, _ = running.pop(future.key)
            yield task, future.exception() or future.result()
            future.release()
            submit()
    except (CancelledError, OSError) as error:  # cancelled by its going, or cut off in the middle of a word
        raise UnfinishedError(
            "the Dask scheduler went away; finished segments are kept: run the same command again to go on"
        ) from error
    finally:
        if client.status == "running":
            client.cancel([future for _, future in running.values()])


def _passes(error: Exception) -> bool:
    """Whether other segments may still work: the server or a worker failed, and nobody's question is wrong."""
    return isinstance(error, ServerError | UnreachableError) or _lost_workers(error)


def _lost_workers(error: Exception) -> bool:
    from distributed import KilledWorker

    return isinstance(error, KilledWorker)


def _window(client: Client) -> Callable[[], int]:
    """How many tasks may be with the scheduler: two for each thread, of workers that join later as well.

    Waits for the first worker; a cluster without any is an error, not an endless wait.
    """
    try:
        client.wait_for_workers(1, timeout=60)
    except TimeoutError as error:
        address = client.scheduler.address if client.scheduler else "the given address"
        raise UnreachableError(f"the scheduler at {address} has no workers; start some") from error
    size, looked = 1, float("-inf")

    def window() -> int:
        nonlocal size, looked
        if time.monotonic() - looked > _LOOK_EVERY:
            info: dict[str, Any] = client.scheduler_info(n_workers=-1)
            size = max(1, 2 * sum(worker["nthreads"] for worker in info["workers"].values()))
            looked = time.monotonic()
        return size

    return window
