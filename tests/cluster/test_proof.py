"""STYLE 7: done is proved. What is not all there, as it was written, under the manifest that stands, is not
done.
"""

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.dataset.store import Store
from nomad_dask.errors import DatasetError, StorageError, UnfinishedError
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

REQUIRED = {"results": {"properties": {"n_calculations": "*"}}}


@pytest.fixture
def served():
    with serve(n_entries=200, seed=5) as url:
        yield url


def query_of(url, **options):
    defaults = {"results_max": None, "max_requests_per_second": None, "sleep_time": 0.01, "progress": False}
    return ArchiveQuery(required=REQUIRED, url=str(url), **(defaults | options))


@pytest.mark.parametrize("harm", ["gone", "cut off", "no receipt", "empty receipt", "another's receipt"])
def test_a_harmed_dataset_is_mended_and_never_called_complete(served, cluster, call, tmp_path, harm):
    query, folder = query_of(served), tmp_path / "h"
    query.to_parquet(folder, client=cluster, npartitions=5)
    whole = pd.read_parquet(folder / "data")
    part, receipt = folder / "data" / "part-00003.parquet", folder / "segments" / "00003.json"
    match harm:
        case "gone":
            part.unlink()
        case "cut off":
            part.write_bytes(part.read_bytes()[:100])
        case "no receipt":
            receipt.unlink()
        case "empty receipt":
            receipt.write_bytes(b"")
        case "another's receipt":
            receipt.write_text(json.dumps(json.loads(receipt.read_text()) | {"dataset": "f" * 32}))
    assert "1 of 5 segments still to do" in call("status", folder, check=1).stdout
    assert query.to_parquet(folder, client=cluster).complete
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "data"), whole)


def test_a_folder_that_is_taken_away_meanwhile_is_an_error(served, cluster, tmp_path):
    store, folder = query_of(served), tmp_path / "h"
    reports = []

    def take_away(report):
        reports.append(report)
        if report.done == 1:
            shutil.rmtree(folder, ignore_errors=True)

    with pytest.raises(
        (StorageError, UnfinishedError, DatasetError), match="removed|gone|missing|does not contain"
    ):
        store.to_parquet(folder, client=cluster, npartitions=20, progress=take_away)
    assert not (folder / "data").exists() or not list((folder / "data").iterdir())


def test_two_harvests_at_once_are_one_dataset(served, tmp_path):
    """Begun at the same moment with other plans: one manifest stands, both go by it."""
    served.faults = Faults(latency=0.1)
    line = [
        sys.executable,
        "-m",
        "nomad_dask",
        "harvest",
        "--url",
        str(served),
        "--required",
        json.dumps(REQUIRED),
    ]
    line += ["--out", str(tmp_path / "h"), "--workers", "1", "--max-requests-per-second", "0"]
    both = [
        subprocess.Popen([*line, "--npartitions", n], stderr=subprocess.PIPE, text=True) for n in ("7", "11")
    ]
    for client in both:
        _, words = client.communicate(timeout=120)
        assert client.returncode == 0, words
    frame = pd.read_parquet(tmp_path / "h" / "data")
    assert len(frame) == 200 and frame.index.is_unique
    manifest = Store.at(tmp_path / "h").manifest()
    assert len(manifest.plan) in (7, 11)
    assert len(list((tmp_path / "h" / "data").iterdir())) == len(manifest.plan)


def test_a_login_that_is_missing_on_the_way_on_is_refused(served, cluster, tmp_path):
    ada = query_of(served, username="ada", password="ada-pw")
    rows = ada.to_parquet(tmp_path / "h", client=cluster, npartitions=3).rows
    assert rows > 200
    with pytest.raises(DatasetError, match="logged_in is True there and False here"):
        query_of(served).to_parquet(tmp_path / "h", client=cluster)


def test_entries_that_are_short_of_an_exact_plan_are_told(served, cluster, call, tmp_path):
    """Another user's login sees fewer of the planned entries: said, and exit code 3."""
    ada = query_of(served, username="ada", password="ada-pw")
    report = ada.to_parquet(tmp_path / "h", client=cluster, npartitions=3)
    assert report.complete
    for receipt in (tmp_path / "h" / "segments").iterdir():
        receipt.unlink()
    dee = query_of(served, username="dee", password="dee-pw")
    short = dee.to_parquet(tmp_path / "h", client=cluster)
    assert short.short == report.rows - 200 > 0 and not short.complete
    assert (
        f"{short.short} entries of the plan no longer listed"
        in call("status", tmp_path / "h", check=3).stdout
    )


def test_a_script_without_a_main_guard_harvests(served, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from nomad_dask import ArchiveQuery\n"
        f"query = ArchiveQuery(url={str(served)!r}, required={REQUIRED!r}, results_max=20, progress=False)\n"
        f"print(query.to_parquet({str(tmp_path / 'h')!r}, workers=1).rows)\n"
        "print(__file__)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["20", str(script)], done.stderr


def test_a_killed_worker_costs_nothing(served, tmp_path):
    """Real processes, killed (-9) on the way: the dataset is that of a calm harvest."""
    from distributed import Client, LocalCluster

    served.faults = Faults(latency=0.05)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="localhost:0") as local,
        Client(local) as client,
    ):
        victims = [worker.pid for worker in local.workers.values()]

        def kill_one(report):
            if report.done == 3 and victims:
                subprocess.run(["kill", "-9", str(victims.pop())], check=False)

        report = query_of(served).to_parquet(tmp_path / "h", client=client, npartitions=12, progress=kill_one)
    assert report.complete and len(victims) == 1
    frame = pd.read_parquet(tmp_path / "h" / "data")
    assert len(frame) == 200 and frame.index.is_unique
