"""Scheduler plugin that ends computations of lazy dataframes if there are no workers or workers die.

Without workers, Dask keeps the tasks of a computation forever and `.compute()` hangs. Dask's own limit
(`distributed.scheduler.no-workers-timeout`) applies to all tasks of a scheduler and is off by default. This
plugin watches only the tasks of one client that read segments. It is pickled by value, so the scheduler does
not need nomad-dask.

If workers die while they read a segment, or compute with what was read, Dask fails the task with
KilledWorker; dependent tasks then fail with our error. A computation whose result is that task itself (one
partition, or to_delayed) raises KilledWorker, because Dask sends the error before it calls plugins.
"""

from __future__ import annotations

import asyncio
import pickle
import time
import weakref
from typing import Any

from distributed import Client, Scheduler, SchedulerPlugin
from distributed.protocol.pickle import dumps

from nomad_dask.cluster.workers import TIMEOUT, WARN_AFTER, announce, no_workers_timeout
from nomad_dask.errors import UnfinishedError
from nomad_dask.text.humanize import duration

SHARED = "nomad-job-"
"""Key prefix of the shared value that all tasks of a dataframe depend on."""
_watched: weakref.WeakKeyDictionary[Client, float] = weakref.WeakKeyDictionary()


def end_without_workers() -> None:
    """Install the plugin on the schedulers of all clients of this process, without waiting for it."""
    timeout = no_workers_timeout()
    clients: list[Any] = [*Client._instances]
    for client in clients:
        if client.status == "running" and _watched.get(client) != timeout:
            _watched[client] = timeout
            client.loop.add_callback(_register, client, timeout)


async def _register(client: Client, timeout: float) -> None:
    name = f"nomad-dask no workers {client.id}"
    client.subscribe_topic(name, lambda event: announce(event[1]))
    plugin = dumps(_plugin(client.id, name, timeout))
    await client.scheduler.register_scheduler_plugin(plugin=plugin, name=f"{name} {timeout}", idempotent=True)


def _plugin(client: str, topic: str, timeout: float) -> SchedulerPlugin:
    error = pickle.dumps(
        UnfinishedError(
            f"the Dask cluster has had no workers for {duration(timeout)}: the computation was stopped; "
            f"start some, then compute again. To wait longer, set {TIMEOUT} in Dask's configuration"
        )
    )
    died = pickle.dumps(
        UnfinishedError(
            "several workers died while they read or computed one partition, probably because of too little "
            "memory: the computation was stopped; give workers more memory, or use smaller partitions "
            "(partition_size), then compute again"
        )
    )
    waiting_message = f"waiting up to {duration(timeout)} for one"
    warn_after, shared = min(WARN_AFTER, timeout / 2), SHARED

    class NoWorkers(SchedulerPlugin):
        async def start(self, scheduler: Scheduler) -> None:
            others: Any = scheduler.plugins.values()
            for other in others:
                if getattr(other, "nomad_dask_client", None) == client:
                    other.watch.cancel()
            self.nomad_dask_client = client
            self.scheduler: Any = scheduler
            self.since: float | None = None
            self.warned = False
            self.watch = asyncio.create_task(self.check_repeatedly())

        async def close(self) -> None:
            self.watch.cancel()

        async def check_repeatedly(self) -> None:
            while True:
                await asyncio.sleep(0.5)
                self.check()

        def check(self) -> None:
            """Warn or fail if the client's tasks wait for a worker for too long."""
            if client not in self.scheduler.clients:
                self.watch.cancel()
                return
            busy = any(worker.processing for worker in self.scheduler.workers.values())
            waiting = [] if busy or self.scheduler.running else self.waiting()
            now = time.monotonic()
            if not waiting:
                self.since, self.warned = None, False
            elif self.since is None:
                self.since = now
            elif now - self.since >= timeout:
                self.since, self.warned = None, False
                self.fail(waiting)
            elif not self.warned and now - self.since >= warn_after:
                self.warned = True
                message = f"no workers at {time.strftime('%H:%M:%S')}; {waiting_message}"
                self.scheduler.log_event(topic, message)

        def transition(self, key: Any, start: str, finish: str, *args: Any, **more: Any) -> None:
            """Dask calls this after each transition of a task, before those of its dependents."""
            error = more.get("exception")
            if finish == "erred" and isinstance(error, bytes) and b"KilledWorker" in error:
                task = self.scheduler.tasks[key]
                if reads(task):
                    task.exception = died

        def waiting(self) -> list[Any]:
            """The keys of the client's tasks that read segments and wait for a worker."""
            state = self.scheduler.clients[client]
            to_visit, visited, found = [*state.wants_what], set(), []
            while to_visit:
                task = to_visit.pop()
                if task in visited or task.state not in ("waiting", "queued", "no-worker"):
                    continue
                visited.add(task)
                to_visit += task.dependencies
                if task.state != "waiting" and any(map(is_shared, (task, *task.dependencies))):
                    found.append(task.key)
            return found

        def fail(self, keys: list[Any]) -> None:
            stimulus = "nomad-dask-no-workers"
            more: dict[Any, Any] = {}
            for key in keys:
                more |= self.scheduler.transition(
                    key, "erred", exception=error, cause=key, stimulus_id=stimulus
                )
            self.scheduler.transitions(more, stimulus_id=stimulus)

    def reads(task: Any) -> bool:
        """True if a task, or one that it depends on, reads segments."""
        to_visit, visited = [task], set()
        while to_visit:
            task = to_visit.pop()
            if is_shared(task):
                return True
            if task not in visited:
                visited.add(task)
                to_visit += task.dependencies
        return False

    def is_shared(task: Any) -> bool:
        name = task.key[0] if isinstance(task.key, tuple) else task.key
        return isinstance(name, str) and name.startswith(shared)

    return NoWorkers()
