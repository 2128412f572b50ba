"""Harvest all titanium oxides until the dataset is complete, and read the dataset.

    python examples/harvest.py [OUT [URL]]

Without a url it harvests the embedded archive, so it needs no network. Run it again to continue after a kill.
"""

import sys
import time
from contextlib import nullcontext

from nomad_dask import ArchiveQuery, NomadDaskError, UserError, open_dataset, units
from nomad_dask.errors import UnreachableError
from nomad_dask.testing import serve

ENERGY = "workflow2.results.calculation_result_ref.energy.total.value"

QUERY = {"results.material.elements": ["Ti", "O"]}
REQUIRED = {
    "results": {"material": {"chemical_formula_reduced": "*", "chemical_formula_anonymous": "*"}},
    "workflow2": {"results": {"calculation_result_ref": {"energy": {"total": {"value": "*"}}}}},
}
ROUNDS = 3
WAIT, PATIENCE = 60.0, 12 * 3600.0
"""Seconds between two tries while no server answers, and in total."""


def harvest(out: str, url: str) -> None:
    """Harvest into the dataset at `out`, and retry entries that fail."""
    query = ArchiveQuery(query=QUERY, required=REQUIRED, url=url, results_max=None, progress=False)
    number, end = 0, time.monotonic() + PATIENCE
    while number < ROUNDS:
        try:
            report = query.to_parquet(out, retry_failures=number > 0)
        except UnreachableError as error:  # an outage, or a wrong url
            if time.monotonic() > end:
                raise
            print(f"{error}; trying again in {WAIT:.0f} seconds")
            time.sleep(WAIT)
            continue
        except UserError:
            raise  # an invalid request: trying again does not help
        except NomadDaskError as error:
            print(f"round {number + 1}: {error}")
            number += 1
            continue
        number += 1
        print(f"{report.rows} entries in {out}, {report.missing} without archive, {report.failed} failed")
        if not report.failed:
            return
    raise SystemExit("some entries failed; run it again later")


def look(out: str) -> None:
    """Read a column with its unit, and another one."""
    frame = open_dataset(out)
    print(f"lowest energy: {frame[ENERGY].min().compute():.4g} {units(out)[ENERGY]}")
    print(frame["results.material.chemical_formula_anonymous"].value_counts().compute().sort_index())


if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else "titania"
    with nullcontext(sys.argv[2]) if len(sys.argv) > 2 else serve(n_entries=2000, port=8765) as url:
        harvest(out, url)
        look(out)
