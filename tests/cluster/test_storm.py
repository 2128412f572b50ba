"""SPEC, "Batches", "Retries": a harvest through faults loses only bad entries, and reports them."""

import json

import pandas as pd

from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults
from nomad_dask.testing.generate import PLAIN

REQUIRED = {
    "results": {"material": {"elements": "*"}, "properties": {"n_calculations": "*"}},
    "run": {"program": "*"},
}
PARTS = 40
STALL = 2.5
TIMEOUT = 2.0
STORM = (
    "status=500,rate=0.02; status=502,html,rate=0.02; status=503,html,rate=0.02; status=504,html,rate=0.02; "
    f"status=429,retry_after=0.1,rate=0.02; reset,rate=0.05; truncate=0.5,rate=0.03; stall={STALL},rate=0.01; "  # noqa: E501
    "missing=0.002; seed=11; poison="
)


def options(url, out, batch_size):
    return [
        *("harvest", "--url", url, "--out", out, "--required", json.dumps(REQUIRED)),
        *("--npartitions", PARTS, "--batch-size", batch_size, "--max-concurrency", 16),
        *("--max-requests-per-second", 0, "--timeout", TIMEOUT, "--retry", 6, "--sleep-time", 0.1),
    ]


def frame_of(path):
    return pd.read_parquet(f"{path}/data", dtype_backend="pyarrow")


def test_a_storm_costs_nothing_but_the_poison_and_is_mended(full, tmp_path, command, on_cluster):
    """3,000 entries; 20,000 where NOMAD_DASK_FULL is set."""
    n, workers, batch_size = (20_000, 4, 20) if full else (3_000, 2, 5)
    with serve(n_entries=n, kind="small", seed=5, private_share=0, features=PLAIN) as url:
        ids = [entry.entry_id for entry in url.corpus.entries]
        poison = [ids[k] for k in (n // 9, n // 2, n - 2)]
        storm = Faults.parse(STORM + "+".join(poison))
        missing = {i for i in ids if storm.missing(i)} - set(poison)
        assert missing, "the storm hides some archives"

        url.faults = storm
        line = options(url, tmp_path / "h", batch_size)
        command(*line, "--workers", workers, check=3, timeout=240)
        seen = [type(request.fault).__name__ for request in url.log if request.fault is not None]
        frame = frame_of(tmp_path / "h")
        assert list(frame.index) == sorted(set(ids) - set(poison))
        hidden = frame.drop(columns="upload_id").isna().all(axis=1)
        assert set(frame.index[hidden]) == missing
        failures = pd.read_parquet(tmp_path / "h" / "failures.parquet").set_index("entry_id")
        assert set(failures.index) == missing | set(poison) and failures.index.is_unique
        assert set(failures.kind[list(missing)]) == {"no archive"}
        assert set(failures.kind[poison]) == {"failed"} and set(failures.status[poison]) == {500}
        assert failures.reason.str.len().min() > 0
        assert {"Status", "Reset", "Truncate", "Stall"} <= set(seen)

        # Archives that are not there are a fact, not a fault: the calm server lacks them too.
        url.faults = Faults.parse("missing=0.002; seed=11")
        on_cluster(*line, "--retry-failures", check=0)
        on_cluster(*options(url, tmp_path / "calm", batch_size), check=0)
        mended = frame_of(tmp_path / "h")
        pd.testing.assert_frame_equal(mended, frame_of(tmp_path / "calm"))
        assert list(mended.index) == sorted(ids)
        left = pd.read_parquet(tmp_path / "h" / "failures.parquet")
        assert set(left.kind) == {"no archive"} and set(left.entry_id) == {i for i in ids if storm.missing(i)}
