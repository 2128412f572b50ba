"""SPEC, "Lazy dataframes": only what is used is downloaded; the log of the server proves it."""

import pickle

import dask
import pandas as pd
import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.testing import serve
from nomad_dask.testing.generate import FEATURES, PLAIN, generate

ARCHIVES = "entries/archive/query"
REQUIRED = {"results": "*", "run": {"program": "*", "calculation[-1]": {"energy": "*"}}}


@pytest.fixture(scope="module")
def url():
    with serve(generate(400, seed=3, features=PLAIN)) as url:
        yield url


@pytest.fixture
def lazy(url):
    frame = query_of(url).to_dask_dataframe(npartitions=8)
    url.log.clear()
    return frame


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="sync"):
        yield


def query_of(url, **options):
    defaults = {"results_max": None, "max_requests_per_second": None, "sleep_time": 0.01, "progress": False}
    return ArchiveQuery(url=str(url), **(defaults | {"required": REQUIRED} | options))


def asked_for(url):
    return [request.body["required"] for request in url.log if request.path == ARCHIVES]


def test_a_frame_is_lazy_and_knows_itself(url):
    url.log.clear()
    lazy = query_of(url).to_dask_dataframe(npartitions=8)
    sampled = url.log.count(ARCHIVES)
    assert sampled <= 20 and url.log.count() <= 40
    assert lazy.npartitions == 8 and lazy.known_divisions and lazy.index.name == "entry_id"
    assert url.log.count(ARCHIVES) == sampled
    whole = lazy.compute()
    assert list(whole.columns) == list(lazy.columns) and (whole.dtypes == lazy.dtypes).all()
    assert whole.index.is_monotonic_increasing and len(whole) == 400


def test_len_and_index_need_no_archive(url, lazy):
    assert len(lazy) == 400
    assert list(lazy.index.compute()) == [e.entry_id for e in url.corpus.entries if e.state == "public"]
    assert len(lazy["upload_id"].compute()) == 400
    assert asked_for(url) == []


def test_columns_become_a_narrower_required(url, lazy):
    name = "results.properties.n_calculations"
    mean = lazy[[name]].mean().compute()
    assert asked_for(url) and all(
        r == {"resolve-inplace": True, "results": {"properties": {"n_calculations": "*"}}}
        for r in asked_for(url)
    )
    narrow = url.log.bytes
    url.log.clear()
    whole = lazy.compute()
    assert whole[name].mean() == pytest.approx(mean[name])
    assert narrow < 0.1 * url.log.bytes


def test_a_filter_over_two_columns_asks_for_two(url, lazy):
    energy = "run.0.calculation.0.energy.total.value"
    chosen = lazy[lazy["results.properties.n_calculations"] > 1][energy].sum().compute()
    assert chosen < 0
    assert {frozenset(r) for r in asked_for(url)} == {frozenset({"results", "run", "resolve-inplace"})}
    assert all(r["results"] == {"properties": {"n_calculations": "*"}} for r in asked_for(url))
    assert all(list(r["run"]) == ["calculation[-1]"] for r in asked_for(url))


def test_loc_reads_one_partition(url, lazy):
    ids = [e.entry_id for e in url.corpus.entries if e.state == "public"]
    row = lazy.loc[ids[123]].compute()
    assert list(row.index) == [ids[123]]
    assert len({r.body["query"]["entry_id"]["lte"] for r in url.log if r.path == "entries/query"}) == 1
    assert list(lazy.loc[ids[40] : ids[60]].compute().index) == ids[40:61]


def test_every_bound_is_found(url, lazy):
    """A bound of the plan is an id: Dask's divisions are closed below, our segments above."""
    for segment in query_of(url).plan(npartitions=8):
        if segment.upto:
            assert list(lazy.loc[segment.upto].compute().index) == [segment.upto]


@pytest.mark.parametrize("n", [1, 7, 64])
def test_any_partitioning_gives_the_same(url, lazy, n):
    columns = ["upload_id", "results.material.elements", "results.properties.n_calculations"]
    other = query_of(url).to_dask_dataframe(npartitions=n)[columns]
    assert other.npartitions == n
    pd.testing.assert_frame_equal(other.compute(), lazy[columns].compute())


def test_one_column_is_a_series_and_operations_work(lazy):
    name = "results.properties.n_calculations"
    series = lazy[name]
    assert series.compute().name == name
    counts = lazy.groupby(name)["upload_id"].count().compute()
    assert counts.sum() == 400
    assert len(lazy.head(7, npartitions=2)) == 7
    assert lazy.map_partitions(len).compute().sum() == 400
    joined = lazy[[name]].join(lazy[["upload_id"]], how="inner")
    assert len(joined.compute()) == 400


def test_graphs_are_small_and_deterministic(url):
    one = query_of(url).to_dask_dataframe(npartitions=100)
    other = query_of(url).to_dask_dataframe(npartitions=100)
    assert one._name == other._name and sorted(map(str, one.__dask_graph__())) == sorted(
        map(str, other.__dask_graph__())
    )
    few = len(pickle.dumps(dict(query_of(url).to_dask_dataframe(npartitions=50).optimize().__dask_graph__())))
    many = len(pickle.dumps(dict(one.optimize().__dask_graph__())))
    assert (many - few) / 50 < 1000


def test_an_empty_result_is_one_typed_empty_partition(url):
    lazy = query_of(url, query={"entry_id": "-" * 28}).to_dask_dataframe()
    assert lazy.npartitions == 1 and len(lazy.compute()) == 0 and len(lazy) == 0
    assert "upload_id" in lazy.columns


@pytest.fixture(scope="module")
def odd():
    """Archives with references of all kinds, also such as lead nowhere or to another installation: a few of
    each.
    """
    many = {name: max(0.02, 5 * share) for name, share in FEATURES.items() if share}
    with serve(n_entries=120, seed=3, kind="small", features=many) as url:
        yield url


@pytest.mark.parametrize(
    "required",
    [
        {"workflow2": "include-resolved"},
        {"workflow2": {"results": {"*": "*", "calculation_result_ref": {"energy": "*"}}}},
        {"workflow2": {"outputs": {"section": "include-resolved"}}, "results": "*"},
    ],
)
def test_some_columns_are_as_in_the_whole(odd, required):
    lazy = query_of(odd, required=required).to_dask_dataframe(npartitions=2)
    whole = lazy.compute()
    columns = [c for c in lazy.columns if c.startswith("workflow2")]
    assert whole[columns].notna().any(axis=None)
    for some in ([c] for c in columns[:: max(1, len(columns) // 12)]):
        pd.testing.assert_frame_equal(lazy[some].compute(), whole[some])


def test_tables_alone_are_as_together(odd):
    required = {"workflow2": {"results": {"*": "*", "calculation_result_ref": {"energy": "*"}}}}
    lazy = query_of(odd, required=required).to_dask_dataframe(npartitions=2, from_query=True)
    whole = dask.compute(lazy)[0]
    for path, frame in lazy.items():
        pd.testing.assert_frame_equal(frame.compute(), whole[path])
