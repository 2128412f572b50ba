"""Compare tools that turn the same archives into a table: entries per second, CPU, memory, requests.

    python benchmarks/compare.py [--runs 5] [--workloads small,large,mixed,recorded] [--only wide,dlt]
    [--scale 1] [--check] [--readme]

Each workload has an embedded archive in its own process, which is read once before; each run of each
contender is a separate process. Only the job is timed: imports and the start of a cluster are reported
separately (`starting`). Contenders alternate, after one warm-up each. Slow contenders process fewer entries,
because rates are compared. Only nomad-lab, used as in its guide, has a request limit. The contenders are in
`benchmarks/comparison/`.

With `--readme`, results are written to `benchmarks/results/compare.json`, the tables, the plot
and the promised ratios to benchmarks/README.md; without it, to `benchmarks/.results`. `--check`
prints each promised ratio with its bound (those with limited requests from the last run of `limits.py`) and
exits with 1 unless all hold.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from comparison.contenders import CONTENDERS, WORKLOADS, Contender, Workload
from comparison.context import context
from comparison.ratios import figures, verdicts
from comparison.report import context_in_words, plot, ratios_table, table
from comparison.runners import Run, rounds, run
from comparison.served import Archive, served
from options import names
from placed import OWN, place, results

from nomad_dask.limits import BatchSize

FLOORS = ("bytes", "decode", "decode-quiet")


def main() -> None:
    options = arguments()
    began = time.monotonic()
    chosen = [c for c in CONTENDERS.values() if not options.only or c.name in options.only]
    where = {c.environment: c.python for c in chosen}
    known = context(where | {"": CONTENDERS["wide"].python}, runs=options.runs, scale=options.scale)
    runs = {w.name: compared(w, chosen, options) for w in present(options.workloads)}
    known["load_after"], known["seconds"] = round(os.getloadavg()[0], 1), round(time.monotonic() - began)
    found = {name: result["figures"] for name, result in runs.items()}
    notes = noted(chosen)
    print(f"\n{table(found, notes)}\n\n{known['seconds']} s in all")
    folder = results(shown=options.readme)
    (folder / "compare.json").write_text(json.dumps({"context": known, "workloads": runs}, indent=1) + "\n")
    judged = verdicts(found, limited(folder))
    if options.readme:
        plot(found, folder / "compare.svg")
        words = f"{context_in_words(known)}\n\n![entries a second](results/compare.svg)"
        print(place("compare", f"{table(found, notes)}\n\n{words}"))
        print(place("ratios", f"{ratios_table(judged)}\n\n{context_in_words(known)}", OWN))
    if options.check:
        print(*judged, sep="\n")
        sys.exit(0 if all(one.holds for one in judged) else 1)


def limited(folder: Path) -> dict[str, Any]:
    """Return the last results of `limits.py`; an empty dict if there are none."""
    stored = folder / "limits.json"
    found: dict[str, Any] = json.loads(stored.read_text())["workloads"] if stored.exists() else {}
    return found


def present(chosen: list[str]) -> list[Workload]:
    """Return the chosen workloads, without those whose archives are not on this machine."""
    found = []
    for workload in map(WORKLOADS.__getitem__, chosen):
        if workload.archives is None or workload.archives.is_dir():
            found.append(workload)
        else:
            print(f"{workload.name}: left out, there are no archives in {workload.archives}", flush=True)
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--workloads", type=names(WORKLOADS), default=list(WORKLOADS), help="separated by commas"
    )
    parser.add_argument("--only", type=names(CONTENDERS), default=[], help="contenders, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of entries")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--readme", action="store_true")
    return parser.parse_args()


def compared(workload: Workload, contenders: list[Contender], options: argparse.Namespace) -> dict[str, Any]:
    """Run all contenders on one workload. Returns all runs and their medians."""
    entries = workload.entries if workload.archives else round(workload.entries * options.scale)
    contenders = [c for c in contenders if not workload.only or c.name in workload.only]
    with served(entries, workload.kind, workload.archives) as archive:
        walk = run(CONTENDERS["decode"], workload, archive, entries, 100)
        batch = BatchSize().target_bytes * entries / walk.n_bytes
        batches = {c.name: max(1, int(batch)) for c in contenders}
        searched = {c.name: search(c, workload, archive, entries) for c in contenders if c.searched}
        batches |= {name: max(rates, key=rates.__getitem__) for name, rates in searched.items()}
        runs: dict[str, list[Run]] = {c.name: [] for c in contenders}
        for k, contender in rounds(contenders, options.runs):
            done = run(contender, workload, archive, part(contender, entries), batches[contender.name])
            tell(workload, contender, done, warm_up=k == 0)
            if k:
                runs[contender.name].append(done)
    stored = {name: [asdict(one) for one in of] for name, of in runs.items()}
    return {
        "required": workload.required,
        "entries": entries,
        "bytes_per_entry": walk.n_bytes / entries,
        "batches": {name: batches[name] for name in batches if name in searched or name in FLOORS},
        "searched": searched,
        "figures": {name: figures(of) for name, of in stored.items()},
        "runs": stored,
    }


def search(contender: Contender, workload: Workload, archive: Archive, entries: int) -> dict[int, float]:
    """Return entries per second by batch size, each measured once on a quarter of the entries."""
    found = {}
    for size in contender.searched:
        done = run(contender, workload, archive, entries // 4, size)
        found[size] = round(done.entries / done.seconds, 1)
    print(f"{workload.name:6} {contender.name:12} batch sizes: {found}", flush=True)
    return found


def part(contender: Contender, entries: int) -> int:
    """Return the number of entries for a contender."""
    return max(1, round(entries * contender.share))


def tell(workload: Workload, contender: Contender, done: Run, *, warm_up: bool) -> None:
    print(
        f"{workload.name:6} {contender.name:12} {done.entries / done.seconds:9.1f} entries/s "
        f"{done.n_bytes / done.seconds / 1e6:6.1f} MB/s {done.seconds:6.2f} s (starting {done.starting:.1f}) "
        f"CPU {done.cpu:5.1f} s, {done.peak / 1e6:5.0f} MB, {done.requests} requests{' (warm-up)' if warm_up else ''}",  # noqa: E501
        flush=True,
    )


def noted(contenders: list[Contender]) -> dict[str, str]:
    """Return notes for the contenders that process fewer entries."""
    return {c.name: f"{c.share:.0%} of the entries" for c in contenders if c.share < 1}


if __name__ == "__main__":
    main()
