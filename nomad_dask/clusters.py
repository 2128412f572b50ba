"""Owns where tasks run: local worker processes made for one job, or a Dask cluster that runs already."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .pure.errors import UnreachableError, UserError

if TYPE_CHECKING:
    from distributed import Client

_PATIENCE = 60.0
"""Seconds that a cluster without workers is given to get one."""
_CONNECT = 5
"""Seconds to reach a scheduler, and as many for its answer: Dask's own 30 would hide why it cannot be reached."""
_ADVICE = "start one with `dask scheduler`, or leave --scheduler out; where it asks for TLS, say tls://"
_TLS_ADVICE = (
    "is it there, and has Dask's configuration here (distributed.comm.tls) the authority of its certificate, and a "
    "certificate and key of a client?"
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the tasks run: a cluster of local processes made for the job, or one that runs."""

    workers: int | None = None
    """Local worker processes; None: as many as cores, four at the most."""
    scheduler: str | None = None
    """Address of a running scheduler, such as `tcp://host:8786`; nothing is started then.

    For `tls://host:8786` the certificates are those of Dask's own configuration, `distributed.comm.tls`.
    """
    threads_per_worker: int = 2
    """Two segments a process: one waits for the network while the other is decoded."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.scheduler is not None:
            raise UserError("give workers (a cluster of this machine) or scheduler (one that runs), not both")
        if self.workers is not None and (type(self.workers) is not int or self.workers < 1):
            raise UserError(f"workers must be a whole number from 1 up, not {self.workers!r}")

    def check(self) -> None:
        """Whether a scheduler with workers answers at the address; asked before any work is done."""
        if self.scheduler is None:
            return
        parts = urlsplit(self.scheduler)
        if parts.scheme not in ("tcp", "tls") or not parts.hostname or not parts.port:
            raise UserError(
                f"no address of a scheduler: {self.scheduler!r}; expected one like tcp://host:8786, or tls://host:8786"
            )
        with ThreadPoolExecutor(1) as thread:  # a notebook's thread has an event loop of its own already
            thread.submit(asyncio.run, self._wait_for_workers()).result()

    async def _wait_for_workers(self) -> None:
        for _ in range(int(_PATIENCE)):
            try:
                who = await asyncio.wait_for(_identity(str(self.scheduler)), timeout=2 * _CONNECT)
            except Exception as error:  # a stranger may answer anything
                advice = _TLS_ADVICE if str(self.scheduler).startswith("tls") else _ADVICE
                raise UnreachableError(
                    f"no Dask scheduler answers at {self.scheduler}: {_words(error)}; {advice}"
                ) from error
            if who.get("workers") or who.get("n_workers"):
                return
            await asyncio.sleep(1)
        raise UnreachableError(
            f"the scheduler at {self.scheduler} has no workers; start some with `dask worker {self.scheduler}`"
        )

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A Dask client for the job; a cluster that was started for it is stopped after it."""
        from distributed import Client, LocalCluster

        if self.scheduler is not None:
            with _told_by_us(), Client(self.scheduler, timeout=30, set_as_default=False) as client:
                yield client
            return
        with (
            _without_main(),
            LocalCluster(
                n_workers=self.workers or min(4, os.cpu_count() or 1),
                threads_per_worker=self.threads_per_worker,
                processes=True,
                dashboard_address="localhost:0",
                silence_logs=logging.ERROR,
                preload=__name__,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client


def check_client(client: Any) -> None:
    """UserError unless `client` is a Dask client, or none."""
    from distributed import Client

    if client is not None and not isinstance(client, Client):
        raise UserError(
            f"client is a Dask client, not {client!r}; the address of a scheduler is given as scheduler="
        )


@contextmanager
def _told_by_us() -> Iterator[None]:
    """Dask's client logs a lost scheduler with all of its traceback; whoever waits for the job is told in a sentence."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _words(error: BaseException) -> str:
    """What went wrong first, which Dask tells as the cause of a cause."""
    while error.__cause__ is not None and not isinstance(error, TimeoutError):
        error = error.__cause__
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


async def _identity(address: str) -> dict[str, Any]:
    """What a scheduler says of itself."""
    from dask import config
    from dask.utils import parse_timedelta
    from distributed import rpc
    from distributed.security import Security

    how = Security().get_connection_args("client")
    patience = min(_CONNECT, parse_timedelta(config.get("distributed.comm.timeouts.connect")))
    async with rpc(address, timeout=patience, connection_args=how) as scheduler:
        identity: dict[str, Any] = await scheduler.identity()
    if identity.get("type") != "Scheduler":
        raise ValueError(f"what answers there is no scheduler but {identity.get('type', 'something else')}")
    return identity


_hidden = threading.Lock()


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the user's script from new processes.

    Python's spawned processes import the parent's script; one that harvests without `if __name__ == "__main__"` would
    begin to harvest in each worker. Ours need nothing of it. Workers that are started anew later are spawned too, so
    it stays hidden as long as the cluster runs.
    """
    main = sys.modules["__main__"]
    with _hidden:
        kept: dict[str, Any] = {
            name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__
        }
        main.__dict__["__spec__"] = None
        try:
            yield
        finally:
            main.__dict__.update(kept)


def dask_setup(worker: object) -> None:
    """Dask calls this in each local worker: the client handles Ctrl-C and tells of errors, the workers are quiet."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)
