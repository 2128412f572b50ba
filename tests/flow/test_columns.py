"""SPEC, "Column limit": from the query to its dataframes; one message, and no value is lost."""

import warnings

import pytest

from nomad_dask import ArchiveQuery, UserError, decode
from nomad_dask.testing import serve
from nomad_dask.testing.corpus import Corpus, Entry


class Maps(Corpus):
    """Six entries, each with a map of keys of its own."""

    quantities = frozenset({"entry_id", "upload_id", "parser_name"})

    @property
    def entries(self):
        return [Entry(str(i) * 28, "U" * 22, "parsers/maps") for i in range(6)]

    def document(self, i):
        return {"entry_id": str(i) * 28, "upload_id": "U" * 22}

    def archive(self, i):
        return {"data": {"shared": i, "map": {f"k{i}_{n}": n for n in range(50)}}}


@pytest.fixture
def url():
    with serve(Maps()) as url:
        yield url


def query_of(url, **options):
    return ArchiveQuery(url=str(url), required={"data": "*"}, results_max=None, progress=False, **options)


@pytest.mark.parametrize("layout", ["wide", "nested", "tables"])
def test_what_there_is_no_room_for_is_in_more_and_said_once(url, layout):
    with pytest.warns(UserWarning, match=r"301 columns; the 10 filled most often are kept") as told:
        frame = query_of(url, max_columns=10).to_dask_dataframe(layout=layout, npartitions=2)
    frame = frame["data"] if layout == "tables" else frame
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decode(frame.compute(scheduler="sync"))
    assert len(told) == 1
    more = found["_more"].tolist()
    assert more[5] == {f"data.map.k5_{n}": n for n in range(50)}
    if layout != "nested":
        assert len(found.columns) == 12  # with `upload_id` and `_more`
        assert found["data.shared" if layout == "wide" else "shared"].tolist() == [*range(6)]


def test_a_plan_says_how_many_columns_there_is_no_room_for(url):
    with pytest.warns(UserWarning, match="max_columns"):
        plan, _ = query_of(url, max_columns=10).forecast()
    assert plan.left_out == 291 and type(plan).from_json(plan.to_json()) == plan
    for enough in (301, None):
        plan, _ = query_of(url, max_columns=enough).forecast()
        assert plan.left_out == 0 and "left_out" not in plan.to_json()


def test_frames_of_downloads_have_the_same_bound(url):
    query = query_of(url, max_columns=10)
    query.download()
    with pytest.warns(UserWarning, match=r"301 columns; the 10 filled most often are kept") as told:
        frame = query.entries_to_dataframe()
    assert len(told) == 1 and told[0].filename == __file__
    assert len(frame.columns) == 11 and frame["data.shared"].tolist() == [*range(6)]
    with pytest.warns(UserWarning) as told:
        query.entries_to_dataframe(from_query=True)
    assert told[0].filename == __file__


def test_a_bound_that_is_none_is_refused():
    with pytest.raises(UserError, match="max_columns must be an integer between 1"):
        ArchiveQuery(max_columns=0)
