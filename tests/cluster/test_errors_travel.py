"""Issue 13: what a task raises on a worker reaches the client as one of our errors; what an entry holds costs
no other.
"""

import json

import pandas as pd
import pytest
from hostile import Texts, deep
from spoilt import SPOILT, STRANGERS, classes, fail

from nomad_dask import ArchiveQuery
from nomad_dask.cluster.shared_limits import run_with_shared_limits
from nomad_dask.errors import EntriesFailedError, InternalError
from nomad_dask.testing import serve


def test_errors_of_all_kinds_travel(cluster):
    cases = [(kind, spoil) for kind in (*classes(), *STRANGERS) for spoil in SPOILT]
    futures = [cluster.submit(run_with_shared_limits, fail, *case, pure=False) for case in cases]
    for (kind, spoil), future in zip(cases, futures, strict=True):
        error = future.exception(timeout=60)
        expected = kind if kind in classes() else InternalError
        assert type(error) is expected, (kind, spoil.__name__, error)
        assert not isinstance(future.traceback(timeout=60), str | None)


N, PARTS = 600, 6
BAD = {
    77: deep(1_012),
    300: deep(20_000),
    301: b'{"x": [NaN, 12345678901234567890]}',
    599: b'{"x": "\\ud800"}',
}


@pytest.fixture(scope="module")
def hostile():
    with serve(Texts(N, BAD | {78: b'{"x_job": "job_20231231235959123456.out"}'})) as url:
        yield url


@pytest.mark.parametrize("layout", ["wide", "nested", "tables"])
def test_a_harvest_delivers_all_other_entries(hostile, on_cluster, tmp_path, layout):
    line = ("harvest", "--url", hostile, "--out", tmp_path / "h", "--npartitions", PARTS, "--layout", layout)
    done = on_cluster(*line, "--required", json.dumps({"run": "*", "x_job": "*"}), check=3)
    assert "4 failed" in done.stdout + done.stderr
    failures = pd.read_parquet(tmp_path / "h" / "failures.parquet").set_index("entry_id")
    ids = [entry.entry_id for entry in hostile.corpus.entries]
    assert {*failures.index} == {ids[i] for i in BAD}
    assert failures.reason[ids[77]] == failures.reason[ids[300]] == "nested deeper than 100 levels"
    if layout != "tables":
        frame = pd.read_parquet(tmp_path / "h" / "data")
        assert [*frame.index] == sorted({*ids} - {*failures.index})


def test_a_lazy_frame_raises_or_has_nulls(hostile, cluster):
    query = ArchiveQuery(url=str(hostile), required={"run": "*"}, results_max=None, progress=False)
    with pytest.raises(
        EntriesFailedError, match="could not be downloaded: .*(nested deeper|NaN, which is not|surrogate)"
    ):
        query.to_dask_dataframe(npartitions=PARTS).compute(scheduler=cluster)
    found = query.to_dask_dataframe(npartitions=PARTS, on_failure="null").compute(scheduler=cluster)
    assert len(found) == N and found.drop(columns="upload_id").isna().all(axis=1).sum() >= len(BAD)
