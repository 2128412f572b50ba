"""Importing the package is cheap and imports no Dask until it is needed."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nomad_dask

DONE_WITHOUT = ("IPython", "keyring", "polars")
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
        assert done.stdout.splitlines()[0].startswith(f"nomad-dask {nomad_dask.__version__}, core: ")


def test_public_names_are_there():
    for name in nomad_dask.__all__:
        assert getattr(nomad_dask, name) is not None
    with pytest.raises(AttributeError, match="ArchiveQuery"):
        nomad_dask.ArchiveQuerry  # noqa: B018


def test_what_people_hold_is_exported_and_an_old_name_warns():
    from nomad_dask import Failure, Plan, Report, errors, update_dataset

    assert {Failure.__name__, Plan.__name__, Report.__name__} == {"Failure", "Plan", "Report"}
    assert issubclass(errors.RefusedError, errors.UserError)
    assert not issubclass(errors.UnreachableError, errors.UserError | ValueError)
    with pytest.warns(DeprecationWarning, match="update_dataset"):
        assert nomad_dask.update is update_dataset


def test_what_is_imported_is_said_to_be_needed():
    """In pyproject.toml; but for what is looked for, and done without."""
    root = Path(nomad_dask.__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.match(r"[\w-]+", line)[0].lower() for line in project["dependencies"]}
    imported = set()
    for path in (root / "nomad_dask").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    assert imported - sys.stdlib_module_names - needed - {"nomad_dask"} == {*DONE_WITHOUT} & imported
    assert needed <= imported, "what nothing imports is not needed"
