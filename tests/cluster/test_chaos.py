"""Issue 5, SPEC 9: workers killed all the time and clients killed again and again end in what calm would have brought."""

import json
import os
import random
import signal
import subprocess
import sys
import threading

import pandas as pd
import psutil

from nomad_dask.edges.store import Store
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

REQUIRED = {"results": {"material": {"elements": "*", "n_elements": "*"}}, "run": {"program": "*"}}
N = int(os.environ.get("NOMAD_DASK_CHAOS", "20000"))
PARTS = 80
KILLS = 5
EVERY = 2.0
"""Seconds from one worker's death to the next."""


def command_line(url, out):
    return [
        *(sys.executable, "-m", "nomad_dask", "harvest", "--url", str(url), "--out", str(out)),
        *("--required", json.dumps(REQUIRED), "--npartitions", str(PARTS), "--workers", "4"),
        *("--batch-size", "25", "--max-requests-per-second", "0"),
    ]


class Reaper(threading.Thread):
    """Kills (-9) one worker process of the client at random, every two seconds, until it is told to stop."""

    def __init__(self, seed):
        super().__init__(daemon=True)
        self.client, self.deaths = None, 0
        self._dice, self._over = random.Random(seed), threading.Event()

    def run(self):
        while not self._over.wait(EVERY):
            try:
                workers = [p.pid for p in psutil.Process(self.client).children() if _is_worker(p)]
                if workers:
                    os.kill(self._dice.choice(workers), signal.SIGKILL)
                    self.deaths += 1
            except (psutil.Error, ProcessLookupError):
                continue

    def stop(self):
        self._over.set()
        self.join()


def _is_worker(process):
    """Whether it is a Dask worker that has been up for a while; the client starts other processes as well."""
    return any("spawn_main" in word for word in process.cmdline()) and process.num_threads() > 5


def run_until(url, n, line, reaper):
    """Run the command and kill it when the server has seen `n` requests (None: never). Its exit code and words."""
    client = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    reaper.client = client.pid
    log, add = url.log, type(url.log).add

    def add_and_kill(seen):
        add(log, seen)
        if log.count() == n:
            client.send_signal(signal.SIGKILL)

    log.clear()
    log.add = add_and_kill
    try:
        words = client.communicate(timeout=150)[0]
        return client.returncode, words
    finally:
        del log.add


def test_workers_and_clients_that_die_leave_what_calm_leaves(tmp_path):
    dice = random.Random(13)
    with serve(n_entries=N, kind="small", seed=9) as url:
        calm = command_line(url, tmp_path / "calm")
        subprocess.run(calm, check=True, capture_output=True, timeout=150)
        url.faults = Faults(latency=0.15)
        line, reaper = command_line(url, tmp_path / "chaos"), Reaper(13)
        store, finished = Store.at(tmp_path / "chaos"), [0]
        reaper.start()
        try:
            for _ in range(KILLS):
                code, words = run_until(url, dice.randint(100, 200), line, reaper)
                assert code == -signal.SIGKILL, f"the harvest was over before it was killed: {words}"
                manifest = store.manifest()
                finished.append(len(store.receipts(manifest.id)) if manifest else 0)
            assert finished == sorted(finished), "a finished segment was lost"
            assert 0 < finished[-1] < PARTS, "the kills came too early or too late to mean anything"
            code, words = run_until(url, None, line, reaper)
        finally:
            reaper.stop()
        assert code == 0, words
        assert reaper.deaths > KILLS
        frame = pd.read_parquet(tmp_path / "chaos" / "data", dtype_backend="pyarrow")
        assert len(frame) == N and frame.index.is_unique
        pd.testing.assert_frame_equal(
            frame, pd.read_parquet(tmp_path / "calm" / "data", dtype_backend="pyarrow")
        )
        for name in ("data", "segments"):
            assert len(list((tmp_path / "chaos" / name).iterdir())) == PARTS
        mine, calms = (pd.read_parquet(tmp_path / h / "failures.parquet") for h in ("chaos", "calm"))
        pd.testing.assert_frame_equal(
            mine.sort_values("entry_id", ignore_index=True), calms.sort_values("entry_id", ignore_index=True)
        )
