"""SPEC, "Datasets", "Harvests": complete, resumable, refused to another query; with worker processes."""

import json
import re

import dask.dataframe as dd
import pandas as pd
import pyarrow.parquet as pq
import pytest
from distributed import KilledWorker

from nomad_dask import ArchiveQuery, open_dataset, update_dataset
from nomad_dask.client.server import Server
from nomad_dask.dataset.segment import Task
from nomad_dask.dataset.store import Store
from nomad_dask.errors import (
    DatasetError,
    RefusedError,
    ServerError,
    StorageError,
    UnfinishedError,
    UserError,
)
from nomad_dask.harvest import run as harvest
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults, Rule, Status

REQUIRED = {
    "results": {"material": {"elements": "*"}, "properties": {"n_calculations": "*"}},
    "workflow2": {"results": {"calculation_result_ref": {"energy": {"total": "*"}}}},
}
FAST = {"results_max": None, "max_requests_per_second": None, "sleep_time": 0.01, "progress": False}


@pytest.fixture
def served():
    with serve(n_entries=400, seed=5) as url:
        yield url


def query_of(url, **options):
    return ArchiveQuery(required=REQUIRED, url=str(url), **(FAST | options))


def frame_of(path):
    return pd.read_parquet(f"{path}/data", dtype_backend="pyarrow")


def receipts_of(path):
    store = Store.at(path)
    return store.receipts(store.manifest().id)


def ids_at(url):
    return {e.entry_id for e in url.corpus.entries if e.state == "public"}


def test_one_row_an_entry_sorted_with_one_schema(served, cluster, tmp_path):
    report = query_of(served).to_parquet(tmp_path / "h", client=cluster, npartitions=5)
    frame = frame_of(tmp_path / "h")
    assert (
        set(frame.index) == ids_at(served) and frame.index.is_unique and frame.index.is_monotonic_increasing
    )
    assert report.complete and report.rows == len(frame) == 400
    parts = sorted((tmp_path / "h" / "data").iterdir())
    assert [p.name for p in parts] == [f"part-{k:05d}.parquet" for k in range(5)]
    assert len({pq.read_schema(p).serialize().to_pybytes() for p in parts}) == 1
    group = pq.ParquetFile(parts[0]).metadata.row_group(0).column(0)
    assert group.path_in_schema == "entry_id" and group.statistics.has_min_max and group.compression == "ZSTD"
    assert sorted(p.name for p in (tmp_path / "h").iterdir() if p.name != ".aside") == [
        "data",
        "failures.parquet",
        "manifest.json",
        "segments",
    ]


def test_rows_hold_what_the_archives_hold(served, cluster, tmp_path):
    query_of(served).to_parquet(tmp_path / "h", client=cluster)
    frame = frame_of(tmp_path / "h")
    for i, entry in enumerate(served.corpus.entries):
        if entry.state == "public" and entry.has_archive:
            properties = served.corpus.archive(i).get("results", {}).get("properties", {})
            row = frame.loc[entry.entry_id]
            assert row["upload_id"] == entry.upload_id
            got = row["results.properties.n_calculations"]
            assert (None if pd.isna(got) else got) == properties.get("n_calculations")


def test_entries_without_archive_are_rows_of_nulls(served, cluster, tmp_path):
    gone = sorted(ids_at(served))[:3]
    served.faults = Faults(missing=gone)
    report = query_of(served).to_parquet(tmp_path / "h", client=cluster, npartitions=3)
    frame, failures = frame_of(tmp_path / "h"), pd.read_parquet(tmp_path / "h" / "failures.parquet")
    assert frame.loc[gone].drop(columns="upload_id").isna().all(axis=None)
    assert report.complete and report.missing >= 3
    assert set(failures.entry_id) >= set(gone) and set(failures.kind) == {"no archive"}


def test_failed_entries_are_told_and_retried(served, cluster, tmp_path):
    poison = sorted(ids_at(served))[7:9]
    served.faults = Faults(poison=poison)
    query = query_of(served)
    report = query.to_parquet(tmp_path / "h", client=cluster, npartitions=3)
    assert report.failed == 2 and not report.complete and report.rows == 398
    assert not set(poison) & set(frame_of(tmp_path / "h").index)
    failures = pd.read_parquet(tmp_path / "h" / "failures.parquet").query("kind == 'failed'")
    assert (
        set(failures.entry_id) == set(poison)
        and set(failures.status) == {500}
        and failures.reason.str.len().min()
    )
    served.faults = None
    assert query.to_parquet(tmp_path / "h", client=cluster).failed == 2, "only asked again when told to"
    report = query.to_parquet(tmp_path / "h", client=cluster, retry_failures=True)
    assert report.complete and report.rows == 400
    frame = frame_of(tmp_path / "h")
    assert set(frame.index) == ids_at(served) and frame.index.is_monotonic_increasing
    assert "failed" not in set(pd.read_parquet(tmp_path / "h" / "failures.parquet").kind)


def test_a_retry_that_is_lost_between_its_part_and_its_receipt_is_done_again(
    served, cluster, tmp_path, monkeypatch
):
    """By the same task, as Dask gives it to another worker: the old receipt speaks of a part that is gone."""
    served.faults = Faults(poison=sorted(ids_at(served))[7:9])
    query_of(served).to_parquet(tmp_path / "h", client=cluster, npartitions=1)
    served.faults = None
    store = Store.at(tmp_path / "h")
    manifest = store.manifest()
    task = Task(store, manifest.id, Server(str(served)), 0, retry_failures=True)
    with monkeypatch.context() as patched:
        patched.setattr("nomad_dask.dataset.store._receipt_name", lambda number: "nowhere/0.json")
        with pytest.raises(StorageError):
            task.write()
    assert not store.receipts(manifest.id), "the part is another than the receipt's"
    assert task.write().rows == 400 and len(frame_of(tmp_path / "h")) == 400


def test_finished_segments_are_not_asked_for_again(served, cluster, tmp_path):
    query = query_of(served)
    query.to_parquet(tmp_path / "h", client=cluster, npartitions=6)
    whole = frame_of(tmp_path / "h")
    for number in (1, 4):
        (tmp_path / "h" / "segments" / f"{number:05d}.json").unlink()
    (tmp_path / "h" / "data" / "part-00004.parquet").unlink()
    served.log.clear()
    report = query.to_parquet(tmp_path / "h", client=cluster)
    assert report.complete
    pd.testing.assert_frame_equal(frame_of(tmp_path / "h"), whole)
    bounds = [
        (s.after, s.upto) for s in (Store.at(tmp_path / "h").manifest().plan.segments[k] for k in (1, 4))
    ]
    for request in served.log:
        asked = request.body["query"].get("entry_id", None)
        if asked:
            assert (asked.get("gt", ""), asked.get("lte", "")) in bounds
        else:
            ids = request.body["query"]["entry_id:any"]
            assert all(any(a < i and (not b or i <= b) for a, b in bounds) for i in ids)


def test_another_query_on_the_same_folder_is_refused(served, cluster, tmp_path):
    query_of(served).to_parquet(tmp_path / "h", client=cluster)
    served.log.clear()
    for other in (
        query_of(served, query={"results.material.n_elements": 2}),
        query_of(served, owner="public"),
        query_of(served, results_max=5),
        query_of(served, after="M"),
    ):
        with pytest.raises(DatasetError, match="another query"):
            other.to_parquet(tmp_path / "h", client=cluster)
    assert served.log.count() == 0


@pytest.mark.parametrize("content", ["", "{", '{"format": 99}', '{"format": 1}'])
def test_a_folder_that_is_no_dataset_is_refused(served, tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DatasetError, match="manifest|format"):
        query_of(served).to_parquet(tmp_path)


def test_a_folder_with_other_things_is_refused(served, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(DatasetError, match=r"thesis\.tex"):
        query_of(served).to_parquet(tmp_path)


def test_a_server_that_goes_down_leaves_true_receipts(served, cluster, tmp_path):
    served.faults = Faults(
        [Rule(Status(502), path="entries/query", match=lambda body: _asks_beyond(body, "V"))]
    )
    query = query_of(served, retry=1)
    with pytest.raises(UnfinishedError, match="left to do.*run the same command again"):
        query.to_parquet(tmp_path / "h", client=cluster, npartitions=8)
    done = receipts_of(tmp_path / "h")
    assert 0 < len(done) < 8
    served.faults = None
    assert query.to_parquet(tmp_path / "h", client=cluster).complete
    assert set(frame_of(tmp_path / "h").index) == ids_at(served)


def _asks_beyond(body, bound):
    return (
        body.get("query", {}).get("entry_id", {}).get("gt", "") > bound
        and body["pagination"]["page_size"] > 999
    )


def test_the_servers_refusal_ends_the_harvest_before_a_dataset_is_begun(served, tmp_path):
    with pytest.raises(RefusedError, match="nope is not a doc quantity"):
        query_of(served, query={"nope": 1}).to_parquet(tmp_path / "h")
    assert not (tmp_path / "h").exists()


def test_nothing_matches_is_an_empty_typed_dataset(served, cluster, tmp_path):
    report = query_of(served, query={"entry_id": "-" * 28}).to_parquet(tmp_path / "h", client=cluster)
    assert report.complete and report.rows == 0
    frame = frame_of(tmp_path / "h")
    assert len(frame) == 0 and "upload_id" in frame.columns
    assert len(open_dataset(tmp_path / "h")) == 0


def test_open_dataset_knows_its_divisions(served, cluster, tmp_path):
    query_of(served).to_parquet(tmp_path / "h", client=cluster, npartitions=5)
    lazy, whole = open_dataset(tmp_path / "h"), frame_of(tmp_path / "h")
    assert lazy.npartitions == 5 and lazy.known_divisions and len(lazy) == 400
    pd.testing.assert_frame_equal(lazy.compute(scheduler="sync"), whole)
    one = whole.index[123]
    pd.testing.assert_frame_equal(lazy.loc[one].compute(scheduler="sync"), whole.loc[[one]])
    for entry in lazy.divisions:
        assert len(lazy.loc[entry].compute(scheduler="sync")) == 1
    pd.testing.assert_series_equal(
        lazy["results.properties.n_calculations"].compute(scheduler="sync"),
        whole["results.properties.n_calculations"],
    )
    again = dd.read_parquet(f"{tmp_path}/h/data")
    assert again.index.name == "entry_id" and len(again) == 400


def test_a_growing_dataset_shows_finished_segments_only(served, cluster, tmp_path):
    query_of(served).to_parquet(tmp_path / "h", client=cluster, npartitions=5)
    (tmp_path / "h" / "segments" / "00002.json").unlink()
    lazy = open_dataset(tmp_path / "h")
    assert lazy.npartitions == 4 and len(lazy) == 320


def test_manifest_and_receipts_say_what_was_asked_and_what_came(served, cluster, tmp_path):
    query_of(served, query={"results.material.n_elements:gte": 1}).to_parquet(
        tmp_path / "h", client=cluster, npartitions=2
    )
    manifest = json.loads((tmp_path / "h" / "manifest.json").read_text())
    assert manifest["required"] == REQUIRED and manifest["query"] == {"results.material.n_elements:gte": 1}
    assert manifest["url"] == str(served) and manifest["versions"].keys() >= {"nomad-dask", "dask", "pyarrow"}
    receipt = json.loads((tmp_path / "h" / "segments" / "00000.json").read_text())
    assert receipt["rows"] and receipt["requests"] and receipt["n_bytes"] and receipt["batch_sizes"]
    assert re.search(r":\d\d\.\d{3}\+", receipt["finished"]), (
        "whole seconds would heap up requests on the page"
    )


def test_any_fsspec_url_will_do(served, cluster):
    """`memory://` lives in one process: the store alone, with a worker's function run here."""
    from dataclasses import replace

    from nomad_dask.client.event_loop import run
    from nomad_dask.client.server import Server
    from nomad_dask.client.transport import Client
    from nomad_dask.dataset.segment import Task
    from nomad_dask.harvest.run import make_manifest
    from nomad_dask.limits import Limits

    store, query = Store.at("memory://bucket/h"), query_of(served)
    cut = replace(query._cut, npartitions=3)
    manifest = run(make_manifest(Client(query._server), query._question(), cut))
    store.create(manifest)
    for number in range(3):
        Task(store, manifest.id, Server(str(served), Limits(None)), number).write()
    assert len(open_dataset("memory://bucket/h").compute(scheduler="sync")) == 400


def test_workers_that_die_cost_more_patience_than_a_server_that_fails():
    """A worker's death takes along all that it had: as many in a row as tasks under way are no reason to
    stop.
    """
    patience = harvest._Patience(lambda: 8)
    killed, failed = KilledWorker("segment-00001", None, 3), ServerError("status 502", "http://h", attempts=5)
    for spent, lasts in (
        ([killed] * 7, True),
        ([killed] * 8, False),
        ([failed] * 2, True),
        ([failed] * 3, False),
    ):
        patience.renew()
        for error in spent:
            patience.spend(error)
        assert patience.is_over() != lasts


def test_worker_processes_are_refused_a_folder_that_lies_in_this_process(served):
    """By a harvest and by an update, before anything is asked; `client` may be a cluster of threads."""
    for work in (query_of(served).to_parquet, update_dataset):
        with pytest.raises(UserError, match="is in this process's memory"):
            work("memory://shared/h")
    assert served.log.count() == 0
