"""The example notebooks, executed: what they show is what they hold."""

from pathlib import Path

import nbclient
import nbformat
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = [path for path in sorted(EXAMPLES.glob("*.ipynb")) if path.name != "quickstart.ipynb"]
"""What the quickstart shows moves: it is executed in a JupyterLab (tests/browser)."""


def shown(notebook):
    """The texts that a notebook's cells show, and the kinds of its pictures."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            found.append(
                output.get("text") or (sorted(data) if "image/png" in data else data.get("text/plain"))
            )
    return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_shows_what_it_holds(path):
    stored = nbformat.read(path, as_version=4)
    executed = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(executed, timeout=120, kernel_name="python3").execute()
    assert shown(executed) == shown(stored)
    assert any("image/png" in found for found in shown(stored) if isinstance(found, list))
