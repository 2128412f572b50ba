"""Scaling of costs with the amount of work, as slopes on log axes: a slope of 1 means linear growth.

    python benchmarks/scale.py [--only entries,columns,partitions,workers] [--smallest 3] [--readme]

Measures entries (a thousand to a million), columns (10 to 10,000), partitions (1 to 10,000) and workers (1 to
8, with a server with latency). Each point is measured in its own process, after imports and a warm-up; short
work is repeated and the minimum counts. The measured work is in `benchmarks/scaling/`. All points include
fixed costs, which flatten the line; therefore the slope of the upper two decades is also given.

With `--readme`, the results replace those of the same kinds in `benchmarks/results/scale.json`, and the table
of all stored results is written to benchmarks/README.md. Takes about 9 minutes on two cores.
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
    """Measure all curves of one axis. Returns them as JSON, with date and machine."""
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
    parser.add_argument(
        "--only", type=names(AXES), default=list(AXES), help="axes to measure, comma-separated"
    )
    parser.add_argument(
        "--smallest", type=int, default=None, help="number of sizes to measure, from the smallest"
    )
    parser.add_argument(
        "--readme", action="store_true", help="store the results, and write the table to the README"
    )
    options = parser.parse_args()
    if options.smallest and options.readme:
        parser.error("--readme needs all sizes; remove --smallest")
    return options


def measured(axis: ModuleType, smallest: int | None) -> list[Curve]:
    """Measure the curves of one axis, each size in its own process."""
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
    """Measure one size in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(axis.measure, size).result()


def in_words(contexts: list[dict[str, Any]]) -> str:
    """Return a sentence on date and machine. Versions are those of the first context."""
    known = contexts[0]
    busy = [load for one in contexts for load in (one["load_before"], one["load_after"])]
    others = (
        f"; others used the machine too (load {min(busy):.0f} to {max(busy):.0f})"
        if max(busy) > 2 * known["cores"]
        else ""
    )
    return (
        f"{known['date'][:10]}, {known['cores']} cores ({known['processor']}), Python {known['python']}, nomad-dask "  # noqa: E501
        f"{known['versions']['ours']['nomad-dask']}; the least of up to {MOST} runs, of one where it takes longer than "  # noqa: E501
        f"{ENOUGH:g} s{others}."
    )


if __name__ == "__main__":
    main()
