"""SPEC, "Harvests": a harvest whose client is killed at any moment, repeatedly, equals an undisturbed one."""

import json
import os
import random
import subprocess
import sys

import pandas as pd

from nomad_dask.dataset.store import Store
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

REQUIRED = {"results": "*", "workflow2": {"results": {"calculation_result_ref": {"energy": "*"}}}}
KILLS = int(os.environ.get("NOMAD_DASK_KILLS", "4"))
SEGMENTS = 100


def arguments(url, out):
    return [
        *("harvest", "--url", str(url), "--required", json.dumps(REQUIRED), "--out", str(out)),
        *("--npartitions", str(SEGMENTS), "--max-requests-per-second", "0", "--batch-size", "5"),
    ]


def frame_of(path):
    return pd.read_parquet(f"{path}/data", dtype_backend="pyarrow")


def segments_asked(log, segments):
    """Numbers of the segments that requests of a log belong to."""
    found = set()
    for request in log:
        if "query" not in (request.body or {}):
            continue  # It asks for the schema, or for the server's time.
        query = request.body["query"]
        ids = query.get("entry_id:any")
        for number, (after, upto) in enumerate(segments):
            if (
                ids is None
                and query.get("entry_id")
                == ({"gt": after} if after else {}) | ({"lte": upto} if upto else {})
            ) or (ids is not None and any(after < i and (not upto or i <= upto) for i in ids)):
                found.add(number)
    return found


def test_killed_again_and_again(tmp_path, call, on_cluster, kill_after):
    dice = random.Random(7)
    with serve(n_entries=400, seed=3) as url:
        on_cluster(*arguments(url, tmp_path / "calm"), check=0)
        calm = frame_of(tmp_path / "calm")
        segments = [(s.after, s.upto) for s in Store.at(tmp_path / "calm").manifest().plan.segments]
        url.faults = Faults(latency=0.15)
        store, receipted = Store.at(tmp_path / "killed"), set()
        line = [sys.executable, "-m", "nomad_dask", *arguments(url, store.url), "--workers", "1"]
        for _ in range(KILLS):
            planned = store.manifest() is not None
            n = dice.randint(2, 4 + 240 // KILLS if planned else 50)
            assert kill_after(url, n, line), "the harvest was over before it was killed"
            assert not segments_asked(url.log, segments) & receipted
            receipted = set(store.receipts(store.manifest().id)) if store.manifest() else set()
        assert 0 < len(receipted) < SEGMENTS, "the kills came too early or too late to mean anything"
        url.faults = None
        url.log.clear()
        done = subprocess.run(line, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert not segments_asked(url.log, segments) & receipted
        pd.testing.assert_frame_equal(frame_of(store.url), calm)
        assert call("status", store.url, check=0).stdout.startswith("400 entries")
        url.log.clear()
        on_cluster(*arguments(url, store.url), check=0)
        assert url.log.count() == 0, "a finished harvest asks nothing"
