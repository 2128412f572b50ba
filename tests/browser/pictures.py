"""The pictures of the README: a harvest of the embedded archive as its page and the terminal show it (`make
pictures`).

    python tests/browser/pictures.py [FOLDER]

Writes WebP files below 150 kB to `examples/pictures`; of the notebook from the screenshots that
test_quickstart.py left
in the folder, where one is named. Needs Chromium.
"""

import io
import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path

from chromium import Chromium, installed
from PIL import Image
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

PICTURES = Path(__file__).parents[2] / "examples" / "pictures"
LARGEST = 150_000
COLUMNS = 100
QUERY = "{}"
MATERIAL = (
    '{"chemical_formula_reduced": "*", "chemical_formula_anonymous": "*", "elements": "*", "symmetry": "*"}'
)
ENERGY = '{"calculation[-1]": {"energy": {"total": {"value": "*"}}}}'
REQUIRED = f'{{"results": {{"material": {MATERIAL}}}, "run[-1]": {ENERGY}}}'
FAULTS = "status=503,html,rate=0.02; latency=0.05"
SHOTS = {
    "harvest-light": ({}, "body", "#query"),
    "harvest-dark": ({"dark": True}, "body", "#query"),
    "course-light": ({}, "#time", "#failures"),
    "course-dark": ({"dark": True}, "#time", "#failures"),
    "columns": ({}, "#columns", "footer"),
    "phone": ({"width": 390}, "body", "#query"),
}
"""Of the harvest page: how it is shown, with what the picture begins, and before what it ends."""
MARGIN = 20
NOTEBOOK = (40, 885, 1240, 1765)
"""What is shown of the quickstart's screenshot: from "A few archives" to the end of the plan."""
SCALE = 1.5
"""Pixels of the picture for one of the page: it is sharp on screens that have as many."""


def in_a_terminal(*arguments):
    """What a command shows at its end in a terminal of `COLUMNS`, as a rich text."""
    ours, theirs = pty.openpty()
    shown = os.environ | {"COLUMNS": str(COLUMNS), "LINES": "40", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "nomad_dask", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=shown) as running:
        os.close(theirs)
        said = b""
        while more := _read(ours):
            said += more
    os.close(ours)
    assert running.returncode in (0, 3), said.decode()
    return Text.from_ansi(said.decode().replace("\r\n", "\n"))


def _read(end):
    try:
        return os.read(end, 1 << 16)
    except OSError:  # Linux says so when the other end is closed
        return b""


def drawn(*shown):
    """Commands and what they show, as a terminal's window: SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for command, text in shown:
        console.print(Text.assemble(("$ ", "bold green"), (f"nomad-dask {command}", "bold")))
        console.print(text)
    return console.export_svg(title="nomad-dask", theme=DIMMED_MONOKAI)


def keep(png, name, box=None):
    """A screenshot, or a box of it, as `examples/pictures/{name}.webp`."""
    picture = Image.open(png).convert("RGB").crop(box)
    for how in ({"lossless": True}, {"quality": 80}, {"quality": 60}):
        packed = io.BytesIO()
        picture.save(packed, "WEBP", method=6, **how)
        if len(packed.getvalue()) < LARGEST:
            (PICTURES / f"{name}.webp").write_bytes(packed.getvalue())
            return
    raise SystemExit(f"{name} is larger than {LARGEST} bytes whatever is done")


def top_of(browser, what):
    """Where a part of the page begins."""
    return browser.ask(f"document.querySelector('{what}').getBoundingClientRect().top")


def main():
    """All pictures, of one harvest."""
    program = installed() or sys.exit("no Chromium is installed")
    PICTURES.mkdir(exist_ok=True)
    if sys.argv[1:]:
        keep(Path(sys.argv[1], "quickstart-light.png"), "notebook", NOTEBOOK)
    with tempfile.TemporaryDirectory() as folder, Chromium(program) as browser:
        os.chdir(folder)
        with serve(n_entries=12_000, faults=Faults.parse(FAULTS)) as url:
            asked = ("--url", url, "--query", QUERY, "--required", REQUIRED)
            plan = in_a_terminal("plan", *asked, "--npartitions", "24")
            in_a_terminal("harvest", *asked, "--npartitions", "24", "--out", "archive")
            status = in_a_terminal("status", "archive")
        png = Path(folder, "shot.png")
        for name, (look, first, after) in SHOTS.items():
            browser.open("archive/report.html", **{"width": 1100, **look})
            top, bottom = max(0, top_of(browser, first) - MARGIN), top_of(browser, after) - MARGIN
            browser.screenshot(png, {"y": top, "height": bottom - top, "scale": SCALE})
            keep(png, name)
        page = Path(folder, "terminal.html")
        plain = drawn(("plan --required '{...}'", plan), ("status archive", status))
        page.write_text(f"<!doctype html><body style='margin:0'>{plain}", encoding="utf-8")
        browser.open(page, width=1100, height=100)
        browser.screenshot(png, {"scale": SCALE})
        keep(png, "terminal")


if __name__ == "__main__":
    main()
