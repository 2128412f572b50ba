"""SPEC 8: what is required of search documents, as a list of names or as a tree."""

import pickle

import orjson
import pytest

from nomad_dask.pure.errors import RequiredError
from nomad_dask.pure.include import include_of, parse_include, settled, without_empties
from nomad_dask.pure.projection import narrow
from nomad_dask.pure.required import parse
from nomad_dask.pure.schema import infer
from nomad_dask.pure.sections import Definitions
from nomad_dask.testing.generated.schema import schema_json

DOCUMENT = {
    "entry_id": "e",
    "upload_id": "u",
    "entry_name": "one",
    "authors": [{"name": "Ada"}, {"name": "Bo"}],
    "results": {"material": {"elements": ["Ti"], "n_elements": 1}, "method": {"name": "DFT"}},
}


DEFINITIONS = Definitions(orjson.loads(schema_json()))


@pytest.mark.parametrize(
    ("given", "tree", "without", "sent"),
    [
        (
            ["entry_name", "results.material.n_elements"],
            {"entry_name": "*", "results": {"material": {"n_elements": "*"}}},
            ["entry_name", "results.material"],
            ["entry_name", "results.material.n_elements"],
        ),
        (["results", "results.material"], {"results": "*"}, ["results"], ["results"]),
        (["entry_id", "entry_name"], {"entry_name": "*"}, ["entry_name"], ["entry_name"]),
        (["results.mat*"], {"results": "*"}, ["results"], ["results"]),
        (["results.material.*"], {"results": {"material": "*"}}, ["results.material"], ["results.material"]),
        (["res*", "entry_name"], "*", ["res*", "entry_name"], ["res*", "entry_name"]),
        (["authors.name"], {"authors": {"name": "*"}}, ["authors"], ["authors"]),
        (
            ["results.material.topology.label"],
            {"results": {"material": {"topology": {"label": "*"}}}},
            ["results.material"],
            ["results.material.topology"],
        ),
        ({"results": {"*": "*", "method": "exclude"}}, None, ["results"], ["results"]),
    ],
)
def test_names_and_trees(given, tree, without, sent):
    """Nothing below a list is named: what a server leaves out of it would give the others new numbers."""
    required = parse_include(given)
    assert tree is None or required.tree == tree
    own = ["entry_id", "upload_id"]
    assert include_of(required) == [*without, *own]
    assert include_of(settled(required, DEFINITIONS)) == [*sent, *own]
    assert pickle.loads(pickle.dumps(settled(required, DEFINITIONS))) == settled(required, DEFINITIONS)


def test_empty_lists_and_sections_are_left_out_but_in_lists():
    document = {"a": [], "b": {"c": {}}, "d": [{}, {"e": []}, 1], "f": [[], 0], "g": None}
    assert without_empties(document) == {"d": [{}, {}, 1], "f": [[], 0], "g": None}


@pytest.mark.parametrize("given", [None, "*", "include"])
def test_the_whole_document_is_asked_for_by_no_name(given):
    assert include_of(parse_include(given)) is None and parse_include(given).is_whole


def test_a_documents_own_names_are_the_rows_and_no_columns():
    assert infer([DOCUMENT], parse_include(None)).names == (
        "authors.0.name",
        "authors.1.name",
        "entry_name",
        "results.material.elements",
        "results.material.n_elements",
        "results.method.name",
    )


@pytest.mark.parametrize("columns", [["authors.1.name"], ["results.method.name", "entry_name"]])
def test_columns_narrow_the_names(columns):
    required = parse_include(None)
    names = include_of(narrow(required, columns, infer([DOCUMENT], required)))
    assert names is not None and len(names) == len(columns) + 2
    for column in columns:
        plain = ".".join(key for key in column.split(".") if not key.isdecimal())
        assert any(plain == name or plain.startswith(f"{name}.") for name in names)


@pytest.mark.parametrize(
    "given",
    [
        {"run[0]": "*"},
        {"results": {"x[1:2]": "*"}},
        ["a..b"],
        [3],
        "entry_name",
        ["metadata.entry_name"],
        {"metadata": "*"},
        {"results": 1},
    ],
)
def test_mistakes_are_refused(given):
    with pytest.raises(RequiredError, match="required: "):
        parse_include(given)


def test_a_list_of_names_is_not_for_archives():
    with pytest.raises(RequiredError, match="source='documents'"):
        parse(["results"])
