"""Fixtures that every test may use, and how often hypothesis tries a property."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("checks")

# The gate is repeatable; `make fuzz` tries other examples each time, and first those that failed the last time.
# A property marked `fuzz` is tried twenty times as often as these say (`strategies.fuzzed`): 2,000 and 20,000.
_EVERYWHERE = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("gate", max_examples=100, derandomize=True, **_EVERYWHERE)
settings.register_profile("fuzz", max_examples=1000, print_blob=True, **_EVERYWHERE)
settings.load_profile("gate")


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


@pytest.fixture
def kernel(monkeypatch):
    """A notebook's kernel, which keeps what is shown below its cells."""
    from kernels import below_the_cell

    with below_the_cell(monkeypatch) as kernel:
        yield kernel
