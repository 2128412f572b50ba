"""One cluster of two real worker processes for all cluster tests of a test process; and a way to run the command."""

import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def cluster():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address="localhost:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def command():
    """`nomad-dask ...` as a process of its own, as a person runs it."""

    def run(*arguments, check=None, timeout=120):
        done = subprocess.run(
            [sys.executable, "-m", "nomad_dask", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert check is None or done.returncode == check, done.stdout + done.stderr
        return done

    return run
