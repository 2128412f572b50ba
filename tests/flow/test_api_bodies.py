"""SPEC, "ArchiveQuery": `from_api` gives what the request with the same body gives."""

import json
from urllib.request import Request, urlopen

import pytest

from nomad_dask import ArchiveQuery

ALL = {"page_size": 10_000, "order_by": "entry_id"}
QUERIES = {
    "everything": {},
    "elements, all of them": {"results.material.elements:all": ["O"], "results.material.n_elements:gte": 2},
    "elements, any of them": {"results.material.elements:any": ["Ti", "Fe", "Zr", "O"]},
    "elements, and no others": {
        "and": [
            {"results.material.elements:all": ["O"]},
            {"not": {"results.material.elements:any": ["H", "C", "N", "F", "Si", "Cl"]}},
        ]
    },
    "exactly these elements": {
        "results.material.elements_exclusive:any": ["O", "O Ti", "H O", "Fe O", "C O"]
    },
    "none of the elements": {"results.material.elements:none": ["O", "H"]},
    "a range": {"results.material.n_elements": {"gte": 2, "lte": 3}},
    "a nested object": {
        "results": {"material": {"symmetry": {"crystal_system:any": ["cubic", "hexagonal"]}}}
    },
    "dates": {"upload_create_time": {"gte": "2015-01-01T00:00:00.000Z", "lt": "2021-06-30T00:00:00.000Z"}},
    "or": {
        "or": [
            {"results.material.elements:any": ["Ti"]},
            {"results.material.n_elements": 1},
        ]
    },
    "not, inside and": {
        "and": [
            {"results.material.n_elements:lte": 3},
            {"not": {"results.material.elements": "O"}},
        ]
    },
    "the properties that an entry has": {
        "quantities:all": ["results.properties", "results.material.elements"]
    },
    "a nested quantity": {"results.material.topology": {"elements:any": ["O", "Ti"]}},
    "an OPTIMADE filter": {"optimade_filter": "nelements >= 2"},
    "text": {"results.material.chemical_formula_anonymous": "AB"},
}


def post(url, path, body):
    """The answer to a request, without nomad-dask."""
    sent = Request(f"{url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(sent) as answer:
        return json.load(answer)


def body_of(query, required):
    """A body as the web page shows it."""
    return {
        "owner": "visible",
        "query": query,
        "aggregations": {},
        "pagination": {"page_size": 20, "order_by": "upload_create_time", "order": "desc"},
        "required": required,
    }


def elements_of(document):
    return document.get("results", {}).get("material", {}).get("elements")


@pytest.mark.parametrize("kind", QUERIES)
def test_a_body_selects_the_entries_of_its_request(archive, kind):
    body = body_of(QUERIES[kind], {"include": ["entry_id", "results.material.elements"]})
    raw = post(archive, "entries/query", body | {"pagination": ALL})["data"]
    assert raw, "the kind of query is tried on entries"
    query = ArchiveQuery.from_api(body, url=str(archive), max_requests_per_second=None, progress=False)
    assert query.count() == len(raw)
    found = {one.entry_id: elements_of(one) for one in query.download()}
    assert found == {row["entry_id"]: elements_of(row) for row in raw}


def test_a_body_for_archives_reads_what_its_request_reads(archive):
    required = {"results": {"material": {"elements": "*", "symmetry": "*"}}, "metadata": {"entry_name": "*"}}
    body = body_of({"results.material.n_elements": 2}, required)
    raw = post(archive, "entries/archive/query", body | {"pagination": ALL})["data"]
    query = ArchiveQuery.from_api(body, url=str(archive), max_requests_per_second=None, progress=False)
    archives = query.fetch() and query.download()
    expected = {row["entry_id"]: row["archive"] for row in raw}
    assert {one.entry_id for one in archives} == expected.keys()
    for one in archives:
        assert {name: one[name] for name in required} == {
            name: expected[one.entry_id][name] for name in required
        }
