"""`nomad-dask status`: what it draws, what it says on a pipe, what it gives to programs; in time and without
colours.
"""

import io
import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import orjson
import pytest
from datasets import write
from processes import bound
from rich.console import Console
from terminals import terminal

from nomad_dask.cli import status_drawing
from nomad_dask.dataset.status import DatasetStatus, Reason

STATUS = [sys.executable, "-m", "nomad_dask", "status"]
COLOUR = re.compile(r"\x1b\[[\d;]*m")


def standing(store, place="h"):
    manifest = store.stored()
    return DatasetStatus.of(place, manifest, store.receipts(manifest.id))


def drawn(found, width, **how):
    out = Console(file=io.StringIO(), width=width, color_system=None)
    out.print(status_drawing.drawing(found, width, **how))
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """Twelve segments; 5 and 11 are to do, entries of 3 failed; a fifth of the others' entries have no
    archive.
    """
    return write(tmp_path_factory.mktemp("status") / "h", n=12, undone=(5, 11), failed=(3,))


@pytest.mark.parametrize("width", [50, 80, 120])
def test_the_strip_fits_the_terminal_and_has_a_block_for_each_segment(halfway, width):
    lines = drawn(standing(halfway), width)
    assert max(map(len, lines)) <= width
    strip = next(line for line in lines if "░" in line).strip()
    assert len(strip) == width - 2
    runs = [(found[0][0], len(found[0])) for found in re.finditer(r"(.)\1*", strip)]
    assert [sign for sign, _ in runs] == ["▓", "✕", "▓", "░", "▓", "░"]
    segment = (width - 2) / 12
    assert [round(n / segment) for _, n in runs] == [3, 1, 1, 1, 5, 1]


def test_it_says_how_much_why_and_what_next(halfway):
    told = "\n".join(drawn(standing(halfway, "my data"), 100))
    assert "my data: not finished" in told
    assert "52 of about 60 entries" in told and "10 of 12 done; a block is one segment" in told
    assert "50 delivered, 10 of them without archive; 2 failed" in told
    assert "1 with status 500: entry … is broken" in told
    assert "nomad-dask resume 'my data' --retry-failures" in told


def test_many_segments_share_blocks_and_a_failed_one_is_seen(tmp_path):
    found = standing(write(tmp_path / "h", n=500, undone=range(255, 500), failed=(100,)))
    lines = drawn(found, 52)
    strip = next(line for line in lines if "░" in line).strip()
    assert len(strip) == 50 and strip == "▓" * 10 + "✕" + "▓" * 14 + "▒" + "░" * 24
    assert "a block is about 10 segments" in " ".join(" ".join(lines).split())


def test_a_complete_dataset_needs_nothing(tmp_path):
    found = standing(write(tmp_path / "h", n=4, rows=40))
    told = "\n".join(drawn(found, 80))
    assert "h: complete" in told and "100%" in told and "Next" not in told and "█" in told
    assert found.to_json()["next"] == [] and found.to_json()["complete"]


def test_a_terminal_of_ascii_gets_ascii(halfway):
    assert "\n".join(drawn(standing(halfway), 80, ascii_only=True)).replace("…", "").isascii()


def test_the_servers_words_draw_nothing_of_their_own(halfway):
    """No markup, and no codes that move a terminal's cursor."""
    found = replace(standing(halfway), reasons=(Reason(500, "[red]a\x1b[2Jb[/red]", 2, ()),))
    told = "\n".join(drawn(found, 80))
    assert r"[red]a\x1b[2Jb[/red]" in told and "\x1b" not in told
    assert "\x1b" not in "\n".join(status_drawing.lines(found))


def test_in_a_terminal_it_is_drawn_in_colours_that_no_color_takes_away(halfway):
    place = halfway.url
    with terminal([*STATUS, place]) as ours:
        told, code = ours.drawn()
    assert code == 3 and COLOUR.search(told) and "░" in told
    assert all(len(COLOUR.sub("", line)) <= 80 for line in told.splitlines())
    with terminal([*STATUS, place], NO_COLOR="1") as ours:
        plain, _ = ours.drawn()
    assert not re.search(r"\x1b\[[\d;]*3[0-7]", plain) and "░" in plain


def test_letters_that_an_output_lacks_end_nothing(halfway):
    with terminal([*STATUS, halfway.url], PYTHONIOENCODING="ascii") as ours:
        told, code = ours.drawn()
    assert code == 3 and told.isascii() and "entry ? is broken" in told
    asked = {"capture_output": True, "env": os.environ | {"PYTHONIOENCODING": "ascii"}, "timeout": 60}
    assert b"entry ? is broken" in subprocess.run([*STATUS, halfway.url], **asked).stdout


def test_on_a_pipe_there_are_words_and_json(halfway, call):
    told = call("status", halfway.url, check=3)
    assert told.stdout.startswith(f"50 entries in {halfway.url}")
    assert "failed: 1 with status 500: entry … is broken\n" in told.stdout and "░" not in told.stdout
    found = orjson.loads(call("status", halfway.url, "--json", check=3).stdout)
    assert found["segments"] == {"planned": 12, "done": 10} and found["exit_code"] == 3
    assert found["entries"]["failed"] == 2 and found["entries"]["without_archive"] == 10
    assert [failure["entries"] for failure in found["failures"]] == [1, 1]
    assert found["next"][0]["command"] == f"nomad-dask resume {halfway.url}"


def test_ten_thousand_segments_in_two_seconds(tmp_path, call):
    """By this process's own clock: other tests run beside it."""
    write(tmp_path / "h", n=10_000, undone=range(9_500, 10_000), failed=range(0, 9_500, 500), paused=True)
    began = time.process_time()
    call("status", tmp_path / "h", check=3)
    assert time.process_time() - began < bound(2)
