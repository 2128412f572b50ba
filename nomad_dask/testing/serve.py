"""The embedded archive in this process: a context manager that runs the server in a thread of its own."""

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
from nomad_dask.testing.server import Server


class Served(str):
    """The url of a running server (ends in `/api/v1`), which also gives hold of the server."""

    server: Server
    corpus: Corpus

    @classmethod
    def of(cls, url: str, server: Server, corpus: Corpus) -> "Served":
        """The url with its server."""
        served = cls(url)
        served.server, served.corpus = server, corpus
        return served

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process it is the url only: the server stays where it runs.
        return (str, (str(self),))

    @property
    def log(self) -> Log:
        """The requests that were seen."""
        return self.server.log

    @property
    def faults(self) -> Faults | None:
        """The fault script; set another one (also in words), or None, at any time."""
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
    """A NOMAD-compatible server on loopback for as long as the block runs:

        with serve(n_entries=2000) as url:
            ArchiveQuery(url=url).fetch()
            print(url.log.count("entries/query"), url.log.bytes)

    It serves `corpus`, or the real archives of a folder (`archives`, see `Recorded`), or else generated
    ones, the same for the same arguments (see `generate`): `n_entries` that everybody sees, and as many
    private ones more as `private_share` of them; `kind` says how large archives are, `mixed` (3 to 800 kB,
    skewed), `small` (5 kB), `large` (100 kB) or `results` (`results` of 5 kB), and `features` which shares are special (`generate.PLAIN`:
    none). Raises ValueError for a share, a name or a kind that cannot be. The users are ada, bo, cy and
    dee, their passwords `NAME-pw`.

    `faults` is a script of faults, as `Faults` or in its words (ValueError where they are wrong).
    `version="1.3"` answers as the older servers do. `gzip` compresses where the client accepts it.
    The last `keep_log` requests are kept in `url.log`.
    """
    if corpus is None and archives is not None:
        corpus = Recorded(archives)
    if corpus is None:
        corpus = generate(n_entries, seed=seed, kind=kind, private_share=private_share, features=features)
    server = Server(
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
    """A server in a thread with an event loop of its own."""

    def __init__(self, server: Server, host: str, port: int) -> None:
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
        """Cuts all connections and ends the thread."""
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
        # Handlers that a fault has put to sleep are still there.
        asleep = asyncio.all_tasks() - {asyncio.current_task()}
        for task in asleep:
            task.cancel()
        await asyncio.gather(*asleep, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
