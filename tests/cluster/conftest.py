"""One cluster of two real worker processes for all cluster tests of a test process; and ways to run the
command.
"""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from processes import at_request

from nomad_dask import cli


@pytest.fixture(scope="session")
def full():
    """Whether the harvests through faults are as long as they can be (NOMAD_DASK_FULL=1), not as the gate has
    them.
    """
    return "NOMAD_DASK_FULL" in os.environ


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


@pytest.fixture
def call(monkeypatch, capfd):
    """`nomad-dask ...` in this process, for what needs no process of its own: a start costs a second or
    more.
    """

    def run(*arguments, check=None):
        capfd.readouterr()
        code, handlers = 0, {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["nomad-dask", *map(str, arguments)])
            try:
                cli.main()
            except SystemExit as ended:
                code = ended.code or 0
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        said = capfd.readouterr()
        assert check is None or code == check, said.out + said.err
        return SimpleNamespace(returncode=code, stdout=said.out, stderr=said.err)

    return run


@pytest.fixture
def on_cluster(cluster, call):
    """`nomad-dask harvest | resume | update ...` in this process, its tasks on the cluster that runs already."""  # noqa: E501

    def run(*arguments, check=None):
        return call(*arguments, "--scheduler", cluster.scheduler.address, check=check)

    return run


@pytest.fixture
def kill_after():
    """Run a command and kill it (-9) at the moment when a server has seen `n` requests; False if it ended
    before.
    """

    def run(url, n, command_line):
        with at_request(url, n, lambda: client.send_signal(signal.SIGKILL)):
            client = subprocess.Popen(command_line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return client.wait(120) == -signal.SIGKILL

    return run
