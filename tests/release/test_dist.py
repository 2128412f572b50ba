"""Issue 7: what `make dist` builds holds what it should, and the wheel alone runs the demonstration.

`make test-release` builds and says where (NOMAD_DASK_DIST); elsewhere there is nothing to look at.
"""

import os
import re
import subprocess
import tarfile
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import nomad_dask

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dist():
    if "NOMAD_DASK_DIST" not in os.environ:
        pytest.skip("nothing was built; `make test-release` builds")
    return Path(os.environ["NOMAD_DASK_DIST"]).resolve()


@pytest.fixture(scope="module")
def wheel(dist):
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def in_wheel(wheel):
    with zipfile.ZipFile(wheel) as opened:
        yield opened


@pytest.fixture(scope="module")
def in_sdist(dist):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as opened:
        return {name.split("/", 1)[1] for name in opened.getnames() if "/" in name}


def of_the_package(*others):
    """All files of the package, whatever their kind: code, the page's style and script, the marker of types;
    but for what is compiled, and files that end otherwise.
    """
    found = (p for p in (ROOT / "nomad_dask").rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {str(p.relative_to(ROOT)) for p in found if p.suffix not in (".so", ".pyd", *others)}


def test_the_wheel_is_the_package_whole_and_nothing_else(in_wheel):
    about = f"nomad_dask-{nomad_dask.__version__}.dist-info/"
    names = set(in_wheel.namelist())
    (core,) = (name for name in names if name.startswith("nomad_dask/_core/native."))
    held = {name for name in names if not name.startswith(about)}
    assert held - {core} == of_the_package(".cpp", ".hpp")
    assert {"nomad_dask/py.typed", "nomad_dask/report_page/page.css", f"{about}licenses/LICENSE"} <= names
    assert in_wheel.read(f"{about}licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_says_what_it_is(in_wheel):
    about = f"nomad_dask-{nomad_dask.__version__}.dist-info/"
    metadata = HeaderParser().parsestr(in_wheel.read(f"{about}METADATA").decode())
    assert metadata["Version"] == nomad_dask.__version__
    assert metadata["Requires-Python"] == ">=3.11" and metadata["License-Expression"] == "Apache-2.0"
    assert (
        in_wheel.read(f"{about}entry_points.txt").decode().split("\n")[1]
        == "nomad-dask = nomad_dask.cli:main"
    )


def test_the_sdist_is_the_checkout(in_sdist):
    """Who packages it further can build, test and read it; what is the gate's, or made, is not in it."""
    assert of_the_package() <= in_sdist
    wanted = {
        "LICENSE",
        "Makefile",
        "README.md",
        "pyproject.toml",
        "tests/conftest.py",
        "benchmarks/compare.py",
    }
    assert wanted <= in_sdist
    assert not {name for name in in_sdist if name.startswith((".ci", ".venv", "dist", "demo"))}
    assert not {name for name in in_sdist if "__pycache__" in name or name.endswith(".pyc")}


@pytest.mark.timeout(600)
def test_the_wheel_runs_the_demonstration_where_there_was_nothing(wheel, tmp_path):
    """A new environment, an empty folder, no checkout: pip brings all that it needs."""
    bare, empty = tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    venv.create(bare, with_pip=True)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }

    def run(program, *arguments):
        done = subprocess.run(
            [bare / "bin" / program, *arguments], cwd=empty, env=kept, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    assert run("nomad-dask", "--version") == f"nomad-dask {nomad_dask.__version__}, core: compiled\n"
    assert re.search(r"2,000 entries in demo .*, 0 failed", run("nomad-dask", "demo"))
    look = "import nomad_dask, pandas; print(nomad_dask.__file__, len(pandas.read_parquet('demo/data')))"
    home, entries = run("python", "-c", look).split()
    assert Path(home).is_relative_to(bare) and entries == "2000"
    assert sorted(p.name for p in empty.iterdir()) == ["demo"]
    assert (empty / "demo/report.html").stat().st_size > 10_000, "with its style and script"
    assert run("pip", "check").startswith("No broken requirements")
