"""Harvests: write the segments of a plan to a Parquet dataset with a Dask cluster.

The client submits a limited number of segments at a time. A task reads its segment, writes its part and
returns a receipt, never data. Segments without a receipt remain to be done, so the same call resumes a
harvest that was killed.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from importlib.metadata import version
from operator import methodcaller
from typing import Any

import distributed
from distributed import KilledWorker

from nomad_dask.client.search import server_time
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.cluster.clusters import Cluster
from nomad_dask.cluster.workers import Workers, lent_login, outcomes
from nomad_dask.dataset.manifest import Manifest
from nomad_dask.dataset.report import Receipt, Report
from nomad_dask.dataset.segment import Task
from nomad_dask.dataset.store import Store
from nomad_dask.errors import InternalError, ServerError, StorageError, UnfinishedError, UnreachableError
from nomad_dask.harvest.divide import Deaths, divide
from nomad_dask.plan.planner import PartitionSpec, TableOptions, prepare
from nomad_dask.request import QuerySpec
from nomad_dask.request.segments import Plan

logger = logging.getLogger("nomad_dask")
OnReport = Callable[[Report], None]
_GIVE_UP_AFTER = 3
"""Number of consecutive failed segments after which a harvest stops."""
_NONE: dict[str, Any] = {}


def versions() -> tuple[tuple[str, str], ...]:
    """Versions of the packages that write a dataset."""
    return tuple((name, version(name)) for name in ("nomad-dask", "dask", "pyarrow"))


async def make_manifest(
    client: Client, question: QuerySpec, cut: PartitionSpec, options: TableOptions = TableOptions()
) -> Manifest:
    """The manifest of a new dataset, with a new id."""
    created = await server_time(client)
    plan, sample = await prepare(client, question, cut, options)
    return Manifest(
        **sample.table_spec(options).table_fields(),
        id=uuid.uuid4().hex,
        url=client.server.url,
        after=cut.after,
        results_max=cut.results_max,
        logged_in=client.server.login is not None,
        plan=plan,
        versions=versions(),
        created=created,
    )


def harvest(
    store: Store,
    manifest: Manifest,
    server: Server,
    *,
    cluster: Cluster | distributed.Client | None = None,
    retry_failures: bool = False,
    progress: OnReport | None = None,
) -> Report:
    """Run segments without a receipt (and failed entries, with `retry_failures`); return the report.

    The manifest must exist already. Raises UnfinishedError if segments remain because the server or workers
    keep failing; finished segments are kept.
    """
    receipts = store.finished(manifest)
    tasks = [
        Task(store, manifest.id, server, number)
        for number in range(len(manifest.plan))
        if number not in receipts
    ]
    if retry_failures:
        again = [number for number, receipt in receipts.items() if receipt.failures]
        tasks += [Task(store, manifest.id, server, number, retry_failures=True) for number in again]
    run_tasks(store, manifest, tasks, receipts, cluster=cluster, progress=progress)
    return Report.of(manifest.plan, receipts.values(), manifest.last_run)


def run_tasks(
    store: Store,
    manifest: Manifest,
    tasks: Sequence[Task],
    receipts: dict[int, Receipt],
    *,
    cluster: Cluster | distributed.Client | None = None,
    progress: OnReport | None = None,
) -> None:
    """Run tasks of a dataset, update `receipts` and `failures.parquet`, and check that all parts exist.

    Receipts, including the given ones, are reduced to the fields that the client needs.
    """
    for number, receipt in receipts.items():
        receipts[number] = _kept(receipt)
    if tasks:
        store.open_for_writing(manifest)
        server, cluster = tasks[0].server, cluster or Cluster()
        try:
            with (
                cluster.client() if isinstance(cluster, Cluster) else nullcontext(cluster) as client,
                lent_login(client, server) as login,
            ):
                tasks = [replace(task, server=replace(server, login=login)) for task in tasks]
                _drive(client, tasks, receipts, manifest.plan, progress)
        except BaseException:
            with suppress(StorageError):  # the first error is the one to raise
                store.write_failures(receipts.values())
            raise
        store.drop_pieces()
        store.write_failures(receipts.values())
    else:
        store.mend_failures(receipts.values())
    sizes = store.part_sizes()
    if gone := [number for number, receipt in receipts.items() if not receipt.has_parts(sizes)]:
        raise UnfinishedError(
            f"{len(gone)} of {len(manifest.plan)} parts of {store.url} are missing or changed, the first is "
            f"number {gone[0]}: run the same command again to write them again"
        )


def _drive(
    client: distributed.Client,
    tasks: Sequence[Task],
    receipts: dict[int, Receipt],
    plan: Plan,
    progress: OnReport | None,
) -> None:
    """Run tasks, and update `receipts` as they finish.

    A failed segment is run again after the others, as long as each round finishes some segments, so a
    temporary outage of the server does no harm. A segment that killed its workers is then read in pieces.
    """
    redone = {task.number for task in tasks}
    report = Report.of(plan, (receipt for number, receipt in receipts.items() if number not in redone))
    tell = progress or (lambda report: None)
    tell(report)
    began = time.monotonic()
    workers, deaths = Workers(client), Deaths()
    to_do, done, stopped = {task.number: task for task in tasks}, -1, None
    patience = _Patience(workers.window)

    def ended(task: Task, outcome: Any) -> None:
        """Record the outcome of a segment in this round."""
        nonlocal report, stopped
        if isinstance(outcome, Receipt):
            receipts[task.number] = _kept(outcome)
            report = report.plus(outcome, plan.exact_size(task.number))
            del to_do[task.number]
            patience.renew()
        elif isinstance(outcome, _TEMPORARY):
            stopped = task.number, outcome
            patience.spend(outcome)
        else:
            raise outcome
        tell(replace(report, seconds=time.monotonic() - began))

    while to_do and done < report.done and not patience.is_over():
        done = report.done
        killers = list[Task]()
        found = outcomes(client, [*to_do.values()], methodcaller("write"), workers, name="segment")
        with closing(found):
            for task, outcome in found:
                ended(task, outcome)
                if isinstance(outcome, KilledWorker):
                    logger.info("the workers that read segment %d died; reading it in pieces", task.number)
                    killers.append(task)
                if patience.is_over():
                    break
        for task in killers:
            patience.forgive_workers()
            if patience.is_over():
                break
            ended(task, divide(client, task, workers, deaths))
    if to_do:
        assert stopped is not None
        number, error = stopped
        reason = "its workers died" if isinstance(error, KilledWorker) else error
        raise UnfinishedError(
            f"{len(plan) - report.done} of {len(plan)} segments are left to do; segment {number} failed "
            f"with: {reason}. Finished segments are kept: run the same command again to continue"
        ) from error


_TEMPORARY = (ServerError, UnreachableError, UnfinishedError, InternalError, KilledWorker)
"""Errors after which other segments can still succeed: the server, a worker or nomad-dask failed."""


class _Patience:
    """Limits the number of consecutive failed segments of a harvest.

    A worker that dies fails all of its tasks, which the segments do not cause, so the limit for segments that
    lost their workers is the number of running tasks.
    """

    def __init__(self, window: Callable[[], int]) -> None:
        self._window = window
        self.renew()

    def renew(self) -> None:
        self._failed = self._killed = 0

    def spend(self, error: Exception) -> None:
        if isinstance(error, KilledWorker):
            self._killed += 1
        else:
            self._failed += 1

    def forgive_workers(self) -> None:
        """Reset the count of lost workers, as their segments are now read in pieces."""
        self._killed = 0

    def is_over(self) -> bool:
        return self._failed >= _GIVE_UP_AFTER or self._killed >= max(_GIVE_UP_AFTER, self._window())


def _kept(receipt: Receipt) -> Receipt:
    """A receipt with only the fields that the client needs: counts, part, and failed and missing entries.

    A harvest can have hundreds of thousands of receipts. The dataset contains the other fields.
    """
    nothing = {"after": "", "upto": "", "first": None, "last": None, "finished": "", "dataset": ""}
    lists = {"statuses": _NONE, "seen": _NONE, "batch_sizes": (), "concurrency": (), "bare": ()}
    return replace(receipt, **nothing, **lists)  # type: ignore[arg-type]
