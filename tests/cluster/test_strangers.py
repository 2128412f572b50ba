"""SPEC, "Clusters": the local cluster, whose workers hold the login, accepts only its own job."""

import importlib.util
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import dask
import psutil
import pytest
import stranger

from nomad_dask.cluster.clusters import Cluster

PLANTED = "planted_by_a_stranger"


def processes():
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def ports():
    """TCP ports that this process and those below it listen on."""
    found = set()
    for process in processes():
        connections = getattr(process, "net_connections", None) or process.connections
        found |= {c.laddr.port for c in connections("tcp") if c.status == psutil.CONN_LISTEN}
    return found


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A local cluster as harvests make it, on a machine where strangers may write most; and the ports that
    were open before.
    """
    everyones, here = tmp_path_factory.mktemp("tmp"), tempfile.tempdir
    everyones.chmod(0o1777)
    scratch = everyones / "dask-scratch-space"
    scratch.mkdir()
    scratch.chmod(0o777)
    (scratch / f"{PLANTED}.py").touch()
    before, umask = ports(), os.umask(0)
    try:
        tempfile.tempdir = str(everyones)
        slow = dask.config.set({"distributed.deploy.lost-worker-timeout": "5 minutes"})  # on a busy machine
        with slow, Cluster(workers=1).client() as client:
            client.wait_for_workers(1, timeout=120)
            yield client, before
    finally:
        tempfile.tempdir = here
        os.umask(umask)


def addresses(client):
    """Of the scheduler, the worker and its nanny."""
    (worker, facts), *_ = client.scheduler_info(n_workers=-1)["workers"].items()
    return client.scheduler.address, worker, facts["nanny"]


def outcomes(*addresses):
    """What a stranger reaches there: the ids of processes in which their code ran, and errors."""
    done = subprocess.run(
        [sys.executable, stranger.__file__, *addresses], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["user"] == os.getuid()) == (os.getuid() != 0), "root's stranger is another user"
    return told["outcomes"]


def test_a_strangers_code_runs_nowhere(job):
    """As another user where the test is root's, else as this one: what stops them is the certificate, not the
    user.

    The same tries reach a server of Dask that nothing protects.
    """
    from distributed import LocalCluster

    client, _ = job
    with LocalCluster(
        n_workers=1, processes=False, protocol="tcp", dashboard_address="localhost:0"
    ) as unprotected:
        found = outcomes(*addresses(client), unprotected.scheduler_address)
    ran = [(address, way, outcome) for address, way, outcome in found if isinstance(outcome, int)]
    assert len(found) == 12 and ran == [(unprotected.scheduler_address, "plain", os.getpid())]
    assert client.submit(os.getpid, pure=False).result(30), "the job's own client goes on"


def test_every_port_of_a_local_cluster_asks_for_its_certificate(job):
    """Scheduler, nanny and worker; nothing serves pages, metrics or calls beside them."""
    client, before = job
    opened = ports() - before
    assert {int(address.rpartition(":")[2]) for address in addresses(client)} == opened
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    for port in opened:
        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            plain.sendall(b"GET /json/identity.json HTTP/1.0\r\n\r\n")
            assert not answer_of(plain)
        connection = socket.create_connection(("127.0.0.1", port), 5)
        with pytest.raises(ssl.SSLError), anyone.wrap_socket(connection) as secret:
            secret.recv(1)


def answer_of(connection):
    try:
        return connection.recv(1)
    except ConnectionResetError:
        return b""


def test_modules_come_from_no_folder_that_others_can_write(job):
    """Dask puts its scratch folder on `sys.path`, and would take one that somebody else has made."""
    client, _ = job
    temporary = tempfile.gettempdir()
    for paths in (sys.path, client.submit(lambda: [*sys.path]).result(30)):
        added = [Path(path) for path in paths if path.startswith(temporary)]
        assert added
        for path in added:
            assert not path.is_relative_to(Path(temporary) / "dask-scratch-space")
            below = path.relative_to(temporary).parts[0]
            assert stat.S_IMODE((Path(temporary) / below).stat().st_mode) == 0o700
    assert importlib.util.find_spec(PLANTED) is None


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_a_scratch_folder_that_is_not_the_users_own_is_not_used(kind, tmp_path, monkeypatch):
    from nomad_dask.cluster.clusters import scratch_folder

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    usual = scratch_folder()
    assert usual == scratch_folder() and stat.S_IMODE(usual.stat().st_mode) == 0o700
    if kind == "open":
        usual.chmod(0o770)
    else:
        usual.rmdir()
        usual.touch() if kind == "file" else usual.symlink_to(tmp_path)
    other = scratch_folder()
    assert other != usual and other.parent == tmp_path and stat.S_IMODE(other.stat().st_mode) == 0o700


def test_no_secret_of_the_cluster_is_where_others_can_read(job):
    """Neither on command lines nor in files that are left; its key is of the processes' memory."""
    client, _ = job
    key = client.security.tls_client_key.splitlines()[1]
    assert key and not [word for process in processes() for word in process.cmdline() if key in word]
    files = [path for path in Path(tempfile.gettempdir()).rglob("*") if path.is_file()]
    assert not [path for path in files if key.encode() in path.read_bytes()]


def test_a_worker_that_dies_is_replaced_under_the_same_certificate(job):
    client, _ = job
    first = client.submit(os.getpid, pure=False).result(30)
    os.kill(first, signal.SIGKILL)
    second = client.submit(os.getpid, pure=False).result(60)
    assert second != first
