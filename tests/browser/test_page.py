"""Issue 7: the harvest page in a real browser: axe finds nothing, nothing is loaded, nothing is wider than
the screen.

Needs Chromium and axe-core; `make test-browser` gets axe by npm, and demands both (NOMAD_DASK_BROWSER=1).
Screenshots are
left in the folder NOMAD_DASK_SCREENSHOTS, where that is set.
"""

import os
import re
import sys
from pathlib import Path

import pytest
from datasets import EVIL, write

from nomad_dask.report_page import write as harvest_page

sys.path.insert(0, str(Path(__file__).parent))
from chromium import Chromium, installed

AXE = Path(__file__).parents[2] / ".venvs/browser/node_modules/axe-core/axe.min.js"
PAGES = {
    "complete": {},
    "unfinished": {"undone": [3, 4, 5, 17], "failed": [7, 20], "paused": True},
    "empty": {"undone": range(40)},
    "nested": {"name": "nested", "n": 3},
    "tables": {"name": "tables", "failed": [1]},
    "wide": {"width": 1500, "n": 300},
}


@pytest.fixture(scope="session")
def axe():
    missing = [] if installed() else ["no Chromium is installed"]
    missing += [] if AXE.exists() else ["no axe-core; `make test-browser` gets it"]
    if missing and "NOMAD_DASK_BROWSER" in os.environ:
        pytest.fail("; ".join(missing))
    if missing:
        pytest.skip("; ".join(missing))
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def browser(axe):
    with Chromium(installed()) as browser:
        yield browser


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Each page by its name, written once."""
    made = {}

    def page(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("pages") / name
            write(made[name], **PAGES[name])
            harvest_page.write_page(made[name])
        return made[name] / "report.html"

    return page


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_axe_finds_nothing(browser, axe, pages, name, look):
    browser.open(pages(name), dark=look == "dark", width=360 if look == "phone" else 1280)
    browser.ask("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    browser.ask(f"{axe};1")
    found = browser.ask("axe.run(document, {resultTypes: ['violations']})")["violations"]
    assert not [(one["id"], one["help"], [node["html"] for node in one["nodes"]][:3]) for one in found]


@pytest.mark.parametrize("width", [320, 390, 800, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_screen(browser, pages, name, width):
    browser.open(pages(name), width=width)
    assert browser.ask("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_loaded_nothing_complains_and_nothing_foreign_runs(browser, pages, name):
    browser.open(pages(name))
    asked = [
        e["params"]["request"]["url"]
        for e in browser.events
        if e.get("method") == "Network.requestWillBeSent"
    ]
    assert asked == [pages(name).as_uri()]
    troubles = {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
    assert not [event for event in browser.events if event.get("method") in troubles]
    assert browser.ask("window.hacked") is None and EVIL in browser.ask("document.body.innerText")


SHOWN = "[...document.querySelectorAll('.columns tbody tr')].filter((row) => row.offsetHeight).length"


def test_the_search_box_finds_columns_by_path_type_and_unit(browser, pages):
    browser.open(pages("wide"))
    assert browser.ask(SHOWN) == 300, "of 1,504"

    box = "document.getElementById('search')"

    def search(words):
        browser.ask(f"{box}.focus(); {box}.select()")
        browser.type(words)
        return browser.ask(SHOWN), browser.ask("document.getElementById('found').textContent")

    assert search("calculation.1499.energy") == (1, "1 column"), "also beyond those shown before"
    assert search("ELEMENTS list") == (1, "1 column")
    assert search("double") == (300, "1500 columns, first 300 shown")
    assert search("nothing like it") == (0, "no matching columns")
    browser.ask(f"{box}.value = ''; {box}.dispatchEvent(new Event('input'))")
    assert browser.ask(SHOWN) == 300
    browser.ask("document.getElementById('all').click()")
    assert browser.ask(SHOWN) == 1504


def test_without_scripts_the_page_is_whole(browser, pages):
    browser.open(pages("wide"), scripts=False)
    assert browser.ask("document.getElementById('searching').offsetHeight") == 0, (
        "a box that does nothing is not shown"
    )
    assert browser.ask(SHOWN) == 300
    browser.ask("document.getElementById('all').click()")
    assert browser.ask(SHOWN) == 1504
    assert browser.ask("document.querySelectorAll('svg[role=img]').length") >= 6


def test_it_is_printed_on_few_sheets_without_what_is_to_be_clicked(browser, pages):
    browser.open(pages("wide"), media="print", width=800)
    for gone in ("nav", ".search", ".all"):
        assert browser.ask(f"getComputedStyle(document.querySelector('{gone}')).display") == "none"
    sheets = len(re.findall(rb"/Type\s*/Page\b", browser.pdf()))
    assert 2 <= sheets <= 15, "300 columns, not 1,504"


@pytest.mark.parametrize("name", ["complete", "unfinished"])
def test_light_dark_and_phone_differ(browser, pages, tmp_path, name):
    folder = Path(os.environ.get("NOMAD_DASK_SCREENSHOTS", tmp_path))
    looks = {"light": {}, "dark": {"dark": True}, "phone": {"width": 390}}
    grounds = set()
    for look, how in looks.items():
        browser.open(pages(name), **how)
        browser.screenshot(folder / f"{name}-{look}.png")
        grounds.add(browser.ask("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2
    assert len({(folder / f"{name}-{look}.png").read_bytes() for look in looks}) == 3
