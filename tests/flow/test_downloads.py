"""SPEC, "Fetch and download": large downloads are kept as text; dataframes decode and discard it."""

import pickle

import pytest
from cores import compiled_only

from nomad_dask import ArchiveQuery
from nomad_dask.layouts import compiled
from nomad_dask.query import downloads
from nomad_dask.request.check import EmptyPaths
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults
from nomad_dask.testing.faults.actions import Garble, Reorder
from nomad_dask.testing.faults.rules import Rule
from nomad_dask.testing.generate import PLAIN, generate

ARCHIVES = "entries/archive/query"
N = 60


@pytest.fixture
def url():
    with serve(generate(N, seed=4, kind="large", features=PLAIN)) as url:
        yield url


@pytest.fixture
def decoded(monkeypatch):
    """How often pieces were decoded after their download, but for those that show what is empty."""
    calls = []
    monkeypatch.setattr(downloads, "rows_of", lambda text: calls.append(1) or plainly(text))
    monkeypatch.setattr(EmptyPaths, "of", lambda required: EmptyPaths(()))
    return calls


@pytest.fixture(params=["by the core", "by Python"])
def core(request, monkeypatch):
    if request.param == "by Python":
        monkeypatch.setattr(downloads, "native", None)
        monkeypatch.setattr(compiled, "native", None)
    elif compiled.native is None:
        pytest.skip("the compiled core is not installed")
    return request.param == "by the core"


plainly = downloads.rows_of


def query_of(url, **options):
    defaults = {"max_requests_per_second": None, "progress": False, "sleep_time": 0.01, "batch_size": 20}
    return ArchiveQuery(required={"run": "*", "results": "*"}, url=str(url), **(defaults | options))


def test_a_walk_decodes_the_piece_it_comes_to_and_once(url, decoded, core):
    archives = query_of(url).download()
    assert len(archives) == N and not decoded
    assert archives[0].run[0].program.name and archives[0]["run"] is archives[0]["run"]
    assert len(decoded) == 1
    energies = [archive.run[0].calculation[-1].energy.total.value for archive in archives]
    assert all(energies) and len(decoded) > 3
    before = len(decoded)
    assert [archive.entry_id for archive in archives] == [a.entry_id for a in archives if a["results"]]
    assert len(decoded) == before


def test_a_frame_leaves_archives_as_text(url, decoded, core, monkeypatch):
    """Python decodes each piece twice, and keeps none decoded; the core decodes nothing."""
    monkeypatch.setattr(downloads, "BLOCK_BYTES", 2**20)
    query = query_of(url)
    query.download()
    frame = query.entries_to_dataframe()
    pieces = len(decoded)
    assert pieces == 0 if core else pieces > 3
    again = query.entries_to_dataframe()
    assert len(decoded) == 2 * pieces and again.equals(frame)


def test_a_frame_by_the_core_equals_that_by_python(url, monkeypatch):
    query = query_of(url)
    query.download(N // 2)
    query.download()
    options = [{}, {"keys_to_filter": "results.material"}, {"query_selection": "all"}]
    frames = [query.entries_to_dataframe(**some) for some in options]
    monkeypatch.setattr(compiled, "native", None)
    for some, frame in zip(options, frames, strict=True):
        expected = query.entries_to_dataframe(**some)
        assert list(frame) == list(expected) and (frame.dtypes == expected.dtypes).all()
        assert frame.equals(expected) and frame.attrs == expected.attrs


@compiled_only
def test_a_fault_of_the_core_costs_no_frame(url, monkeypatch, caplog):
    query = query_of(url)
    query.download()
    expected = query.entries_to_dataframe()
    monkeypatch.setattr(compiled, "builder", lambda *_: 1 / 0)
    with caplog.at_level("INFO", logger="nomad_dask"):
        assert query.entries_to_dataframe().equals(expected)
    assert "built again, without the compiled core: ZeroDivisionError" in caplog.text


def test_plain_dicts_and_archives_give_the_same_frame(url):
    plain, lazy = query_of(url), query_of(url)
    dicts, archives = plain.download(as_plain_dict=True), lazy.download()
    assert lazy.entries_to_dataframe().equals(plain.entries_to_dataframe())
    assert [dict(archive) for archive in archives] == dicts
    assert plain.entries_to_dataframe(from_query=True)["run"].equals(
        lazy.entries_to_dataframe(from_query=True)["run"]
    )


@pytest.mark.parametrize("action", [Garble(0.3), Reorder()], ids=str)
def test_what_came_broken_or_in_another_order_is_in_the_lists_order(url, action):
    calm = query_of(url)
    calm.download()
    url.faults = Faults([Rule(action, nth=(1,), path=ARCHIVES)])
    query = query_of(url)
    archives = query.download()
    frame = query.entries_to_dataframe()
    assert list(frame.index) == [archive.entry_id for archive in archives] == sorted(frame.index)
    assert frame.equals(calm.entries_to_dataframe())


def test_an_archive_pickles_with_what_it_holds(url):
    archive = query_of(url).download(1)[0]
    assert pickle.loads(pickle.dumps(archive)) == archive
