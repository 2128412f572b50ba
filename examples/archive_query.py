"""The complete example of NOMAD's guide to `ArchiveQuery`, with only the import changed.

    python examples/archive_query.py [URL]

Without a url it runs against the embedded archive, so it needs no network. It fetches, downloads in portions,
follows
a reference, and makes the dataframe of the guide.
"""

import sys
from contextlib import nullcontext

from nomad_dask import ArchiveQuery
from nomad_dask.testing import serve

required = {
    "workflow2": {
        "results": {
            "calculation_result_ref": {
                "energy": "*",
                "system_ref": {"chemical_composition_reduced": "*"},
            }
        }
    }
}

query = {
    "results.method.simulation.program_name": "VASP",
    "results.material.elements": ["Ti"],
}


def main(url: str) -> None:
    """Run the example of the guide."""
    asked = ArchiveQuery(query=query, required=required, url=url, page_size=10, results_max=10000)
    print(f"{asked.count()} entries match")

    asked.fetch(10)
    print(asked.entry_list())

    result = asked.download(8)
    print(f"Downloaded {len(result)} entries.")
    print(asked.entry_list())

    result = asked.download(5)
    print(f"Downloaded {len(result)} entries.")

    total_results = list(result)
    while True:
        result = asked.download(100)
        if len(result) == 0:
            break
        total_results += result
    print(f"{len(total_results)} more archives; without archive: {asked.missing}; failed: {asked.failures}")

    entry = next(a for a in total_results if a.get("workflow2", {}).get("results"))
    print(f"{entry.entry_id}: {entry.workflow2.results.calculation_result_ref.energy.total.value}")

    frame = asked.entries_to_dataframe(
        keys_to_filter=["workflow2.results.calculation_result_ref"], query_selection="all"
    )
    print(frame)


if __name__ == "__main__":
    with nullcontext(sys.argv[1]) if len(sys.argv) > 1 else serve(n_entries=2000) as url:
        main(url)
