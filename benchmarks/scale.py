"""Cost as work grows, each as the slope of a line on log axes: a slope of 1 is a cost that grows as the work does.

    python benchmarks/scale.py [--only entries,columns,partitions,workers] [--smallest 3] [--readme]

Entries (a thousand to a million), columns (10 to 10,000), partitions (1 to 10,000) and workers (1 to 8, against a
server with latency). Each point has a process of its own, which imports, warms up, and does short work several times:
the least counts. What each one does is told in `benchmarks/scaling/`. Fixed costs are in all points; as they flatten
the line, the upper two decades have a slope of their own beside the whole.

With `--readme` the results are kept in `benchmarks/results/scale.json`, in the place of earlier ones of the same kinds,
and the table of all that is kept goes to benchmarks/README.md. Takes about 9 minutes on two cores.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from comparison.context import context
from options import names
from placed import OWN, RESULTS, place, results
from scaling import columns, entries, partitions, workers
from scaling.slopes import BAR, Curve, Point, table
from scaling.timing import ENOUGH, MOST, Cost

AXES = {"entries": entries, "columns": columns, "partitions": partitions, "workers": workers}
STORED = RESULTS / "scale.json"


def main() -> None:
    options = arguments()
    found = {name: grown(name, options.smallest) for name in options.only}
    print(f"\n{table(curves_of(found))}\n\nsteeper than {BAR}: {', '.join(steep(found)) or 'none'}")
    if options.readme:
        kept = json.loads(STORED.read_text()) if STORED.exists() else {}
        found = {name: (kept | found)[name] for name in AXES if name in kept | found}
        results(shown=True)
        STORED.write_text(json.dumps(found, indent=1) + "\n")
        print(
            place(
                "scale",
                f"{table(curves_of(found))}\n\n{in_words([one['context'] for one in found.values()])}",
                OWN,
            )
        )


def grown(name: str, smallest: int | None) -> dict[str, Any]:
    """All curves of one axis as plain JSON, and when and where they were measured."""
    known, began = context({"": Path(sys.executable)}), time.monotonic()
    curves = measured(AXES[name], smallest)
    known["load_after"], known["seconds"] = round(os.getloadavg()[0], 1), round(time.monotonic() - began)
    return {"context": known, "curves": [curve.to_json() for curve in curves]}


def curves_of(found: dict[str, Any]) -> list[Curve]:
    return [Curve.from_json(curve) for one in found.values() for curve in one["curves"]]


def steep(found: dict[str, Any]) -> list[str]:
    return [curve.name for curve in curves_of(found) if curve.steep()]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=names(AXES), default=list(AXES), help="of these, separated by commas")
    parser.add_argument("--smallest", type=int, default=None, help="only so many sizes of each")
    parser.add_argument(
        "--readme", action="store_true", help="keep the results, and put the table in its place"
    )
    options = parser.parse_args()
    if options.smallest and options.readme:
        parser.error("--readme keeps whole curves; leave --smallest out")
    return options


def measured(axis: ModuleType, smallest: int | None) -> list[Curve]:
    """The curves of one axis, each size in a process of its own."""
    found: dict[str, list[Point]] = {name: [] for name in axis.NAMES}
    for size in axis.SIZES[:smallest]:
        for name, cost in alone(axis, size).items():
            found[name].append(Point(size, cost.cpu, cost.wall))
            print(
                f"{size:>9,} {axis.UNIT:10} {name:10} CPU {cost.cpu:9.4f} s, wall {cost.wall:9.4f} s",
                flush=True,
            )
    return [Curve(axis.NAMES[name], axis.UNIT, tuple(points)) for name, points in found.items()]


def alone(axis: ModuleType, size: int) -> dict[str, Cost]:
    """One size, in a process that nothing was done in before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(axis.measure, size).result()


def in_words(contexts: list[dict[str, Any]]) -> str:
    """One sentence on where and when; the first context stands for versions and machine."""
    known = contexts[0]
    busy = [load for one in contexts for load in (one["load_before"], one["load_after"])]
    others = (
        f"; others used the machine too (load {min(busy):.0f} to {max(busy):.0f})"
        if max(busy) > 2 * known["cores"]
        else ""
    )
    return (
        f"{known['date'][:10]}, {known['cores']} cores ({known['processor']}), Python {known['python']}, nomad-dask "
        f"{known['versions']['ours']['nomad-dask']}; the least of up to {MOST} runs, of one where it takes longer than "
        f"{ENOUGH:g} s{others}."
    )


if __name__ == "__main__":
    main()
