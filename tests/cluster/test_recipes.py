"""SPEC, "Clusters": running clusters: late workers, TLS, and the recipes of examples/clusters as they are."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import yaml
from processes import WAIT, process, scheduler, worker

from nomad_dask import ArchiveQuery
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "clusters"
REQUIRED = {"results": {"properties": {"n_calculations": "*"}}}
BIN = f"{Path(sys.executable).parent}/"


@pytest.fixture(scope="module")
def served():
    with serve(n_entries=200, seed=4) as url:
        yield url


@pytest.fixture(autouse=True)
def no_faults(served):
    yield
    served.faults = None


def size_of(out):
    return len(pd.read_parquet(f"{out}/data"))


def test_workers_that_join_late_take_part(served, tmp_path, monkeypatch):
    """And bring work with them: the window of tasks grows with the cluster."""
    from distributed import Client

    monkeypatch.setattr("nomad_dask.cluster.workers._CHECK_INTERVAL", 0.25)
    served.faults = Faults(latency=0.1)
    with_the_scheduler = []
    with ExitStack() as stack:
        address = stack.enter_context(scheduler()).said[1]
        stack.enter_context(worker(address, "--nthreads", 1, "--name", "early"))
        client = stack.enter_context(Client(address, set_as_default=False))

        def join(report):
            with_the_scheduler.append(len(client.futures))
            if report.done == 2:
                stack.enter_context(worker(address, "--nthreads", 8, "--name", "late"))

        query = ArchiveQuery(
            required=REQUIRED, url=served, results_max=None, max_requests_per_second=None, progress=False
        )
        report = query.to_parquet(tmp_path / "h", client=client, npartitions=40, progress=join)
        ran = client.run(lambda dask_worker: (dask_worker.name, dask_worker.state.executed_count))
    assert report.complete and size_of(tmp_path / "h") == 200
    by_name = dict(ran.values())
    assert by_name["late"] > 2, by_name
    assert max(with_the_scheduler[:2]) <= 2 and max(with_the_scheduler) > 2 * 8, "two for each thread of both"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """The environment that `certificates.sh` makes."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here")
    folder = tmp_path_factory.mktemp("keys")
    subprocess.run([RECIPES / "certificates.sh", folder], check=True, timeout=WAIT)
    assert {path.name for path in folder.iterdir()} == {"authority.pem", "dask.pem", "dask.key", "tls.env"}
    assert not (folder / "dask.key").stat().st_mode & 0o077
    lines = re.findall(r"^export (\w+)='?([^'\n]*)'?$", (folder / "tls.env").read_text(), re.M)
    return dict(lines)


@pytest.fixture(scope="module")
def tls_scheduler(keys):
    environment = os.environ | keys
    with (
        scheduler("--protocol", "tls", env=environment) as running,
        worker(running.said[1], "--nthreads", 2, env=environment),
    ):
        assert running.said[1].startswith("tls://")
        yield running.said[1]


def harvest_line(served, address, out):
    line = ("harvest", "--url", served, "--required", json.dumps(REQUIRED))
    return (*line, "--scheduler", address, "--out", out, "--npartitions", 3)


def test_a_harvest_over_tls(served, tls_scheduler, keys, command, monkeypatch, tmp_path):
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    done = command(*harvest_line(served, tls_scheduler, tmp_path / "h"), check=0)
    assert done.stdout.startswith("200 entries in") and size_of(tmp_path / "h") == 200


@pytest.mark.parametrize("who", ["without keys", "without tls", "with keys of another authority"])
def test_strangers_are_told_so_at_once(served, tls_scheduler, command, monkeypatch, tmp_path, who):
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "2s")
    address = tls_scheduler
    if who == "without tls":
        address = address.replace("tls://", "tcp://")
    if who == "with keys of another authority":
        subprocess.run([RECIPES / "certificates.sh", tmp_path / "other"], check=True, timeout=WAIT)
        text = (tmp_path / "other" / "tls.env").read_text()
        for name, value in re.findall(r"^export (\w+)='?([^'\n]*)'?$", text, re.M):
            monkeypatch.setenv(name, value)
    served.log.clear()
    done = command(*harvest_line(served, address, tmp_path / "h"), check=4)
    assert f"no Dask scheduler responds at {address}" in done.stderr and done.stderr.count("\n") == 1
    assert ("distributed.comm.tls" if "tls" in address.split(":")[0] else "use tls://") in done.stderr
    assert served.log.count() == 0 and not (tmp_path / "h").exists()


def has_slurm():
    if not all(shutil.which(tool) for tool in ("sbatch", "squeue", "sinfo")):
        return False
    try:
        said = subprocess.run(["sinfo", "-h"], capture_output=True, text=True, timeout=10).stdout
    except subprocess.TimeoutExpired:
        return False
    return bool(re.search(r"\b(idle|mix)", said))


slurm = pytest.mark.skipif(
    not has_slurm(), reason="needs a SLURM with a node that is free: one_node_slurm.sh"
)


@slurm
def test_the_job_script_on_slurm(served, tmp_path):
    environment = os.environ | {
        "BIN": BIN,
        "OUT": str(tmp_path / "h"),
        "QUERY": "{}",
        "REQUIRED": json.dumps(REQUIRED),
        "MORE": f"--url {served} --npartitions 6",
        "MEMORY": "1GB",
    }
    line = ["sbatch", "--wait", "--ntasks=2", "--mem-per-cpu=1G", RECIPES / "harvest.sbatch"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    log = "".join(path.read_text() for path in tmp_path.glob("nomad-dask-*.log"))
    assert done.returncode == 0, log
    assert "200 entries in" in log and size_of(tmp_path / "h") == 200
    assert log.count("Registered to") == 2 or log.count("Register worker addr") == 2
    assert not list(tmp_path.glob(".nomad-dask-*")), "the scheduler's file is taken away"


def test_the_job_script_ends_where_the_scheduler_does_not_start(tmp_path):
    """And takes its workers along, which would wait for it."""
    for name, line in (("dask", "echo no port is free; exit 1"), ("srun", "exec sleep 300")):
        (tmp_path / name).write_text(f"#!/bin/bash\n{line}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = os.environ | {"BIN": f"{tmp_path}/", "PATH": path, "SLURM_JOB_ID": "1"}
    done = subprocess.run(
        ["bash", RECIPES / "harvest.sbatch"],
        env=environment | {"SLURM_SUBMIT_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1 and "no port is free" in done.stdout
    assert done.stderr.startswith("the Dask scheduler did not start")
    assert not list(tmp_path.glob(".nomad-dask-*"))


@slurm
@pytest.mark.parametrize("encrypted", [False, True])
def test_dask_jobqueue_on_slurm(served, tmp_path, encrypted):
    line = [sys.executable, RECIPES / "slurm_jobqueue.py", "--jobs", "2", "--memory", "1GB", "--url", served]
    line += ["--out", tmp_path / "h", "--everything", *(["--tls", tmp_path] if encrypted else [])]
    done = subprocess.run([*map(str, line)], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rows=200" in done.stdout and size_of(tmp_path / "h") == 200
    logs = "".join(path.read_text() for path in tmp_path.glob("slurm-*.out"))
    assert ("Registered to: " in logs) and ("tls://" in logs) == encrypted


def test_the_job_script_that_dask_jobqueue_makes():
    pytest.importorskip("dask_jobqueue")
    line = [sys.executable, RECIPES / "slurm_jobqueue.py", "--show", "--memory", "3GB", "--partition", "long"]
    text = subprocess.run(line, check=True, capture_output=True, text=True, timeout=WAIT).stdout
    asked = dict(re.findall(r"^#SBATCH (\S+?)[ =](\S+)$", text, re.M))
    assert asked == {
        "-J": "nomad-dask",
        "-p": "long",
        "-n": "1",
        "--cpus-per-task": "1",
        "--mem": "3G",
        "-t": "24:00:00",
    }
    started = next(line for line in text.splitlines() if "dask_worker" in line)
    assert re.search(r"dask_worker tcp://\S+ --name \S+ --nthreads 2 --memory-limit 2\.79GiB", started)
    assert_options(["dask", "worker"], re.findall(r"--[a-z-]+", started.split("dask_worker", 1)[1]))


@pytest.mark.parametrize(
    ("script", "commands"),
    [
        ("harvest.sbatch", {"scheduler", "worker", "harvest"}),
        ("ssh.sh", {"ssh", "harvest"}),
        ("certificates.sh", {"scheduler", "worker", "harvest"}),
    ],
)
def test_scripts_are_bash_and_say_only_what_commands_know(script, commands):
    text = (RECIPES / script).read_text()
    subprocess.run(["bash", "-n", RECIPES / script], check=True, timeout=WAIT)
    logical = re.sub(r"\\\n\s*", "", text)
    found = set()
    for line in logical.splitlines():
        line = re.sub(r"#SBATCH|srun( --\S+)*", "", line)
        called = re.search(
            r'(?:"\$\{BIN\}|^# +)(dask|nomad-dask)"? (scheduler|worker|ssh|harvest) (.*)', line
        )
        if called:
            found.add(called[2])
            assert_options([called[1], called[2]], re.findall(r"(?<=\s)--[a-z-]+", f" {called[3]}"))
    assert found == commands, "what the script calls was looked at"


@cache
def help_of(*command):
    line, wide = [f"{BIN}{command[0]}", *command[1:], "--help"], os.environ | {"COLUMNS": "200"}
    return subprocess.run(line, capture_output=True, text=True, timeout=WAIT, env=wide).stdout


def assert_options(command, options):
    """Each option is one that the command's own --help names."""
    for option in options:
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", help_of(*command)), (command, option)


def test_the_yaml_for_kubernetes():
    """Its commands are ours, its parts find each other, and secrets come by reference alone."""
    parts = {
        (p["kind"], p["metadata"]["name"]): p
        for p in yaml.safe_load_all((RECIPES / "kubernetes.yaml").open())
    }
    config = parts["ConfigMap", "nomad-harvest"]["data"]
    service = parts["Service", "nomad-scheduler"]
    address = f"tcp://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert not re.search(r"(?i)password|secret|access_key", " ".join([*config, *config.values()]))
    pods = {
        name: parts[kind, name]["spec"]["template"]
        for kind, name in (
            ("Deployment", "nomad-scheduler"),
            ("Deployment", "nomad-worker"),
            ("Job", "nomad-harvest"),
        )
    }
    labels = pods["nomad-scheduler"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    for kind, name in list(parts):
        if kind == "Deployment":
            assert parts[kind, name]["spec"]["selector"]["matchLabels"] == pods[name]["metadata"]["labels"]
    containers = {name: pod["spec"]["containers"][0] for name, pod in pods.items()}
    for name, container in containers.items():
        called = container["command"]
        assert_options(called[:2], [word for word in called if word.startswith("--")])
        assert name == "nomad-scheduler" or address in called
        for variable in container.get("env", ()):
            assert set(variable) == {"name", "valueFrom"} and "secretKeyRef" in variable["valueFrom"]
    assert {v["name"] for v in containers["nomad-worker"]["env"]} == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    }
    rules = parts["Job", "nomad-harvest"]["spec"]["podFailurePolicy"]["rules"]
    assert (
        rules[0]["onExitCodes"]["values"] == [2, 3]
        and pods["nomad-harvest"]["spec"]["restartPolicy"] == "Never"
    )


def test_the_yamls_job_file_is_one_that_harvest_takes(on_cluster, tmp_path):
    parts = {
        (p["kind"], p["metadata"]["name"]): p
        for p in yaml.safe_load_all((RECIPES / "kubernetes.yaml").open())
    }
    job = json.loads(parts["ConfigMap", "nomad-harvest"]["data"]["job.json"])
    (tmp_path / "job.json").write_text(json.dumps(job | {"out": str(tmp_path / "h")}))
    with serve(n_entries=50, seed=4) as url:
        done = on_cluster("harvest", tmp_path / "job.json", "--url", url, check=0)
    assert re.match(r"\d+ entr(y|ies) in", done.stdout)


@pytest.fixture
def ssh_server(tmp_path):
    """An sshd of this user's own on loopback; the options with which `dask ssh` reaches it."""
    pytest.importorskip("paramiko")
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not sshd or (os.getuid() == 0 and not Path("/run/sshd").is_dir()):
        pytest.skip("no sshd here")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {tmp_path}/host", "PidFile none"]
    settings += [f"AuthorizedKeysFile {tmp_path}/user.pub", "StrictModes no", "UsePAM no"]
    (tmp_path / "sshd").write_text("\n".join([*settings, "PasswordAuthentication no", ""]))
    with process(sshd, "-D", "-e", "-f", tmp_path / "sshd", until="Server listening"):
        yield f"--ssh-port {port} --ssh-private-key {tmp_path}/user"


@pytest.mark.skipif("NOMAD_DASK_SSH" not in os.environ, reason="set NOMAD_DASK_SSH: it starts an sshd")
def test_dask_ssh(served, ssh_server, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "BIN": BIN,
        "HOSTS": "127.0.0.1",
        "PORT": str(port),
        "SSH": ssh_server,
        "OUT": str(tmp_path / "h"),
        "QUERY": "{}",
        "REQUIRED": json.dumps(REQUIRED),
        "MORE": f"--url {served} --npartitions 3",
    }
    line = [RECIPES / "ssh.sh"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + (tmp_path / "dask-ssh.log").read_text()
    assert done.stdout.startswith("200 entries in") and size_of(tmp_path / "h") == 200
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the cluster is stopped with the harvest"
