"""Commands to try nomad-dask with the embedded archive: `serve`, `demo`."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from nomad_dask.cli.exit_codes import exit_code
from nomad_dask.cli.options import KINDS, choice, flag


def serve(
    n_entries: Annotated[int, typer.Option(help="Number of generated public entries.")] = 2000,
    seed: Annotated[
        int, typer.Option(help="Seed of the generator; the same seed gives the same archive.")
    ] = 0,
    kind: Annotated[
        str, choice(KINDS, "Sizes of archives: 3 to 800 kB, 5 kB, 100 kB, or 5 kB of results.", "Options")
    ] = "mixed",
    private_share: Annotated[float, typer.Option(help="Number of private entries per public one.")] = 0.05,
    features: Annotated[
        str | None, typer.Option(help="Shares of special features, as JSON; 'plain' for none.")
    ] = None,
    archives: Annotated[
        Path | None, typer.Option(help="Serve a folder of archive JSON files instead; all are public.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 is any free one.")] = 8000,
    faults: Annotated[
        str | None, typer.Option(help="Faults to inject: 'status=503,rate=0.1; latency=0.2; limit=20'.")
    ] = None,
    gzip: Annotated[bool, flag("--gzip", "Compress answers if the client accepts it.", "Options")] = False,
) -> None:
    """Run the embedded archive: a NOMAD-compatible server for tests and trials."""
    from nomad_dask.testing.command import run

    corpus: dict[str, Any] = {"n_entries": n_entries, "seed": seed, "kind": kind}
    server: dict[str, Any] = {"archives": archives, "host": host, "port": port, "gzip": gzip}
    run(**server, faults=faults, features=features, private_share=private_share, **corpus)


_REQUIRED = {
    "results": {
        "material": {"chemical_formula_reduced": "*", "chemical_formula_anonymous": "*", "elements": "*"}
    },
    "run": {"program": {"name": "*"}},
    "workflow2": {
        "results": {
            "calculation_result_ref": {
                "energy": {"total": {"value": "*"}},
                "system_ref": {"chemical_composition_reduced": "*"},
            }
        }
    },
}
"""The material, the program, and the last energy, which is behind a reference."""


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder of the dataset; an earlier demo there is replaced.")
    ] = Path("demo"),
    n_entries: Annotated[int, typer.Option(help="Entries in the embedded archive.")] = 2000,
    workers: Annotated[int, typer.Option(help="Number of worker processes.")] = 2,
) -> None:
    """Start the embedded archive, harvest it into a dataset, and show the dataset."""
    from nomad_dask import ArchiveQuery
    from nomad_dask.dataset.report import closing
    from nomad_dask.progress.display import terminal_progress
    from nomad_dask.report_page.write import leave_page
    from nomad_dask.testing import serve
    from nomad_dask.text.humanize import counted, duration, size

    _clear(out)
    with serve(n_entries=n_entries) as url:
        print(f"1. the embedded archive serves {counted(n_entries, 'entry', 'entries')} at {url}")
        processes = counted(workers, "worker process", "worker processes")
        print(f"2. {processes} harvest it into {out}", flush=True)
        query = ArchiveQuery(required=_REQUIRED, url=url, results_max=None, progress=False)
        began = time.monotonic()
        with terminal_progress() as show:
            report = query.to_parquet(out, workers=workers, progress=show)
        seconds = time.monotonic() - began
    print(closing(report, str(out)))
    print(
        f"3. {counted(report.rows, 'entry', 'entries')}, {size(report.n_bytes)}, {duration(seconds)}; "
        f"the dataset is in {out}/data"
    )
    print(_first_rows(out))
    print("4. open it with")
    print("   import pandas as pd")
    print(f"   frame = pd.read_parquet({str(out / 'data')!r}, dtype_backend='pyarrow')")
    if page := leave_page(str(out)):
        print(f"5. see the report in a browser: {page}")
    raise typer.Exit(exit_code(report))


def _clear(out: Path) -> None:
    """Remove the dataset of an earlier demonstration. DatasetError if there is anything else."""
    from nomad_dask.dataset.store import Store
    from nomad_dask.errors import DatasetError

    if not out.exists():
        return
    manifest = Store.at(out).manifest()
    if manifest is None or not manifest.url.startswith("http://127.0.0.1:"):
        raise DatasetError(f"{out} exists and is not a demonstration; choose another folder with --out")
    shutil.rmtree(out)


def _first_rows(out: Path) -> str:
    from nomad_dask import open_dataset

    dataset: Any = open_dataset(out)
    frame = dataset.head(5)
    names = [name for name in frame.columns if name not in ("upload_id", "_more")][:4]
    return str(frame[names].to_string(max_colwidth=28))
