"""Cost as work grows, each as the slope of a line on log axes: a slope of 1 is a cost that grows as the work does.

    python benchmarks/scale.py [--only entries,columns,partitions,workers] [--smallest 3] [--readme]

Entries (a thousand to a million), columns (10 to 10,000), partitions (1 to 10,000) and workers (1 to 8, against a
server with latency). Each point has a process of its own, which imports, warms up, and does short work several times:
the least counts. What each one does is told in `benchmarks/scaling/`. Fixed costs are in all points; as they flatten
the line, the upper two decades have a slope of their own beside the whole.

Results go to `benchmarks/results/scale.json`, with `--readme` the table goes to benchmarks/README.md. Takes about ten
minutes on two cores.
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
from comparison.report import RESULTS
from scaling import columns, entries, partitions, workers
from scaling.slopes import BAR, Curve, Point, table
from scaling.timing import Cost

AXES = {"entries": entries, "columns": columns, "partitions": partitions, "workers": workers}
README = Path(__file__).with_name("README.md")
STORED = RESULTS / "scale.json"


def main() -> None:
    options = arguments()
    began = time.monotonic()
    known = context({"": Path(sys.executable)}, smallest=options.smallest)
    curves = [curve for name in options.only for curve in measured(AXES[name], options.smallest)]
    known["load_after"], known["seconds"] = round(os.getloadavg()[0], 1), round(time.monotonic() - began)
    steep = [curve.name for curve in curves if curve.steep()]
    told = f"{table(curves)}\n\n{in_words(known)}"
    print(f"\n{told}\n\nsteeper than {BAR}: {', '.join(steep) or 'none'}; {known['seconds']} s in all")
    if options.readme:
        RESULTS.mkdir(exist_ok=True)
        stored = {"context": known, "curves": [curve.to_json() for curve in curves]}
        STORED.write_text(json.dumps(stored, indent=1) + "\n")
        print(write("scale", told))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=names, default=list(AXES), help="of these, separated by commas")
    parser.add_argument("--smallest", type=int, default=None, help="only so many sizes of each")
    parser.add_argument(
        "--readme", action="store_true", help="keep the results, and put the table in its place"
    )
    return parser.parse_args()


def names(text: str) -> list[str]:
    """Known axes, from text."""
    for name in text.split(","):
        if name not in AXES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(AXES)}")
    return text.split(",")


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


def in_words(known: dict[str, Any]) -> str:
    """One sentence on where and when."""
    busy = max(known["load_before"], known["load_after"])
    others = f"; others used the machine too (load {busy:.0f})" if busy > 2 * known["cores"] else ""
    return (
        f"{known['date'][:10]}, {known['cores']} cores ({known['processor']}), Python {known['python']}; the least of up to "
        f"seven runs{others}."
    )


def write(mark: str, text: str) -> str:
    """Put a text between its two markers in benchmarks/README.md; what was done."""
    begin, end = f"<!-- begin {mark} -->", f"<!-- end {mark} -->"
    before, found, rest = README.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        return f"benchmarks/README.md has no lines {begin} and {end}: nothing is written"
    README.write_text(f"{before}{begin}\n{text}\n{end}{after}")
    return "written to benchmarks/README.md"


if __name__ == "__main__":
    main()
