"""A context manager that runs the embedded archive in a thread."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from nomad_dask.testing.corpus import Corpus
from nomad_dask.testing.faults import Faults
from nomad_dask.testing.generate import Kind, generate
from nomad_dask.testing.log import Log
from nomad_dask.testing.recorded import Recorded
from nomad_dask.testing.server import EmbeddedServer


class Served(str):
    """The URL of a running embedded archive, ending in `/api/v1`. A `str` with access to the server.

    A pickled URL is a plain `str`: the server stays in its process.

    Attributes
    ----------
    server : EmbeddedServer
        The server.
    corpus : Corpus
        The entries that it serves.
    """

    server: EmbeddedServer
    corpus: Corpus

    @classmethod
    def of(cls, url: str, server: EmbeddedServer, corpus: Corpus) -> "Served":
        """Return the URL with its server."""
        served = cls(url)
        served.server, served.corpus = server, corpus
        return served

    def __reduce__(self) -> tuple[Any, ...]:
        return (str, (str(self),))

    @property
    def log(self) -> Log:
        """The log of requests."""
        return self.server.log

    @property
    def faults(self) -> Faults | None:
        """The fault script. Can be set at any time, to `Faults`, a string, or None."""
        return self.server.faults

    @faults.setter
    def faults(self, faults: Faults | str | None) -> None:
        self.server.faults = Faults.of(faults)


@contextmanager
def serve(
    corpus: Corpus | None = None,
    *,
    n_entries: int = 2000,
    seed: int = 0,
    kind: Kind = "mixed",
    private_share: float = 0.05,
    features: Mapping[str, float] | None = None,
    archives: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    faults: Faults | str | None = None,
    gzip: bool = False,
    version: str = "2.0",
    token_seconds: float = 3600,
    keep_log: int | None = 10_000,
) -> Iterator[Served]:
    """Run a NOMAD-compatible server in a thread of this process.

    A context manager: the server stops at the end of the `with` block. It serves `corpus`, or the real
    archives in the folder `archives`, or generated archives, which are the same for the same arguments. The
    users are ada, bo, cy and dee, with the passwords `ada-pw` and so on.

    Parameters
    ----------
    corpus : Corpus, optional
        The entries to serve.
    n_entries : int, default 2000
        Number of generated public entries.
    seed : int, default 0
        Seed of the generated archives.
    kind : {"mixed", "small", "large", "results"}, default "mixed"
        Size of the generated archives: "mixed" from 3 to 800 kB, "small" about 5 kB, "large" about 100 kB,
        "results" about 25 kB with 5 kB of `results`.
    private_share : float, default 0.05
        Number of private entries to generate, as a fraction of `n_entries`.
    features : mapping of str to float, optional
        Fractions of generated entries with special features, by the names in `generate.FEATURES`.
        `generate.PLAIN` sets all of them to 0.
    archives : str or Path, optional
        A folder of real archives to serve, see `Recorded`.
    host : str, default "127.0.0.1"
        Address to listen on.
    port : int, default 0
        Port to listen on; 0 for a free one.
    faults : Faults or str, optional
        A script of faults, see `nomad_dask.testing.faults`.
    gzip : bool, default False
        Compress answers if the client accepts it.
    version : str, default "2.0"
        The version of NOMAD to imitate; "1.3" answers like older servers.
    token_seconds : float, default 3600
        Lifetime of access tokens.
    keep_log : int or None, default 10_000
        Number of requests to keep in `url.log`; None for all.

    Yields
    ------
    Served
        The URL of the server, with the attributes `log`, `faults`, `corpus` and `server`.

    Raises
    ------
    ValueError
        If `kind`, `private_share`, `features` or the text of `faults` is invalid.
    FileNotFoundError
        If there are no archives in the folder `archives`.
    OSError
        If the server cannot listen on `host` and `port`.

    Examples
    --------
    >>> from nomad_dask import ArchiveQuery
    >>> from nomad_dask.testing import serve
    >>> with serve(n_entries=2000) as url:
    ...     query = ArchiveQuery(url=url, progress=False)
    ...     n = query.fetch(100)
    ...     requests = url.log.count("entries/query")
    """
    if corpus is None and archives is not None:
        corpus = Recorded(archives)
    if corpus is None:
        corpus = generate(n_entries, seed=seed, kind=kind, private_share=private_share, features=features)
    server = EmbeddedServer(
        corpus,
        faults=Faults.of(faults),
        gzip=gzip,
        version=version,
        token_seconds=token_seconds,
        keep_log=keep_log,
    )
    running = _Running(server, host, port)
    try:
        yield Served.of(f"http://{host}:{running.port}/api/v1", server, corpus)
    finally:
        running.stop()


class _Running:
    """A server in a thread with its own event loop."""

    def __init__(self, server: EmbeddedServer, host: str, port: int) -> None:
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.1)
        self._thread = threading.Thread(target=self._loop.run_forever, name="embedded-archive", daemon=True)
        self._thread.start()
        try:
            self._do(self._start(host, port))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Close all connections and stop the thread."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self, host: str, port: int) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = self._runner.addresses[0][1]

    async def _end(self) -> None:
        await self._runner.cleanup()
        # Handlers that are sleeping because of a fault are still running.
        asleep = asyncio.all_tasks() - {asyncio.current_task()}
        for task in asleep:
            task.cancel()
        await asyncio.gather(*asleep, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
