"""Compare tools on a server with a limit of 20 requests per second and a latency of 100 ms.

    python benchmarks/limits.py [--runs 5] [--only cluster,nomad] [--scale 1] [--readme]

The contenders are nomad-dask with its defaults, nomad-lab as in its guide, and dlt. Beyond the limit the
server answers 503, and the contender retries. Reports entries per second; slow contenders process few
entries. With `--readme`, results are written to `benchmarks/results/limits.json` and benchmarks/README.md,
without it to
`benchmarks/.results`.
"""

import argparse
import json
import time
from dataclasses import asdict
from typing import Any

from compare import noted, part, tell
from comparison.contenders import WORKLOADS, Contender, Workload
from comparison.context import context
from comparison.ratios import figures
from comparison.report import limits_table
from comparison.runners import Run, rounds, run
from comparison.served import served
from options import names
from placed import place, results

LIMIT, LATENCY = 20, 0.1
CONTENDERS = {
    c.name: c
    for c in (
        Contender("cluster", "nomad-dask: two processes, to Parquet", "ours.py", "default-cluster"),
        Contender("dataframe", "nomad-dask: dask.dataframe on threads", "ours.py", "default-dataframe"),
        Contender(
            "download",
            "nomad-dask: download and entries_to_dataframe",
            "ours.py",
            "default-download",
            share=0.5,
        ),
        Contender(
            "nomad", "nomad-lab: as its guide documents it", "nomad_job.py", "documented", "peers", 0.02
        ),
        Contender("dlt", "dlt: tuned, to Parquet", "dlt_job.py", "tuned", "dlt", 0.25),
    )
}


def main() -> None:
    options = arguments()
    began = time.monotonic()
    chosen = [c for c in CONTENDERS.values() if not options.only or c.name in options.only]
    where = {c.environment: c.python for c in chosen} | {"": CONTENDERS["cluster"].python}
    known = context(where, runs=options.runs, scale=options.scale, limit=LIMIT, latency=LATENCY)
    measured = {name: limited(WORKLOADS[name], chosen, options) for name in ("small", "large")}
    known["seconds"] = round(time.monotonic() - began)
    stored = {"context": known, "workloads": {name: result["figures"] for name, result in measured.items()}}
    kept = results(shown=options.readme) / "limits.json"
    kept.write_text(json.dumps(stored | {"runs": measured}, indent=1) + "\n")
    notes = noted(chosen)
    text = limits_table(stored["workloads"], {c.name: c.title for c in chosen}, notes, known)
    print(f"\n{text}\n\n{known['seconds']} s in all")
    if options.readme:
        print(place("limits", text))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", type=names(CONTENDERS), default=[], help="contenders, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of entries")
    parser.add_argument("--readme", action="store_true")
    return parser.parse_args()


def limited(workload: Workload, contenders: list[Contender], options: argparse.Namespace) -> dict[str, Any]:
    """All runs on one workload, and their medians.

    No warm-up but the server's: waiting is what takes the time.
    """
    entries = round(workload.entries * options.scale)
    runs: dict[str, list[Run]] = {c.name: [] for c in contenders}
    with served(entries, workload.kind) as archive:
        run(Contender("walk", "", "floors.py", "bytes"), workload, archive, entries, 100)
        archive.misbehave(f"latency={LATENCY}; limit={LIMIT}")
        for k, contender in rounds(contenders, options.runs):
            if k:
                time.sleep(1.0)  # the server forgets who asked before
                done = run(contender, workload, archive, part(contender, entries), 100)
                tell(workload, contender, done, warm_up=False)
                runs[contender.name].append(done)
    stored = {name: [asdict(one) for one in of] for name, of in runs.items()}
    return {"figures": {name: figures(of) for name, of in stored.items()}, "runs": stored}


if __name__ == "__main__":
    main()
