"""Cost by partitions of 20 entries each: the plan, the lazy frame and what is computed of it, receipts and
the report.

Up to 50,000 entries are listed to be cut, more are counted in ranges: so plans of thousands of partitions
cost fewer
requests. The frame is made of a plan that is there, without the sample, which is the same at all sizes.
"""

import tempfile
from dataclasses import replace
from typing import Any

import dask
from comparison.served import served

from nomad_dask import ArchiveQuery, open_dataset
from nomad_dask.client.event_loop import run
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.dataset.manifest import Manifest
from nomad_dask.dataset.report import Receipt, Report
from nomad_dask.dataset.store import Store
from nomad_dask.frame.expr import frame_of
from nomad_dask.frame.partition import PartitionReader
from nomad_dask.limits import Limits
from nomad_dask.plan.planner import PartitionSpec, TableOptions, prepare
from nomad_dask.request import QuerySpec, required_of
from nomad_dask.request.segments import Plan
from scaling.timing import Cost, least, timed

SIZES = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
NAMES = {
    "plan": "the plan",
    "graph": "the lazy frame: made, optimised, its graph",
    "one": "one partition of it computed",
    "length": "its `len`: a listing for each partition (threads)",
    "report": "receipts summed up (pure)",
    "receipts": "receipts read and summed up, as a harvest that goes on does",
    "opened": "the dataset opened as a lazy frame",
}
UNIT = "partitions"
EACH = 20
_REQUIRED = {"results": {"material": "*"}}


def measure(size: int) -> dict[str, Cost]:
    """One point of each curve."""
    with served(size * EACH, "small") as archive:
        asked: dict[str, Any] = {"required": _REQUIRED, "results_max": None, "progress": False}
        query = ArchiveQuery(url=archive.url, max_requests_per_second=None, **asked)
        query.plan(npartitions=size)
        plan, of_plan = least(lambda: query.plan(npartitions=size))
        assert len(plan) == size
        reader = reading_of(archive.url)
        _, of_graph = least(lambda: graph(reader, plan))
        frame = frame_of(reader, plan)
        with dask.config.set(scheduler="threads"):
            frame.partitions[size // 2].compute()
            _, of_one = least(lambda: frame_of(reader, plan).partitions[size // 2].compute())
            rows, of_length = timed(lambda: len(frame_of(reader, plan)))
        assert rows == size * EACH
    return {"plan": of_plan, "graph": of_graph, "one": of_one, "length": of_length} | stored(reader, plan)


def reading_of(url: str) -> PartitionReader:
    """What all partitions share, of a sample."""
    server, question = (
        Server(url, Limits(None)),
        QuerySpec("visible", {}, required_of("archives", _REQUIRED), True),
    )
    _, sample = run(prepare(Client(server), question, PartitionSpec()))
    return PartitionReader(**sample.table_spec(TableOptions()).table_fields(), server=server)


def graph(reader: PartitionReader, plan: Plan) -> None:
    """The tasks of a frame."""
    tasks = frame_of(reader, plan).optimize().__dask_graph__()
    assert len(tasks) >= len(plan)


def stored(reader: PartitionReader, plan: Plan) -> dict[str, Cost]:
    """What a dataset of so many parts costs those who come to it."""
    manifest = Manifest(**reader.table_fields(), id="scale", url=reader.server.url, plan=plan)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.at(f"{folder}/x")
        store.create(manifest)
        tables = reader.empty()
        receipts = [store.write_part(tables, receipt(plan, number)) for number in range(len(plan))]
        report, of_report = least(lambda: Report.of(plan, receipts))
        assert report.done == len(plan)
        _, of_receipts = least(lambda: Report.of(plan, store.receipts(manifest.id).values()))
        frame, of_opened = least(lambda: open_dataset(store.url))
        assert frame.npartitions == len(plan)
    return {"report": of_report, "receipts": of_receipts, "opened": of_opened}


def receipt(plan: Plan, number: int) -> Receipt:
    """As a worker would write it, of a segment without trouble."""
    segment = plan.segments[number]
    first = segment.after + "0"
    ids = {"first": first, "last": segment.upto or "z"}
    made = Receipt(number, segment.after, segment.upto, EACH, **ids, n_bytes=24_000, requests=2, seconds=0.1)
    return replace(made, statuses={"200": 2}, batch_sizes=(EACH,), dataset="scale")
