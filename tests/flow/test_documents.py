"""SPEC, "Search documents": the same segments; query object and lazy dataframes; large pages."""

import json
import urllib.error
import urllib.request

import dask
import pandas as pd
import pytest

from nomad_dask import ArchiveQuery, UserError
from nomad_dask.errors import RefusedError
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults, Rule, Status
from nomad_dask.testing.generate import PLAIN, generate
from nomad_dask.testing.quantities import QUANTITIES, Quantities

LISTING, ARCHIVES = "entries/query", "entries/archive/query"
NAMES = ["entry_name", "authors", "results.material.elements", "results.material.n_elements"]


@pytest.fixture(scope="module")
def shared():
    with serve(generate(300, seed=3, features=PLAIN)) as url:
        yield url


@pytest.fixture
def url(shared):
    yield shared
    shared.faults = Faults()


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="sync"):
        yield


def query_of(url, required=NAMES, **options):
    defaults = {"results_max": None, "max_requests_per_second": None, "sleep_time": 0.01, "progress": False}
    return ArchiveQuery(required=required, url=str(url), **(defaults | {"source": "documents"} | options))


def documents_of(url):
    corpus = url.corpus
    return {e.entry_id: corpus.document(i) for i, e in enumerate(corpus.entries) if e.state == "public"}


def included(url):
    return {
        str(r.body.get("required"))
        for r in url.log
        if r.path == LISTING and r.body["pagination"]["page_size"]
    }


def test_rows_hold_what_the_documents_hold_and_no_archive_is_asked_for(url):
    url.log.clear()
    frame = query_of(url).to_dask_dataframe(npartitions=4).compute()
    assert url.log.count(ARCHIVES) == 0
    told = documents_of(url)
    assert list(frame.index) == sorted(told)
    for entry_id, document in told.items():
        row = frame.loc[entry_id]
        assert row["upload_id"] == document["upload_id"] and row["entry_name"] == document["entry_name"]
        assert list(row["results.material.elements"]) == document["results"]["material"]["elements"]
        assert row["authors.0.name"] == document["authors"][0]["name"]


def test_one_request_a_partition_lists_and_downloads(url):
    lazy = query_of(url).to_dask_dataframe(npartitions=4)
    url.log.clear()
    lazy.compute()
    assert url.log.count() == 4


def test_pages_are_as_large_as_the_bytes_allow(url):
    lazy = query_of(url, batch_size=40).to_dask_dataframe(npartitions=2)
    url.log.clear()
    assert len(lazy.compute()) == 300
    sizes = [r.body["pagination"]["page_size"] for r in url.log]
    assert sizes == [40] * 8
    lazy = query_of(url).to_dask_dataframe(npartitions=1)
    url.log.clear()
    lazy.compute()
    assert [r.body["pagination"]["page_size"] for r in url.log] == [10_000]


def test_columns_become_a_shorter_list(url):
    lazy = query_of(url, None).to_dask_dataframe(npartitions=3)
    url.log.clear()
    lazy["results.material.n_elements"].mean().compute()
    assert included(url) == {str({"include": ["results.material.n_elements", "entry_id", "upload_id"]})}
    url.log.clear()
    lazy["authors.0.name"].compute()
    assert included(url) == {str({"include": ["authors", "entry_id", "upload_id"]})}
    url.log.clear()
    assert len(lazy) == 300 and included(url) == {str({"include": ["entry_id", "upload_id"]})}


def test_a_column_that_the_search_does_not_know_comes_by_a_pattern(url, monkeypatch):
    lazy = query_of(url, None).to_dask_dataframe(npartitions=2)
    kinds = {name: kind for name, kind in QUANTITIES.items() if name != "entry_name"}
    monkeypatch.setattr(url.server._answers, "_quantities", Quantities(kinds))
    url.log.clear()
    names = lazy["entry_name"].compute()
    assert {i: names[i] for i in names.index} == {i: d["entry_name"] for i, d in documents_of(url).items()}
    assert str({"include": ["entry_name*", "entry_id", "upload_id"]}) in included(url)
    assert "None" not in included(url)


@pytest.mark.parametrize("layout", ["nested", "tables"])
def test_the_other_layouts(url, layout):
    frames = query_of(url).to_dask_dataframe(npartitions=3, layout=layout)
    told = documents_of(url)
    if layout == "nested":
        found = frames.compute()
        assert {i: list(found["authors"][i]) for i in found.index} == {
            i: d["authors"] for i, d in told.items()
        }
        return
    found = frames["authors"].compute()
    assert list(found["name"]) == [a["name"] for i in sorted(told) for a in told[i]["authors"]]
    assert list(found["authors"]) == [n for i in sorted(told) for n in range(len(told[i]["authors"]))]


def test_the_query_object_takes_them_too(url):
    query = query_of(url)
    found = query.download(5)
    told = documents_of(url)
    assert [a["entry_name"] for a in found] == [told[a.entry_id]["entry_name"] for a in found]
    frame = query.entries_to_dataframe()
    assert "results.material.n_elements" in frame.columns and "entry_id" not in frame.columns
    assert frame.attrs is not None and list(frame.index) == [a.entry_id for a in found]
    pd.testing.assert_frame_equal(query.entries_to_dataframe(resolve_references=False), frame)
    assert set(query.entries_to_dataframe(from_query=True)) == set(NAMES)


def test_a_tree_for_archives_may_be_read_from_documents(url):
    query = query_of(url, {"results": {"properties": {"n_calculations": "*"}}}, source="archives")
    ours = query.to_dask_dataframe(npartitions=2).compute()
    url.log.clear()
    theirs = query.to_dask_dataframe(npartitions=2, source="documents").compute()
    pd.testing.assert_frame_equal(ours, theirs)
    assert url.log.count(ARCHIVES) == 0


def test_a_page_that_keeps_failing_is_asked_for_in_smaller_ones(url):
    lazy = query_of(url).to_dask_dataframe(npartitions=1)
    url.faults = Faults([Rule(Status(502), match=lambda body: body["pagination"]["page_size"] > 100)])
    url.log.clear()
    assert len(lazy.compute()) == 300
    sizes = [r.body["pagination"]["page_size"] for r in url.log if r.status == 200]
    assert sizes and max(sizes) <= 100


@pytest.mark.parametrize(
    "wrong", [{"source": "document"}, {"source": "documents", "required": {"run[0]": "*"}}]
)
def test_mistakes_are_told_before_anything_is_asked(url, wrong):
    url.log.clear()
    with pytest.raises(UserError):
        query_of(url, **wrong)
    with pytest.raises(UserError, match="source"):
        query_of(url).to_dask_dataframe(source="files")
    assert url.log.count() == 0


@pytest.fixture(scope="module")
def recorded(shared_data):
    with serve(archives=shared_data) as url:
        yield url


@pytest.mark.parametrize(
    "required",
    [
        ["results.material.topology"],
        ["results.material.topology.cell", "results.material.topology.label"],
        {"results": {"material": {"topology": {"*": "*", "label": "exclude"}}}},
        ["results.*", "processing_errors"],
        ["*"],
    ],
)
@pytest.mark.parametrize("layout", ["wide", "nested", "tables"])
def test_some_columns_are_as_in_the_whole(recorded, required, layout):
    """A server leaves empty sections out of lists as soon as it selects: numbers must not change."""
    frames = query_of(recorded, required).to_dask_dataframe(npartitions=2, layout=layout)
    if layout == "tables":
        whole = dask.compute(frames)[0]
        for path, frame in frames.items():
            pd.testing.assert_frame_equal(frame.compute(), whole[path])
        return
    whole = frames.compute()
    columns = [c for c in frames.columns if c not in ("upload_id", "_more")]
    assert whole[columns].notna().any(axis=None)
    for some in (columns[:1], columns[len(columns) // 2 :: 40], columns[-1:]):
        pd.testing.assert_frame_equal(frames[some].compute(), whole[some])


@pytest.mark.parametrize(
    ("required", "name"),
    [
        (["results.material.*"], "results.material.n_elements"),
        (["results.material"], "results.material.n_elements"),
        ({"results": {"material": "*"}}, "results.material.n_elements"),
        (["results.material.elem*"], "results.material.elements"),
        (["license"], "license"),
        (["authors.name"], "authors.0.name"),
        (["main_author"], "main_author.name"),
    ],
)
def test_what_the_server_would_refuse_by_name_comes_all_the_same(recorded, required, name):
    """Exactly what is asked for arrives: through frames, and through the query object, whole and in some
    columns.
    """
    query = query_of(recorded, required, page_size=100)
    lazy = query.to_dask_dataframe(npartitions=2)
    frame = lazy.compute()
    told = documents_of(recorded)
    keys = [int(key) if key.isdecimal() else key for key in name.split(".")]
    for entry_id in frame.index:
        value = told[entry_id]
        for key in keys:
            value = value[key]
        got = frame.loc[entry_id, name]
        assert (list(got) if isinstance(value, list) and value else got) == value or not value
    pd.testing.assert_series_equal(lazy[name].compute(), frame[name])
    top, _, rest = (required[0] if isinstance(required, list) else "results.material").partition(".")
    section = rest.partition(".")[0] if top == "results" else ""
    for archive in query.download(5, as_plain_dict=True):
        assert archive.keys() == {"entry_id", "upload_id", top}
        assert not section or archive[top].keys() == {section}
        if rest.endswith("elem*"):
            assert all(key.startswith("elem") for key in archive[top][section]), archive


def test_a_name_that_only_the_schema_knows_costs_no_other(recorded):
    """`type` is in archives only: the server refuses the name, and takes the section around it."""
    tree = {"results": {"properties": {"geometry_optimization": {"type": "*"}, "n_calculations": "*"}}}
    frame = query_of(recorded, tree).to_dask_dataframe(npartitions=1).compute()
    assert not frame.filter(like="geometry_optimization").notna().any(axis=None)
    assert frame["results.properties.n_calculations"].notna().any()


@pytest.mark.parametrize("ask", ["download", "to_dask_dataframe"])
def test_a_name_that_nobody_knows_is_refused_in_the_servers_words(recorded, ask):
    with pytest.raises(RefusedError, match=r"entry_nam is not a doc quantity.*did you mean 'entry_name'"):
        getattr(query_of(recorded, ["entry_nam"]), ask)()


@pytest.mark.parametrize(
    "name", ["results.material", "results", "optimade", "nope", "license", "results.nope"]
)
def test_the_embedded_archive_takes_quantities_and_patterns(recorded, name):
    def asked(*names):
        body = {"pagination": {"page_size": 1}, "required": {"include": [*names]}}
        request = urllib.request.Request(
            f"{recorded}/{LISTING}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    status, answer = asked("entry_name", name)
    assert status == 422
    assert answer == {"detail": [{"msg": f"{name} is not a doc quantity", "loc": [["required"]]}]}
    status, answer = asked(f"{name}*")
    assert status == 200
