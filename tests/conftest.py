"""Fixtures that every test may use, and how often hypothesis tries a property."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

if folder := os.environ.get("NOMAD_DASK_SANITIZED"):
    import sanitized

    sanitized.use(folder)

pytest.register_assert_rewrite("checks", "cores")

# Where pytest was begun with signals ignored (in the background, by nohup), commands that tests interrupt
# would ignore them too.
for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        signal.signal(getattr(signal, name), handler)

# What the environment says of a server or a login is not for the tests, nor for the processes that they
# start.
for name in [name for name in os.environ if name.startswith("NOMAD_CLIENT_")]:
    del os.environ[name]

# The gate is repeatable; `make fuzz` tries other examples each time, and first those that failed the last
# time.
# A property marked `fuzz` is tried 500 or 1,000 times in the gate, 20,000 times by `make fuzz`.
_EVERYWHERE = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("gate", max_examples=100, derandomize=True, **_EVERYWHERE)
settings.register_profile("fuzz", max_examples=1000, print_blob=True, **_EVERYWHERE)
settings.load_profile("gate")


def pytest_terminal_summary(terminalreporter, config):
    """Says how to have the same order again, which `-q` keeps from being said at the start."""
    seed = config.getoption("randomly_seed", None)
    if seed is not None and config.getoption("randomly_reorganize"):
        terminalreporter.write_line(f"in random order; the same again: pytest --randomly-seed={seed}")


def pytest_runtest_teardown():
    """Empties what the whole process keeps: no test sees the files of another, nor the schema of a server
    that has been stopped, at a port that a new one has got again.
    """
    if cache := sys.modules.get("nomad_dask.client.metainfo_cache"):
        cache._cache.clear()
    if memory := sys.modules.get("fsspec.implementations.memory"):
        memory.MemoryFileSystem.store.clear()
        memory.MemoryFileSystem.pseudo_dirs[:] = [""]


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
