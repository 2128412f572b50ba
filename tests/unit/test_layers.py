"""Imports point down the packages; each dangerous import has one home; pure modules stay pure."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "nomad_dask"
ORDER = [
    "cli",
    "report_page",
    "query",
    "harvest",
    "plan",
    "frame",
    "cluster",
    "dataset",
    "client",
    "layouts",
    "limits",
    "progress",
    "archive",
    "request",
    "metainfo",
    "common",
    "_core",
    "errors",
    "text",
]
"""From top to bottom; a module imports its own package and those below."""
DASK = {"frame", "cluster", "harvest", "query"}
"""Packages whose modules may import Dask."""
PURE = [
    "archive.structures",
    "client.answers",
    "client.retry",
    "common.json_rules",
    "common.paths",
    "common.portable_errors",
    "common.stored_fields",
    "common.types",
    "common.validate",
    "dataset.history",
    "dataset.manifest",
    "dataset.outside",
    "dataset.report",
    "dataset.status",
    "errors",
    "layouts.column_limit",
    "layouts.declared",
    "layouts.infer",
    "layouts.layouts",
    "layouts.nested",
    "layouts.nested_cells",
    "layouts.projection",
    "layouts.schema",
    "layouts.select",
    "layouts.shapes",
    "layouts.tables",
    "layouts.to_pandas",
    "layouts.units",
    "layouts.walk",
    "layouts.wide",
    "limits.__init__",
    "limits.token_bucket",
    "metainfo.browse",
    "metainfo.definitions",
    "plan.estimate",
    "progress.progress",
    "report_page.charts",
    "report_page.column_figures",
    "report_page.document",
    "report_page.figures",
    "request.__init__",
    "request.api_body",
    "request.check",
    "request.include",
    "request.no_match",
    "request.references",
    "request.required",
    "request.required_for",
    "request.segments",
    "text.__init__",
    "text.html",
    "text.humanize",
]
"""Modules without I/O, clock, threads and changing globals: their tests need no server."""
CONSTANT = {"common.unit_registry"}
"""What pure modules may import too: it is built once, and is then the same."""
MODULES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def package_of(name: str) -> str:
    return name.split(".")[0]


def imports(path: Path) -> set[str]:
    """Absolute dotted names of all that a module imports, wherever in it."""
    package = ["nomad_dask", *path.relative_to(ROOT).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = [*base, *(node.module or "").split(".")] if node.module else base
            found.add(".".join(stem))
            found |= {".".join([*stem, alias.name]) for alias in node.names}
    return found


def ours(path: Path) -> set[str]:
    """The package's own modules among a module's imports, named from its root."""
    known = {name_of(p) for p in MODULES}
    names = {i.removeprefix("nomad_dask.") for i in imports(path) if i.startswith("nomad_dask.")}
    return {n for n in names if n in known} | {f"{n}.__init__" for n in names if f"{n}.__init__" in known}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path):
    mine = package_of(name_of(path))
    for other in ours(path):
        theirs = package_of(other)
        if mine in ("__init__", "__main__"):
            continue
        if mine == "testing":
            assert theirs == "testing" or other in PURE, f"the embedded archive imports {other}"
        elif theirs == "testing":
            assert mine == "cli", f"{name_of(path)} imports {other}; only commands and tests may"
        elif theirs not in ("__init__", mine):
            assert ORDER.index(theirs) > ORDER.index(mine), f"{name_of(path)} imports {other} above it"


def test_every_package_has_its_place():
    packages = {package_of(name_of(path)) for path in MODULES} - {"__init__", "__main__", "testing"}
    assert packages == set(ORDER)


def test_the_order_is_the_one_of_the_contributors_guide():
    text = (ROOT.parent / ".github" / "CONTRIBUTING.md").read_text()
    assert re.findall(r"^(\w+)(?:/|\.py) ", text, re.MULTILINE) == [*ORDER, "testing"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_dangerous_imports_have_one_home(path):
    name, tops = name_of(path), {i.split(".")[0] for i in imports(path)}
    if "aiohttp" in tops:
        assert name == "client.transport" or package_of(name) == "testing"
    if tops & {"dask", "distributed"}:
        assert package_of(name) in DASK
    if "fsspec" in tops:
        assert name == "dataset.files"


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_are_pure(name):
    """No I/O, no clock, no dice, no threads, no globals that change."""
    path = ROOT / f"{name.replace('.', '/')}.py"
    forbidden = {
        "time",
        "random",
        "os",
        "io",
        "socket",
        "threading",
        "asyncio",
        "pathlib",
        "subprocess",
        "uuid",
        "aiohttp",
    }
    assert not {i.split(".")[0] for i in imports(path)} & forbidden
    tree = ast.parse(path.read_text())
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Global)]
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in ("open", "print", "input")]


def test_pure_modules_import_pure_modules_only():
    for name in PURE:
        others = ours(ROOT / f"{name.replace('.', '/')}.py") - {f"{package_of(n)}.__init__" for n in PURE}
        assert others <= {*PURE, *CONSTANT, "__init__"}, name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_module_has_a_docstring(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
