"""The example notebooks, executed: what they show is what they hold."""

import ast
import importlib.util
import re
import socket
from contextlib import ExitStack
from html import unescape
from pathlib import Path

import nbclient
import nbformat
import pytest

from nomad_dask.testing import serve

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = [path for path in sorted(EXAMPLES.glob("*.ipynb")) if path.name != "quickstart.ipynb"]
"""What the quickstart shows moves: it is executed in a JupyterLab (tests/browser)."""
NOTHING = {"NA", "NaN", "nan", "None", "NaT"}


def shown(notebook):
    """What a notebook's cells show: texts that we print as they are; of what a library prints, the values in
    it.
    """
    return [value_of(output) for cell in notebook.cells for output in cell.get("outputs", [])]


def value_of(output):
    data = output.get("data", {})
    text = data.get("text/plain", "")
    if output.output_type == "stream":
        return output.text
    if "image/png" in data:
        return "a picture"
    if "<table" in data.get("text/html", ""):
        rows = re.findall(r"<tr.*?</tr>", data["text/html"], re.DOTALL)
        return [[words(cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)] for row in rows]
    if re.search(r"^dtype: \w+$", text, re.MULTILINE):
        lines = re.sub(r"<(item|element): ", "<", text).splitlines()
        return [line.split() for line in lines if not line.startswith("dtype: ")]
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def words(cell):
    """A cell's value without what stands around the parts of a list, one name for all kinds of null."""
    return ["null" if word in NOTHING else word for word in re.findall(r"[\w.+-]+", unescape(cell))]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_shows_what_it_holds(path):
    stored = nbformat.read(path, as_version=4)
    executed = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(executed, timeout=120, kernel_name="python3").execute()
    assert shown(executed) == shown(stored)
    assert "a picture" in shown(stored)


def test_one_table_printed_by_two_libraries_is_one_value():
    def table(cell, null):
        html = f"<table><tr><th>id</th><td>{cell}</td><td>{null}</td><td>-7.377e-18</td></tr></table>"
        return nbformat.v4.new_output("execute_result", {"text/html": html, "text/plain": cell})

    assert value_of(table("[Cl, Ga]", "&lt;NA&gt;")) == value_of(table("['Cl' 'Ga']", "None"))
    assert value_of(table("[Cl, Ga]", "1")) != value_of(table("[Cl, Ge]", "1"))
    dtypes = [
        f"a   list<{name}: string>[pyarrow]\ndtype: {of}"
        for name, of in (("item", "object"), ("element", "str"))
    ]
    first, second = (nbformat.v4.new_output("execute_result", {"text/plain": text}) for text in dtypes)
    assert value_of(first) == value_of(second) == [["a", "list<string>[pyarrow]"]]


def test_the_script_waits_an_outage_out(monkeypatch, tmp_path, capsys):
    """No server answers at first; it is there when the script has waited once."""
    spec = importlib.util.spec_from_file_location("harvest_script", EXAMPLES / "harvest.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        free_port = found.getsockname()[1]
    with ExitStack() as servers:
        monkeypatch.setattr(
            script.time, "sleep", lambda _: servers.enter_context(serve(n_entries=300, port=free_port))
        )
        script.harvest(str(tmp_path / "h"), f"http://127.0.0.1:{free_port}/api/v1")
    told = capsys.readouterr().out
    assert told.count("trying again in 60 seconds") == 1 and " 0 failed" in told
