"""SPEC, "Tables without Dask": the ways out of a query give what the lazy dataframe gives."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pandas.testing import assert_frame_equal

from nomad_dask import Archive, ArchiveQuery
from nomad_dask.errors import EntriesFailedError, UserError
from nomad_dask.testing.faults import Faults

REQUIRED = {
    "results": {"material": {"elements": "*", "chemical_formula_reduced": "*"}},
    "run": {"calculation": {"energy": {"total": "*"}}},
}
LAYOUTS = ["wide", "nested", "tables"]


def query_of(url, **options):
    fast = {"required": REQUIRED, "sleep_time": 0.01, "max_requests_per_second": None, "progress": False}
    return ArchiveQuery(url=str(url), **(fast | options))


def by_key(found):
    return found if isinstance(found, dict) else {"": found}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tables_are_those_of_the_lazy_dataframe(archive, layout):
    query = query_of(archive)
    lazy = by_key(query.to_dask_dataframe(layout=layout, npartitions=3))
    frames = by_key(query.to_pandas(layout=layout, npartitions=3))
    arrow = by_key(query.to_arrow(layout=layout))
    polars = by_key(query.to_polars(layout=layout))
    assert lazy.keys() == frames.keys() == arrow.keys() == polars.keys()
    for key, frame in lazy.items():
        expected = frame.compute()
        assert_frame_equal(frames[key], expected)
        columns = ["entry_id", *expected.columns]
        assert arrow[key].column_names == polars[key].columns == columns
        assert arrow[key].num_rows == polars[key].height == len(expected)
        assert polars[key]["entry_id"].to_list() == list(expected.index)


def test_units_are_in_the_metadata(archive):
    field = query_of(archive).to_arrow(layout="tables")["run.calculation.energy.total"].schema.field("value")
    assert field.metadata[b"unit"] == b"joule"


def test_pandas_takes_the_options_of_the_lazy_dataframe(archive):
    options = {"dtype_backend": "numpy", "source": "documents", "npartitions": 2}
    query = query_of(archive, required={"results": {"material": {"elements": "*", "n_elements": "*"}}})
    assert_frame_equal(query.to_pandas(**options), query.to_dask_dataframe(**options).compute())


def test_batches_stream_segment_by_segment(served):
    query = query_of(served, required={"results": {"material": {"elements": "*"}}})
    reader = query.to_batches(partition_size=100)
    assert isinstance(reader, pa.RecordBatchReader) and reader.schema.names[0] == "entry_id"
    before = len(served.log)
    first = reader.read_next_batch()
    taken = len(served.log) - before
    assert 0 < first.num_rows < query.count() / 2 and taken > 0
    rest = reader.read_all()
    assert first.num_rows + rest.num_rows == query.count()
    assert len(served.log) > before + taken, "later segments are requested when they are taken"
    ids = first["entry_id"].to_pylist() + rest["entry_id"].to_pylist()
    assert ids == sorted(ids) and len(set(ids)) == len(ids)


def test_readers_of_arrow_streams_read_batches(archive):
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    query = query_of(archive, required={"results": {"material": {"elements": "*"}}})
    found = duckdb.from_arrow(query.to_batches(partition_size=100)).aggregate("count(*)")
    assert found.fetchall() == [(query.count(),)]
    assert polars.from_arrow(query.to_batches(partition_size=100)).height == query.count()


def test_an_error_in_the_stream_is_the_original_one(served):
    bad = next(e.entry_id for e in served.corpus.entries if e.state == "public" and e.has_archive)
    served.faults = Faults(poison=[bad])
    query = query_of(served, retry=0)
    with pytest.raises(EntriesFailedError, match=bad):
        query.to_batches().read_all()
    with pytest.raises(EntriesFailedError, match=bad):
        query.to_pandas()
    table = query.to_arrow(on_failure="null")
    assert table.num_rows == query.count()
    row = table.filter(pc.equal(table["entry_id"], bad)).to_pylist()[0]
    assert row["results.material.elements"] is None


def test_csv_is_written_whole_or_not_at_all(served, tmp_path):
    query, path = query_of(served), tmp_path / "entries.csv"
    rows = query.to_csv(path, partition_size=100)
    frame, expected = pd.read_csv(path, index_col="entry_id"), query.to_pandas()
    assert rows == len(frame) == len(expected) and list(frame.index) == list(expected.index)
    assert list(frame.columns) == list(expected.columns)
    elements = frame["results.material.elements"].dropna().map(json.loads)
    assert elements.to_dict() == expected["results.material.elements"].dropna().map(list).to_dict()
    written = path.read_bytes()
    served.faults = Faults(poison=[expected.index[-1]])
    with pytest.raises(EntriesFailedError):
        query_of(served, retry=0).to_csv(path, partition_size=100)
    assert path.read_bytes() == written and [one.name for one in tmp_path.iterdir()] == ["entries.csv"]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda query: query.to_batches(layout="tables"), UserError, "to_batches makes one table"),
        (lambda query: query.to_csv("x.csv", from_query=True), UserError, "to_csv makes one table"),
        (lambda query: query.to_csv("s3://bucket/x.csv"), UserError, "to_parquet also writes to urls"),
        (lambda query: query.to_csv("."), UserError, "is a folder"),
        (
            lambda query: query.to_arrow(layuot="wide"),
            TypeError,
            "to_arrow has no argument 'layuot'; .*'layout'",
        ),
        (lambda query: query.to_pandas(on_failure="skip"), UserError, "on_failure must be"),
    ],
)
def test_wrong_options_are_refused(archive, call, error, words):
    with pytest.raises(error, match=words):
        call(query_of(archive))


def test_the_length_is_the_number_of_entries(archive):
    query = query_of(archive)
    assert len(query) == query.count() > 100
    assert len(query_of(archive, results_max=7)) == 7
    assert bool(query_of(archive, query={"results.material.elements": ["Xx"]}))


def test_iteration_gives_each_archive_once(served):
    missing = [e.entry_id for e in served.corpus.entries if e.state == "public" and e.has_archive][3]
    served.faults = Faults(missing=[missing])
    query = query_of(served)
    found = list(query)
    assert all(isinstance(one, Archive) for one in found)
    assert query.entry_list() == [] and query.failures == [], "the list of the query is not affected"
    expected = {one.entry_id: dict(one) for one in query.download()}
    assert len(found) == len(expected) and missing not in expected
    assert {one.entry_id: dict(one) for one in found} == expected


def test_iteration_follows_the_maximum_and_may_end_early(archive):
    query = query_of(archive, results_max=12)
    ids = [entry_id for entry_id, _ in query.entry_list()] if query.fetch() else []
    assert {one.entry_id for one in query} <= set(ids) and len(ids) == 12
    first = next(iter(query_of(archive)))
    assert isinstance(first, Archive)


def test_iteration_names_failed_entries_after_all_others(served):
    bad = next(e.entry_id for e in served.corpus.entries if e.state == "public" and e.has_archive)
    served.faults = Faults(poison=[bad])
    found = []
    with pytest.raises(EntriesFailedError, match=bad):
        for one in query_of(served, retry=0):
            found.append(one.entry_id)
    served.faults = None
    assert {*found, bad} == {one.entry_id for one in query_of(served)}
