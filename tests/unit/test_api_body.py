"""SPEC, "ArchiveQuery": the body of an API request is read as it is; what is not used is named."""

import orjson
import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.cli.options import job_options
from nomad_dask.cli.query_commands import query_options
from nomad_dask.errors import UserError
from nomad_dask.request.api_body import is_body, read_body

QUERY = {"results.material.elements:all": ["Ti", "O"]}
PAGE = {"page_size": 20, "order_by": "upload_create_time", "order": "desc"}
BODY = {
    "owner": "visible",
    "query": QUERY,
    "aggregations": {},
    "pagination": PAGE,
    "required": {"metadata": "*"},
}
DOCUMENTS = {"query": QUERY, "required": {"include": ["entry_id", "results.material*"]}}


def test_owner_query_and_required_are_used_and_the_rest_is_named():
    found = read_body(BODY)
    assert found.arguments() == {
        "owner": "visible",
        "query": QUERY,
        "required": {"metadata": "*"},
        "source": "archives",
    }
    assert found.note == (
        "left out of the API body: aggregations, pagination; results_max limits the number of entries"
    )


def test_required_of_a_search_request_means_search_documents():
    found = read_body(DOCUMENTS)
    assert found.source == "documents" and found.required == ["entry_id", "results.material*"]
    assert found.owner == "public" and found.note == ""
    excluded = read_body({"query": {}, "required": {"exclude": ["quantities"]}})
    assert excluded.source == "documents" and excluded.required is None
    assert excluded.left_out == ("required.exclude",)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([1], "must be an object"),
        ("{", "malformed JSON"),
        (QUERY, r"use ArchiveQuery\(query=...\)"),
        ({"query": QUERY, "requierd": {}}, "unknown key 'requierd'; did you mean 'required'"),
        ({"query": [1]}, "query of the API body must be an object"),
        ({"query": {}, "owner": 3}, "owner of the API body must be a string"),
    ],
)
def test_what_is_no_body_is_refused(body, words):
    with pytest.raises(UserError, match=words):
        read_body(body)


@pytest.mark.parametrize(
    ("tree", "certain"),
    [
        (BODY, True),
        (DOCUMENTS, True),
        (QUERY, False),
        ({}, False),
        ({"prefix": "results.material.topology", "query": {"n_atoms": 2}}, False),
        ({"query": QUERY, "required": {"results": "*"}, "out": "titania"}, False),
    ],
)
def test_a_body_is_told_from_a_query_and_from_a_job(tree, certain):
    assert is_body(tree) is certain


def test_a_query_from_a_body_and_arguments_that_come_first(capsys):
    query = ArchiveQuery.from_api(BODY, required={"results": "*"}, results_max=5)
    assert (query.owner, query.query, query.required.written) == ("visible", QUERY, {"results": "*"})
    assert query.results_max == 5
    assert "left out of the API body: aggregations, pagination" in capsys.readouterr().err
    ArchiveQuery.from_api(BODY, progress=False)
    assert capsys.readouterr().err == ""
    text = '{"query": {"results.material.n_elements": {"gte": 2}}}'
    assert ArchiveQuery.from_api(text).query == {"results.material.n_elements": {"gte": 2}}


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: ArchiveQuery(**BODY), TypeError),
        (lambda: ArchiveQuery(BODY), UserError),
        (lambda: ArchiveQuery(query=BODY), UserError),
        (lambda: ArchiveQuery(**DOCUMENTS), UserError),
    ],
)
def test_a_body_in_another_place_tells_of_from_api(wrong, error):
    with pytest.raises(error, match=r"use ArchiveQuery.from_api\(body\)"):
        wrong()


def test_a_job_file_may_be_a_body(tmp_path):
    job = tmp_path / "body.json"
    job.write_bytes(orjson.dumps(BODY))
    with pytest.warns(UserWarning, match="left out of the API body: aggregations, pagination"):
        options = job_options(job, ("owner", "query", "required", "source", "out"))
    assert options == read_body(BODY).arguments()
    job.write_bytes(orjson.dumps(DOCUMENTS | {"out": "titania"}))
    options = job_options(job, ("owner", "query", "required", "source", "out"))
    assert options == read_body(DOCUMENTS).arguments() | {"out": "titania"}


def test_the_option_query_takes_a_body(tmp_path):
    (tmp_path / "body.json").write_bytes(orjson.dumps(DOCUMENTS))
    defaults = {"owner": "visible", "required": "*", "source": "archives"}
    found = query_options(query=f"@{tmp_path}/body.json", **defaults)
    assert found == read_body(DOCUMENTS).arguments()
    given = query_options(query=f"@{tmp_path}/body.json", **defaults | {"required": '{"run": "*"}'})
    assert given["required"] == {"run": "*"} and given["source"] == "archives"
    assert query_options(query=f"@{tmp_path}/body.json") == {"query": QUERY}
