"""A harvest's progress in a terminal: nothing of it is cut off where the terminal ends; on a pipe it is
lines.
"""

import re
import subprocess
import sys

import pytest
from terminals import terminal

HALF = """
from nomad_dask.progress.display import terminal_progress
from nomad_dask.dataset.report import Report
with terminal_progress() as show:
    show(Report(10, 1000))
    show(Report(10, 1000, done=5, rows=500, n_bytes=12_345_678, requests=321, seconds=10.0))
"""
TOLD = "12.3 MB, 50 entries/s, 1.23 MB/s, 32.1 requests/s, 0 failed, 10 s left"


@pytest.mark.parametrize("columns", [50, 80, 140])
def test_the_bar_its_count_and_all_facts_fit(columns):
    with terminal([sys.executable, "-c", HALF], columns=columns) as ours:
        told, code = ours.drawn()
    assert code == 0
    last = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", told).rpartition("━ ")[2].splitlines()
    assert last[0].startswith("50%  500 of 1,000 entries") and " ".join(last[1:]).split() == TOLD.split()
    assert max(map(len, last)) <= columns
    assert "…" not in told


def test_on_a_pipe_it_is_lines():
    done = subprocess.run([sys.executable, "-c", HALF], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("0 of 1,000 entries") and "\x1b" not in done.stderr and not done.stdout


def test_where_the_whole_is_not_known_no_share_is_told():
    code = """
from nomad_dask.progress.display import terminal_bar
from nomad_dask.progress.progress import Progress
with terminal_bar() as show:
    show(Progress())
"""
    with terminal([sys.executable, "-c", code]) as ours:
        told, ended = ours.drawn()
    assert ended == 0 and "0 entries" in told and "%" not in told
