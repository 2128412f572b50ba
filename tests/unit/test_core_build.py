"""SPEC, "Compiled core": without a compiler the package is built all the same, and says so once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build the extension into a folder, where no compiler is found."""
    hidden = {"CC": "/nowhere/cc", "CXX": "/nowhere/c++"}
    command = [
        sys.executable,
        "setup.py",
        "--quiet",
        "build_ext",
        "--build-lib",
        folder,
        "--build-temp",
        folder,
    ]
    kept = {name: value for name, value in os.environ.items() if name != "NOMAD_DASK_CORE"}
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, env=kept | hidden | environment, capture_output=True, text=True
    )


@pytest.mark.skipif(sys.platform == "win32", reason="the compiler of Windows is not named by CXX")
def test_without_a_compiler_there_is_no_core_and_one_message(tmp_path):
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no C++17 compiler, so the compiled core is left out") == 1
    assert not [*tmp_path.rglob("native*.so")]


@pytest.mark.skipif(sys.platform == "win32", reason="the compiler of Windows is not named by CXX")
def test_wheels_are_not_built_without_the_core(tmp_path):
    assert build(tmp_path, NOMAD_DASK_CORE="required").returncode != 0
