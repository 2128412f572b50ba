"""Tasks of a job on the workers of a Dask cluster, their logins, and the processes of local workers.

`outcomes` runs functions on a cluster, a limited number at a time. `Workers` checks for workers every few
seconds, and raises an error if there are none for `no_workers_timeout`. Logins are kept in the memory of a
worker plugin, never inside a task, a key or a graph.

Dask's local cluster loses a worker permanently if its replacement takes more than 15 s to start
(`distributed.deploy.lost-worker-timeout`) or fails to start, or if the worker loses its connection. Here, a
loop for each local worker starts a new one as long as the cluster runs.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from dask import config
from dask.utils import parse_timedelta
from distributed import Client, Future, Nanny, SpecCluster, Status, WorkerPlugin
from distributed.client import default_client

from nomad_dask.client.auth import Credentials, credentials_of, forget, remember
from nomad_dask.client.server import Login, Server
from nomad_dask.cluster.shared_limits import run_with_shared_limits
from nomad_dask.errors import UnfinishedError, UserError
from nomad_dask.text.humanize import duration

T = TypeVar("T")
logger = logging.getLogger("nomad_dask")
TIMEOUT = "nomad-dask.no-workers-timeout"
"""The key in Dask's configuration; `DASK_NOMAD_DASK__NO_WORKERS_TIMEOUT` in the environment."""
_TIMEOUT = 300.0
_CHECK_INTERVAL = 2.0
"""Seconds between checks of the workers."""
WARN_AFTER = 15.0
"""Seconds without a worker before a warning: local workers take some time to start."""
_RESPONSE_TIMEOUT = 10.0
"""Seconds to wait for the scheduler's list of workers."""
_START_TIMEOUT = 120.0
"""Seconds a worker process may take to start before it is killed and replaced."""
_RESTART_DELAY = 1.0
"""Seconds before a worker is replaced."""
_CLOSE_TIMEOUT = 10.0
"""Seconds to wait for workers to close."""


def no_workers_timeout() -> float:
    """Seconds a job waits for a worker: `TIMEOUT` in Dask's configuration, or 300."""
    given = config.get(TIMEOUT, _TIMEOUT)
    try:
        return float(parse_timedelta(given, default="s"))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{TIMEOUT} must be a time such as 300 or '5 minutes' (got {given!r})") from error


def announce(message: str) -> None:
    """Issue a warning. Does nothing if warnings are errors (`-W error`), because the job can continue."""
    with suppress(Warning):
        warnings.warn(message, stacklevel=2)


class Workers:
    """The current workers of a client's cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._threads = 0
        self.memory = 0
        """Largest memory limit of a worker in bytes; 0 if unknown or unlimited."""
        self._last_check = float("-inf")
        self._last_worker = time.monotonic()
        self._warned = False

    def window(self) -> int:
        """Maximum number of tasks to submit: two for each worker thread. Checks the workers first."""
        self.check()
        return max(1, 2 * self._threads)

    def check(self) -> None:
        """Update the number of threads, with a request to the scheduler at most every two seconds (or, while
        there are no workers, every quarter of one).

        Warns if there are no workers. Raises UnfinishedError if there were none for `no_workers_timeout`.
        """
        now = time.monotonic()
        if now - self._last_check < (_CHECK_INTERVAL if self._threads else _CHECK_INTERVAL / 8):
            return
        self._last_check = now
        described = self._described()
        self.memory = max([self.memory, *(worker.get("memory_limit") or 0 for worker in described)])
        workers = [worker for worker in described if _takes_tasks(worker)]
        self._threads = sum(worker["nthreads"] for worker in workers)
        if workers:
            self._last_worker, self._warned = now, False
            return
        gone, timeout = now - self._last_worker, no_workers_timeout()
        if not self._warned and gone >= min(WARN_AFTER, timeout / 2):
            self._warned = True
            since = time.strftime("%H:%M:%S", time.localtime(time.time() - gone))
            announce(f"no workers since {since}; waiting up to {duration(timeout)} for one")
        if gone >= timeout:
            scheduler = self._client.scheduler
            raise UnfinishedError(
                f"the Dask cluster at {scheduler.address if scheduler else 'the given address'} has had no "
                f"workers for {duration(gone)}; start some, then run the same command again: finished "
                f"segments are kept. To wait longer, set {TIMEOUT} in Dask's configuration"
            )

    def _described(self) -> list[dict[str, Any]]:
        """The scheduler's descriptions of its workers; empty if it does not respond."""
        client = self._client
        try:
            found = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=_RESPONSE_TIMEOUT)
        except (OSError, AttributeError):  # TimeoutError is an OSError; scheduler is None while it connects
            return []
        return [*found["workers"].values()]


def _takes_tasks(worker: dict[str, Any]) -> bool:
    """True if a worker accepts or runs tasks; one that is paused because of its memory does not."""
    return worker.get("status") == "running" or bool(worker.get("metrics", {}).get("executing"))


def outcomes(
    client: Client, calls: Iterable[T], function: Callable[[T], Any], workers: Workers, *, name: str
) -> Generator[tuple[T, Any], None, None]:
    """Yield each of `calls` with the function's result or error, in order of completion.

    At most `workers.window()` calls are submitted at a time. Closing the generator cancels the rest. Raises
    UnfinishedError if there is no worker for too long, or if the scheduler is lost.
    """
    waiting = iter(calls)
    running: dict[Any, tuple[T, Future]] = {}
    finished: SimpleQueue[Future] = SimpleQueue()

    def submit() -> None:
        for call in islice(waiting, max(0, workers.window() - len(running))):
            key = f"{name}-{uuid.uuid4().hex}"
            future = client.submit(run_with_shared_limits, function, call, key=key, pure=False)
            running[key] = call, future
            future.add_done_callback(finished.put)

    try:
        submit()
        while running:
            try:
                future = finished.get(timeout=_CHECK_INTERVAL)
                failed = future.status == "error"
                outcome = future.exception() if failed else future.result(timeout=_CHECK_INTERVAL)
            except Empty:
                pass
            except TimeoutError:  # not available because its worker died
                future.add_done_callback(finished.put)
            else:
                call, _ = running.pop(future.key)
                yield call, outcome
                future.release()
            submit()
    except (CancelledError, OSError) as error:  # how a lost connection to the scheduler shows
        raise UnfinishedError(
            "the connection to the Dask scheduler was lost; finished segments are kept: run the same "
            "command again to continue"
        ) from error
    finally:
        if client.status == "running":
            client.cancel([future for _, future in running.values()])


@contextmanager
def lent_login(client: Client, server: Server) -> Iterator[Login | None]:
    """Give the cluster's workers, including later ones, this process's login until the block ends.

    The login has a name that is unique to this job, so that users of one cluster do not get each other's
    login. Logins from the environment are sent as well, because workers of a running cluster can have another
    environment.
    """
    login = server.login
    if login is None:
        yield None
        return
    lent = Login(f"lent {uuid.uuid4().hex}", login.user)
    name = f"nomad-dask login {lent.name}"
    client.register_plugin(_plugin(lent, credentials_of(login, server.url)), name=name)
    try:
        yield lent
    finally:
        client.unregister_worker_plugin(name)


def lend_to_default(server: Server) -> None:
    """Give the workers of the default Dask client the login of a lazy dataframe, until the client closes.

    Without a client, the login is looked up in this process.
    """
    if server.login is None:
        return
    try:
        client = default_client()
    except ValueError:
        return
    name = f"nomad-dask login {server.login.name} of {client.id}"
    with _lending:
        if (client.id, name) not in _lent:
            client.register_plugin(_plugin(server.login, credentials_of(server.login, server.url)), name=name)
            _lent.add((client.id, name))


_lent: set[tuple[str, str]] = set()
_lending = threading.Lock()


def _plugin(login: Login, credentials: Credentials) -> WorkerPlugin:
    class LoginPlugin(WorkerPlugin):
        def setup(self, worker: object) -> None:
            remember(login, credentials)

        def teardown(self, worker: object) -> None:
            forget(login)

    return LoginPlugin()


@contextmanager
def local_workers(cluster: SpecCluster, n: int) -> Iterator[None]:
    """Run `n` worker processes in a local cluster without workers, and replace each that ends."""
    loops = _WorkerLoops(cluster)
    cluster.sync(loops.start, n)
    try:
        yield
    finally:
        cluster.sync(loops.stop)


class _WorkerLoops:
    """A restart loop for each worker process, in the cluster's event loop."""

    def __init__(self, cluster: SpecCluster) -> None:
        self._cluster: Any = cluster
        self._nannies: set[Nanny] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._stopped = False

    async def start(self, n: int) -> None:
        """Start the loops, without waiting for the processes."""
        self._loops = [asyncio.create_task(self._run()) for _ in range(n)]

    async def stop(self) -> None:
        """End the processes, and kill those that do not close in time."""
        self._stopped = True
        await asyncio.gather(*map(_close, self._nannies))
        _, late = await asyncio.wait(self._loops, timeout=_CLOSE_TIMEOUT)
        for loop in late:
            loop.cancel()

    async def _run(self) -> None:
        """Run a worker. Dask's nanny restarts a process that died; this loop replaces a nanny that failed."""
        cls, options = self._cluster.new_spec["cls"], self._cluster.new_spec["options"]
        while not self._stopped:
            nanny = cls(self._cluster.scheduler.address, **options)
            self._nannies.add(nanny)
            watch = asyncio.create_task(_kill_if_stuck(nanny))
            try:
                await nanny
                await nanny.finished()
            except Exception as error:
                if not self._stopped:
                    announce(f"a local worker did not start ({error}); starting another")
            finally:
                watch.cancel()
                await _close(nanny)
                self._nannies.discard(nanny)
            if not self._stopped:
                logger.info("a local worker ended; starting another")
                await asyncio.sleep(_RESTART_DELAY)


async def _kill_if_stuck(nanny: Nanny) -> None:
    """Kill worker processes that take too long to start; the nanny then starts another."""
    starting, since = None, time.monotonic()
    while True:
        await asyncio.sleep(_RESTART_DELAY)
        process = _starting(nanny)
        if process is not starting or process is None:
            starting, since = process, time.monotonic()
        elif time.monotonic() - since > _START_TIMEOUT:
            process.kill()


def _starting(nanny: Nanny) -> Any:
    """The process of a worker that is still starting, or None."""
    process = nanny.process
    return process.process if process is not None and process.status == Status.starting else None


async def _close(nanny: Nanny) -> None:
    """Close a nanny and its process. A process that is still starting cannot be closed, and is killed."""
    if nanny.status in (Status.closed, Status.closing):
        return
    nanny.close_gracefully()  # otherwise it would restart the process
    process = _starting(nanny)
    if process is not None:
        process.kill()
    with suppress(Exception):
        await asyncio.wait_for(nanny.close(), _CLOSE_TIMEOUT)
