"""Issue 7: every block of code in the README, the guides, the examples and the docstrings does what it says.

Blocks of one page run in order, in one folder and, where they are Python, in one namespace, as a reader would
run them; the
public server is an embedded archive for as long. In a console block each `$` line is a command, and what
stands below it
is what it prints: `...` stands for anything.
"""

import ast
import doctest
import importlib
import os
import pkgutil
import re
import runpy
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

import nomad_dask
from nomad_dask.cluster.clusters import Cluster
from nomad_dask.query import archive_query
from nomad_dask.testing import command, serve

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", ".github/CONTRIBUTING.md", ".github/CHANGELOG.md", "examples/migration.md"]
PAGES += [str(page.relative_to(ROOT)) for page in (ROOT / "examples").glob("*/*.md")]
NOT_RUN = {
    "make demo": "the gate runs it",
    "make test": "it is what runs this",
    "make lint": "the gate runs it",
    "pip install .": "tests/release installs the wheel",
}
"""Commands of the pages that are not run here, and why."""
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
MODULES = ["nomad_dask", *(found.name for found in pkgutil.walk_packages(nomad_dask.__path__, "nomad_dask."))]
MODULES.remove("nomad_dask.__main__")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page):
    """The language, the first line's number and the text of each fenced block of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        yield found[1], text[: found.start()].count("\n") + 2, found[2]


def commands(text):
    """The commands of a console block, each with what it should print."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        lines = part.splitlines()
        line = lines.pop(0)
        while line.endswith("\\"):
            line = line[:-1] + lines.pop(0).strip()
        yield shlex.split(line, comments=True), "\n".join(lines).strip()


@pytest.fixture(scope="module")
def archive():
    with serve(n_entries=2000) as url:
        yield url


@pytest.fixture
def as_written(archive, cluster, tmp_path, monkeypatch):
    """A reader's empty folder; the public server is the embedded archive, and worker processes are there
    already.
    """

    @contextmanager
    def running(self):
        yield cluster

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(archive_query, "PUBLIC", str(archive))
    monkeypatch.setattr(Cluster, "client", running)
    monkeypatch.setattr(command.time, "sleep", _interrupted)
    (tmp_path / "my-archives").mkdir()
    entries = enumerate(archive.corpus.entries)
    number, entry = next((n, e) for n, e in entries if e.state == "public" and e.has_archive)
    tree = archive.corpus.archive(number)
    told = {"entry_id": entry.entry_id, "upload_id": entry.upload_id, "parser_name": "x", "archive": tree}
    (tmp_path / "my-archives" / "one.json").write_bytes(orjson.dumps(told))
    (tmp_path / "examples").symlink_to(ROOT / "examples")


def _interrupted(seconds):
    raise KeyboardInterrupt


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run_in_order(page, as_written, archive, call):
    names = {"__name__": "__page__"}
    for language, line, written in blocks(page):
        where, text = f"{page}:{line}", written.replace("http://127.0.0.1:8000/api/v1", archive)
        if language == "python":
            _run_python(text, where, names)
        elif language == "console":
            for words, expected in commands(text):
                _run_command(words, expected, where, call)
        elif language in ("toml", "json"):
            name = re.match(r"# (\S+)\n", text)
            assert name, f"{where}: a file's first line is its name"
            Path(name[1]).write_text(text, encoding="utf-8")
        else:
            assert language == "", f"{where}: {language} is nothing that is run here"
            assert not re.search(r"^(import|from) |^\$ ", text, re.M), f"{where}: say what language it is"


def _run_python(text, where, names):
    if ">>> " in text:
        test = doctest.DocTestParser().get_doctest(text, names, where, where, 0)
        told = []
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=told.append, clear_globs=False)
        assert not told, "".join(told)
        names.update(test.globs)
        return
    code = ast.parse("\n" * (int(where.rpartition(":")[2]) - 1) + text)
    exec(compile(code, where.rpartition(":")[0], "exec"), names)


def _run_command(words, expected, where, call):
    line = " ".join(words)
    if words[0] == "make":
        assert words[1] in TARGETS, f"{where}: the Makefile has no {words[1]}"
    if line in NOT_RUN:
        return
    assert words[0] == "nomad-dask", f"{where}: {line} is not run here; say why in NOT_RUN"
    done = call(*words[1:], *(("--port", 0) if words[1] == "serve" else ()))
    ended = 130 if words[1] == "serve" else 0  # by Ctrl-C
    assert done.returncode == ended, f"{where}: {line}: {done.stdout}{done.stderr}"
    if expected:
        same = doctest.OutputChecker().check_output(expected + "\n", done.stdout, FLAGS)
        assert same, f"{where}: {line} prints\n{done.stdout}"


def _run_script(*words):
    before, sys.argv = sys.argv, [str(word) for word in words]
    try:
        runpy.run_path(words[0], run_name="__main__")
    finally:
        sys.argv = before


def test_what_is_not_run_is_there():
    consoles = [text for page in PAGES for language, _, text in blocks(page) if language == "console"]
    assert NOT_RUN.keys() <= {" ".join(words) for text in consoles for words, _ in commands(text)}


def test_the_examples_of_docstrings_run(as_written):
    """They find the dataset of the README's first harvest in the folder, and the package's public names."""
    known = {name: getattr(nomad_dask, name) for name in nomad_dask.__all__}
    energy = {"energy": {"total": {"value": "*"}}}
    required = {"workflow2": {"results": {"calculation_result_ref": energy}}}
    nomad_dask.ArchiveQuery(required=required, results_max=None, progress=False).to_parquet(
        "titania", npartitions=2
    )
    for module in map(importlib.import_module, MODULES):
        told, found = [], doctest.DocTestFinder().find(module, extraglobs=known)
        for test in (one for one in found if one.examples):
            doctest.DocTestRunner(optionflags=FLAGS).run(test, out=told.append)
        assert not told, "".join(told)


def test_the_script_of_a_harvest_gets_every_entry(archive, as_written, capsys):
    _run_script("examples/harvest.py", "titania", archive)
    said = capsys.readouterr().out
    assert re.search(r"^\d+ entries in titania, \d+ without archive, 0 failed$", said, re.M)
    assert re.search(r"^lowest energy: -\S+ joule$", said, re.M)
    assert os.listdir("titania/data")


def test_links_lead_somewhere():
    """Of all pages: files that are there, and headings of the page."""
    for page in [*PAGES, "benchmarks/README.md"]:
        text = (ROOT / page).read_text(encoding="utf-8")
        heads = {
            re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-")
            for head in re.findall(r"^#+ (.*)$", text, re.M)
        }
        found = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", text)
        for link in (a or b for a, b in found):
            if link.startswith("#"):
                assert link[1:] in heads, f"{page}: no heading {link}"
            elif not link.startswith(("http://", "https://")):
                assert (ROOT / page).parent.joinpath(link.partition("#")[0]).exists(), f"{page}: {link}"
