"""SPEC, "Command line", "Exit codes": output, exit codes and messages of the commands."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pandas as pd
import pytest
from processes import at_request, scheduler, worker
from terminals import terminal

from nomad_dask.dataset.store import Store
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

COMMAND = [sys.executable, "-m", "nomad_dask"]
REQUIRED = '{"results": {"material": "*"}}'


@pytest.fixture(scope="module")
def url():
    with serve(n_entries=200, seed=4) as url:
        yield url


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_count_and_plan(url, command, call):
    assert command("count", "--url", url, check=0).stdout == "200\n"
    counted = call("count", "--url", url, "--query", '{"results.material.n_elements:gte": 3}', check=0)
    assert 0 < int(counted.stdout) < 200
    planned = command("plan", "--url", url, "--npartitions", 4, check=0).stdout.splitlines()
    assert planned[0].startswith("# 200 entries in 4 segments")
    rows = [line.split() for line in planned if not line.startswith("#")]
    assert [(n, size) for n, _, _, size in rows] == [("0", "50"), ("1", "50"), ("2", "50"), ("3", "50")]
    assert rows[0][1] == "start" and rows[-1][2] == "end"
    assert [upto for _, _, upto, _ in rows[:-1]] == [after for _, after, _, _ in rows[1:]]
    tree = json.loads(call("plan", "--url", url, "--partition-size", 60, "--json", check=0).stdout)
    assert [s[2] for s in tree["segments"]] == [50, 50, 50, 50]


def test_harvest_status_resume(url, command, call, on_cluster, tmp_path):
    out = tmp_path / "h"
    done = command("harvest", "--url", url, "--required", REQUIRED, "--out", out, "--workers", 1, check=0)
    assert done.stdout.startswith("200 entries in") and "0 failed" in done.stdout
    rates = r"[\d.,]+ entries/s, [\d.]+ [kM]B/s, [\d.]+ requests/s"
    assert re.search(rf"200 of 200 entries, [\d.]+ [kM]B, {rates}, 0 failed", done.stderr)
    assert command("status", out, check=0).stdout.startswith("200 entries in")
    assert call("resume", out, check=0).stdout.startswith("200 entries in")
    (out / "segments" / "00000.json").unlink()
    assert "still to do" in call("status", out, check=1).stdout
    assert on_cluster("resume", out, check=0).stdout.startswith("200 entries in")
    assert len(pd.read_parquet(out / "data")) == 200


def test_a_failed_entry_is_exit_code_3(on_cluster, tmp_path):
    with serve(n_entries=50, seed=4) as url:
        bad = next(e.entry_id for e in url.corpus.entries if e.state == "public" and e.has_archive)
        url.faults = Faults(poison=[bad])
        line = (
            "harvest",
            "--url",
            url,
            "--required",
            REQUIRED,
            "--out",
            tmp_path / "h",
            "--sleep-time",
            0.01,
        )
        done = on_cluster(*line, "--max-requests-per-second", 0, check=3)
        assert "1 failed" in done.stdout and "--retry-failures" in done.stdout
        url.faults = None
        assert "1 failed" in on_cluster(*line, check=3).stdout
        assert " 0 failed" in on_cluster(*line, "--retry-failures", check=0).stdout


@pytest.mark.parametrize("ending", ["toml", "json"])
def test_a_job_file_holds_the_options(url, call, cluster, tmp_path, ending):
    options = {
        "url": str(url),
        "required": json.loads(REQUIRED),
        "results_max": 10,
        "scheduler": cluster.scheduler.address,
        "out": "elsewhere",
    }
    job = tmp_path / f"job.{ending}"
    if ending == "json":
        job.write_text(json.dumps(options))
    else:
        job.write_text(
            f'url = "{url}"\nresults-max = 10\nscheduler = "{cluster.scheduler.address}"\nout = "elsewhere"\n'
            '[required.results]\nmaterial = "*"\n'
        )
    done = call("harvest", job, "--out", tmp_path / "h", check=0)
    assert done.stdout.startswith("10 entries in"), "the command line goes before the file"


def test_trees_from_files(url, call, tmp_path):
    (tmp_path / "query.json").write_text('{"results.material.n_elements": 2}')
    counted = call("count", "--url", url, "--query", f"@{tmp_path}/query.json", check=0)
    assert 0 < int(counted.stdout) < 200


BAD = {
    "malformed query": (["--query", '{"a": '], "--query: malformed JSON"),
    "malformed required": (["--required", "{'a'}"], "--required: malformed JSON"),
    "a query that is no table": (["--query", "[1]"], "query must be a dict"),
    "unknown directive": (
        ["--required", '{"run": {"program": "nope"}}'],
        "unknown directive 'nope' at run.program",
    ),
    "unknown quantity": (["--query", '{"nope.nope": 1}'], "nope.nope is not a doc quantity"),
    "no server": (
        ["--url", "http://127.0.0.1:9/api/v1"],
        "no NOMAD server answers at http://127.0.0.1:9/api/v1",
    ),
    "no url": (
        ["--url", "localhost"],
        "the url has no scheme: 'localhost'; use https://localhost or http://localhost",
    ),
    "not the base url": (["--url", "{root}/api/v2"], "ending in /api/v1"),
    "no scheduler": (["--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler responds at tcp://127.0.0.1:9"),
    "a scheduler that is something else": (
        ["--scheduler", "tcp://{host}"],
        "no Dask scheduler responds at tcp://",
    ),
    "a place that nobody knows": (["--out", "foo://bar/x"], "neither a path nor a URL that fsspec knows"),
    "a place in memory": (["--out", "memory://x"], "memory"),
    "a scheduler that is no address": (
        ["--scheduler", "nope"],
        "scheduler must be an address such as tcp://host:8786 or tls://host:8786 (got 'nope')",
    ),
    "negative results-max": (["--results-max", "-1"], "results_max must be a non-negative integer (got -1)"),
    "both sizes": (
        ["--partition-size", "5", "--npartitions", "2"],
        "partition_size or npartitions, not both",
    ),
    "both clusters": (["--workers", "2", "--scheduler", "tcp://127.0.0.1:9"], "workers"),
    "no file": (["--query", "@nowhere.json"], "cannot read nowhere.json"),
    "no job file": (["nowhere.toml"], "cannot read nowhere.toml"),
    "an unknown option": (["--qeury", "{}"], "--qeury"),
    "a number that is none": (["--results-max", "ten"], "--results-max"),
    "login needed": (["--owner", "user"], "Authentication required"),
}


WITH_ITS_END = ("unknown directive", "no server", "no scheduler", "both clusters", "login needed")
"""Tried in a process of its own, whose end must be quiet too; one from each stage of a harvest's
beginning.
"""


@pytest.fixture(scope="module")
def small():
    with serve(n_entries=20) as url:
        yield url


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_exit_code_2_or_4_and_one_message_before_any_data(
    name, small, command, call, tmp_path, monkeypatch
):
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    url, run = small, command if name in WITH_ITS_END else call
    url.log.clear()
    given, message = BAD[name]
    root = url.removesuffix("/api/v1")
    given = [g.replace("{root}", root).replace("{host}", root.removeprefix("http://")) for g in given]
    base = ["--url", url] if "--url" not in given else []
    unreachable = message.startswith(("no NOMAD server answers", "no Dask scheduler responds"))
    done = run("harvest", *base, "--out", tmp_path / "h", *given, check=4 if unreachable else 2)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert url.log.count("entries/archive/query") == 0
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_folder_with_another_query_is_exit_code_2(url, on_cluster, tmp_path):
    line = ("harvest", "--url", url, "--required", REQUIRED, "--out", tmp_path / "h")
    on_cluster(*line, "--results-max", 5, check=0)
    done = on_cluster(*line, "--results-max", 6, check=2)
    assert "is the dataset of another query: results_max is 5 there and 6 here" in done.stderr


def test_an_unknown_key_in_a_job_file_is_named_with_the_near_one(call, tmp_path):
    (tmp_path / "job.toml").write_text('qurey = "{}"\n')
    assert (
        "unknown option 'qurey'; did you mean 'query'"
        in call("harvest", tmp_path / "job.toml", check=2).stderr
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('workers = "1"', "workers must be an integer, not '1'"),
        ('max_requests_per_second = "x"', "max_requests_per_second must be a number"),
        ("after = 5", "after must be a string, not 5"),
        ("retry_failures = 1", "retry_failures must be true or false"),
    ],
)
def test_options_of_a_job_file_are_checked(call, tmp_path, line, words):
    (tmp_path / "job.toml").write_text(line)
    assert words in call("harvest", tmp_path / "job.toml", "--out", tmp_path / "h", check=2).stderr


def test_a_job_file_with_a_date_goes_on(url, on_cluster, tmp_path):
    """What was asked equals itself when it is read back from the manifest."""
    (tmp_path / "job.toml").write_text(
        f'url = "{url}"\nout = "{tmp_path}/h"\nresults_max = 5\n'
        "query = { entry_create_time = { gte = 2000-01-01T00:00:00Z } }\n"
        'required = { metadata = { entry_id = "*" } }\n'
    )
    for _ in range(2):
        on_cluster("harvest", tmp_path / "job.toml", check=0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--archives", "nowhere"], "nowhere"),
        (["--port", "99999"], "99999"),
        (["--faults", "status=oops"], "status"),
        (["--features", "{"], "features"),
    ],
)
def test_serve_says_what_is_wrong(call, given, words):
    done = call("serve", *given, check=2)
    assert words in done.stderr and "Traceback" not in done.stderr


def test_harvest_needs_a_place(url, call):
    assert "--out" in call("harvest", "--url", url, check=2).stderr


@pytest.mark.parametrize("verb", ["status", "resume"])
def test_no_dataset_there(call, tmp_path, verb):
    assert "is not a dataset" in call(verb, tmp_path, check=2).stderr


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path):
    with serve(n_entries=200, faults=Faults(latency=0.1)) as url:
        line = [
            "harvest",
            "--url",
            str(url),
            "--required",
            REQUIRED,
            "--out",
            str(tmp_path / "h"),
            "--npartitions",
            "50",
        ]
        # To the workers too, as a terminal does.
        with at_request(url, 30, lambda: os.killpg(client.pid, signal.SIGINT)):
            client = subprocess.Popen(
                [*COMMAND, *line, "--workers", "1"],
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            _, words = client.communicate(timeout=60)
    assert client.returncode == 130
    assert "run the same command again" in words and "Traceback" not in words
    assert "Not finished" in (tmp_path / "h" / "report.html").read_text()


def test_serve_says_where(free_port, call):
    server = subprocess.Popen(
        [sys.executable, "-m", "nomad_dask", "serve", "--n-entries", "30", "--port", str(free_port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        words = server.stdout.readline()
        assert words.startswith(f"serving http://127.0.0.1:{free_port}/api/v1")
        assert call("count", "--url", f"http://127.0.0.1:{free_port}/api/v1", check=0).stdout == "30\n"
    finally:
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=20)
    assert "Traceback" not in errors


def test_the_demonstration_leaves_a_dataset(command, call, tmp_path):
    out = tmp_path / "demo"
    for run in (command, call):
        done = run("demo", "--out", out, "--n-entries", 300, "--workers", 1, check=0)
        assert f"the dataset is in {out}/data" in done.stdout and "read_parquet" in done.stdout
        frame = pd.read_parquet(out / "data", dtype_backend="pyarrow")
        assert len(frame) == 300 and frame.index.is_unique
        assert f"in a browser: {out}/report.html" in done.stdout and (out / "report.html").exists()


def test_a_scheduler_that_dies_is_one_message_and_no_loss(tmp_path, command):
    with serve(n_entries=300, kind="small", seed=2) as url, scheduler() as running:
        address = running.said[1]
        line = ["harvest", "--url", url, "--out", tmp_path / "h", "--npartitions", "30"]
        line += ["--required", '{"results": {"material": "*"}}', "--max-requests-per-second", "20"]
        with worker(address, "--nthreads", 2), at_request(url, 40, running.popen.kill):
            done = command(*line, "--scheduler", address)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert (
        "connection to the Dask scheduler was lost" in done.stderr
        and "run the same command again" in done.stderr
    )
    assert Store.at(tmp_path / "h").receipts(Store.at(tmp_path / "h").manifest().id)


def test_a_plan_with_what_is_required_tells_the_costs_and_is_the_harvests_own(
    url, call, on_cluster, tmp_path
):
    """The forecast is of the same cut, and of about as many requests and bytes as the harvest comes to."""
    line = ("--url", url, "--required", '{"run": "*", "results": "*"}')
    told = json.loads(call("plan", *line, "--json", check=0).stdout)
    said = call("plan", *line, check=0).stdout
    assert "# data: about" in said and "# time: at least" in said
    on_cluster("harvest", *line, "--out", tmp_path / "h", check=0)
    store = Store.at(tmp_path / "h")
    manifest = store.stored()
    receipts = store.receipts(manifest.id).values()
    assert [[s.after, s.upto, s.size] for s in manifest.plan] == told["segments"]
    without = sum(len(receipt.missing) for receipt in receipts)
    requests = sum(receipt.requests for receipt in receipts)
    assert told["forecast"]["requests"] == pytest.approx(requests, rel=0.5, abs=2 * without + 2)
    assert told["forecast"]["n_bytes"] == pytest.approx(sum(r.n_bytes for r in receipts), rel=0.3)


@pytest.mark.parametrize("columns", [60, 100])
def test_a_plan_on_a_terminal_is_a_table(url, columns):
    with terminal([*COMMAND, "plan", "--url", url, "--npartitions", "50"], columns=columns) as ours:
        told, code = ours.drawn()
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in told.splitlines()]
    assert code == 0 and max(map(len, lines)) <= columns
    rows = [line.split()[0] for line in lines if re.match(r"\s+(\d+|…) ", line)]
    assert rows == ["0", "1", "2", "3", "4", "…", "45", "46", "47", "48", "49"]
    assert "40 more (--all" in told
    with terminal([*COMMAND, "plan", "--url", url, "--npartitions", "50", "--all"]) as ours:
        whole, _ = ours.drawn()
    assert len(re.findall(r"^\s+\d+ ", whole, re.MULTILINE)) == 50


def test_a_harvest_says_how_many_columns_it_has_no_room_for(url, tmp_path, call):
    asked = ("--url", url, "--required", '{"results": "*"}', "--max-columns")
    planned = call("plan", *asked, 5, check=0)
    assert planned.stderr.count("the 5 filled most often are kept") == 1 and "# columns: " in planned.stdout
    done = call("harvest", *asked, 6, "--out", tmp_path / "h", "--workers", 1, check=0)
    assert done.stderr.count("the 6 filled most often are kept") == 1
    told = r"values outside the schema: in the column _more; \d+ columns beyond max_columns"
    assert re.search(told, done.stdout)
    assert re.search(told, call("status", tmp_path / "h", check=0).stdout)
