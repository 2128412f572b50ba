"""Owns the eager, resumable job: a plan's segments through a Dask cluster into a Parquet dataset (SPEC 9).

The client keeps a bounded window of segments in flight; a task reads its segment, writes its part and returns the
receipt, never data. What is to do is the plan less the receipts, so the same call again goes on where a killed one
stopped.
"""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .edges.store import Store
from .edges.transport import Server
from .logins import lend_login
from .pure.errors import ServerError, UnfinishedError, UnreachableError, UserError
from .pure.manifest import Manifest
from .pure.report import Receipt, Report
from .sides.worker import Task, write_segment

if TYPE_CHECKING:
    from distributed import Client as DaskClient

Progress = Callable[[Report], None]
_GIVE_UP_AFTER = 3
"""Segments that may fail as a whole, one after the other, before the harvest stops."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the tasks run: a cluster of local processes made for the job, or one that runs."""

    workers: int | None = None
    """Local worker processes; None: as many as cores, four at the most."""
    scheduler: str | None = None
    """Address of a running scheduler, such as `tcp://host:8786`; nothing is started then."""
    threads_per_worker: int = 2
    """Two segments a process: one waits for the network while the other is decoded."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.scheduler is not None:
            raise UserError("give workers (a cluster of this machine) or scheduler (one that runs), not both")
        if self.workers is not None and self.workers < 1:
            raise UserError(f"workers must be 1 or more, not {self.workers}")

    def check(self) -> None:
        """Whether something listens at the scheduler's address: cheap, so that it can be asked before anything else."""
        if self.scheduler is None:
            return
        parts = urlsplit(self.scheduler)
        if parts.scheme not in ("tcp", "tls") or not parts.hostname or not parts.port:
            raise UserError(
                f"no address of a scheduler: {self.scheduler!r}; expected one like tcp://host:8786"
            )
        try:
            socket.create_connection((parts.hostname, parts.port), timeout=10).close()
        except OSError as error:
            raise self._absent(error) from error

    def _absent(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"no Dask scheduler answers at {self.scheduler}: {error}; "
            "start one with `dask scheduler`, or leave --scheduler out"
        )

    @contextmanager
    def client(self) -> Iterator[DaskClient]:
        """A Dask client for the job; a cluster that was started for it is stopped after it."""
        from distributed import Client, LocalCluster

        if self.scheduler is not None:
            try:
                client = Client(self.scheduler, timeout=10, set_as_default=False)
            except (OSError, TimeoutError, ValueError) as error:
                raise self._absent(error) from error
            with client:
                yield client
            return
        n = self.workers or min(4, os.cpu_count() or 1)
        with (
            LocalCluster(
                n_workers=n,
                threads_per_worker=self.threads_per_worker,
                processes=True,
                dashboard_address="localhost:0",
                silence_logs=40,
                preload=__name__,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client


def dask_setup(worker: object) -> None:
    """Dask calls this in each local worker: Ctrl-C in the terminal reaches them too, but is the client's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def harvest(
    store: Store,
    manifest: Manifest,
    server: Server,
    *,
    cluster: Cluster | DaskClient | None = None,
    retry_failures: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Bring a dataset to its plan: run what has no receipt yet (and, if asked, what failed), then sum up.

    The dataset's manifest must be in its place already. Returns the report; raises UnfinishedError when segments are
    left over because the server or workers kept failing, with what was done kept.
    """
    plan = manifest.plan
    receipts = store.receipts()
    again = [n for n, r in receipts.items() if r.failures] if retry_failures else []
    first = Task(store, manifest.id, server, 0)
    tasks = [replace(first, number=n) for n in range(len(plan)) if n not in receipts]
    tasks += [replace(first, number=n, retry_failures=True) for n in again]
    try:
        if tasks:
            with _opened(cluster or Cluster()) as client:
                lend_login(client, server.login)
                _drive(client, tasks, receipts, plan.total, len(plan), progress)
    finally:
        store.write_failures(receipts.values())
    return Report.of(len(plan), plan.total, receipts.values())


@contextmanager
def _opened(cluster: Cluster | DaskClient) -> Iterator[DaskClient]:
    if isinstance(cluster, Cluster):
        with cluster.client() as client:
            yield client
    else:
        yield cluster


def _drive(
    client: DaskClient,
    tasks: Sequence[Task],
    receipts: dict[int, Receipt],
    total: int,
    segments: int,
    progress: Progress | None,
) -> None:
    """Run tasks, bringing `receipts` up to date as they finish; a segment that fails as a whole is left for later."""
    redone = {task.number for task in tasks}
    report = Report.of(segments, total, (r for n, r in receipts.items() if n not in redone))
    tell = progress or (lambda report: None)
    tell(report)
    began = time.monotonic()
    threads = _threads_of_workers(client)
    share = tasks[0].server.limits.share(len(threads))
    tasks = [replace(task, server=replace(task.server, limits=share)) for task in tasks]
    left_over: dict[int, Exception] = {}
    in_a_row = 0
    for task, outcome in _in_flight(client, tasks, window=2 * sum(threads)):
        if isinstance(outcome, Receipt):
            receipts[task.number] = outcome
            report, in_a_row = report.plus(outcome), 0
        elif _passes(outcome):
            left_over[task.number] = outcome
            in_a_row += 1
        else:
            raise outcome
        tell(replace(report, seconds=time.monotonic() - began))
        if in_a_row == _GIVE_UP_AFTER:
            break
    if left_over:
        number, error = next(iter(left_over.items()))
        raise UnfinishedError(
            f"{segments - report.done} of {segments} segments are left to do; segment {number} stopped with: {error}. "
            "Finished segments are kept: run the same command again to go on"
        ) from error


def _in_flight(
    client: DaskClient, tasks: Sequence[Task], window: int
) -> Iterator[tuple[Task, Receipt | Exception]]:
    """Outcomes of tasks as they come, never more than `window` tasks with the scheduler; the rest is cancelled."""
    from distributed import Future, as_completed

    waiting = iter(tasks)
    running: dict[str, tuple[Task, Future]] = {}
    finished = as_completed(loop=client.loop)

    def submit(n: int) -> None:
        for task in islice(waiting, n):
            key = f"segment-{task.number:05d}-{uuid.uuid4().hex}"
            running[key] = task, client.submit(write_segment, task, key=key, pure=False)
            finished.add(running[key][1])

    try:
        submit(window)
        for future in finished:
            task, _ = running.pop(future.key)
            yield task, future.exception() or future.result()
            future.release()
            submit(1)
    finally:
        client.cancel([future for _, future in running.values()])


def _passes(error: Exception) -> bool:
    """Whether other segments may still work: the server or a worker failed, and nobody's question is wrong."""
    from distributed import KilledWorker

    return isinstance(error, ServerError | UnreachableError | KilledWorker)


def _threads_of_workers(client: DaskClient) -> list[int]:
    """Threads of each worker, once there is one; a cluster without any is an error, not an endless wait."""
    try:
        client.wait_for_workers(1, timeout=60)
    except TimeoutError as error:
        address = client.scheduler.address if client.scheduler else "the given address"
        raise UnreachableError(
            f"the scheduler at {address} has no workers; start some with `dask worker {address}`"
        ) from error
    info: dict[str, Any] = client.scheduler_info(n_workers=-1)
    return [worker["nthreads"] for worker in info["workers"].values()]
