"""SPEC, "ArchiveQuery", "Layouts": `entries_to_dataframe`: keys, selections, references, frames by path."""

import pandas as pd
import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.errors import UserError
from nomad_dask.testing import serve
from nomad_dask.testing.generate import PLAIN, generate

REFERRED = {
    "workflow2": {
        "results": {
            "calculation_result_ref": {"energy": "*", "system_ref": {"chemical_composition_reduced": "*"}}
        }
    }
}
GUIDE = "workflow2.results.calculation_result_ref"


@pytest.fixture(scope="module")
def url():
    with serve(generate(40, seed=2, features=PLAIN)) as url:
        yield url


def query_of(url, required=REFERRED, **options):
    defaults = {"sleep_time": 0.01, "max_requests_per_second": None, "progress": False}
    return ArchiveQuery(required=required, url=str(url), **(defaults | options))


def test_the_guides_frame(url):
    query = query_of(url)
    query.download()
    frame = query.entries_to_dataframe(keys_to_filter=[GUIDE])
    assert frame.index.name == "entry_id" and len(frame) == 40
    assert "energy.total.value" in frame and "system_ref.chemical_composition_reduced" in frame
    assert all(name.startswith(("energy.", "system_ref.")) for name in frame)
    whole = query.entries_to_dataframe()
    assert [f"{GUIDE}.{name}" for name in frame] == list(whole) and list(whole) == sorted(whole)


def test_from_query_is_one_frame_for_each_required_path(url):
    query = query_of(url, {"run": {"program": "*", "calculation": {"energy": {"total": "*"}}}})
    archives = query.download()
    frames = query.entries_to_dataframe(from_query=True)
    assert list(frames) == ["run.program", "run.calculation.energy.total"]
    energies = frames["run.calculation.energy.total"]
    assert energies.index.names == ["entry_id", "run", "calculation"]
    assert len(energies) == sum(len(run["calculation"]) for a in archives for run in a["run"])


def test_references_as_strings(url):
    query = query_of(url)
    query.download(10)
    frame = query.entries_to_dataframe(resolve_references=False)
    assert list(frame) == [GUIDE] and frame[GUIDE].dropna().str.contains("/run/0/calculation/").all()


def test_query_selection(url):
    query = query_of(url, page_size=10, results_max=35)
    for n in (8, 8, 4):
        query.download(n)
    everything = query.entries_to_dataframe(query_selection="all")
    assert len(everything) == 20 and everything.index.is_unique
    assert list(query.entries_to_dataframe().index) == list(everything.index[16:])
    assert list(query.entries_to_dataframe(query_selection=[0, 2]).index) == [
        *everything.index[:8],
        *everything.index[16:],
    ]
    for wrong in ([3], [-1], "first", [0.5], 0, None, [True]):
        with pytest.raises(UserError, match="download"):
            query.entries_to_dataframe(query_selection=wrong)


def test_after_the_guides_loop_the_last_download_is_the_last_that_brought_something(url):
    query = query_of(url, results_max=25)
    while query.download(10):
        pass
    assert len(query.entries_to_dataframe()) == 5
    assert len(query.entries_to_dataframe(query_selection="all")) == 25


def test_an_empty_download_is_an_empty_frame(url):
    query = query_of(url, query={"entry_id": "-" * 28})
    with pytest.raises(UserError, match=r"nothing was downloaded yet.*call download\(\) first"):
        query.entries_to_dataframe()
    query.download()
    assert query.entries_to_dataframe().shape == (0, 0)
    frame = query.entries_to_dataframe(keys_to_filter=["anything"])
    assert len(frame) == 0 and frame.index.name == "entry_id"
    assert all(len(f) == 0 for f in query.entries_to_dataframe(from_query=True).values())


@pytest.mark.parametrize("backend", ["pyarrow", "numpy_nullable", "numpy"])
def test_dtype_backends(url, backend):
    query = query_of(url, {"results": {"properties": {"n_calculations": "*"}}})
    query.download()
    frame = query.entries_to_dataframe(dtype_backend=backend)
    dtype = str(frame["results.properties.n_calculations"].dtype)
    assert {"pyarrow": "int64[pyarrow]", "numpy_nullable": "Int64", "numpy": "int64"}[backend] == dtype


def test_frames_of_both_ways_hold_the_same(url, tmp_path):
    """The frame in memory and the dataset on disk are one flattening."""
    query = query_of(url, {"results": {"material": "*"}}, results_max=None)
    query.download()
    frame = query.entries_to_dataframe()
    lazy = pd.concat([d.compute(scheduler="sync") for d in query.to_delayed(npartitions=3)])
    pd.testing.assert_frame_equal(lazy.drop(columns=["upload_id", "_more"]), frame)


def test_a_filter_that_matches_nothing_names_near_misses(url):
    query = query_of(url)
    query.download(5)
    with pytest.raises(UserError, match="calculation_result_ref"):
        query.entries_to_dataframe(keys_to_filter=["workflow2.results.calculation_result_reff"])
