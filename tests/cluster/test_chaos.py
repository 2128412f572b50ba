"""SPEC, "Harvests": a harvest whose workers and clients are killed repeatedly equals an undisturbed one."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass

import pandas as pd
import psutil
from processes import at_request, local_workers

from nomad_dask.dataset.store import Store
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

REQUIRED = {
    "results": {"material": {"elements": "*"}, "properties": {"n_calculations": "*"}},
    "run": {"program": "*"},
}
EVERY = 2.0
"""Seconds from one worker's death to the next."""
WORK = 60
"""Requests at least between the two: a machine that is busy otherwise would lose workers faster than they
work.
"""


@dataclass(frozen=True)
class Size:
    """How large a harvest is, how often its client is killed, and at which of its requests."""

    entries: int
    parts: int
    workers: int
    batch: int
    kills: int
    at: tuple[int, int]


FULL = Size(20_000, 80, 4, 25, 5, (100, 200))
GATE = Size(2_000, 30, 2, 10, 2, (60, 120))


def options(url, out, size):
    return [
        *("harvest", "--url", str(url), "--out", str(out), "--required", json.dumps(REQUIRED)),
        *(
            "--npartitions",
            str(size.parts),
            "--batch-size",
            str(size.batch),
            "--max-requests-per-second",
            "0",
        ),
    ]


class Reaper(threading.Thread):
    """Kills (-9) one worker process of the client at random, every two seconds of work, until it is told to
    stop.
    """

    def __init__(self, seed, log):
        super().__init__(daemon=True)
        self.client, self.deaths, self.before = None, 0, 0
        self._log = log
        self._dice, self._over = random.Random(seed), threading.Event()

    def run(self):
        while not self._over.wait(EVERY):
            if self._log.count() - self.before < WORK:
                continue
            try:
                if workers := local_workers(self.client):
                    os.kill(self._dice.choice(workers), signal.SIGKILL)
                    self.deaths, self.before = self.deaths + 1, self._log.count()
            except (psutil.Error, ProcessLookupError):
                continue

    def stop(self):
        self._over.set()
        self.join()


def run_until(url, n, line, reaper):
    """Run the command and kill it when the server has seen `n` requests (None: never). Its exit code and
    words.
    """
    with at_request(url, n, lambda: client.send_signal(signal.SIGKILL)):
        client = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        reaper.client = client.pid
        words = client.communicate(timeout=150)[0]
        reaper.before -= url.log.count()
        return client.returncode, words


def test_workers_and_clients_that_die_leave_what_calm_leaves(full, tmp_path, on_cluster):
    """2,000 entries and 2 kills of the client; 20,000 and 5 where NOMAD_DASK_FULL is set."""
    dice, size = random.Random(13), FULL if full else GATE
    with serve(n_entries=size.entries, kind="small", seed=9) as url:
        on_cluster(*options(url, tmp_path / "calm", size), check=0)
        url.faults = Faults(latency=0.15)
        line = [sys.executable, "-m", "nomad_dask", *options(url, tmp_path / "chaos", size)]
        line += ["--workers", str(size.workers)]
        reaper = Reaper(13, url.log)
        store, finished = Store.at(tmp_path / "chaos"), [0]
        reaper.start()
        try:
            for _ in range(size.kills):
                code, words = run_until(url, dice.randint(*size.at), line, reaper)
                assert code == -signal.SIGKILL, f"the harvest was over before it was killed: {words}"
                manifest = store.manifest()
                finished.append(len(store.receipts(manifest.id)) if manifest else 0)
            assert finished == sorted(finished), "a finished segment was lost"
            assert 0 < finished[-1] < size.parts, "the kills came too early or too late to mean anything"
            code, words = run_until(url, None, line, reaper)
        finally:
            reaper.stop()
        assert code == 0, words
        assert reaper.deaths >= size.kills
        frame = pd.read_parquet(tmp_path / "chaos" / "data", dtype_backend="pyarrow")
        assert len(frame) == size.entries and frame.index.is_unique
        pd.testing.assert_frame_equal(
            frame, pd.read_parquet(tmp_path / "calm" / "data", dtype_backend="pyarrow")
        )
        for name in ("data", "segments"):
            assert len(list((tmp_path / "chaos" / name).iterdir())) == size.parts
        mine, calms = (pd.read_parquet(tmp_path / h / "failures.parquet") for h in ("chaos", "calm"))
        pd.testing.assert_frame_equal(
            mine.sort_values("entry_id", ignore_index=True), calms.sort_values("entry_id", ignore_index=True)
        )
