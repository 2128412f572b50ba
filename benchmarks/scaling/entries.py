"""Cost by entries: archives into Arrow in one process, by the segments of the default plan; each table is let
go.

Planning, and the sample for the schema, are part of it. The server has a process of its own, so that the CPU
seconds
are ours alone; it has a million small entries (`results` of 1.2 kB), of which others are read each time: it
would answer
faster what it was asked before.
"""

from itertools import cycle

from comparison.served import served

from nomad_dask.client.event_loop import run
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.dataset.segment import Job, read_segment
from nomad_dask.layouts.layouts import ONLY, WIDE
from nomad_dask.limits import Limits
from nomad_dask.plan.planner import PartitionSpec, prepare
from nomad_dask.request import QuerySpec, required_of
from nomad_dask.request.segments import even_bounds
from scaling.timing import Cost, least

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
NAMES = {"entries": "entries into Arrow, `results` of 1.2 kB (one process)"}
UNIT = "entries"
_ENTRIES = SIZES[-1]
_PLACES = 8
_REQUIRED = {"results": "*"}


def measure(size: int) -> dict[str, Cost]:
    """One point."""
    with served(_ENTRIES, "small") as archive:
        read(archive.url, 1_000)  # the server renders its templates
        afters = cycle(even_bounds("", "", _PLACES)[1:-1] if size < _ENTRIES / _PLACES else [""])
        rows, cost = least(lambda: read(archive.url, size, next(afters)))
    assert rows == size
    return {"entries": cost}


def read(url: str, results_max: int, after: str = "") -> int:
    """Read entries by their segments, one after another. Returns the number of rows."""
    server = Server(url, Limits(None))
    question = QuerySpec("visible", {}, required_of("archives", _REQUIRED), True)
    plan, sample = run(prepare(Client(server), question, PartitionSpec(results_max=results_max, after=after)))
    job = Job(sample.question, sample.schema, WIDE, sample.batch_size(), server=server)
    return sum(len(read_segment(job, segment, k)[0][ONLY]) for k, segment in enumerate(plan))
