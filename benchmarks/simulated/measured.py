"""What a harvest really costs: short runs of the real workers against the embedded archive, each in its own
process."""

import multiprocessing
import os
import tempfile
import time
import tracemalloc
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import orjson
import psutil
import pyarrow.parquet as pq

from nomad_dask import ArchiveQuery
from nomad_dask.client.search import LARGEST_PAGE
from nomad_dask.cluster.clusters import Cluster
from nomad_dask.dataset.report import Report
from nomad_dask.dataset.store import Store
from nomad_dask.limits import BatchSize, Limits
from nomad_dask.plan.planner import PartitionSpec
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults
from simulated.harvest import Costs, Harvest
from simulated.server import Installation

_SEEN = 2_000
"""Entries whose bytes are looked at one by one."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A `required` tree, and the generated archives that it is asked of."""

    name: str
    kind: str
    required: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One real harvest."""

    report: Report
    seconds: float
    """From the first task on, by the clock."""
    cpu: float
    """Seconds of the workers."""
    base_bytes: float
    peak_bytes: float
    """Resident memory of the largest worker: before, and at its most."""
    row_bytes: float
    disk_bytes: float
    """Of each row: in memory as Arrow, and on disk."""
    receipt_bytes: float
    batch: BatchSize
    """To begin with."""


@contextmanager
def server(n_entries: int, kind: str) -> Iterator[tuple[str, Connection]]:
    """An embedded archive in a process of its own: its url, and where to send it a fault script."""
    here, there = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    child = spawn.Process(target=_be_the_server, args=(there, n_entries, kind), daemon=True)
    child.start()
    try:
        yield here.recv(), here
    finally:
        here.send(None)
        child.join()


def _be_the_server(pipe: Connection, n_entries: int, kind: Any) -> None:
    with serve(n_entries=n_entries, kind=kind, private_share=0.0) as url:
        pipe.send(str(url))
        while (faults := pipe.recv()) is not None:
            url.faults = Faults.parse(faults)
            pipe.send(None)


def ask_for(faults: Connection, script: str) -> None:
    """Another fault script for a server, from the next request on."""
    faults.send(script)
    faults.recv()


def harvested(url: str, tree: Tree, cluster: Any, *, part_rows: int, **options: Any) -> Run:
    """A real harvest of all that the server has, into a folder that is thrown away."""
    workers = [psutil.Process(pid) for pid in cluster.run(os.getpid).values()]
    told = list[tuple[float, float]]()

    def progress(report: Report) -> None:
        told.append((time.monotonic(), sum(sum(worker.cpu_times()[:2]) for worker in workers)))

    base = max(worker.memory_info().rss for worker in workers)
    for worker in workers:
        _forget_the_peak(worker.pid)
    with tempfile.TemporaryDirectory() as folder:
        query = ArchiveQuery(url=url, required=tree.required, results_max=None, progress=False, **options)
        report = query.to_parquet(f"{folder}/x", partition_size=part_rows, client=cluster, progress=progress)
        peak = max(_peak(worker.pid) or base for worker in workers)
        (began, cpu), (ended, cpu_after) = told[0], told[-1]
        parts = _files(f"{folder}/x/data")
        table = pq.read_table(parts[0])
        receipts = _files(f"{folder}/x/segments")
        return Run(
            report=report,
            seconds=ended - began,
            cpu=cpu_after - cpu,
            base_bytes=base,
            peak_bytes=peak,
            row_bytes=table.nbytes / max(1, len(table)),
            disk_bytes=sum(map(os.path.getsize, parts)) / report.rows,
            receipt_bytes=sum(map(os.path.getsize, receipts)) / len(receipts),
            batch=Store.at(f"{folder}/x").manifest().batch,
        )


def _files(folder: str) -> list[str]:
    return sorted(os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)


def _forget_the_peak(pid: int) -> None:
    with suppress(OSError), open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


def _peak(pid: int) -> int | None:
    """The most memory that was resident; None where the system does not say."""
    with suppress(OSError), open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    return None


def measured(tree: Tree, per_request: float | None = None, parts: int = 2) -> tuple[Costs, Run]:
    """The costs of a tree, by harvests that differ in segments and, where that cost is not given, in
    requests.

    The first has parts as large as a plan would make them, and is given back too; another one cuts the same
    entries
    into more parts, another one asks for four entries at a time. The differences in CPU time are those of
    segments and of
    requests, the rest that of bytes.
    """
    sizes = entry_bytes(tree)
    mean = sum(sizes) / len(sizes)
    rows = LARGEST_PAGE * 2_000 // PartitionSpec().segments(LARGEST_PAGE * 2_000, mean)
    with server(parts * rows, tree.kind) as (url, _), Cluster(workers=1).client() as cluster:
        cluster.run(_ready)
        run = partial(harvested, url, tree, cluster, max_requests_per_second=None)
        first = run(part_rows=rows)  # the server renders its templates, and the worker grows
        plain, cutting = least(run, part_rows=rows), least(run, part_rows=rows // 8)
        asking = least(run, part_rows=rows, batch_size=4) if per_request is None else None
        found = ask(url, "entries/archive/query", tree.required, min(parts * rows, 200))
    if asking is not None:
        per_request = max(0.0, asking.cpu - plain.cpu) / (asking.report.requests - plain.report.requests)
    more = cutting.report.requests - plain.report.requests
    extra = max(0.0, cutting.cpu - plain.cpu - more * per_request)
    per_segment = extra / (cutting.report.segments - plain.report.segments)
    rest = plain.cpu - per_request * plain.report.requests - per_segment * plain.report.segments
    costs = Costs(
        entry_bytes=sizes,
        per_byte=rest / plain.report.n_bytes,
        decoding=min(_decoding(found), rest / plain.report.n_bytes),
        per_request=per_request,
        per_segment=per_segment,
        batch=plain.batch,
        missing=plain.report.missing / plain.report.rows,
        row_bytes=plain.row_bytes,
        object_bytes=_objects(found),
        base_bytes=0.0,
    )
    unlimited = Installation(latency=0.0, processes=1, most_at_once=None, most_per_second=None)
    run_again = Harvest([rows] * parts, costs, unlimited, Limits(None), workers=1).run()
    # What the simulation does not see (modules, buffers, values that wait for their block) is taken to be the
    # same.
    costs = replace(costs, base_bytes=max(first.base_bytes, first.peak_bytes - run_again.peak_bytes))
    return costs, replace(plain, base_bytes=first.base_bytes, peak_bytes=first.peak_bytes)


def least(run: Callable[..., Run], **options: Any) -> Run:
    """The one of two harvests that took less CPU time: what others do on the machine only adds to it."""
    return min((run(**options) for _ in range(2)), key=lambda one: one.cpu)


def slowness() -> float:
    """Seconds by the clock for a second of CPU time, now: above 1 where others use the machine."""
    began, cpu = time.perf_counter(), time.process_time()
    while time.process_time() < cpu + 1.0:
        pass
    return (time.perf_counter() - began) / (time.process_time() - cpu)


def _ready() -> None:
    """A worker that has imported what it needs, and done nothing."""
    import nomad_dask.dataset.segment  # noqa: F401


def entry_bytes(tree: Tree) -> list[int]:
    """Bytes of JSON of each of some entries, as an answer holds them."""
    with server(_SEEN, tree.kind) as (url, _):
        sizes, cursor = list[int](), ""
        while cursor is not None:
            answer = orjson.loads(ask(url, "entries/archive/query", tree.required, 100, cursor))
            sizes += [len(orjson.dumps(row)) for row in answer["data"]]
            cursor = answer["pagination"].get("next_page_after_value")
    return sizes


def embedded(tree: Tree, url: str) -> Installation:
    """What the embedded archive costs a request, without latency: one process, no limits."""
    alone = _quickest(url, "entries/archive/query", tree.required, 1)
    many = _quickest(url, "entries/archive/query", tree.required, 1_000)
    include = {"include": ["entry_id", "upload_id"]}
    listed = _quickest(url, "entries/query", include, LARGEST_PAGE)
    return Installation(
        latency=0.0,
        per_request=alone,
        per_entry=max(0.0, many - alone) / 1_000,
        per_id=max(0.0, listed - alone) / LARGEST_PAGE,
        processes=1,
        most_at_once=None,
        most_per_second=None,
        bandwidth=1e9,
    )


def _quickest(url: str, path: str, required: Any, n: int) -> float:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        ask(url, path, required, n)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def ask(url: str, path: str, required: Any, n: int, cursor: str = "") -> bytes:
    """The raw answer to one page."""
    pagination = {"page_size": n} | ({"page_after_value": cursor} if cursor else {})
    body = {"owner": "visible", "query": {}, "pagination": pagination, "required": required}
    request = urllib.request.Request(
        f"{url}/{path}", orjson.dumps(body), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def _decoding(answer: bytes) -> float:
    began = time.process_time()
    for _ in range(5):
        orjson.loads(answer)
    return (time.process_time() - began) / 5 / len(answer)


def _objects(answer: bytes) -> float:
    """Bytes of Python objects that a byte of JSON becomes."""
    tracemalloc.start()
    kept = orjson.loads(answer)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / len(answer) if kept else 0.0
