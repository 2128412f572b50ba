"""STYLE: imports point down; each dangerous import has one home."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "nomad_dask"
LAYERS = ["pure", "display", "edges", "sides", "dask", "query", "people"]
DASK = {"clusters", "expression", "frame", "harvest", "limiter", "logins", "updates", "watching"}
PEOPLE = {"__init__", "__main__", "cli", "console", "demonstration", "harvest_page"}
MODULES = sorted(ROOT.rglob("*.py"))


def layer_of(dotted: str) -> str:
    """The layer of a module named from the package's root, such as `edges.pages`."""
    head = dotted.split(".")[0]
    if head in ("pure", "display", "edges", "sides", "query", "testing"):
        return head
    if head in DASK:
        return "dask"
    return "people" if head in PEOPLE else "query"


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


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
    mine = layer_of(name_of(path))
    for other in ours(path):
        theirs = layer_of(other)
        if mine == "testing":
            assert theirs in ("testing", "pure"), f"the embedded archive imports {other}"
        elif theirs == "testing":
            assert mine == "people", f"{name_of(path)} imports {other}; only people's modules and tests may"
        else:
            assert LAYERS.index(theirs) <= LAYERS.index(mine), f"{name_of(path)} imports {other} above it"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_dangerous_imports_have_one_home(path):
    name, tops = name_of(path), {i.split(".")[0] for i in imports(path)}
    if "aiohttp" in tops:
        assert name == "edges.transport" or layer_of(name) == "testing"
    if tops & {"dask", "distributed"}:
        assert layer_of(name) in ("dask", "query"), "only frame and harvest are made of Dask"
    if "fsspec" in tops:
        assert name == "edges.files"


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("pure.")], ids=name_of)
def test_the_core_is_pure(path):
    """No I/O, no clock, no dice, no threads, no globals that change."""
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


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_module_says_what_it_owns(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
