"""The embedded archive in its own process, with counts of requests and bytes."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults
from nomad_dask.testing.generate import PLAIN


@dataclass(frozen=True, slots=True)
class Archive:
    """A running server."""

    url: str
    pipe: Connection

    def seen(self) -> tuple[int, int]:
        """Return the number of requests, and the bytes of their answers, since the last call."""
        self.pipe.send("seen")
        requests, n_bytes = self.pipe.recv()
        return requests, n_bytes

    def misbehave(self, script: str) -> None:
        """Set the fault script, from the next request on."""
        self.pipe.send(f"faults {script}")
        self.pipe.recv()


@contextmanager
def served(n_entries: int, kind: str, archives: Path | None = None) -> Iterator[Archive]:
    """Serve public entries without special features, or a folder of archives, during a `with` block."""
    here, there = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    child = spawn.Process(target=_be_the_server, args=(there, n_entries, kind, archives), daemon=True)
    child.start()
    try:
        yield Archive(here.recv(), here)
    finally:
        here.send("stop")
        child.join()


def _be_the_server(pipe: Connection, n_entries: int, kind: Any, archives: Path | None) -> None:
    generated: dict[str, Any] = {
        "n_entries": n_entries,
        "kind": kind,
        "private_share": 0.0,
        "features": PLAIN,
    }
    with serve(**(generated if archives is None else {"archives": archives}), keep_log=1) as url:
        pipe.send(str(url))
        while (order := pipe.recv()) != "stop":
            word, _, script = order.partition(" ")
            if word == "faults":
                url.faults = Faults.parse(script)
            pipe.send((url.log.count(), url.log.bytes))
            url.log.clear()
