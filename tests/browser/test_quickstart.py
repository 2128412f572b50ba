"""Issue 7: the quickstart notebook, run in a JupyterLab in a real browser: progress moves, the frame is
there, Tab helps.

Needs Chromium and JupyterLab in an environment of its own; `make test-browser` makes it, and demands both
(NOMAD_DASK_BROWSER=1). Screenshots are left in the folder NOMAD_DASK_SCREENSHOTS, where that is set.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from chromium import Chromium, installed
from lab import PROGRAM, Lab, until

QUICKSTART = Path(__file__).parents[2] / "examples/quickstart.ipynb"
NOTEBOOK = "[...jupyterapp.shell.widgets('main')].find((one) => one.sessionContext && one.content.widgets)"
CODE = f"{NOTEBOOK}.content.widgets.filter((cell) => cell.model.type === 'code')"
UNVEILED = "!document.getElementById('jupyterlab-splash')"
LIVE = ("Computing", "Harvest")


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    folder = Path(os.environ.get("NOMAD_DASK_SCREENSHOTS", tmp_path_factory.mktemp("screenshots")))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The quickstart's page in a JupyterLab, its kernel ready."""
    missing = [] if installed() else ["no Chromium is installed"]
    missing += [] if PROGRAM.exists() else ["no JupyterLab; `make test-browser` gets it"]
    if missing:
        (pytest.fail if "NOMAD_DASK_BROWSER" in os.environ else pytest.skip)("; ".join(missing))
    home = tmp_path_factory.mktemp("lab")
    with Lab(home) as lab, Chromium(installed()) as browser:
        browser.open(lab.put(QUICKSTART), height=3600)
        browser.call("Emulation.setFocusEmulationEnabled", enabled=True)
        until(browser, f"{NOTEBOOK}.sessionContext.session.kernel.status === 'idle'")
        browser.ask(f"jupyterapp.shell.activateById({NOTEBOOK}.id)")
        yield browser


def bar(label):
    return f"document.querySelector('.jp-OutputArea [role=progressbar][aria-label^=\"{label}\"]')"


def place(browser, label):
    """Where a progress is on the page, after it was brought into sight."""
    box = browser.ask(
        f"{{const card = {bar(label)}.parentElement; card.scrollIntoView({{block: 'center'}});"
        " const r = card.getBoundingClientRect(); [r.x, r.y, r.width, r.height]}"
    )
    return dict(zip(("x", "y", "width", "height"), box, strict=True))


@pytest.mark.timeout(300)
def test_the_quickstart_shows_progress_moving_and_the_frame(page, shots):
    page.ask("{jupyterapp.commands.execute('notebook:run-all-cells'); 1}")
    for label in LIVE:
        value = f"Number({bar(label)}.ariaValueNow)"
        until(page, f"{value} < 100")
        area = place(page, label)
        first, later = (shots / f"progress-{label.lower()}-{n}.png" for n in (1, 2))
        page.screenshot(first, area)
        seen = page.ask(value)
        assert seen < 100, "it was over before it was seen"
        until(page, f"{value} > {seen}")
        page.screenshot(later, area)
        assert first.read_bytes() != later.read_bytes(), "the progress does not move"
    last = f"{CODE}.at(-1).model.executionCount"
    until(page, f"{last} && {NOTEBOOK}.sessionContext.session.kernel.status === 'idle'")
    for look in ("Light", "Dark"):
        page.ask(
            f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {look}'}}).then(() => 1)"  # noqa: E501
        )
        until(page, f"document.body.dataset.jpThemeName === 'JupyterLab {look}' && {UNVEILED}")
        page.screenshot(shots / f"quickstart-{look.lower()}.png")
    assert not page.ask(
        f"{CODE}.flatMap((cell) => cell.model.outputs.toJSON()).filter((one) => one.output_type === 'error' || one.name === 'stderr')"  # noqa: E501
    )
    assert (
        page.ask(
            "[...document.querySelectorAll('.jp-OutputArea [role=progressbar]')].map((bar) => bar.ariaValueNow)"  # noqa: E501
        )
        == ["100"] * 5
    )
    heads = page.ask(
        "[...document.querySelectorAll('.jp-OutputArea table.dataframe th')].map((th) => th.innerText)"
    )
    assert "results.material.chemical_formula_reduced" in heads and "entry_id" in heads


@pytest.mark.timeout(120)
def test_tab_offers_the_sections_of_an_archive(page, shots):
    page.ask("jupyterapp.commands.execute('notebook:insert-cell-below').then(() => 1)")
    cell = f"{NOTEBOOK}.content.activeCell"
    offered = (
        "[...document.querySelectorAll('.jp-Completer-item')].map((item) => item.innerText.split('\\n')[1])"
    )
    for text, wanted in (
        ("archives[0].w", "workflow2"),
        ("archives[0].results.mat", "material"),
        ("archives[0]['res", "results"),
    ):
        page.ask(
            f"{{{cell}.model.sharedModel.setSource(''); {NOTEBOOK}.content.mode = 'edit'; {cell}.editor.focus(); 1}}"  # noqa: E501
        )
        page.type(text)
        page.press("Tab", 9)
        until(page, f"{offered}.includes({wanted!r})")
        page.press("Escape", 27)
