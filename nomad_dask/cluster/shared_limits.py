"""Request limits of a whole job on a Dask cluster: one token bucket on the scheduler that all workers use.

The permits of a worker that dies are released immediately, those of a worker that stops sending after
`SILENCE`. A worker requests permits for all requests that currently wait, and reports at least every quarter
of a second, so a back-off of one worker applies to all. Without workers (Dask's threaded and synchronous
schedulers) the limiter of the process covers the whole job.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
from typing import Any, ParamSpec, TypeVar

from distributed import Scheduler, SchedulerPlugin, Status, Worker, get_worker
from distributed.protocol.pickle import dumps

from nomad_dask.common.memory import set_worker_memory
from nomad_dask.common.portable_errors import call
from nomad_dask.limits import Limits
from nomad_dask.limits.limiter import LimiterKey, LimitsNotSharedError, share_limits
from nomad_dask.limits.token_bucket import BucketRequest, Lease, TokenBucket

P = ParamSpec("P")
T = TypeVar("T")

_NAME = "nomad_dask_limits_2"
"""Name of the plugin and its handler, with a version, because a scheduler can outlive a package update."""
_RESPONSE_TIMEOUT = 5.0
"""Seconds to wait for a response of the scheduler."""
_UNUSED_TIMEOUT = 600.0
"""Seconds after which an unused bucket is deleted."""


def run_with_shared_limits(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a task, with the limits of the whole job for its requests, and with portable errors.

    A job is all requests through this scheduler to one server with the same `Limits`. The maximum size of a
    response depends on the worker's memory.
    """
    call(_join)
    return call(function, *args, **kwargs)


def _join() -> None:
    with suppress(ValueError):  # not on a worker: this process is the whole job
        worker = get_worker()
        _sharer.join(worker)
        set_worker_memory(worker.memory_manager.memory_limit)


class _Sharer:
    """Requests permits from the scheduler through a worker of this process."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._holder = ""
        self._registered = False

    def join(self, worker: Worker) -> None:
        """Use this worker's scheduler, unless another worker is in use."""
        if self._find() is None:
            self._registered = False
            self._worker, self._holder = worker, f"{os.getpid()}-{uuid.uuid4().hex}"
            share_limits(self._find)

    def _find(self) -> _Sharer | None:
        return self if self._worker and self._worker.status in (Status.running, Status.paused) else None

    async def __call__(self, key: LimiterKey, ask: BucketRequest) -> Lease:
        """Request permits from the scheduler. Called from a thread other than the worker's event loop."""
        worker = self._worker
        assert worker is not None
        message = {
            "host": key.host,
            "limits": astuple(key.limits),
            "holder": self._holder,
            "worker": worker.address,
            "ask": astuple(ask),
        }
        loop: Any = worker.loop
        future = asyncio.run_coroutine_threadsafe(self._ask_scheduler(worker, message), loop.asyncio_loop)
        waits, *rest = await asyncio.wait_for(asyncio.wrap_future(future), _RESPONSE_TIMEOUT)
        return Lease(tuple(waits), *rest)

    async def _ask_scheduler(self, worker: Worker, message: dict[str, Any]) -> Any:
        """The lease, as plain values. Registers the plugin on the scheduler first if needed."""
        lease = await getattr(worker.scheduler, _NAME)(**message) if self._registered else None
        if lease is None:  # the scheduler's response to an unknown handler
            await _register(worker)
            self._registered = True
            lease = await getattr(worker.scheduler, _NAME)(**message)
        return lease


_sharer = _Sharer()


async def _register(worker: Worker) -> None:
    try:
        await worker.scheduler.register_scheduler_plugin(plugin=dumps(_plugin()), name=_NAME, idempotent=True)
    except Exception as error:  # the scheduler may not have this package
        identity = await worker.scheduler.identity()
        raise LimitsNotSharedError(int(identity.get("n_workers") or len(identity["workers"]))) from error


def _plugin() -> SchedulerPlugin:
    class TokenBuckets(SchedulerPlugin):
        """Keeps the token buckets of all jobs of a scheduler, and handles requests of workers."""

        def __init__(self) -> None:
            self.buckets: dict[Any, TokenBucket] = {}
            self.holders: dict[str, set[str]] = {}

        async def start(self, scheduler: Scheduler) -> None:
            scheduler.handlers[_NAME] = self.ask

        def ask(self, host: str, limits: list[Any], holder: str, worker: str, ask: list[Any]) -> list[Any]:
            now = time.monotonic()
            key = (host, *limits)
            if key not in self.buckets:
                self.buckets = {
                    k: b for k, b in self.buckets.items() if b.last_seen() > now - _UNUSED_TIMEOUT
                }
                self.buckets[key] = TokenBucket(Limits(*limits))
            self.holders.setdefault(worker, set()).add(holder)
            return list(astuple(self.buckets[key].ask(holder, now, BucketRequest(*ask))))

        def remove_worker(self, scheduler: Scheduler, worker: str, **kwargs: Any) -> None:
            """Release the permits of a worker that died or left."""
            for holder in self.holders.pop(worker, ()):
                for bucket in self.buckets.values():
                    bucket.forget(holder)

    return TokenBuckets()
