"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded answers and real archives; a test that needs it is skipped where it is absent.

    It lies beside the checkout (`../shared/data`), or where NOMAD_DASK_SHARED_DATA says.
    """
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("NOMAD_DASK_SHARED_DATA", root.parent / "shared" / "data"))
    if not (folder / "recorded.jsonl").exists():
        pytest.skip(f"no recorded answers at {folder}; set NOMAD_DASK_SHARED_DATA")
    return folder
