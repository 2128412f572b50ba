"""What `make demo` and `make test` install is locked: every requirement, on every system, with hashes; no
host is named.
"""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "tests" / "locks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
NEEDED = {
    "demo": PACKAGE,
    "test": PACKAGE + PROJECT["project"]["optional-dependencies"]["dev"],
    "release": (ROOT / "tests/release/requirements.txt").read_text().split(),
    "jupyter": (ROOT / "tests/browser/jupyter-requirements.txt").read_text().split(),
    "docs": (ROOT / ".github/docs/requirements.txt").read_text().split(),
    "dlt": (ROOT / "benchmarks/comparison/dlt-requirements.txt").read_text().split(),
}
SYSTEMS = [
    {"sys_platform": system, "platform_system": name, "os_name": os, "platform_machine": machine}
    for system, name, os, machine in (
        ("linux", "Linux", "posix", "x86_64"),
        ("linux", "Linux", "posix", "aarch64"),
        ("darwin", "Darwin", "posix", "arm64"),
        ("win32", "Windows", "nt", "AMD64"),
    )
]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
HASH = re.compile(r"\s+--hash=sha256:[0-9a-f]{64}")


def pins_of(lock):
    """Each pin of a lock as a requirement, with how many hashes it has."""
    text = (LOCKS / f"{lock}.txt").read_text().replace("\\\n", "")
    for line in text.splitlines():
        if not line.startswith("#"):
            pin, *hashes = re.split(r"\s+--hash=", line)
            yield Requirement(pin), len(hashes)


def environments():
    for python in PYTHONS:
        for system in SYSTEMS:
            yield system | {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}


@pytest.mark.parametrize("lock", sorted(path.stem for path in LOCKS.glob("*.txt")))
def test_a_lock_is_pins_with_hashes_and_nothing_else(lock):
    lines = (LOCKS / f"{lock}.txt").read_text().splitlines()
    for line in lines:
        assert (
            line.startswith("#") or re.match(r"[a-z0-9._\[\],-]+==\S+( ; .*)? \\$", line) or HASH.match(line)
        ), line
    assert not [
        line for line in lines if "://" in line or "@" in line or "-index" in line or "find-links" in line
    ]
    assert all(count for _, count in pins_of(lock))


@pytest.mark.parametrize("lock", NEEDED)
def test_a_lock_has_one_version_that_fits_of_all_that_is_required(lock):
    pins = [pin for pin, _ in pins_of(lock)]
    for environment in environments():
        valid = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
        names = [pin.name for pin in valid]
        assert len(names) == len(set(names))
        versions = {pin.name: next(iter(pin.specifier)).version for pin in valid}
        for text in NEEDED[lock]:
            required = Requirement(text)
            if required.marker is None or required.marker.evaluate(environment):
                assert required.specifier.contains(versions[required.name], prereleases=True), text


def test_the_demonstration_runs_with_what_the_tests_have():
    """The same versions; the tests may have one on more systems, as more of what they need asks for it."""
    tested = {(pin.name, str(pin.specifier)) for pin, _ in pins_of("test")}
    assert {(pin.name, str(pin.specifier)) for pin, _ in pins_of("demo")} <= tested


def test_who_installs_the_package_has_ranges():
    for text in PROJECT["project"]["dependencies"]:
        assert not any(s.operator == "==" for s in Requirement(text).specifier), text


def test_the_makefile_installs_from_locks_alone():
    makefile = (ROOT / "Makefile").read_text()
    installs = [line.strip() for line in makefile.splitlines() if "pip install" in line]
    anew = [line for line in installs if "$(LOWEST)" in line or "$(NEWEST)" in line]
    rest = [line for line in installs if line not in anew]
    assert re.search(r"^HASHED := .*--require-hashes", makefile, re.M)
    safe = ("--require-hashes", "$(HASHED)", "--no-deps")
    assert len(anew) == 2 and all(any(option in line for option in safe) for line in rest)


def test_the_workflow_runs_the_gate_the_lowest_versions_every_python_and_the_site():
    """Its form was checked against the published schema of workflows; here, that it runs what the Makefile
    has.
    """
    workflow = yaml.safe_load((ROOT / ".github/workflows/gate.yml").read_text())
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert steps == [
        ".ci/run",
        "make test-lowest",
        "make test-python PYTHON=python${{ matrix.python }}",
        "make docs",
    ]
    assert tuple(workflow["jobs"]["python"]["strategy"]["matrix"]["python"]) == PYTHONS
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {step.split()[1] for step in steps if step.startswith("make")} <= targets
