"""Cost by workers: a harvest from a server that takes 200 ms to begin an answer, ten entries a request.

Each worker may have two requests under way, and there is no limit of requests a second: as long as workers
wait, the
seconds halve where the workers double (a slope of -1), and the processor's, of all workers, stay (0). The
cluster is up
before, and the plan is made.
"""

from comparison.served import served
from simulated.measured import Tree, harvested

from nomad_dask.cluster.clusters import Cluster
from scaling.timing import Cost

SIZES = (1, 2, 4, 8)
NAMES = {"workers": "a harvest of 3,200 entries, 200 ms latency, to Parquet"}
UNIT = "workers"
ENTRIES, PART, BATCH, LATENCY = 3_200, 100, 10, 0.2
_TREE = Tree("`results`", "small", {"results": "*"})


def measure(size: int) -> dict[str, Cost]:
    """One point."""
    with served(ENTRIES, _TREE.kind) as archive, Cluster(workers=size).client() as cluster:
        unlimited = {"max_requests_per_second": None, "max_concurrency": 2 * size}
        harvested(
            archive.url, _TREE, cluster, part_rows=PART // 2, **unlimited
        )  # workers import, the server renders
        archive.misbehave(f"latency={LATENCY}")
        run = harvested(archive.url, _TREE, cluster, part_rows=PART, batch_size=BATCH, **unlimited)
    assert run.report.complete and run.report.rows == ENTRIES
    return {"workers": Cost(run.cpu, run.seconds)}
