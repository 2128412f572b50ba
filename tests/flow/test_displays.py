"""Issue 7: what a notebook shows of a download, a computation, a harvest: moving, of the right work, and gone
when it is over.
"""

import re
import threading

import dask
import pytest
from kernels import nothing_is_left

from nomad_dask import ArchiveQuery
from nomad_dask.cluster import task_progress
from nomad_dask.errors import EntriesFailedError
from nomad_dask.progress import display
from nomad_dask.testing import Faults, serve

MATERIAL = {"results": {"material": {"elements": "*"}, "properties": {"n_calculations": "*"}}}
N = 200


@pytest.fixture(scope="module")
def url():
    with serve(n_entries=N, seed=3, kind="small") as url:
        yield url


@pytest.fixture
def query(url):
    return ArchiveQuery(url=url, required=MATERIAL, results_max=None)


def test_a_download_shows_its_messages_and_its_progress(kernel, query, capsys):
    assert len(query.download(20)) == 20
    fetching, added, bar = kernel.last()
    assert fetching == "Fetching remote uploads..." and added.startswith("100 entries are qualified")
    assert re.match(r"Downloading 20 entries\.\.\.: 20 of 20 entries, [\d.]+ kB, .* 0 failed, in ", bar)
    assert capsys.readouterr().err == ""


def test_a_download_that_stops_is_shown_as_stopped(kernel, url):
    query = ArchiveQuery(url=url, required=MATERIAL, results_max=None, retry=0)
    query.fetch(20)
    with serve(n_entries=5) as gone:
        pass
    query._list._server = ArchiveQuery(url=gone, retry=0)._server
    with pytest.raises(Exception, match="nothing answers|failed"):
        query.download(20)
    assert ">stopped" in kernel.shown[-1][-1][0] and len(query.entry_list()) == 100


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_a_computation_shows_what_its_tasks_read(kernel, url, query, scheduler):
    frame = query.to_dask_dataframe(npartitions=5)
    url.log.clear()
    with dask.config.set(scheduler=scheduler):
        assert len(frame[["results.properties.n_calculations"]].compute()) == N
    kernel.end_cell()
    (told,) = kernel.last()
    assert told.startswith(f"Computing results.properties.n_calculations: {N} of {N} entries")
    done = kernel.progresses[-1].done
    assert done.requests == url.log.count("entries/query") + url.log.count("entries/archive/query")
    assert (done.entries, done.segments, done.failed) == (N, 5, 0) and 0 < done.n_bytes <= url.log.bytes
    nothing_is_left(kernel)


def test_the_list_of_entries_alone_is_shown_too(kernel, query):
    assert len(query.to_dask_dataframe(npartitions=3)) == N
    kernel.end_cell()
    assert kernel.last()[0].startswith(f"Computing the list of entries: {N} of {N} entries")


def test_tables_that_are_computed_together_are_one_progress(kernel, url):
    required = {"run": {"program": "*", "calculation": {"energy": "*"}}}
    tables = ArchiveQuery(url=url, required=required, results_max=50).to_dask_dataframe(from_query=True)
    dask.compute(*tables.values(), scheduler="sync")
    kernel.end_cell()
    note, told = kernel.last()
    assert note == "50 of 200 that match: results_max=50"
    assert "50 of 50 entries" in told


def test_some_partitions_are_all_of_a_computation_of_them(kernel, query):
    frame = query.to_dask_dataframe(npartitions=4)
    frame.partitions[1:3].compute(scheduler="sync")
    kernel.end_cell()
    assert "100 of 100 entries" in kernel.last()[0]


def test_a_frame_that_is_only_made_ready_shows_nothing(kernel, query):
    frame = query.to_dask_dataframe(npartitions=4)
    frame.optimize()
    kernel.end_cell()
    nothing_is_left(kernel)
    assert not kernel.shown


def test_a_computation_after_one_that_was_only_made_ready_is_shown_once(kernel, query):
    frame = query.to_dask_dataframe(npartitions=4)
    frame.optimize()
    frame.compute(scheduler="sync")
    frame.compute(scheduler="sync")
    kernel.end_cell()
    assert ["200 of 200" in told for told in kernel.last()] == [True, True]


def test_two_computations_at_once_do_not_mix(kernel, query):
    frame = query.to_dask_dataframe(npartitions=4)
    columns = "results.properties.n_calculations", "results.material.elements"
    works = [threading.Thread(target=frame[column].compute) for column in columns]
    for work in works:
        work.start()
    for work in works:
        work.join()
    kernel.end_cell()
    told = kernel.last()
    assert {line.split(":")[0] for line in told} == {f"Computing {column}" for column in columns}
    assert all(f"{N} of {N} entries" in line for line in told)


def test_a_computation_that_fails_is_stopped_and_tells_how_many(kernel):
    with serve(n_entries=40, seed=4) as url:
        bad = next(e.entry_id for e in url.corpus.entries if e.state == "public" and e.has_archive)
        url.faults = Faults(poison={bad: 500})
        query = ArchiveQuery(url=url, required=MATERIAL, results_max=None, retry=0, sleep_time=0)
        frame = query.to_dask_dataframe(npartitions=4)
        with pytest.raises(EntriesFailedError, match="could not be downloaded"):
            frame.compute(scheduler="sync")
    kernel.end_cell(success=False)
    assert "1 failed" in kernel.last()[-1] and ">stopped" in kernel.shown[-1][-1][0]
    nothing_is_left(kernel)


def test_a_cell_that_is_over_ends_what_goes_on(kernel, query):
    frame = query.to_dask_dataframe(npartitions=4)
    task_progress.watch("job", "Computing", query.plan(npartitions=4).segments)
    task_progress._deliver("job", "", None, to_all=False)
    kernel.end_cell()
    assert "may still be running" in kernel.shown[-1][-1][0]
    assert frame is not None


def test_silence_on_request_and_where_nobody_looks(kernel, url, monkeypatch, capsys):
    quiet = ArchiveQuery(url=url, required=MATERIAL, results_max=None, progress=False)
    quiet.download(5)
    silent = quiet.to_dask_dataframe(npartitions=2)
    silent.compute(scheduler="sync")
    assert not kernel.shown and not kernel.hooks
    spoken = ArchiveQuery(url=url, required=MATERIAL, results_max=None).to_dask_dataframe(npartitions=2)
    assert {*silent.optimize().__dask_graph__()} == {*spoken.optimize().__dask_graph__()}
    monkeypatch.setattr(display, "shell", lambda: None)
    capsys.readouterr()
    spoken.compute(scheduler="sync")
    assert display.output_kind() == "pipe" and capsys.readouterr() == ("", "")


def test_outside_of_ipython_no_place_is_a_notebook():
    assert display.shell() is None
