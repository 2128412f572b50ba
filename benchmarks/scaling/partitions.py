"""Cost by partitions of 20 entries each: the plan, the lazy frame and what is computed of it, receipts and the report.

Up to 50,000 entries are listed to be cut, more are counted in ranges: so plans of thousands of partitions cost fewer
requests. The frame is made of a plan that is there, without the sample, which is the same at all sizes.
"""

import tempfile
from dataclasses import replace
from typing import Any

import dask
from comparison.served import served

from nomad_dask import ArchiveQuery, open_dataset
from nomad_dask.edges.loop import run
from nomad_dask.edges.server import Server
from nomad_dask.edges.store import Store
from nomad_dask.edges.transport import Client
from nomad_dask.frame import lazy_frames
from nomad_dask.pure.layouts import WIDE, empty
from nomad_dask.pure.limits import Limits
from nomad_dask.pure.manifest import Manifest, Question, required_of
from nomad_dask.pure.report import Receipt, Report
from nomad_dask.pure.segments import Plan
from nomad_dask.sides.partitions import Reading
from nomad_dask.sides.planner import Cut, prepare
from nomad_dask.sides.worker import Job
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
        reading = reading_of(archive.url)
        _, of_graph = least(lambda: graph(reading, plan))
        frame = lazy_frames(reading, plan)
        with dask.config.set(scheduler="threads"):
            frame.partitions[size // 2].compute()
            _, of_one = least(lambda: lazy_frames(reading, plan).partitions[size // 2].compute())
            rows, of_length = timed(lambda: len(lazy_frames(reading, plan)))
        assert rows == size * EACH
    return {"plan": of_plan, "graph": of_graph, "one": of_one, "length": of_length} | stored(reading, plan)


def reading_of(url: str) -> Reading:
    """What all partitions share, of a sample."""
    server, question = (
        Server(url, Limits(None)),
        Question("visible", {}, required_of("archives", _REQUIRED), True),
    )
    _, sample = run(prepare(Client(server), question, Cut()))
    return Reading(Job(server, sample.question, sample.schema, WIDE, sample.batch_size()))


def graph(reading: Reading, plan: Plan) -> None:
    """The tasks of a frame."""
    tasks = lazy_frames(reading, plan).optimize().__dask_graph__()
    assert len(tasks) >= len(plan)


def stored(reading: Reading, plan: Plan) -> dict[str, Cost]:
    """What a dataset of so many parts costs those who come to it."""
    job = reading.job
    manifest = Manifest("scale", job.server.url, job.question, "", None, False, plan, WIDE, job.schema)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.at(f"{folder}/x")
        store.create(manifest)
        tables = empty(WIDE, job.schema)
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
