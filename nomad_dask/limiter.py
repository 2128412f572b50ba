"""Owns the limits of a whole job on a Dask cluster: one bucket on the scheduler, which the workers' gates ask (SPEC 10).

The bucket survives any worker; the permits of one that dies are free at once, those of one that falls silent after
`SILENCE`. A worker asks for what waits at that moment, and tells at the latest every quarter of a second; so a back-off
that one of them meets holds all of them. Under a scheduler without workers of its own (threads, sync) nothing is shared:
there the process's own gate is the whole job's.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .edges.gate import Key, NobodySharesError, share_limits
from .pure.leases import Ask, Bucket, Lease
from .pure.limits import Limits

if TYPE_CHECKING:
    from distributed import SchedulerPlugin, Worker

P = ParamSpec("P")
T = TypeVar("T")

_NAME = "nomad_dask_limits_2"
"""Of the plugin and of its handler; with a version, as a scheduler may outlive several of this package."""
_PATIENCE = 5.0
"""Seconds that the scheduler has for an answer."""
_FORGOTTEN = 600.0
"""Seconds after which a bucket that nobody asks is dropped."""


def within_limits(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function, as a task, so that its requests keep to the limits of the whole job.

    Job: all requests through this scheduler to one server with the same `Limits`.
    """
    try:
        from distributed import get_worker

        _sharer.join(get_worker())
    except (ImportError, ValueError):
        pass  # another kind of scheduler: this process is all of the job
    return function(*args, **kwargs)


class _Sharer:
    """Asks the scheduler of this process's worker. Of several workers in one process (a test's) one will do."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._holder = ""
        self._introduced = False

    def join(self, worker: Worker) -> None:
        """Ask this worker's scheduler from now on, if there is no other."""
        if self._find() is None:
            self._introduced = False
            self._worker, self._holder = worker, f"{os.getpid()}-{uuid.uuid4().hex}"
            share_limits(self._find)

    def _find(self) -> _Sharer | None:
        from distributed import Status

        return self if self._worker and self._worker.status in (Status.running, Status.paused) else None

    async def __call__(self, key: Key, ask: Ask) -> Lease:
        """One question to the scheduler, from a thread other than the worker's loop."""
        worker = self._worker
        assert worker is not None
        told = {
            "host": key.host,
            "limits": astuple(key.limits),
            "holder": self._holder,
            "worker": worker.address,
            "ask": astuple(ask),
        }
        loop: Any = worker.loop
        asked = asyncio.run_coroutine_threadsafe(self._ask_scheduler(worker, told), loop.asyncio_loop)
        waits, *rest = await asyncio.wait_for(asyncio.wrap_future(asked), _PATIENCE)
        return Lease(tuple(waits), *rest)

    async def _ask_scheduler(self, worker: Worker, told: dict[str, Any]) -> Any:
        """The lease, as plain values. The scheduler is given the buckets' keeper first, where it has none."""
        lease = await getattr(worker.scheduler, _NAME)(**told) if self._introduced else None
        if lease is None:  # what a scheduler answers to an unknown question
            await _introduce(worker)
            self._introduced = True
            lease = await getattr(worker.scheduler, _NAME)(**told)
        return lease


_sharer = _Sharer()


async def _introduce(worker: Worker) -> None:
    from distributed.protocol.pickle import dumps

    try:
        await worker.scheduler.register_scheduler_plugin(plugin=dumps(_keeper()), name=_NAME, idempotent=True)
    except Exception as error:  # it may lack this package
        raise NobodySharesError(await _workers(worker)) from error


async def _workers(worker: Worker) -> int:
    who = await worker.scheduler.identity()
    return int(who.get("n_workers") or len(who["workers"]))


def _keeper() -> SchedulerPlugin:
    from distributed import Scheduler, SchedulerPlugin

    class Keeper(SchedulerPlugin):
        """Keeps the buckets of all jobs of one scheduler, and answers the asks of workers."""

        def __init__(self) -> None:
            self.buckets: dict[Any, Bucket] = {}
            self.holders: dict[str, set[str]] = {}

        async def start(self, scheduler: Scheduler) -> None:
            """Dask calls this on the scheduler."""
            scheduler.handlers[_NAME] = self.ask

        def ask(self, host: str, limits: list[Any], holder: str, worker: str, ask: list[Any]) -> list[Any]:
            """One lease, as plain values."""
            now = time.monotonic()
            key = (host, *limits)
            if key not in self.buckets:
                self.buckets = {k: b for k, b in self.buckets.items() if b.heard() > now - _FORGOTTEN}
                self.buckets[key] = Bucket(Limits(*limits))
            self.holders.setdefault(worker, set()).add(holder)
            return list(astuple(self.buckets[key].ask(holder, now, Ask(*ask))))

        def remove_worker(self, scheduler: Scheduler, worker: str, **kwargs: Any) -> None:
            """A dead worker's requests are over, and its permits free."""
            for holder in self.holders.pop(worker, ()):
                for bucket in self.buckets.values():
                    bucket.forget(holder)

    return Keeper()
