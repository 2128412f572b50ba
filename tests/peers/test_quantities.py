"""The embedded archive's table of quantities is that of nomad-lab's own index."""

import subprocess
from pathlib import Path

import pytest

from nomad_dask.testing import quantities

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".venvs" / "peers"


def test_the_quantities_are_those_of_nomads_index():
    if not (PEERS / "installed").exists():
        pytest.skip("nomad-lab's environment is not there; `make test-peers` builds it")
    command = [str(PEERS / "bin" / "python"), str(Path(__file__).with_name("quantities.py"))]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert printed.strip() == quantities._TABLE.strip()
