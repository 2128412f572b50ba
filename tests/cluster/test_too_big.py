"""SPEC, "Segments that kill workers": such an entry is a failure; all others are delivered."""

import json
import os
import random
import signal
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pandas as pd
import pytest
from distributed import Client
from processes import local_workers

from nomad_dask import ArchiveQuery
from nomad_dask.cluster.clusters import local_cluster
from nomad_dask.cluster.workers import local_workers as run_workers
from nomad_dask.dataset.store import Store
from nomad_dask.testing import Corpus, Entry, serve

REQUIRED = {"results": {"material": "*"}}


def failures_of(path):
    return pd.read_parquet(Path(path) / "failures.parquet").set_index("entry_id")


def frame_of(path):
    return pd.read_parquet(f"{path}/data", dtype_backend="pyarrow")


def killing(url, kills):
    """Kill the workers that this process has started since, whenever a request is logged of which `kills` is
    true.
    """
    others, deaths, add = {*local_workers(os.getpid())}, [], type(url.log).add

    def add_and_kill(seen):
        add(url.log, seen)
        if kills((seen.body or {}).get("query", {}).get("entry_id:any", ())):
            for worker in {*local_workers(os.getpid())} - others:
                os.kill(worker, signal.SIGKILL)
                deaths.append(worker)

    url.log.add = add_and_kill
    return deaths


def options(url, out):
    return [
        *("harvest", "--url", url, "--out", out, "--required", json.dumps(REQUIRED), "--workers", 1),
        *("--npartitions", 2, "--batch-size", 5, "--max-requests-per-second", 0),
    ]


@pytest.mark.timeout(600)
def test_an_entry_that_kills_its_workers_stands_alone_at_last(tmp_path, call):
    """As one that is too large for a worker's memory does: here the server kills the worker that asks for
    it.
    """
    with serve(n_entries=16, seed=3, private_share=0) as url:
        ids = [entry.entry_id for entry in url.corpus.entries]
        deaths = killing(url, lambda asked: ids[11] in asked)
        said = call(*options(url, tmp_path / "h"), check=3)
        assert [*frame_of(tmp_path / "h").index] == ids[:11] + ids[12:]
        failures = failures_of(tmp_path / "h")
        failures = failures[failures.kind == "failed"]
        assert [*failures.index] == [ids[11]]
        assert failures.reason.str.contains(
            r"[34] workers in a row died while they read only this entry, probably .*\(a worker has"
        ).all()
        assert len(deaths) <= 2 + 4, "twice with its neighbours, and those alone"
        assert "killed its workers; reading its entries in smaller pieces" in said.stderr
        assert "Traceback" not in said.stderr
        assert not [*(tmp_path / "h" / ".aside").iterdir()], "what was kept aside is gone"


@pytest.mark.timeout(1200)
def test_workers_that_are_killed_by_chance_cost_no_entry(full, tmp_path, call):
    if not full:
        pytest.skip(
            "many starts of workers (NOMAD_DASK_FULL=1); the gate tries it without processes (test_pieces)"
        )
    dice = random.Random(5)
    with serve(n_entries=40, seed=3, private_share=0) as url:
        deaths = killing(url, lambda asked: len(deaths) < 8 and asked and dice.random() < 0.6)
        call(*options(url, tmp_path / "h"), check=0)
        assert len(deaths) == 8
        assert [*frame_of(tmp_path / "h").index] == [entry.entry_id for entry in url.corpus.entries]


class Bags(Corpus):
    """Entries whose archives are lists of lists: 40, but in some of the entries many more."""

    quantities = frozenset({"entry_id", "upload_id", "parser_name"})

    def __init__(self, n, large):
        self._ids = [f"{chr(65 + k)}{k:027d}" for k in range(n)]
        self._large = large

    @cached_property
    def entries(self):
        return [Entry(i, f"U{i[-21:]}", "vasp") for i in self._ids]

    def document(self, i):
        return {"entry_id": self._ids[i], "upload_id": self.entries[i].upload_id, "parser_name": "vasp"}

    def archive(self, i):
        return self.template(self.shape(i))

    def shape(self, i):
        return self._large.get(i, 40)

    def template(self, shape):
        return {"data": {"bags": [[0]] * shape}}


@contextmanager
def small_workers(memory):
    """A client of a job's own cluster, which replaces its workers however long that takes; two workers of a
    size.
    """
    with local_cluster(2, 2) as cluster:
        cluster.new_spec["options"]["memory_limit"] = memory
        with run_workers(cluster, 2), Client(cluster, set_as_default=False) as client:
            yield client


@pytest.mark.timeout(1200)
def test_archives_that_a_workers_memory_does_not_hold(full, tmp_path):
    """A worker of 350 MB: an archive of 100 MB is refused as it comes; one of 36 MB is 600 MB when it is
    decoded.

    The latter kills real workers through Dask's memory limit: NOMAD_DASK_FULL.
    """
    if not full:
        pytest.skip("real memory, real deaths: NOMAD_DASK_FULL=1")
    with serve(Bags(20, {6: 25_000_000, 13: 9_000_000})) as url, small_workers("350MB") as client:
        began = time.monotonic()
        schema = {"data.bags": "string"}
        query = ArchiveQuery(url=str(url), required="*", progress=False, max_requests_per_second=None)
        report = query.to_parquet(tmp_path / "h", client=client, npartitions=2, schema=schema)
        failures = failures_of(tmp_path / "h")
        print(f"{time.monotonic() - began:.0f} s", failures.reason.to_dict())
        ids = [entry.entry_id for entry in url.corpus.entries]
        assert {*failures.index} == {ids[6], ids[13]} and {*failures.kind} == {"failed"}
        assert "350 MB" in failures.reason[ids[13]]
        assert [*frame_of(tmp_path / "h").index] == [i for k, i in enumerate(ids) if k not in (6, 13)]
        assert report.failed == 2 and Store.at(tmp_path / "h").receipts(Store.at(tmp_path / "h").stored().id)
