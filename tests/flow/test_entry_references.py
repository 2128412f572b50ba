"""SPEC, "Archives": a reference to another entry is its string, and loads it when it is walked into."""

import json
import pickle

import pandas as pd
import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.archive.section import EntryReference, Section
from nomad_dask.errors import EntriesFailedError
from nomad_dask.testing import serve
from nomad_dask.testing.corpus import Corpus, Entry

ARCHIVES = "entries/archive/query"
A, B, GONE = "A" * 28, "B" * 28, "C" * 28
UPLOAD = "U" * 22
TREES = {
    A: {
        "data": {
            "libraries": [f"../uploads/{UPLOAD}/archive/{B}#/data", f"../upload/archive/{B}#/data"],
            "gone": f"../uploads/{UPLOAD}/archive/{GONE}#/data",
            "nothing": f"../uploads/{UPLOAD}/archive/{B}#/data/nothing",
            "elsewhere": f"https://other.example/api/uploads/{UPLOAD}/archive/{B}#/data",
            "text": "a path such as /archive/ in a sentence",
        }
    },
    B: {"data": {"name": "perovskites", "title": "a", "back": f"../uploads/{UPLOAD}/archive/{A}#/data"}},
}


class Notebook(Corpus):
    """Two entries of a lab notebook that refer to each other."""

    quantities = frozenset({"entry_id", "upload_id"})

    @property
    def entries(self):
        return [Entry(entry_id, UPLOAD, "lab") for entry_id in TREES]

    def document(self, i):
        return {"entry_id": [*TREES][i], "upload_id": UPLOAD}

    def archive(self, i):
        return [*TREES.values()][i]

    def shape(self, i):
        return i

    def template(self, shape):
        return self.archive(shape)


@pytest.fixture
def url():
    with serve(Notebook()) as url:
        yield url


@pytest.fixture
def archive(url):
    query = ArchiveQuery(url=str(url), required={"data": "*"}, query={"entry_id": A}, progress=False, retry=0)
    (archive,) = query.download()
    dir(archive)  # the schema is asked for now
    url.log.clear()
    return archive


def test_a_reference_is_its_string_until_it_is_walked_into(url, archive):
    reference = archive.data.libraries[0]
    assert reference == TREES[A]["data"]["libraries"][0] and isinstance(reference, str)
    assert json.dumps(reference) == json.dumps(str(reference)) and reference.startswith("../uploads")
    assert archive.to_dict()["data"] == TREES[A]["data"] and url.log.count(ARCHIVES) == 0
    assert not hasattr(reference, "_repr_html_") and url.log.count() == 0


def test_another_entry_is_loaded_once_whatever_leads_to_it(url, archive):
    assert archive.data.libraries[0].name == "perovskites"
    assert archive.data.libraries[1].name == archive.data.libraries[0]["name"] == "perovskites"
    assert isinstance(archive.data.libraries[0], Section), "what is loaded is a section"
    assert url.log.count(ARCHIVES) == 1


def test_a_reference_that_is_kept_asks_once(url, archive):
    reference = archive.data.libraries[0]
    assert reference.name == reference["name"] == reference.load().name == "perovskites"
    assert url.log.count(ARCHIVES) == 1


def test_names_of_strings_are_had_from_the_section(archive):
    reference = archive.data.libraries[0]
    assert callable(reference.title) and reference.load().title == "a"


def test_it_leads_on_and_back(url, archive):
    back = archive.data.libraries[0].back
    assert back.libraries[0].name == "perovskites" and back.to_dict() == TREES[A]["data"]
    assert url.log.count(ARCHIVES) == 1, "the entry that it leads back to is there"


def test_an_entry_that_is_not_there_is_named(archive):
    for _ in range(2):
        with pytest.raises(EntriesFailedError, match=f"{GONE} \\(a reference leads to it; its archive no lo"):
            _ = archive.data.gone.name
    with pytest.raises(AttributeError, match=f"entry {B} has nothing at /data/nothing"):
        _ = archive.data.nothing.name


def test_other_strings_stay_strings(url, archive):
    for name in ("elsewhere", "text"):
        assert type(getattr(archive.data, name)) is str
    assert url.log.count() == 0


def test_references_and_archives_pickle_without_what_was_loaded(url, archive):
    reference = pickle.loads(pickle.dumps(archive.data.libraries[0]))
    assert isinstance(reference, EntryReference) and reference.name == "perovskites"
    assert archive.data.libraries[0].name == "perovskites"
    again = pickle.loads(pickle.dumps(archive))
    assert again == archive and isinstance(again.data.libraries[0], EntryReference)
    assert url.log.count(ARCHIVES) == 2


def test_the_line_of_published_notebooks_does_no_harm(url):
    query = ArchiveQuery(url=str(url), required={"data": "*"}, progress=False)
    results = query.download()
    query._entries_dict.append(results)
    assert len(query._entries_dict) == 1 and query._entries_dict[0] == [dict(archive) for archive in results]
    frame = query.entries_to_dataframe()
    assert isinstance(frame, pd.DataFrame) and [*frame.index] == [A, B]
    assert len(query.entries_to_dataframe(query_selection="all")) == 2


def test_nomad_labs_name_for_the_json_says_ours(archive):
    with pytest.raises(AttributeError, match=r"has no 'm_to_dict', .*; its JSON is to_dict\(\)"):
        archive.m_to_dict()
    with pytest.raises(AttributeError, match=r"its JSON is to_dict\(\)"):
        archive.data.m_to_dict()
