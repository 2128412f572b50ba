"""nomad-dask's own ways to the table, with its defaults, but without a limit of requests a second.

- `arrow-wide`, `arrow-nested`, `arrow-tables`: one process and no Dask; planning and the sample for the
  schema included
- `dataframe`: `to_dask_dataframe().compute()` on threads
- `cluster`: `to_parquet` by two processes; the cluster is up, and its workers have imported what they need
- `download`: `ArchiveQuery.download` and `entries_to_dataframe`, listed by pages of 1,000
- `default-...`: the same with the limit of 20 requests a second that is the default
"""

import time
from typing import Any

from measuring import Clock, Job, Order, main

from nomad_dask import ArchiveQuery
from nomad_dask.client.event_loop import run
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.cluster.clusters import Cluster
from nomad_dask.dataset import segment as worker
from nomad_dask.layouts import layouts
from nomad_dask.limits import Limits
from nomad_dask.plan.planner import PartitionSpec, TableOptions, prepare
from nomad_dask.request import QuerySpec, required_of


def arrow(layout: str) -> Job:
    def job(order: Order, clock: Clock) -> int:
        server = Server(order.url, Limits(None))
        question = QuerySpec("visible", {}, required_of("archives", order.required), True)
        cut = PartitionSpec(npartitions=1, results_max=order.entries)
        options = TableOptions(layouts.layout(layout))
        with clock:
            began = time.perf_counter()
            plan, sample = run(prepare(Client(server), question, cut, options))
            clock.facts["planning"] = time.perf_counter() - began
            task = worker.Job(**sample.table_spec(options).table_fields(), server=server)
            done = [worker.read_segment(task, segment, k) for k, segment in enumerate(plan)]
        clock.facts["columns"] = sum(table.num_columns for table in done[0][0].values())
        assert not any(receipt.failures for _, receipt in done)
        return sum(receipt.rows for _, receipt in done)

    return job


def dataframe(order: Order, clock: Clock) -> int:
    import dask.dataframe  # noqa: F401  (an import, and no part of the job)

    with clock:
        frame = query(order).to_dask_dataframe().compute(scheduler="threads")
    clock.facts["columns"] = frame.shape[1]
    return len(frame)


def cluster(order: Order, clock: Clock) -> int:
    with Cluster(workers=2).client() as client:
        client.run(ready)
        clock.workers = lambda: sum(client.run(time.process_time).values())
        with clock:
            report = query(order).to_parquet(f"{order.out}/dataset", client=client)
    assert report.complete and not report.failed
    return report.rows


def ready() -> None:
    """A worker that has imported what it needs, and done nothing."""
    import nomad_dask.dataset.segment  # noqa: F401


def download(order: Order, clock: Clock) -> int:
    import pandas  # noqa: F401

    with clock:
        asked = query(order, **({"page_size": 1_000} if OPTIONS else {}))
        asked.download()
        frame = asked.entries_to_dataframe()
    clock.facts["columns"] = frame.shape[1]
    assert not asked.failures
    return len(frame)


def by_default(job: Job) -> Job:
    """The same within the limits that are the default."""

    def limited(order: Order, clock: Clock) -> int:
        OPTIONS.clear()
        return job(order, clock)

    return limited


OPTIONS: dict[str, Any] = {"max_requests_per_second": None}


def query(order: Order, **options: Any) -> ArchiveQuery:
    asked = {"url": order.url, "required": order.required, "results_max": order.entries}
    return ArchiveQuery(**asked, progress=False, **OPTIONS, **options)


if __name__ == "__main__":
    main(
        {
            **{f"arrow-{layout}": arrow(layout) for layout in ("wide", "nested", "tables")},
            "dataframe": dataframe,
            "cluster": cluster,
            "download": download,
            "default-dataframe": by_default(dataframe),
            "default-cluster": by_default(cluster),
            "default-download": by_default(download),
        }
    )
