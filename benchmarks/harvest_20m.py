"""Duration of a harvest of 20 million entries: really planned, and simulated with measured costs.

    python benchmarks/harvest_20m.py [--workers 4] [--rate 30] [--latency 0.1] [--readme]

1. Plan a harvest from an embedded archive of 20 million computed ids, over a socket. 2. Measure our costs
with short real harvests of a few thousand entries: CPU seconds per byte, request and segment,
   memory, and bytes on disk.
3. Simulate and run the same small harvest, with a request limit and a latency, to check the simulation. 4.
Simulate the large harvest. The server's costs are arguments; the defaults were observed at the real server.

`--readme` writes the table between its two markers in benchmarks/README.md. Takes about six minutes.
"""

import argparse
import statistics
import time
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

from placed import place
from simulated.harvest import Costs, Harvest, Outcomes
from simulated.measured import Run, Tree, ask_for, embedded, harvested, measured, server, slowness
from simulated.server import Installation

from nomad_dask import ArchiveQuery
from nomad_dask.cluster.clusters import Cluster
from nomad_dask.limits import Limits
from nomad_dask.plan.planner import PartitionSpec
from nomad_dask.request.segments import Plan
from nomad_dask.testing import serve
from nomad_dask.testing.corpus import Corpus
from nomad_dask.testing.generate import generate
from nomad_dask.testing.serve import Served

TREES = (
    Tree("`results`", "mixed", {"results": "*"}),
    Tree("`run`, `results`, large", "large", {"run": "*", "results": "*"}),
    Tree("`run`, `results`, `workflow2`, mixed", "mixed", {"run": "*", "results": "*", "workflow2": "*"}),
)
HOUR, DAY = 3_600, 86_400
HEAVY = 0.024
"""Seconds per entry on the server, for entries of an upload of 100,000."""


@dataclass(frozen=True, slots=True)
class Column:
    """Results for one `required` tree."""

    tree: Tree
    costs: Costs
    run: Run
    plan: Plan
    planning: tuple[int, float]
    """Number of requests, and seconds."""
    many: Outcomes
    one: Outcomes
    heavy: Outcomes
    """`many`: a server that handles all admitted requests at the same time; `one`: a server that handles one
    request
    after another; `heavy`: like `many`, with all entries in huge uploads."""


def main() -> None:
    options = arguments()
    began = time.monotonic()
    print("measuring", flush=True)
    costs, run = measured(TREES[0])
    tell(TREES[0], costs, run)
    checked = validate(TREES[0], costs)
    known = [(TREES[0], costs, run)]
    for tree in TREES[1:]:
        known.append((tree, *measured(tree, costs.per_request)))
        tell(*known[-1])
    print("planning and simulating", flush=True)
    with serve(generate(options.entries)) as url:
        columns = [column(tree, costs, run, url, options) for tree, costs, run in known]
        sizes = true_sizes(url.corpus, columns[0].plan)
    print(f"true sizes of the {len(sizes)} segments of the first plan: {min(sizes)} to {max(sizes)}")
    text = f"{table(columns, options)}\n\n{table_of_checks(checked)}"
    print(f"\n{text}\n\n{time.monotonic() - began:.0f} s in all")
    if options.readme:
        print(place("harvest-20m", text))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=20_000_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=30.0, help="requests a second")
    parser.add_argument("--concurrency", type=int, default=10)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds")
    parser.add_argument("--entry-ms", type=float, default=1.5, help="the server's time for one archive")
    parser.add_argument("--request-ms", type=float, default=50.0, help="and for a request")
    parser.add_argument("--line-mb", type=float, default=100.0, help="MB of JSON a second")
    parser.add_argument("--fault-rate", type=float, default=0.002)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readme", action="store_true")
    return parser.parse_args()


def tell(tree: Tree, costs: Costs, run: Run) -> None:
    print(
        f"{tree.name}: {run.report.rows} entries of {statistics.mean(costs.entry_bytes) / 1e3:.1f} kB, "
        f"{run.report.requests} requests, {run.cpu:.1f} s of CPU; for a MB {costs.per_byte * 1e9:.0f} ms "
        f"(reading JSON: {costs.decoding * 1e9:.0f}), a request {costs.per_request * 1e3:.1f} ms, "
        f"a segment {costs.per_segment * 1e3:.0f} ms; a worker has {run.base_bytes / 1e6:.0f} MB, "
        f"at most {run.peak_bytes / 1e6:.0f}",
        flush=True,
    )


def validate(tree: Tree, costs: Costs, n: int = 20_000) -> list[list[str]]:
    """Run and simulate the same harvests, with 20 requests per second and a latency of 0.1 s.

    Returns table rows.
    """
    rows = []
    with server(n, tree.kind) as (url, faults):
        model = replace(embedded(tree, url), latency=0.1, most_per_second=20.0)
        for workers, batch_size in ((1, 25), (2, 25), (1, 100), (1, None)):
            with Cluster(workers=workers).client() as cluster:
                ask_for(faults, "")
                harvested(url, tree, cluster, part_rows=2_500, max_requests_per_second=None)
                ask_for(faults, "latency=0.1; limit=20")
                slow = slowness()
                real = harvested(
                    url, tree, cluster, part_rows=2_500, batch_size=batch_size, max_requests_per_second=20.0
                )
                slow = (slow + slowness()) / 2
            sizes = [real.report.rows // real.report.segments] * real.report.segments
            known = costs.slower(slow, real.batch)
            like = Harvest(sizes, known, model, Limits(20.0, 10), workers=workers).run()
            rows.append(compared(workers, batch_size, like, real))
            print(*rows[-1], f"the machine is {slow:.1f} times as slow", sep=" | ", flush=True)
    return rows


def compared(workers: int, batch_size: int | None, like: Outcomes, real: Run) -> list[str]:
    requests = like.requests.total()
    return [
        f"{workers}",
        f"{batch_size or 'automatic'}",
        f"{like.seconds:.1f} s",
        f"{real.seconds:.1f} s ({like.seconds / real.seconds - 1:+.0%})",
        f"{requests}",
        f"{real.report.requests} ({requests / real.report.requests - 1:+.0%})",
        f"{like.peak_bytes / 1e6:.0f} MB",
        f"{real.peak_bytes / 1e6:.0f} MB",
    ]


def column(tree: Tree, costs: Costs, run: Run, url: Served, options: argparse.Namespace) -> Column:
    mean = statistics.mean(costs.entry_bytes)
    before, began = len(url.log), time.monotonic()
    query = ArchiveQuery(url=url, required=tree.required, results_max=None, progress=False)
    plan = query.plan(npartitions=PartitionSpec().segments(options.entries, mean))
    planning = len(url.log) - before, time.monotonic() - began
    public = Installation(
        latency=options.latency,
        per_request=options.request_ms / 1e3,
        per_entry=options.entry_ms / 1e3,
        processes=options.concurrency,
        most_at_once=options.concurrency,
        most_per_second=options.rate,
        bandwidth=options.line_mb * 1e6,
        fault_rate=options.fault_rate,
    )
    limits = Limits(options.rate, options.concurrency)
    sizes = random_sizes(plan, Random(options.seed))
    settings = {"workers": options.workers, "seed": options.seed}
    many = Harvest(sizes, costs, public, limits, **settings).run()
    one = Harvest(sizes, costs, replace(public, processes=1), limits, **settings).run()
    heavy = Harvest(sizes, costs, replace(public, per_entry=HEAVY), limits, **settings).run()
    return Column(tree, costs, run, plan, planning, many, one, heavy)


def random_sizes(plan: Plan, dice: Random) -> list[int]:
    """Return random sizes of segments around the estimates of the plan: ids are hashes, so the deviation is
    random."""
    return [max(0, round(dice.gauss(segment.size, segment.size**0.5))) for segment in plan]


def true_sizes(corpus: Corpus, plan: Plan) -> list[int]:
    """Return the real sizes of segments, counted in the corpus."""
    found, ids = corpus.visible("visible", None), corpus.ids
    ends = [bisect_right(found, s.upto, key=ids.__getitem__) for s in plan.segments[:-1]]
    return [b - a for a, b in pairwise([0, *ends, len(found)])]


def table(columns: list[Column], options: argparse.Namespace) -> str:
    """Return the results as Markdown."""
    n = options.entries
    rows: list[tuple[str, list[str]]] = [
        ("JSON an entry", [f"{statistics.mean(c.costs.entry_bytes) / 1e3:.0f} kB" for c in columns]),
        ("planning", [f"{c.planning[0]} requests, {c.planning[1]:.1f} s" for c in columns]),
        ("segments, parts, receipts", [f"{len(c.plan):,} of each" for c in columns]),
        ("entries in a request (median)", [f"{statistics.median(c.many.batch_sizes):,.0f}" for c in columns]),
        ("requests for archives", [f"{c.many.requests['archives']:,}" for c in columns]),
        ("requests for lists", [f"{c.many.requests['listings']:,}" for c in columns]),
        (f"tried again ({options.fault_rate:.1%} faults)", [f"{c.many.retries:,}" for c in columns]),
        ("requests a second", [f"{c.many.requests.total() / c.many.seconds:.1f}" for c in columns]),
        (
            "our CPU, of the workers'",
            [f"{c.many.cpu / c.many.seconds / options.workers:.0%}" for c in columns],
        ),
        ("**days**", [f"**{lasting(c.many)}**" for c in columns]),
        ("days, one request after another in the server", [lasting(c.one) for c in columns]),
        (f"days, {HEAVY * 1e3:g} ms an entry (uploads of 100,000)", [lasting(c.heavy) for c in columns]),
        ("JSON received", [f"{c.many.n_bytes / 1e9:,.0f} GB" for c in columns]),
        ("memory of a worker, at most", [f"{c.many.peak_bytes / 1e6:,.0f} MB" for c in columns]),
        (
            "dataset on disk",
            [f"{on_disk(c) / 1e9:,.0f} GB in {2 * len(c.plan) + 2:,} files" for c in columns],
        ),
    ]
    lines = [
        f"{n / 1e6:g} million entries, {options.workers} workers of two threads, {options.rate:g} requests a second "  # noqa: E501
        f"and {options.concurrency} at a time over all of them; the server needs {options.request_ms:g} ms a request and "  # noqa: E501
        f"{options.entry_ms:g} ms an entry, the way to it {options.latency:g} s and {options.line_mb:g} MB of JSON a "  # noqa: E501
        "second. Our own costs are measured; sizes are those of generated archives.",
        "",
        "| `required` | " + " | ".join(c.tree.name for c in columns) + " |",
        "|---|" + "---:|" * len(columns),
        *(f"| {name} | " + " | ".join(values) + " |" for name, values in rows),
    ]
    return "\n".join(lines)


def table_of_checks(rows: list[list[str]]) -> str:
    """Return the check of the simulation as Markdown."""
    head = [
        "workers",
        "batch size",
        "simulated",
        "real",
        "requests, simulated",
        "real",
        "memory, simulated",
        "real",
    ]
    lines = [
        "Checked with 20,000 small entries, 20 requests a second and a latency of 0.1 s:",
        "",
        f"| {' | '.join(head)} |",
        "|" + "---:|" * len(head),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines)


def lasting(outcomes: Outcomes) -> str:
    return f"{outcomes.seconds / DAY:.2f} ({outcomes.seconds / HOUR:.1f} h)"


def on_disk(c: Column) -> float:
    return c.many.rows * c.run.disk_bytes + len(c.plan) * c.run.receipt_bytes


if __name__ == "__main__":
    main()
