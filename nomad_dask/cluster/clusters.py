"""Dask clusters for jobs: a running cluster, or local processes that other users cannot connect to."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import distributed
from dask import config
from dask.utils import parse_timedelta
from distributed import Client
from distributed.deploy.spec import SpecCluster
from distributed.security import Security

from nomad_dask.cluster.workers import local_workers
from nomad_dask.errors import UnreachableError, UserError
from nomad_dask.text import shown

_WORKERS_TIMEOUT = 60.0
"""Seconds to wait for the first worker of a cluster."""
_CONNECT_TIMEOUT = 5
"""Seconds to connect to a scheduler, and again for its response. Dask's default of 30 hides the cause."""
_ADVICE = "start one with `dask scheduler` or remove --scheduler; use tls:// if it requires TLS"
_DEATHS = 1
"""Number of workers that a task may kill before Dask gives it up; the job then runs it alone.

Dask's default is 3, but each lost worker also loses the work of other tasks."""
_TLS_ADVICE = (
    "check that it is running, and that Dask's configuration (distributed.comm.tls) has its CA file and a "
    "client certificate and key"
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster that runs the tasks: local processes started for the job, or a running cluster."""

    workers: int | None = None
    """Number of local worker processes; None means the number of cores, at most four."""
    scheduler: str | None = None
    """Address of a running scheduler, such as `tcp://host:8786`, to use instead of local workers.

    For `tls://host:8786`, certificates come from Dask's configuration (`distributed.comm.tls`).
    """
    threads_per_worker: int = 2
    """Two segments per process, so that one is decoded while the other waits for the network."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.scheduler is not None:
            raise UserError(
                "give either workers (local processes) or scheduler (a running cluster), not both"
            )
        if self.workers is not None and (type(self.workers) is not int or self.workers < 1):
            raise UserError(f"workers must be a positive integer (got {shown(self.workers)})")

    def check(self) -> None:
        """Check that a scheduler with workers responds at the address. Call it before any other work.

        Raises UserError or UnreachableError.
        """
        if self.scheduler is None:
            return
        parts = urlsplit(self.scheduler)
        if parts.scheme not in ("tcp", "tls") or not parts.hostname or not parts.port:
            raise UserError(
                "scheduler must be an address such as tcp://host:8786 or tls://host:8786 "
                f"(got {shown(self.scheduler)})"
            )
        with ThreadPoolExecutor(1) as thread:  # a notebook's main thread already runs an event loop
            thread.submit(asyncio.run, self._wait_for_workers(self.scheduler)).result()

    async def _wait_for_workers(self, address: str) -> None:
        for _ in range(int(_WORKERS_TIMEOUT)):
            try:
                identity = await asyncio.wait_for(_identity(address), timeout=2 * _CONNECT_TIMEOUT)
            except Exception as error:  # another kind of server can send anything
                advice = _TLS_ADVICE if address.startswith("tls") else _ADVICE
                raise UnreachableError(
                    f"no Dask scheduler responds at {address}: {_first_cause(error)}; {advice}"
                ) from error
            if identity.get("workers") or identity.get("n_workers"):
                return
            await asyncio.sleep(1)
        raise UnreachableError(
            f"the scheduler at {address} has no workers; start some with `dask worker {address}`"
        )

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A Dask client for the job. A local cluster is stopped at the end."""
        if self.scheduler is not None:
            with _quiet_client(), Client(self.scheduler, timeout=30, set_as_default=False) as client:
                yield client
            return
        n = self.workers or min(4, os.cpu_count() or 1)
        with (
            _without_main(),
            local_cluster(n, self.threads_per_worker) as cluster,
            local_workers(cluster, n),
            Client(cluster, set_as_default=False) as client,
        ):
            yield client


def check_client(client: Any) -> None:
    """UserError unless `client` is a Dask client, or none."""
    if client is not None and not isinstance(client, Client):
        raise UserError(
            f"client must be a Dask client (got {shown(client)}); "
            "use scheduler= for the address of a scheduler"
        )


@contextmanager
def _quiet_client() -> Iterator[None]:
    """Silence the log of Dask's client: if the scheduler is lost, the job raises an error."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _first_cause(error: BaseException) -> str:
    """The message of the first error in a chain of causes."""
    while error.__cause__ is not None and not isinstance(error, TimeoutError):
        error = error.__cause__
    if isinstance(error, TimeoutError):
        return "the connection timed out"
    return str(error) or type(error).__name__


async def _identity(address: str) -> dict[str, Any]:
    """A scheduler's description of itself."""
    arguments = Security().get_connection_args("client")
    timeout = min(_CONNECT_TIMEOUT, parse_timedelta(config.get("distributed.comm.timeouts.connect")))
    async with distributed.rpc(address, timeout=timeout, connection_args=arguments) as scheduler:
        identity: dict[str, Any] = await scheduler.identity()
    if identity.get("type") != "Scheduler":
        raise ValueError(f"not a scheduler but {identity.get('type', 'something else')}")
    return identity


_hidden = threading.Lock()


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the user's script from worker processes.

    Spawned processes import the parent's script, so a script without `if __name__ == "__main__"` would start
    a harvest in each worker. The script stays hidden while the cluster runs, because workers are restarted.
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
    """Dask calls this in each local worker. Workers ignore Ctrl-C and log nothing: the client does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)
    _keep_pandas_out()


class _NoPandas(MetaPathFinder):
    """An import hook that makes the import of pandas fail."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not available in harvest workers", name=name)


def _keep_pandas_out() -> None:
    """Prevent PyArrow from importing pandas in this process.

    PyArrow imports it with the first array, which takes two seconds of processor time in each worker. Harvest
    tasks do not use pandas.
    """
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)


class _NoHttp:
    """Disables the HTTP server of a Dask server."""

    def start_http_server(self, *args: Any, **options: Any) -> None:
        """Do nothing, so that no other port is opened."""


class _Scheduler(_NoHttp, distributed.Scheduler):
    """Without a dashboard."""


class _Worker(_NoHttp, distributed.Worker):
    """Without metrics over HTTP."""


def local_cluster(workers: int, threads_per_worker: int) -> SpecCluster:
    """A context manager that runs a local scheduler and defines its worker processes.

    Dask runs any code that a connection sends, and workers hold the job's login. So all processes listen on
    loopback with TLS, and accept only a certificate that is created for the job and kept in its processes.
    Dask's HTTP servers (dashboard, metrics) are not started, because they have no such check.
    Scratch files are in a private folder of the user, because Dask adds that folder to `sys.path`.

    `workers.local_workers` starts the processes by `new_spec`. Each calls `dask_setup` and gets an equal
    share of the memory. Clients get the certificate from the cluster object.
    """
    security = _own_security()
    options = {
        "host": "127.0.0.1",
        "protocol": "tls://",
        "security": security,
        "local_directory": str(scratch_folder()),
    }
    nanny = {
        **options,
        "nthreads": threads_per_worker,
        "worker_class": _Worker,
        "preload": __name__,
        "silence_logs": logging.CRITICAL,
        "memory_limit": 1 / workers,
    }
    return SpecCluster(
        scheduler={
            "cls": _Scheduler,
            "options": {**options, "dashboard": False, "allowed_failures": _DEATHS},
        },
        worker={"cls": distributed.Nanny, "options": nanny},
        security=security,
        silence_logs=logging.CRITICAL,
        name="nomad-dask",
    )


def _own_security() -> Security:
    """TLS settings with a new key and certificate, which all processes of the cluster share and accept.

    Like Dask's `Security.temporary()`, but with an elliptic curve, because an RSA key takes 0.1 s to create.
    The imports are local, because workers import this module and do not need them.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nomad-dask")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    shown = certificate.public_bytes(serialization.Encoding.PEM).decode()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=shown,
        **{f"tls_{role}_cert": shown for role in roles},
        **{f"tls_{role}_key": secret for role in roles},
    )


def scratch_folder() -> Path:
    """A folder for temporary files that only this user can access.

    Another user could have created Dask's default `dask-scratch-space` and put modules into it.
    """
    parent = Path(config.get("temporary-directory") or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"nomad-dask-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=parent))
    return folder
