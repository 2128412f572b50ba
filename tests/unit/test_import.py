"""Importing the package is cheap and imports no Dask until it is needed."""

import subprocess
import sys

import pytest

import nomad_dask

HEAVY = ("dask", "distributed", "pandas", "pyarrow", "aiohttp")


def test_import_brings_nothing_heavy():
    code = f"import sys, nomad_dask; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_query_object_brings_no_dask():
    code = "import sys; from nomad_dask import ArchiveQuery; ArchiveQuery(); print('dask' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize("asked", ["--version", "--help", "harvest --help"])
def test_the_command_line_begins_fast(asked):
    """It brings nothing heavy until a command has work to do."""
    code = (
        f"import sys; sys.argv = ['nomad-dask', *{asked.split()!r}]\n"
        "from nomad_dask.cli import main\n"
        "try: main()\n"
        f"finally: print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    if asked == "--version":
        assert done.stdout.splitlines()[0] == f"nomad-dask {nomad_dask.__version__}"


def test_public_names_are_there():
    for name in nomad_dask.__all__:
        assert getattr(nomad_dask, name) is not None
    with pytest.raises(AttributeError, match="ArchiveQuery"):
        nomad_dask.ArchiveQuerry  # noqa: B018
