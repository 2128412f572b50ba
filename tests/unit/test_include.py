"""SPEC, "Search documents": `required` as a list of names or as a tree."""

import pickle
import re
from functools import cache

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.errors import RequiredError
from nomad_dask.layouts.projection import narrow
from nomad_dask.layouts.schema import infer
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.include import (
    include_of,
    parse_include,
    required_part,
    widen,
    with_sent_names,
    without_empties,
)
from nomad_dask.request.required import parse
from nomad_dask.testing.corpus import values_at
from nomad_dask.testing.documents import Projection
from nomad_dask.testing.generated.schema import schema_json
from nomad_dask.testing.quantities import Quantities
from nomad_dask.testing.refused import Refused

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
            ["entry_name", "results.material*"],
            ["entry_name", "results.material.n_elements"],
        ),
        (["results", "results.material"], {"results": "*"}, ["results*"], ["results*"]),
        (["entry_id", "entry_name"], {"entry_name": "*"}, ["entry_name"], ["entry_name"]),
        (["results.mat*"], {"results": "*"}, ["results*"], ["results*"]),
        (
            ["results.material.elem*"],
            {"results": {"material": "*"}},
            ["results.material*"],
            ["results.material*"],
        ),
        (
            ["results.material.*"],
            {"results": {"material": "*"}},
            ["results.material*"],
            ["results.material*"],
        ),
        (["results.material"], {"results": {"material": "*"}}, ["results.material*"], ["results.material*"]),
        (["res*", "entry_name"], "*", ["res*", "entry_name"], ["res*", "entry_name"]),
        (["authors.name"], {"authors": {"name": "*"}}, ["authors*"], ["authors*"]),
        (
            ["results.material.topology.label"],
            {"results": {"material": {"topology": {"label": "*"}}}},
            ["results.material*"],
            ["results.material.topology*"],
        ),
        (
            ["results.material.topology"],
            {"results": {"material": {"topology": "*"}}},
            ["results.material*"],
            ["results.material.topology*"],
        ),
        ({"results": {"material": "*"}}, None, ["results.material*"], ["results.material*"]),
        ({"results": {"*": "*", "method": "exclude"}}, None, ["results*"], ["results*"]),
    ],
)
def test_names_and_trees(given, tree, without, sent):
    """Sections go as patterns. Nothing below a list is named: what a server leaves out of it would give the
    others new
    numbers."""
    required = parse_include(given)
    assert tree is None or required.tree == tree
    own = ["entry_id", "upload_id"]
    assert include_of(required) == [*without, *own]
    assert include_of(with_sent_names(required, DEFINITIONS)) == [*sent, *own]
    assert pickle.loads(pickle.dumps(with_sent_names(required, DEFINITIONS))) == with_sent_names(
        required, DEFINITIONS
    )


@pytest.mark.parametrize(
    ("given", "refused", "sent"),
    [
        (["license", "entry_name"], "license", ["license*", "entry_name"]),
        (["entry_nam"], "entry_nam", None),
        (["entry_name"], "another", None),
        (
            {"results": {"properties": {"geometry_optimization": {"energies": "*", "type": "*"}}}},
            "results.properties.geometry_optimization.energies",
            ["results.properties.geometry_optimization*"],
        ),
    ],
)
def test_what_the_search_does_not_know_and_the_schema_does_is_asked_for_by_its_section(given, refused, sent):
    wider = widen(with_sent_names(parse_include(given), DEFINITIONS), refused, DEFINITIONS)
    assert (wider and include_of(wider)) == (sent and [*sent, "entry_id", "upload_id"])


def test_the_name_of_a_column_is_one_that_documents_hold():
    wider = widen(with_sent_names(parse_include(["odd"]), DEFINITIONS), "odd", DEFINITIONS, known=True)
    assert include_of(wider) == ["odd*", "entry_id", "upload_id"]


def listed(tree):
    """Sections of the topology come as a list, as the schema says."""
    return {k: [v, {}, v] if k == "topology" and isinstance(v, dict) else v for k, v in tree.items()}


KEYS = st.sampled_from(["material", "material_x", "elements", "elements_x", "symmetry", "topology"])
LEAVES = st.integers() | st.lists(st.integers(), max_size=2)
SECTIONS = st.recursive(
    st.dictionaries(KEYS, LEAVES, max_size=3),
    lambda below: st.dictionaries(KEYS, LEAVES | below, max_size=3).map(listed),
    max_leaves=8,
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "entry_id": st.just("e"),
        "upload_id": st.just("u"),
        "results": st.fixed_dictionaries({"material": SECTIONS}),
    },
    optional={"entry_name": LEAVES, "authors": st.lists(SECTIONS, max_size=2), "results_x": SECTIONS},
)


NAMES = st.lists(
    KEYS | st.sampled_from(["*", "mat*", "*_x", "results", "authors"]), min_size=1, max_size=4
).map(".".join)
TREES = st.recursive(
    st.sampled_from(["*", "exclude"]),
    lambda below: st.dictionaries(KEYS | st.sampled_from(["*", "results", "authors"]), below, min_size=1),
    max_leaves=6,
).filter(lambda tree: isinstance(tree, dict))


@given(document=DOCUMENTS, asked=st.lists(NAMES, min_size=1, max_size=4) | TREES, described=st.booleans())
def test_exactly_what_is_asked_for_is_kept_and_all_of_it_is_sent_for(document, asked, described):
    """What comes back for the names that are sent is, once pruned, what the whole document has of what was
    asked for.
    """
    required = parse_include(asked)
    if described:
        required = with_sent_names(required, DEFINITIONS)
    names = include_of(required)
    projection = Projection({}, None if names is None else tuple(names), ())
    wanted = without_empties(required_part(document, required))
    assert without_empties(required_part(projection.of(document), required)) == wanted
    if isinstance(asked, list):
        patterns = [
            re.compile(re.escape(name).replace(r"\*", ".*")) for name in [*asked, "entry_id", "upload_id"]
        ]
        for path in leaves(document):
            meant = any(p.fullmatch(path[:n]) for p in patterns for n in ends(path))
            assert meant == (path in {*leaves(required_part(document, required))})


def leaves(tree, above=""):
    """Dotted names of all quantities."""
    if isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        for item in tree:
            yield from leaves(item, above)
    elif isinstance(tree, dict):
        for key, below in tree.items():
            yield from leaves(below, f"{above}.{key}" if above else key)
    else:
        yield above


def ends(path):
    return [n for n, letter in enumerate(path) if letter == "."] + [len(path)]


@given(data=st.data(), described=st.booleans())
def test_the_server_takes_what_is_sent_for_any_part_of_a_document(shared_data, data, described):
    """Of real documents, under the real rules: a name without `*` is a quantity. All of the part arrives, and
    no more.
    """
    documents, definitions = real(shared_data)
    document = data.draw(st.sampled_from(documents))
    there = sorted({path[:n] for path in leaves(document) for n in ends(path)})
    asked = data.draw(st.lists(st.sampled_from(there), min_size=1, max_size=4))
    required = with_sent_names(parse_include(asked), definitions if described else None)
    for _ in range(len(asked) + 1):
        try:
            projection = Projection.parse({"include": include_of(required)}, Quantities())
            break
        except Refused as refused:
            name = refused.detail[0]["msg"].removesuffix(" is not a doc quantity")
            required = widen(required, name, definitions)
            assert required is not None, name
    found = without_empties(required_part(projection.of(document), required))
    assert found == without_empties(required_part(document, required))
    for name in asked:
        assert values_at(found, name) == values_at(without_empties(document), name)


@cache
def real(shared_data):
    lines = (shared_data / "documents.jsonl").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines[::8]], Definitions(
        orjson.loads((shared_data / "schema.json").read_bytes())
    )


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
        assert any(plain == name or plain.startswith(name.rstrip("*")) for name in names)


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
