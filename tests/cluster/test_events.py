"""`--json` of harvest, resume and update: events on stdout, one JSON object a line, and nothing else
there.
"""

import orjson
import pytest

from nomad_dask.query.archive_query import ArchiveQuery
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

REQUIRED = '{"results": {"material": "*"}}'


def events(done):
    """The events of a command; every line must be one, with a name and a time."""
    found = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert all(event["event"] and event["time"].endswith("+00:00") for event in found)
    assert found[-1]["exit_code"] == done.returncode and found[-1]["meaning"]
    return found


@pytest.fixture(scope="module")
def url():
    with serve(n_entries=60, seed=4) as url:
        yield url


def test_a_harvest_in_events(on_cluster, tmp_path):
    with serve(n_entries=60, seed=4) as url:
        bad = next(e.entry_id for e in url.corpus.entries if e.state == "public" and e.has_archive)
        url.faults = Faults(poison=[bad])
        out = tmp_path / "h"
        line = ["--required", REQUIRED, "--npartitions", 4, "--sleep-time", 0.01, "--json"]
        done = on_cluster("harvest", "--url", url, "--out", out, *line, check=3)
        first, *progress, failed, last = events(done)
        assert first["event"] == "planned" and first["segments"] == 4
        assert first["entries"] == 60 and first["done"] == {"segments": 0, "entries": 0}
        assert progress and {event["event"] for event in progress} == {"progress"}
        assert progress[-1]["entries"] == 60 and progress[-1]["failed"] == 1
        assert progress[-1]["seconds"] > 0 and progress[-1]["seconds_left"] == 0
        assert failed["event"] == "failed" and failed["entries"] == 1 and failed["first"] == [bad]
        assert last["event"] == "finished" and last["entries"]["failed"] == 1
        assert last["page"] == f"{out}/report.html"
        assert last["next"][0]["command"] == f"nomad-dask resume {out} --retry-failures"
        assert "entries" not in done.stderr, "no progress in words beside"

        url.faults = None
        again = events(on_cluster("resume", out, "--retry-failures", "--json", check=0))
        assert again[0]["done"] == {"segments": 3, "entries": 45}
        assert again[-1]["event"] == "finished" and again[-1]["complete"]
        nothing = events(on_cluster("update", out, "--json", check=0))
        assert [event["event"] for event in nothing if event["event"] != "progress"] == [
            "planned",
            "finished",
        ]
        assert nothing[-1]["update"]["added"] == 0


def test_an_interruption_is_an_event(url, call, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ArchiveQuery, "to_parquet", interrupted)
    (last,) = events(call("harvest", "--url", url, "--out", tmp_path / "h", "--json", check=130))
    assert last["event"] == "stopped" and "run the same command again" in last["meaning"]


@pytest.mark.parametrize(
    ("given", "code", "kind", "words"),
    [
        (["--required", '{"run": {"program": "nope"}}'], 2, "RequiredError", "unknown directive 'nope'"),
        (["--results-max", "ten"], 2, "UsageError", "--results-max"),
        (["--layout", "wid"], 2, "UsageError", "did you mean 'wide'?"),
        (["--url", "http://127.0.0.1:9/api/v1"], 4, "UnreachableError", "no NOMAD server answers"),
        (["--owner", "user"], 2, "RefusedError", "the server refused (401)"),
    ],
)
def test_an_error_is_an_event(url, call, tmp_path, monkeypatch, given, code, kind, words):
    monkeypatch.setenv("NOMAD_CLIENT_ACCESS_TOKEN", "s3cret")
    monkeypatch.setenv("NOMAD_CLIENT_URL", str(url))
    base = ["--url", url] if "--url" not in given else []
    done = call("harvest", *base, "--out", tmp_path / "h", *given, "--json", check=code)
    (last,) = events(done)
    assert last["event"] == "error" and last["kind"] == kind and words in last["message"]
    assert "s3cret" not in done.stdout + done.stderr


def test_an_error_of_ours_is_an_event_too(url, call, tmp_path, monkeypatch):
    monkeypatch.setattr(ArchiveQuery, "to_parquet", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call("harvest", "--url", url, "--out", tmp_path / "h", "--json")
