"""Owns the demonstration: the embedded archive, a harvest of it with worker processes, and a look at the dataset."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from .console import shown
from .edges.store import Store
from .frame import open_dataset
from .harvest_page import leave_page
from .pure.amounts import counted, duration, size
from .pure.errors import DatasetError
from .pure.report import Report
from .pure.verdict import closing
from .query.archive_query import ArchiveQuery
from .testing import serve

REQUIRED = {
    "results": {"material": {"chemical_formula_reduced": "*", "elements": "*", "n_elements": "*"}},
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
"""What the demonstration asks for: the material, the program, and the last energy, reached through a reference."""


def demonstrate(out: Path, n_entries: int, workers: int) -> Report:
    """Serve, harvest, show. The dataset at `out` is left; an earlier demonstration's there is replaced."""
    _clear(out)
    with serve(n_entries=n_entries) as url:
        print(f"1. the embedded archive serves {counted(n_entries, 'entry', 'entries')} at {url}")
        print(
            f"2. {counted(workers, 'worker process', 'worker processes')} harvest it into {out}", flush=True
        )
        query = ArchiveQuery(required=REQUIRED, url=url, results_max=None, progress=False)
        began = time.monotonic()
        with shown() as show:
            report = query.to_parquet(out, workers=workers, progress=show)
        seconds = time.monotonic() - began
    print(closing(report, str(out)))
    print(
        f"3. {counted(report.rows, 'entry', 'entries')}, {size(report.n_bytes)}, {duration(seconds)}; "
        f"the dataset lies in {out}/data"
    )
    print(_first_rows(out))
    print("4. open it with")
    print("   import pandas as pd")
    print(f"   frame = pd.read_parquet({str(out / 'data')!r}, dtype_backend='pyarrow')")
    if page := leave_page(str(out)):
        print(f"5. how it went, in a browser: {page}")
    return report


def _clear(out: Path) -> None:
    """Take away an earlier demonstration, and nothing else."""
    if not out.exists():
        return
    manifest = Store.at(out).manifest()
    if manifest is None or not manifest.url.startswith("http://127.0.0.1:"):
        raise DatasetError(f"{out} exists and holds no demonstration; choose another folder with --out")
    shutil.rmtree(out)


def _first_rows(out: Path) -> str:
    dataset: Any = open_dataset(out)
    frame = dataset.head(5)
    names = [name for name in frame.columns if name not in ("upload_id", "_more")][:4]
    return str(frame[names].to_string(max_colwidth=28))
