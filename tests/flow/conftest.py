"""Servers of the embedded archive for the flows."""

import pytest

from nomad_dask.client.event_loop import run
from nomad_dask.client.retry import Policy
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.limits import Limits
from nomad_dask.request import QuerySpec
from nomad_dask.request.required import parse
from nomad_dask.testing import serve

FEW = {"results": {"material": {"elements": "*"}, "properties": {"n_calculations": "*"}}}


@pytest.fixture(scope="session")
def archive():
    """300 generated entries, never misbehaving; shared by tests that set no faults."""
    with serve(n_entries=300, seed=1) as url:
        yield url


@pytest.fixture
def served():
    """A server of one test's own: faults and the log are its own too."""
    with serve(n_entries=300, seed=1) as url:
        yield url


@pytest.fixture
def client_of():
    """Clients without waits worth mentioning."""

    def make(url, *, retry=4, concurrency=8, rate=None, timeout=20.0):
        return Client(
            Server(str(url), Limits(rate, concurrency, timeout), Policy(retry=retry, sleep_time=0.01))
        )

    return make


@pytest.fixture
def question():
    return QuerySpec("visible", {}, parse(FEW))


@pytest.fixture
def collect():
    """All items of an async generator."""

    def gather(items):
        async def walk():
            return [item async for item in items]

        return run(walk())

    return gather
