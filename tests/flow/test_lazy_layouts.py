"""SPEC, "Lazy dataframes", "Layouts": nested and tables; the log of the server shows what was requested."""

import dask
import pandas as pd
import pyarrow as pa
import pytest

from nomad_dask import ArchiveQuery, UserError, units
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults
from nomad_dask.testing.generate import FEATURES, PLAIN, generate

ARCHIVES = "entries/archive/query"
REQUIRED = {"results": {"material": "*"}, "run": {"program": "*", "calculation": {"energy": "*"}}}
ENERGY, PROGRAM, MATERIAL = "run.calculation.energy", "run.program", "results.material"


@pytest.fixture(scope="module")
def shared():
    with serve(generate(200, seed=3, features=PLAIN)) as url:
        yield url


@pytest.fixture(scope="module")
def odd():
    """Archives with references of all kinds, empty sections, and entries that lack what others have."""
    many = {name: max(0.02, 3 * share) for name, share in FEATURES.items() if share}
    with serve(n_entries=60, seed=3, features=many) as url:
        yield url


@pytest.fixture
def url(shared):
    yield shared
    shared.faults = Faults()


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="sync"):
        yield


def query_of(url, required=REQUIRED, **options):
    defaults = {"results_max": None, "max_requests_per_second": None, "sleep_time": 0.01, "progress": False}
    return ArchiveQuery(required=required, url=str(url), **(defaults | options))


def frames_of(url, n=4, **options):
    frames = query_of(url).to_dask_dataframe(npartitions=n, from_query=True, **options)
    url.log.clear()
    return frames


def asked_for(url):
    found = [request.body["required"] for request in url.log if request.path == ARCHIVES]
    return [{key: tree for key, tree in required.items() if key != "resolve-inplace"} for required in found]


def public(url):
    return {
        e.entry_id: url.corpus.archive(i) for i, e in enumerate(url.corpus.entries) if e.state == "public"
    }


def test_frames_that_are_computed_together_share_one_download(url):
    frames = frames_of(url)
    assert list(frames) == [MATERIAL, PROGRAM, ENERGY]
    computed = dask.compute(frames)[0]
    assert asked_for(url) == [REQUIRED] * 4
    assert {path: len(frame) for path, frame in computed.items()} == {
        path: len(frame.compute()) for path, frame in frames.items()
    }


def test_a_frame_alone_asks_for_its_own_path(url):
    frames = frames_of(url)
    frames[PROGRAM].compute()
    assert asked_for(url) == [{"run": {"program": "*"}}] * 4
    url.log.clear()
    dask.compute(frames[ENERGY]["total.value"].mean(), frames[PROGRAM]["name"].count())
    value = {"energy": {"total": {"value": "*"}}}
    assert asked_for(url) == [{"run": {"program": {"name": "*"}, "calculation": value}}] * 4


@pytest.mark.parametrize(
    "required",
    [
        {
            "run": {"calculation": "*", "system": {"atoms": "*"}},
            "workflow2": {"results": {"calculation_result_ref": "*"}},
        },
        {"run[-1]": "*", "results": {"material": {"topology": "*"}}},
        {"workflow2": {"results": {"*": "*", "calculation_result_ref": {"energy": "*"}}, "tasks": "*"}},
    ],
)
def test_some_columns_of_a_table_are_as_in_the_whole(odd, required):
    frames = query_of(odd, required).to_dask_dataframe(npartitions=2, from_query=True)
    whole = dask.compute(frames)[0]
    for path, frame in frames.items():
        columns = list(frame.columns)
        for some in (columns[1:2], columns[len(columns) // 2 :: 9], columns[-2:-1], ["upload_id"]):
            pd.testing.assert_frame_equal(frame[some].compute(), whole[path][some])


def test_one_row_per_occurrence_with_the_sections_numbers(url):
    found = frames_of(url)[ENERGY].compute()
    told = [
        (entry_id, n, k, calculation["energy"]["total"]["value"])
        for entry_id, archive in sorted(public(url).items())
        for n, run in enumerate(archive.get("run", []))
        for k, calculation in enumerate(run.get("calculation", []))
        if "total" in calculation.get("energy", {})
    ]
    rows = found[found["total.value"].notna()]
    assert list(zip(rows.index, rows["run"], rows["calculation"], rows["total.value"], strict=True)) == told
    assert found.columns[0] == "upload_id" and found.columns[-1] == "_more"


def test_tables_have_divisions_and_loc_reads_one_partition(url):
    frames = frames_of(url)
    entry_id = sorted(public(url))[77]
    assert frames[ENERGY].known_divisions
    rows = frames[ENERGY].loc[entry_id].compute()
    assert set(rows.index) == {entry_id} and len(asked_for(url)) == 1
    url.log.clear()
    both = frames[PROGRAM].join(frames[MATERIAL], how="inner", lsuffix="_p")
    assert both.known_divisions and len(both.compute()) >= 1
    assert (
        all(set(required) == {"run", "results"} for required in asked_for(url)) and len(asked_for(url)) == 4
    )


def test_the_same_tables_as_from_what_was_downloaded(url):
    query = query_of(url)
    query.download()
    whole = query.entries_to_dataframe(from_query=True)
    lazy = dask.compute(frames_of(url))[0]
    for path, frame in lazy.items():
        levels = [name for name in whole[path].index.names if name != "entry_id"]
        mine = frame.set_index(levels, append=True) if levels else frame
        mine = mine.drop(columns=["upload_id", "_more"])
        # The one has the columns of its sample, the other of all its archives.
        pd.testing.assert_frame_equal(mine, whole[path][list(mine.columns)], check_index_type=False)


def test_nested_frames_hold_the_subtrees(url):
    lazy = query_of(url).to_dask_dataframe(npartitions=3, layout="nested")
    assert list(lazy.columns) == ["upload_id", MATERIAL, PROGRAM, ENERGY, "_more"]
    assert isinstance(lazy.dtypes[MATERIAL].pyarrow_dtype, pa.StructType)
    url.log.clear()
    found = lazy[PROGRAM].compute()
    assert asked_for(url) == [{"run": {"program": "*"}}] * 3
    for entry_id, archive in public(url).items():
        told = [run.get("program") for run in archive.get("run", [])]
        assert (found[entry_id] if told else []) == told
    url.log.clear()
    assert len(lazy) == 200 and asked_for(url) == []


def test_failures_are_rows_of_nulls_or_none(url):
    url.faults = Faults(poison=[sorted(public(url))[5]])
    with pytest.raises(Exception, match=sorted(public(url))[5]):
        frames_of(url)[PROGRAM].compute()
    nested = query_of(url).to_dask_dataframe(npartitions=2, layout="nested", on_failure="null").compute()
    assert len(nested) == 200 and nested.drop(columns="upload_id").isna().all(axis=1).sum() == 1
    program = frames_of(url, on_failure="null")[PROGRAM].compute()
    assert len(set(program.index)) == 199


@pytest.mark.parametrize("backend", ["numpy_nullable", "numpy"])
@pytest.mark.parametrize("layout", ["wide", "nested", "tables"])
def test_any_partition_has_the_dtypes_of_meta(url, backend, layout):
    lazy = query_of(url).to_dask_dataframe(npartitions=5, layout=layout, dtype_backend=backend)
    for frame in lazy.values() if layout == "tables" else [lazy]:
        for part in frame.partitions:
            computed = part.compute()
            assert (computed.dtypes == frame.dtypes).all() and computed.index.dtype == frame.index.dtype


def test_units_of_lazy_frames(url):
    wide = query_of(url).to_dask_dataframe(npartitions=2)
    assert units(wide)["run.0.calculation.0.energy.total.value"] == "joule"
    assert units(frames_of(url))[ENERGY]["total.value"] == "joule"


def test_given_types_in_every_layout(url):
    name = "results.material.symmetry.space_group_number"
    wide = query_of(url).to_dask_dataframe(npartitions=1, schema={name: "double"}).compute()
    assert str(wide[name].dtype) == "double[pyarrow]"
    given = {name: "double", "run.program.never_seen": "string"}
    tables = dask.compute(frames_of(url, 1, schema=given))[0]
    assert str(tables[MATERIAL]["symmetry.space_group_number"].dtype) == "double[pyarrow]"
    assert tables[PROGRAM]["never_seen"].isna().all()
    program = pa.list_(pa.struct([("name", pa.string())]))
    nested = (
        query_of(url).to_dask_dataframe(npartitions=1, layout="nested", schema={PROGRAM: program}).compute()
    )
    assert nested[PROGRAM].dtype.pyarrow_dtype == program
    assert nested["_more"].notna().sum() == nested[PROGRAM].notna().sum()


def test_mistakes_are_told_before_anything_is_asked(url):
    url.log.clear()
    for wrong in ({"layout": "long"}, {"layout": "nested", "from_query": True}, {"dtype_backend": "arrow"}):
        with pytest.raises(UserError):
            query_of(url).to_dask_dataframe(**wrong)
    given = (["a"], "a", {"run.program.name": "text"}, {"run.program.name": 3}, {"metadata.x": "string"})
    for schema in given:
        with pytest.raises(UserError, match="schema"):
            query_of(url).to_dask_dataframe(schema=schema)
    assert url.log.count() == 0
    with pytest.raises(UserError, match=r"run\.programme"):
        query_of(url).to_dask_dataframe(layout="nested", schema={"run.programme": "string"})
    with pytest.raises(UserError, match="nowhere"):
        query_of(url).to_dask_dataframe(layout="tables", schema={"nowhere": "string"})


def test_delayed_partitions_have_the_layout_too(url):
    parts = query_of(url).to_delayed(npartitions=2, layout="tables")
    found = [part.compute() for part in parts]
    assert [set(frames) for frames in found] == [{MATERIAL, PROGRAM, ENERGY}] * 2
