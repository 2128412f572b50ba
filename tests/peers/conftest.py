"""nomad-lab in a process and an environment of its own, and servers that both sides ask."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.testing import Served, serve

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".venvs" / "peers"


class PeerError(Exception):
    """What nomad-lab raised: the name of its class, its text."""


@dataclass
class Peer:
    """The process that runs nomad-lab's class."""

    process: "subprocess.Popen[str]"
    numbers: Iterator[int] = field(default_factory=count)
    error = PeerError

    def query(self, url: str, **arguments: Any) -> "PeerQuery":
        """nomad-lab's ArchiveQuery, made with these arguments."""
        made = PeerQuery(self, next(self.numbers))
        made.new(url=str(url), **arguments)
        return made

    def signature(self, method: str | None = None) -> list[tuple[str, Any, str]]:
        """Name, default and kind of each parameter of the class or of a method."""
        return [tuple(one) for one in self.ask({"call": "signature", "args": [method]})["value"]]

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the process of nomad-lab has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass
class PeerQuery:
    """One of nomad-lab's queries: its methods, and what the last one printed."""

    peer: Peer
    number: int
    printed: str = ""

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            order = {"query": self.number, "call": name, "args": args, "kwargs": kwargs}
            answer = self.peer.ask(order)
            self.printed = answer["printed"]
            if "error" in answer:
                raise PeerError(*answer["error"])
            return answer["value"]

        return call

    def entry_list(self) -> list[tuple[str, str]]:
        listed = self.__getattr__("entry_list")()
        return [(entry_id, upload_id) for entry_id, upload_id in listed]


@pytest.fixture(scope="session")
def peer() -> Iterator[Peer]:
    """nomad-lab, imported once; the tests are skipped where its environment has not been built."""
    if not (PEERS / "installed").exists():
        pytest.skip(
            f"nomad-lab's environment is not at {PEERS.relative_to(ROOT)}; `make test-peers` builds it"
        )
    command = [str(PEERS / "bin" / "python"), str(Path(__file__).with_name("peer.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        yield Peer(process)
        assert process.stdin
        process.stdin.close()


@pytest.fixture(scope="session")
def generated() -> Iterator[Served]:
    with serve(n_entries=300, seed=1) as url:
        yield url


@pytest.fixture(scope="session")
def recorded(shared_data: Path) -> Iterator[Served]:
    """Real archives, with their users."""
    with serve(archives=shared_data) as url:
        yield url


@pytest.fixture(params=["generated", "recorded"])
def archive(request: pytest.FixtureRequest) -> Served:
    """Both servers, one after the other."""
    served: Served = request.getfixturevalue(request.param)
    return served


@pytest.fixture
def ours():
    """Our query, silent, made with the arguments that nomad-lab's is made with."""

    def make(url: str, **arguments: Any) -> ArchiveQuery:
        return ArchiveQuery(url=str(url), **{"progress": False, **arguments})

    return make
