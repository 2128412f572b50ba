"""SPEC, "Clusters": dead workers are replaced; without any, a harvest ends soon and can be resumed."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import dask
import pandas as pd
import psutil
import pytest
from distributed import Client, LocalCluster
from processes import as_workers_start, at_request, local_workers

from nomad_dask import ArchiveQuery
from nomad_dask.cluster.workers import TIMEOUT, no_workers_timeout
from nomad_dask.dataset.pieces import new_name
from nomad_dask.dataset.store import Store
from nomad_dask.errors import UnfinishedError, UserError
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

REQUIRED = {"results": {"material": "*"}}
SOON = {"distributed.deploy.lost-worker-timeout": "1s"}
"""Dask gives a lost worker of its local cluster up after 15 s; here sooner, so that replacements need not
take long.
"""


def options(url, out, *more):
    return [
        *("harvest", "--url", str(url), "--out", str(out), "--required", json.dumps(REQUIRED)),
        *("--max-requests-per-second", "0", *map(str, more)),
    ]


@pytest.fixture
def killed(call, monkeypatch, tmp_path):
    """Run a harvest with one worker, kill (-9) that at the 20th request, and run `then` as each other
    starts.
    """

    def run(url, out, then, check, timeout):
        others = {*local_workers(os.getpid())}

        def kill():
            (worker,) = {*local_workers(os.getpid())} - others
            dask.config.set({TIMEOUT: timeout})
            os.kill(worker, signal.SIGKILL)

        monkeypatch.setenv("PYTHONPATH", as_workers_start(tmp_path, f"started and {then}"))
        with dask.config.set(SOON | {TIMEOUT: 300}), at_request(url, 20, kill):
            line = options(url, out, "--workers", 1, "--npartitions", 6, "--batch-size", 5)
            return call(*line, check=check).stderr

    return run


def frame_of(path):
    return pd.read_parquet(f"{path}/data", dtype_backend="pyarrow")


def receipts_stand(path):
    """How many segments are done, by their receipts; each has its part, and each part a receipt."""
    store = Store.at(path)
    receipts = store.receipts(store.stored().id)
    assert {name for receipt in receipts.values() for name in receipt.parts} == {*store.part_sizes()}
    return len(receipts)


def test_a_replacement_that_is_slow_to_start_is_waited_for(tmp_path, killed):
    """Dask's local cluster gives the worker up (`lost-worker-timeout`): the only worker, and the harvest
    waited for ever.
    """
    with serve(n_entries=60, seed=3, private_share=0) as url:
        killed(url, tmp_path / "h", "time.sleep(1.5)", 0, 300)
        assert [*frame_of(tmp_path / "h").index] == sorted(entry.entry_id for entry in url.corpus.entries)
        assert receipts_stand(tmp_path / "h") == 6


@pytest.mark.parametrize("then", ["os._exit(1)", "time.sleep(1000)"], ids=["die", "hang"])
def test_workers_that_cannot_be_replaced_end_the_harvest(tmp_path, then, killed):
    with serve(n_entries=60, seed=3, private_share=0) as url:
        words = killed(url, tmp_path / "h", then, 1, 1)
        assert "waiting up to 1.0 s for one" in words and "has had no workers for" in words
        assert "Traceback" not in words and "run the same command again" in words
        assert 0 < receipts_stand(tmp_path / "h") < 6
        assert not started_in(tmp_path), "a worker process was left behind"


def started_in(folder):
    """The processes below this one that ran what `as_workers_start` wrote. (The first that is spawned brings
    multiprocessing's resource tracker, which stays for as long as this process does.)
    """
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != "zombie"
        and str(folder) in child.environ().get("PYTHONPATH", "")
        and not any("resource_tracker" in word for word in child.cmdline())
    ]


@pytest.fixture
def threads():
    """A cluster of one worker in this process, and its client."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield cluster, client


def gone(cluster):
    """Take the workers away, and wait until the scheduler knows."""
    cluster.scale(0)
    while cluster.scheduler.workers:
        time.sleep(0.01)


def test_a_cluster_that_loses_its_workers_ends_the_harvest_and_goes_on_when_it_has_some(tmp_path, threads):
    cluster, client = threads
    with serve(n_entries=60, seed=3, private_share=0) as url, dask.config.set({TIMEOUT: "2s"}):
        query = ArchiveQuery(required=REQUIRED, url=url, progress=False, max_requests_per_second=None)
        with at_request(url, 30, lambda: threading.Thread(target=gone, args=[cluster]).start()):
            url.faults = Faults(latency=0.1)
            with (
                pytest.warns(UserWarning, match="no workers since .* waiting up to 2.0 s"),
                pytest.raises(UnfinishedError, match="has had no workers for .* start some"),
            ):
                query.to_parquet(tmp_path / "h", client=client, npartitions=20)
        assert 0 < receipts_stand(tmp_path / "h") < 20
        with (
            pytest.warns(UserWarning, match="no workers"),
            pytest.raises(UnfinishedError, match="has had no workers"),
        ):
            query.to_parquet(tmp_path / "h", client=client)  # before the first task
        url.faults = None
        cluster.scale(1)
        (tmp_path / "h" / ".aside" / f"{new_name(7)}.json").write_bytes(b"begun")
        assert query.to_parquet(tmp_path / "h", client=client).complete
        assert not [*(tmp_path / "h" / ".aside").iterdir()], "what a killed run left is taken away"
        assert receipts_stand(tmp_path / "h") == 20


def test_how_long_to_wait_is_a_time():
    assert no_workers_timeout() == 300
    for given, n in (("2 minutes", 120), (7, 7), ("0.5", 0.5)):
        with dask.config.set({TIMEOUT: given}):
            assert no_workers_timeout() == n
    with (
        dask.config.set({TIMEOUT: "soon"}),
        pytest.raises(UserError, match="must be a time such as 300 .*soon"),
    ):
        no_workers_timeout()


class Kills(threading.Thread):
    """Single kills (-9) of a client's workers, each at a random moment after the one before; ends with the
    client.
    """

    def __init__(self, client, n, seed, apart):
        super().__init__(daemon=True)
        self.client, self.n, self.dice, self.apart, self.deaths = client, n, random.Random(seed), apart, 0

    def run(self):
        while self.client.poll() is None and self.deaths < self.n:
            time.sleep(self.dice.uniform(*self.apart))
            try:
                if workers := local_workers(self.client.pid):
                    os.kill(self.dice.choice(workers), signal.SIGKILL)
                    self.deaths += 1
            except (psutil.Error, ProcessLookupError):
                continue


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("seed", range(5))
def test_single_kills_of_slowly_replaced_workers_cost_nothing(full, tmp_path, on_cluster, seed):
    """2,000 entries, two workers, 20 kills at random moments, replacements that take 20 s to start; five
    times.
    """
    if not full:
        pytest.skip("five harvests of many minutes: NOMAD_DASK_FULL=1")
    with serve(n_entries=2000, kind="small", seed=9) as url:
        more = ("--npartitions", 100, "--batch-size", 5)
        on_cluster(*options(url, tmp_path / "calm", *more), check=0)
        url.faults = Faults(latency=3.0)
        out, began = tmp_path / "h", time.monotonic()
        client = subprocess.Popen(
            [sys.executable, "-m", "nomad_dask", *options(url, out, *more, "--workers", 2)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ
            | {"PYTHONPATH": as_workers_start(tmp_path, "time.sleep(20 if started > 1 else 0)")},
        )
        kills = Kills(client, 20, seed, (1, 20))
        kills.start()
        try:
            words = client.communicate(timeout=1800)[0]
        finally:
            client.kill()
        kills.join()
        print(f"{kills.deaths} kills, {time.monotonic() - began:.0f} s")
        assert client.returncode == 0, words
        assert kills.deaths == 20, "the harvest was over before its workers were killed"
        pd.testing.assert_frame_equal(frame_of(out), frame_of(tmp_path / "calm"))
        assert receipts_stand(out) == 100


@pytest.mark.filterwarnings("ignore:no workers")
@pytest.mark.parametrize("kind", ["compute", "persist", "delayed", "another client"])
def test_computations_of_lazy_frames_end_without_workers(threads, kind):
    cluster, client = threads
    with serve(n_entries=60, seed=3, private_share=0) as url, dask.config.set({TIMEOUT: "1s"}):
        query = ArchiveQuery(required=REQUIRED, url=url, progress=False, max_requests_per_second=None)
        frame = query.to_dask_dataframe(npartitions=4)
        gone(cluster)
        with pytest.raises(UnfinishedError, match="no workers for 1.0 s.*compute again.*no-workers-timeout"):
            if kind == "compute":
                (frame["upload_id"].value_counts() + 1).compute(scheduler=client)
            elif kind == "persist":
                client.persist(frame).compute(scheduler=client)
            elif kind == "delayed":
                dask.compute(query.to_delayed(npartitions=4), scheduler=client)
            else:
                client.compute(frame).result()
        if kind in ("compute", "delayed"):  # Dask keeps the error of what is still held
            cluster.scale(1)
            assert len(frame.compute(scheduler=client)) == 60


@pytest.mark.filterwarnings("ignore:no workers")
def test_a_computation_that_loses_its_workers_ends_and_other_peoples_tasks_wait(threads):
    cluster, client = threads
    with serve(n_entries=60, seed=3, private_share=0) as url, dask.config.set({TIMEOUT: "1s"}):
        query = ArchiveQuery(required=REQUIRED, url=url, progress=False, max_requests_per_second=None)
        frame = query.to_dask_dataframe(npartitions=20)
        url.faults = Faults(latency=0.1)
        with (
            at_request(url, 30, lambda: threading.Thread(target=gone, args=[cluster]).start()),
            pytest.raises(UnfinishedError, match="no workers for 1.0 s"),
        ):
            future = client.compute(frame)
            future.result()
        other = client.submit(len, "four")
        with Client(cluster, set_as_default=False) as somebody, pytest.raises(UnfinishedError):
            somebody.compute(frame).result()
        assert other.status == "pending"
        cluster.scale(1)
        assert other.result() == 4


@pytest.mark.parametrize("kind", ["compute", "aggregate", "another client"])
def test_a_computation_whose_workers_die_ends_with_our_error(threads, kind):
    """Dask gives a task up when several workers died with it (here: one), with an error that names neither
    cause nor way on.
    """
    cluster, client = threads
    cluster.scheduler.allowed_failures = 0
    (address,) = cluster.scheduler.workers

    def lose():
        cluster.loop.add_callback(cluster.scheduler.remove_worker, address, stimulus_id="a test")

    with serve(n_entries=60, seed=3, private_share=0) as url:
        query = ArchiveQuery(required=REQUIRED, url=url, progress=False, max_requests_per_second=None)
        frame = query.to_dask_dataframe(npartitions=20)
        url.faults = Faults(latency=0.1)
        with at_request(url, 10, lose), pytest.raises(UnfinishedError, match="workers died.*partition_size"):
            if kind == "compute":
                frame.compute(scheduler=client)
            elif kind == "aggregate":
                frame["upload_id"].count().compute(scheduler=client)
            else:
                client.compute(frame).result()


STARTED, LOST = threading.Event(), threading.Event()


def count_slowly(part):
    STARTED.set()
    LOST.wait(30)
    return len(part)


def test_workers_that_die_with_what_was_read_end_with_our_error(threads):
    cluster, client = threads
    cluster.scheduler.allowed_failures = 0
    with serve(n_entries=60, seed=3, private_share=0) as url:
        query = ArchiveQuery(required=REQUIRED, url=url, progress=False, max_requests_per_second=None)
        counts = [dask.delayed(count_slowly)(part) for part in query.to_delayed(npartitions=4)]
        total = client.compute(dask.delayed(sum)(counts))
        assert STARTED.wait(30)
        (address,) = cluster.scheduler.workers
        cluster.loop.add_callback(cluster.scheduler.remove_worker, address, stimulus_id="a test")
        with pytest.raises(UnfinishedError, match="workers died.*partition_size"):
            total.result()
        LOST.set()


def test_workers_of_a_harvest_do_without_pandas():
    """Arrow imports it as it makes its first array, which takes two seconds of each start of a worker."""
    code = (
        "import io, sys, pyarrow as pa, pyarrow.parquet as pq, nomad_dask.cluster.clusters; nomad_dask.cluster.clusters.dask_setup(None); "  # noqa: E501
        "file = io.BytesIO(); pq.write_table(pa.table({'a': [1, None], 'b': ['x', 'y']}), file); "
        "assert pq.read_table(file, use_threads=False).num_rows == 2 and 'pandas' not in sys.modules; "
        "import importlib.util; assert importlib.util.find_spec('pandas')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
