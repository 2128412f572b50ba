"""Issue 7: on a cluster a computation's progress comes from its workers, and a harvest shows its own."""

import pytest
from kernels import nothing_is_left

from nomad_dask import ArchiveQuery, update_dataset
from nomad_dask.cluster import task_progress
from nomad_dask.testing import serve

MATERIAL = {"results": {"material": {"elements": "*"}, "properties": {"n_calculations": "*"}}}
N = 200


@pytest.fixture(scope="module")
def query():
    with serve(n_entries=N, seed=3, kind="small") as url:
        yield ArchiveQuery(url=url, required=MATERIAL, results_max=None)


def test_workers_tell_what_they_read(kernel, cluster, query):
    with cluster.as_current():
        frame = query.to_dask_dataframe(npartitions=6)
        keys = {*frame.optimize().__dask_graph__()}
        assert len(frame.compute()) == N
        kernel.end_cell()
        assert keys == {*frame.optimize().__dask_graph__()}
    told = [words for words in kernel.last() if "Computing" in words]
    assert len(told) == 1 and f"{N} of {N} entries" in told[0] and " 0 requests/s" not in told[0]
    kernel.end_cell()
    nothing_is_left(kernel)


def test_the_scheduler_has_no_subscriber_when_it_is_over(kernel, cluster, query):
    with cluster.as_current():
        query.to_dask_dataframe(npartitions=2)["upload_id"].compute()
    kernel.end_cell()

    def subscribers(dask_scheduler):
        return [*dask_scheduler._broker._topics[task_progress.TOPIC].subscribers]

    assert cluster.run_on_scheduler(subscribers) == []


def test_a_harvest_shows_its_progress(kernel, cluster, query, tmp_path):
    report = query.to_parquet(tmp_path / "h", npartitions=4, client=cluster)
    (told,) = kernel.last()
    assert told.startswith(f"Harvest into {tmp_path / 'h'}: {N} of {N} entries") and report.complete
    seen = [progress.done.segments for progress in kernel.progresses]
    assert seen == sorted(seen) and seen[-1] == 4


def test_who_gives_a_function_of_their_own_is_shown_nothing(kernel, cluster, query, tmp_path):
    reports = []
    query.to_parquet(tmp_path / "h", npartitions=2, client=cluster, progress=reports.append)
    assert not kernel.shown and reports[-1].rows == N


def test_who_wants_no_progress_is_shown_none(kernel, cluster, query, tmp_path):
    query.to_parquet(tmp_path / "h", npartitions=2, client=cluster, progress=False)
    update_dataset(tmp_path / "h", client=cluster, progress=False)
    assert not kernel.shown
    update_dataset(tmp_path / "h", client=cluster)
    assert kernel.shown
