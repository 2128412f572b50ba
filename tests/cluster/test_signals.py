"""Issue 13: three Ctrl-C within a second end without a traceback; a terminal that closes ends a command like
a kill.
"""

import os
import signal
import subprocess
import sys

import pytest
from processes import at_request

from nomad_dask.cli.exit_codes import INTERRUPTED, Interrupts
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

REQUIRED = '{"results": {"material": {"elements": "*"}}}'


def ended_by(tmp_path, send):
    """A harvest with a worker, to which `send` is called in the middle: its exit code and its words."""
    with serve(n_entries=100, kind="small", faults=Faults(latency=0.1)) as url:
        line = ("harvest", "--url", url, "--required", REQUIRED, "--out", tmp_path / "h", "--npartitions", 50)
        with at_request(url, 30, lambda: send(client.pid)):
            client = subprocess.Popen(
                [sys.executable, "-m", "nomad_dask", *map(str, line), "--workers", "1"],
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            _, words = client.communicate(timeout=120)
    assert "Traceback" not in words and "Exception" not in words, words
    return client.returncode, words


def test_three_interrupts_within_a_second(tmp_path):
    """To all processes of the terminal, as it does; faster than any command can end."""

    def three(pid):
        for _ in range(3):
            os.killpg(pid, signal.SIGINT)
            signal.sigtimedwait([], 0.1)  # so that the three are not one

    code, words = ended_by(tmp_path, three)
    assert code == 130 and words.count("interrupted; finished segments are kept") == 1


def test_a_terminal_that_closes_ends_it_like_a_kill(tmp_path):
    code, words = ended_by(tmp_path, lambda pid: os.kill(pid, signal.SIGHUP))
    assert code == 130 and "interrupted; finished segments are kept: run the same command again" in words


def test_the_first_interrupts_the_next_are_ignored_and_a_late_one_ends_at_once(monkeypatch):
    now, ended = [10.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(os, "_exit", ended.append)
    handler = Interrupts()
    with pytest.raises(KeyboardInterrupt):
        handler(signal.SIGINT, None)
    for now[0] in (10.1, 10.2, 12.9):
        handler(signal.SIGINT, None)
    assert not ended
    now[0] = 13.1
    handler(signal.SIGINT, None)
    assert ended == [INTERRUPTED]


def test_what_nohup_ignores_stays_ignored():
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        handler = Interrupts()
        handler.install()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is handler and signal.getsignal(signal.SIGTERM) is handler
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
