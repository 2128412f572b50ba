"""A harvest from a script: all titanium oxides, until every entry is there, and a first look at the dataset.

    python examples/harvest.py [OUT [URL]]

Without a url it harvests the embedded archive, so it needs no network. Killed, it goes on where it was when it is run
again.
"""

import sys
from contextlib import nullcontext

from nomad_dask import ArchiveQuery, NomadDaskError, UserError, open_dataset, units
from nomad_dask.testing import serve

ENERGY = "workflow2.results.calculation_result_ref.energy.total.value"

QUERY = {"results.material.elements": ["Ti", "O"]}
REQUIRED = {
    "results": {"material": {"chemical_formula_reduced": "*", "n_elements": "*"}},
    "workflow2": {"results": {"calculation_result_ref": {"energy": {"total": {"value": "*"}}}}},
}
ROUNDS = 3


def harvest(out: str, url: str) -> None:
    """The dataset at `out`, as whole as the server lets it be; entries that fail are asked for again."""
    query = ArchiveQuery(query=QUERY, required=REQUIRED, url=url, results_max=None, progress=False)
    for number in range(ROUNDS):
        try:
            report = query.to_parquet(out, retry_failures=number > 0)
        except UserError:
            raise  # wrong as it was asked: asking again does not help
        except NomadDaskError as error:
            print(f"round {number + 1}: {error}")
            continue
        print(f"{report.rows} entries in {out}, {report.missing} without archive, {report.failed} failed")
        if not report.failed:
            return
    raise SystemExit("not all entries came; run it again later")


def look(out: str) -> None:
    """What a program reads of it: one column, with its unit."""
    frame = open_dataset(out)
    print(f"lowest energy: {frame[ENERGY].min().compute():.4g} {units(out)[ENERGY]}")
    print(frame["results.material.n_elements"].value_counts().compute().sort_index())


if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else "titania"
    with nullcontext(sys.argv[2]) if len(sys.argv) > 2 else serve(n_entries=2000, port=8765) as url:
        harvest(out, url)
        look(out)
