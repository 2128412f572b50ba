"""SPEC, "Layouts", "Search documents", "Datasets": each layout and source; with worker processes."""

import json

import dask
import dask.dataframe as dd
import pandas as pd
import pytest

from nomad_dask import ArchiveQuery, open_dataset, units
from nomad_dask.dataset.store import Store
from nomad_dask.errors import DatasetError
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

REQUIRED = {
    "results": {"properties": {"n_calculations": "*"}},
    "run[-1]": {"calculation": {"energy": {"total": "*"}}},
}
ENERGY, ELEMENTS = "run[-1].calculation.energy.total", "results.properties.n_calculations"
FAST = {"results_max": None, "max_requests_per_second": None, "sleep_time": 0.01, "progress": False}


@pytest.fixture
def served():
    with serve(n_entries=200, seed=5) as url:
        yield url


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="sync"):
        yield


def query_of(url, **options):
    return ArchiveQuery(url=str(url), **(FAST | {"required": REQUIRED} | options))


def ids_at(url):
    return sorted(e.entry_id for e in url.corpus.entries if e.state == "public")


def test_tables_have_a_folder_each_that_every_reader_takes(served, cluster, tmp_path):
    report = query_of(served).to_parquet(tmp_path / "h", client=cluster, npartitions=3, layout="tables")
    assert report.complete and report.rows == 200
    folders = {path.name: path for path in (tmp_path / "h" / "data").iterdir()}
    assert set(folders) == {ELEMENTS, "run%5B-1%5D.calculation.energy.total"}
    dataset = open_dataset(tmp_path / "h")
    assert list(dataset) == [ELEMENTS, ENERGY] and dataset[ENERGY].known_divisions
    lazy = query_of(served).to_dask_dataframe(npartitions=2, from_query=True)
    for path, folder in zip(dataset, (ELEMENTS, "run%5B-1%5D.calculation.energy.total"), strict=True):
        mine = dataset[path].compute()
        assert sorted(p.name for p in folders[folder].iterdir()) == [
            f"part-{k:05d}.parquet" for k in range(3)
        ]
        pd.testing.assert_frame_equal(mine, lazy[path].compute())
        plain = pd.read_parquet(folders[folder], dtype_backend="pyarrow")
        pd.testing.assert_frame_equal(plain, mine)
        assert len(dd.read_parquet(str(folders[folder]))) == len(mine)
    assert units(tmp_path / "h")[ENERGY]["value"] == "joule"


def test_a_table_part_that_is_gone_is_written_anew(served, cluster, tmp_path):
    query_of(served).to_parquet(tmp_path / "h", client=cluster, npartitions=3, layout="tables")
    whole = open_dataset(tmp_path / "h")[ELEMENTS].compute()
    (tmp_path / "h" / "data" / ELEMENTS / "part-00001.parquet").unlink()
    assert len(open_dataset(tmp_path / "h")[ENERGY].compute()["upload_id"]) > 0
    served.log.clear()
    query_of(served).to_parquet(tmp_path / "h", client=cluster, layout="tables")
    asked = {r.body["query"]["entry_id"]["gt"] for r in served.log if r.path == "entries/query"}
    assert len(asked) == 1
    pd.testing.assert_frame_equal(open_dataset(tmp_path / "h")[ELEMENTS].compute(), whole)


@pytest.mark.parametrize("layout", ["nested", "tables"])
def test_failed_entries_join_the_parts_when_they_come(served, cluster, tmp_path, layout):
    poison = ids_at(served)[7:9]
    served.faults = Faults(poison=poison)
    how = {"client": cluster, "npartitions": 2, "layout": layout}
    assert query_of(served).to_parquet(tmp_path / "h", **how).failed == 2
    served.faults = Faults()
    report = query_of(served).to_parquet(tmp_path / "h", retry_failures=True, **how)
    calm = query_of(served).to_parquet(tmp_path / "calm", **how)
    assert report.complete and report.rows == calm.rows == 200
    ours, theirs = open_dataset(tmp_path / "h"), open_dataset(tmp_path / "calm")
    pairs = [(ours[p], theirs[p]) for p in ours] if layout == "tables" else [(ours, theirs)]
    for mine, other in pairs:
        pd.testing.assert_frame_equal(mine.compute(), other.compute())


def test_another_layout_or_source_on_the_same_folder_is_refused(served, cluster, tmp_path):
    query = query_of(served, required={"results": "*"})
    query.to_parquet(tmp_path / "h", client=cluster, npartitions=2, layout="nested")
    for other in ({"layout": "wide"}, {"layout": "nested", "source": "documents"}):
        with pytest.raises(DatasetError, match="another query"):
            query.to_parquet(tmp_path / "h", client=cluster, **other)


def test_documents_are_harvested_without_an_archive(served, cluster, tmp_path):
    query = query_of(served, required=["results.material.n_elements", "authors"], source="documents")
    report = query.to_parquet(tmp_path / "h", client=cluster, npartitions=3)
    assert report.complete and report.rows == 200 and report.requests == 3
    assert served.log.count("entries/archive/query") == 0
    frame = open_dataset(tmp_path / "h").compute()
    corpus = served.corpus
    told = {e.entry_id: corpus.document(i) for i, e in enumerate(corpus.entries) if e.state == "public"}
    assert list(frame.index) == sorted(told)
    assert list(frame["results.material.n_elements"]) == [
        told[i]["results"]["material"]["n_elements"] for i in frame.index
    ]


def test_the_command_takes_layouts_and_sources(served, call, on_cluster, tmp_path):
    out = tmp_path / "h"
    names = json.dumps(["results.material.n_elements", "entry_name"])
    common = ("--url", served, "--max-requests-per-second", "0", "--npartitions", "2", "--out")
    line = ("harvest", "--source", "documents", "--required", names, "--layout", "nested")
    on_cluster(*line, *common, out, check=0)
    manifest = Store.at(out).manifest()
    assert (manifest.question.source, manifest.layout.name, len(manifest.plan)) == ("documents", "nested", 2)
    assert len(open_dataset(out).compute()) == 200
    (out / "segments" / "00001.json").unlink()
    on_cluster("resume", out, "--max-requests-per-second", "0", check=0)
    assert len(open_dataset(out).compute()) == 200
    wrong = call("harvest", "--layout", "long", *common, tmp_path / "w", check=2)
    assert "wide, nested, tables" in wrong.stderr and not (tmp_path / "w").exists()
