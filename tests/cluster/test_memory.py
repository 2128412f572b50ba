"""SPEC, "Reading a segment": memory is bounded, in the scheduler, the client and the workers."""

import gc
import pickle
import subprocess
import sys
import tracemalloc
from functools import cached_property
from random import Random

import dask
import pytest
from distributed import Client, LocalCluster
from idle_tasks import Nothing, receipt_of

from nomad_dask.harvest import run
from nomad_dask.request.segments import Plan, Segment
from nomad_dask.testing import Corpus, Entry, serve

WARM, SEGMENTS = 200, 600
KEPT = [
    "admin.log-length",
    "admin.low-level-log-length",
    "scheduler.dashboard.status.task-stream-length",
    "scheduler.dashboard.tasks.task-stream-length",
]
"""How much of what happened Dask keeps: up to 1,000 and more of each, which is growth that ends."""


def held():
    """Bytes that Python's objects take: what the process has of the system comes and goes by the megabyte."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def cluster():
    """Two worker processes, and the scheduler in this one."""
    with (
        dask.config.set({f"distributed.{name}": 100 for name in KEPT}),
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_many_segments_flood_neither_the_scheduler_nor_the_client(cluster):
    """With the scheduler in this process: both together grow by less than 2 kB a segment."""
    tasks = [Nothing(number) for number in range(SEGMENTS)]
    plan = Plan(tuple(Segment() for _ in tasks), SEGMENTS, True, SEGMENTS)
    scheduler, receipts = cluster.cluster.scheduler, {}
    known, sizes = [], {}

    def watch(report):
        known.append(len(scheduler.tasks))
        if report.done in (WARM, SEGMENTS):
            sizes[report.done] = held()

    tracemalloc.start()
    try:
        run._drive(cluster, tasks, receipts, plan, watch)
    finally:
        tracemalloc.stop()
    assert len(receipts) == SEGMENTS
    assert max(known) <= 2 * 4 + 4, "twice the threads of the workers, and what is being forgotten"
    each = (sizes[SEGMENTS] - sizes[WARM]) / (SEGMENTS - WARM)
    assert each < 2000


def test_what_is_kept_of_a_receipt_is_small():
    """Under 700 bytes, and what reports, `failures.parquet` and the proof of the parts need is there."""
    whole = [pickle.dumps(receipt_of(number)) for number in range(1000)]
    tracemalloc.start()
    try:
        kept = [run._kept(pickle.loads(receipt)) for receipt in whole]
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] / len(kept) < 800
    finally:
        tracemalloc.stop()
    first = receipt_of(0)
    assert kept[0].parts == first.parts and kept[0].requests == first.requests and kept[0].rows == first.rows


class Large(Corpus):
    """Entries with archives of 20 MB: trajectories of 25 steps with forces on 12,000 atoms."""

    quantities = frozenset({"entry_id", "upload_id", "parser_name"})

    def __init__(self, n):
        letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        self._ids = [f"{letters[k]}{k:027d}" for k in range(n)]

    @cached_property
    def entries(self):
        return [Entry(i, f"U{i[-21:]}", "vasp") for i in self._ids]

    def document(self, i):
        return {"entry_id": self._ids[i], "upload_id": self.entries[i].upload_id, "parser_name": "vasp"}

    def archive(self, i):
        return self.template(0)

    def shape(self, i):
        return 0

    def template(self, shape):
        dice = Random(1)
        forces = [[dice.gauss(0, 1) for _ in range(3)] for _ in range(12_000)]
        steps = [{"energy": {"total": k / 7}, "forces": {"total": forces}} for k in range(25)]
        return {"run": [{"calculation": steps}]}


READ = """
import re, sys
from concurrent.futures import ThreadPoolExecutor
from nomad_dask import ArchiveQuery
from nomad_dask.client.event_loop import run
from nomad_dask.client.transport import Client
from nomad_dask.harvest.run import make_manifest
from nomad_dask.plan.planner import PartitionSpec
from nomad_dask.dataset.segment import job_of, read_segment

query = ArchiveQuery(url=sys.argv[1], required="*", results_max=None, max_requests_per_second=None, progress=False)
manifest = run(make_manifest(Client(query._server), query._question(), PartitionSpec(npartitions=2)))
job = job_of(manifest, query._server)
# Not ru_maxrss: that begins with what the process which started this one has had.
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
planned = peak()
with ThreadPoolExecutor(2) as threads:
    receipts = list(threads.map(lambda s: read_segment(job, s)[1], manifest.plan.segments))
print(sum(r.rows for r in receipts), sum(r.n_bytes for r in receipts), planned, peak())
"""  # noqa: E501


def test_archives_of_20_mb_stay_below_a_gigabyte_and_a_half():
    """A worker's process: two threads, a segment of ten such archives each, ten requests at once by
    default.
    """
    with serve(Large(20)) as url:
        done = subprocess.run(
            [sys.executable, "-c", READ, str(url)], capture_output=True, text=True, timeout=250
        )
    assert done.returncode == 0, done.stderr
    rows, n_bytes, planned, peak = map(int, done.stdout.split())
    print(f"planning {planned / 1e6:.0f} MB, reading {peak / 1e6:.0f} MB")
    assert rows == 20 and n_bytes > 20 * 18e6
    assert planned < 1.5e9 and peak < 1.5e9
