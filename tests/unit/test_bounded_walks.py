"""Issue 13: no walk recurses without a bound: data, schemas and required trees as deep as may be, from a deep
stack.
"""

import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nomad_dask.archive.archive import Archive
from nomad_dask.common import types
from nomad_dask.common.json_rules import MAX_LEVELS
from nomad_dask.errors import RequiredError, UserError
from nomad_dask.layouts.layouts import LAYOUTS, NESTED
from nomad_dask.layouts.nested import to_json_rows
from nomad_dask.layouts.nested_cells import required_part
from nomad_dask.layouts.projection import narrow
from nomad_dask.layouts.walk import leaves
from nomad_dask.metainfo import browse
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request import references
from nomad_dask.request.check import EmptyPaths, empty_path_warnings
from nomad_dask.request.include import parse_include, without_empties
from nomad_dask.request.references import levels, merge, refers_elsewhere, resolve
from nomad_dask.request.required import parse, prune
from nomad_dask.text.html import tree_card

FRAMES_BELOW = 450
"""Calls of a user's own that ours may come on top of, of the 1,000 that Python allows."""


def nested(shape, depth):
    """A value below so many levels."""
    value = 1
    for level in range(depth):
        value = {"a": value} if shape[level % len(shape)] == "d" else [value]
    return value


def archive_of(shape):
    """An archive as deep as may be; half of the keys hold a value beside."""
    return {"a": nested(shape, MAX_LEVELS - 1), "b": [nested(shape, MAX_LEVELS - 2), 1.5]}


SHAPES = ["d", "l", "dl", "ddl", "dll"]


def from_far_below(function, frames=FRAMES_BELOW):
    """What a function gives that is called from a deep stack."""
    return from_far_below(function, frames - 1) if frames else function()


@pytest.fixture(autouse=True)
def usual_limit():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("required", ["*", {"a": "*", "b": "*"}, {"a": {"a": {"a": "*"}}}], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_take_the_deepest_archives(layout, required, shape):
    archive, asked, chosen = archive_of(shape), parse(required), LAYOUTS[layout]

    def tables_of(samples):
        schema = chosen.infer(samples, asked)
        builder = chosen.builder(schema, asked)
        builder.append("E", "U", archive)
        assert chosen.schema_from_json(json.loads(json.dumps(chosen.schema_to_json(schema)))) == schema
        return chosen.tables(builder.finish())

    for samples in ([archive], []):
        for table in from_far_below(lambda samples=samples: tables_of(samples)).values():
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink)
            assert pq.read_table(pa.BufferReader(sink.getvalue())).equals(table)
            stream = pa.BufferOutputStream()
            pa.ipc.new_stream(stream, table.schema).write_table(table)
            assert pa.ipc.open_stream(stream.getvalue()).read_all().equals(table)
            for more in table["_more"].drop_null().to_pylist():
                json.loads(more)
            if layout == "nested":
                (found,) = from_far_below(lambda table=table: [*to_json_rows(table, asked)])
                assert found == required_part(archive, asked)


@pytest.mark.parametrize("shape", SHAPES)
def test_other_walks_take_the_deepest_archives(shape):
    archive, asked = archive_of(shape), parse({"a": {"a": "*"}, "b": "*"})

    def walks():
        assert [*leaves(archive, parse("*"))]
        prune(archive, asked.root)
        required_part(archive, asked)
        assert without_empties(archive) == archive == merge([archive, archive])
        assert resolve(archive, parse("include-resolved")) == archive
        assert not refers_elsewhere(archive) and levels(archive) == MAX_LEVELS
        EmptyPaths.of(asked).excluding([archive])
        walked = Archive(archive, "E", "U")
        assert walked.to_dict() == archive == walked
        assert walked.a is not None and repr(walked)
        tree_card("an archive", archive)
        schema = LAYOUTS["wide"].infer([archive], asked)
        assert narrow(asked, schema.names[:1], schema)

    from_far_below(walks)


def test_references_that_go_on_and_on_end_as_their_strings():
    chain = {"list": [{"next": f"#/list/{n + 1}", "n": n} for n in range(500)] + [{"n": 500}]}
    found = from_far_below(lambda: resolve(chain, parse({"list": "include-resolved"})))
    assert levels(found) <= MAX_LEVELS
    depth, step = 0, found["list"][0]
    while isinstance(step["next"], dict):
        depth, step = depth + 1, step["next"]
    assert depth > 50 and step["next"] == f"#/list/{depth + 1}"
    assert found["list"][499]["next"] == {"n": 500}


def test_references_that_double_at_each_step_end_as_their_strings(monkeypatch):
    monkeypatch.setattr(references, "_MAX_NODES", 5_000)
    archive = {"list": [{"a": f"#/list/{n + 1}", "b": f"#/list/{n + 1}"} for n in range(60)] + [{"end": 1}]}
    found = resolve(archive, parse({"list": "include-resolved"}))
    assert sections_in(found) < 6_000 and found["list"][59] == archive["list"][59]


def sections_in(value):
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, dict | list) + sum(map(sections_in, below))


def test_a_reference_to_a_section_of_any_number_stays_its_string():
    archive = {"list": [{}], "ref": f"#/list/{'9' * 5_000}", "odd": "#/list/²"}
    assert resolve(archive, parse("include-resolved")) == archive


@pytest.mark.parametrize("check", [parse, parse_include])
def test_a_required_tree_nested_too_deep_is_refused(check):
    from_far_below(lambda: parse(nested_required(MAX_LEVELS)), 300)
    with pytest.raises(RequiredError, match=r"nested deeper than 100 levels, below a\.a\.a$"):
        check(nested_required(5_000))


def nested_required(levels):
    tree = "*"
    for _ in range(levels):
        tree = {"a": tree}
    return tree


def test_names_of_documents_with_too_many_parts_are_refused():
    with pytest.raises(RequiredError, match="nested deeper"):
        parse_include([".".join("a" * 5_000)])


def sections_within_each_other(n):
    """Each section may stand in each."""
    inside = {f"section{k}": {"$ref": f"#/$defs/S{k}"} for k in range(n)}
    defs = {
        f"S{k}": {"type": "object", "properties": inside, "allOf": [{"$ref": f"#/$defs/S{k - 1}"}]}
        for k in range(n)
    }
    return Definitions({"properties": inside, "$defs": defs})


def test_a_schema_of_sections_within_each_other_is_looked_through_to_an_end(monkeypatch):
    """Of 20 there are 10^19 ways through them."""
    monkeypatch.setattr(browse, "MAX_PATHS", 3_000)
    definitions = sections_within_each_other(20)
    assert len(browse.paths_below(definitions)) == browse.MAX_PATHS
    assert browse.suggest(definitions, ("section1", "section2", "sectoin3", *["sectoin"] * 30))
    assert browse.search(definitions, "section7")
    required = parse({"section1": {"section2": {"nothing": "*"}}})
    assert empty_path_warnings(required, EmptyPaths.of(required).excluding([{}]), definitions)


def test_a_schema_as_deep_as_can_be():
    n = 2_000
    defs = {f"S{k}": {"properties": {"below": {"$ref": f"#/$defs/S{k + 1}"}}} for k in range(n)}
    definitions = Definitions({"properties": {"below": {"$ref": "#/$defs/S0"}}, "$defs": defs})
    path = ".".join(["below"] * MAX_LEVELS)
    assert from_far_below(lambda: definitions.find(path), 800) is not None
    assert definitions.find(f"{path}.b") is None
    assert len(browse.paths_below(definitions)) == MAX_LEVELS
    assert browse.suggest(definitions, ("below", "below", "belwo"))


def test_a_column_is_nested_as_deep_as_arrow_goes_and_no_deeper():
    for depth in (types.MAX_NESTED - 1, types.MAX_NESTED, types.MAX_NESTED + 1):
        for shape in ("d", "l"):
            archive = {"x": nested(shape, depth)}
            (column,) = NESTED.infer([archive], parse({"x": "*"})).columns
            assert ("'json'" in repr(column)) == (depth > types.MAX_NESTED)


def test_a_type_nested_too_deep_is_refused():
    assert types.parse("list<" * 50 + "double" + ">" * 50)
    for depth in (51, 3_000):
        with pytest.raises(UserError, match="nested deeper than 50 levels"):
            types.parse("list<" * depth + "double" + ">" * depth)


def test_json_text_is_always_json():
    for value in (2**70, [10**4_000, 0.5], {"a": [-(2**64)]}, "é", [float("nan")]):
        json.loads(types.dumps(value), parse_constant=lambda token: pytest.fail(token))
    with pytest.raises(ValueError):
        types.dumps([2**70, float("nan")])
