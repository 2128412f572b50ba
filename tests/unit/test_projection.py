"""SPEC, "Lazy dataframes": columns request only the part of `required` that they need."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Archives, Row, requireds, rows_of

from nomad_dask.errors import UserError
from nomad_dask.layouts.layouts import NESTED, TABLES, WIDE
from nomad_dask.layouts.projection import MOST_TEXT, NOTHING, narrow
from nomad_dask.layouts.schema import RESERVED, Column, Schema, infer
from nomad_dask.layouts.walk import leaves
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.references import resolve
from nomad_dask.request.required import Required, parse

WHOLE = parse("*")
REFERENCES = ("#/a", "#/b", "/a/b", "/a/0", "#/b/0/a", "../upload/archive/E#/a")
many = rows_of(
    Archives(
        ("a", "b", "c.d", "0", "é", "e[0]", "*", "resolve-inplace", ""), (None, 1, 2, "x", *REFERENCES * 2)
    )
)


def answers(archive: Row, required: Required) -> Row:
    """The leaves of what a server sends: the parts asked for, references resolved where a dict stands under
    them.
    """
    return dict(leaves(resolve(archive, required), required))


@given(many, requireds, st.data())
def test_columns_keep_their_values(rows: list[Row], required: Required, data: st.DataObject) -> None:
    found = [answers(row, required) for row in rows]
    schema = infer([resolve(row, required) for row in rows], required)
    columns = data.draw(st.lists(st.sampled_from(schema.names or ("",)), max_size=3)) if schema.names else []
    narrower = narrow(required, columns, schema)
    for row, whole in zip(rows, found, strict=True):
        part = answers(row, narrower)
        for column in columns:
            assert part.get(column) == whole.get(column), (column, narrower.tree)


@given(many, requireds)
def test_all_columns_ask_for_all_that_they_need(rows: list[Row], required: Required) -> None:
    schema = infer([resolve(row, required) for row in rows], required)
    narrower = narrow(required, schema.names, schema)
    for row in rows:
        whole, part = answers(row, required), answers(row, narrower)
        assert {name: whole[name] for name in whole.keys() - RESERVED} == {
            name: part[name] for name in part.keys() & whole.keys() - RESERVED
        }


plain = st.recursive(
    st.integers(0, 3),
    lambda below: st.dictionaries(st.sampled_from("abcd"), below, min_size=1, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from("abcd"), plain, min_size=1, max_size=4), requireds, st.data())
def test_nothing_else_is_asked_for(row: Row, required: Required, data: st.DataObject) -> None:
    """Where all are sections, one column's name is all that comes."""
    whole = answers(row, required)
    if not whole or "include-resolved" in required.text:
        return
    column = data.draw(st.sampled_from(sorted(whole)))
    schema = infer([row], required)
    assert answers(row, narrow(required, [column], schema)) == {column: whole[column]}


def wide(*names: str) -> Schema:
    return Schema(tuple(Column(name, "double") for name in dict.fromkeys(names)))


@pytest.mark.parametrize(
    ("tree", "columns", "narrower"),
    [
        ("*", ["results.n"], {"results": {"n": "*"}}),
        (None, ["results.n"], {"results": {"n": "*"}}),
        ({"results": "*", "run": "*"}, ["results.n"], {"results": {"n": "*"}}),
        ({"results": "include"}, ["results.n", "results.m"], {"results": {"m": "include", "n": "include"}}),
        ({"results": "include-resolved"}, ["results.n"], {"results": "include-resolved"}),
        (
            {"run[-1]": {"calculation[0:4]": {"energy": "*"}, "x": "*"}},
            ["run.0.calculation.3.energy.t"],
            {"run[-1]": {"calculation[0:4]": {"energy": {"t": "*"}}}},
        ),
        ({"*": {"n": "*", "m": "*"}, "run": "exclude"}, ["results.n"], {"results": {"n": "*"}}),
        ({"resolve-inplace": True, "a": "*", "b": "*"}, ["a.x"], {"resolve-inplace": True, "a": {"x": "*"}}),
        ({"ref": {"n": "*", "m": "*"}}, ["ref.n"], {"ref": {"n": "*"}}),
        ({"ref": {"n": "*", "m": "*"}}, ["ref"], {"ref": {"n": "*", "m": "*"}}),
        ("*", ["ref.n"], {"ref": "*"}),
        ("*", ["x.e[0]"], {"x": "*"}),
        ("*", ["*.n"], "*"),
        (
            {"*": "*", "run": "*", "b": "*"},
            ["e[0].n", "run.n"],
            {"*": "*", "run": {"n": "*"}, "b": "exclude"},
        ),
    ],
)
def test_by_example(tree: Any, columns: list[str], narrower: Any) -> None:
    """`ref` is a column of its own in the schema: somewhere a value stands there, which a dict would
    resolve.
    """
    schema = wide("ref", "ref.n", "x.e[0]", "*.n", *columns)
    assert narrow(parse(tree), columns, schema).tree == narrower


def test_the_identity_needs_nothing_and_more_needs_all() -> None:
    required = parse({"results": "*", "run": "*"})
    schema = wide("results.n")
    assert narrow(required, [], schema) == NOTHING
    assert narrow(required, ["entry_id", "upload_id"], schema) == NOTHING
    assert narrow(required, ["results.n", "_more"], schema) is required
    with pytest.raises(UserError, match=r"no column 'results.m'; did you mean 'results.n'\?"):
        narrow(required, ["results.m"], schema)


def test_nested_columns_and_tables_are_the_paths_as_written() -> None:
    required = parse(
        {"run[-1]": {"calculation": {"energy": "*", "*": {"x": "*"}}}, "results": "*", "entry_id": "*"}
    )
    written = "run[-1].calculation"
    for layout, name in ((NESTED, "entry_id_2"), (TABLES, "entry_id")):
        schema = layout.infer([], required)
        assert narrow(required, [f"{written}.energy", name], schema).tree == {
            "run[-1]": {"calculation": {"energy": "*"}},
            "entry_id": "*",
        }
        assert narrow(required, [f"{written}.*.x"], schema).tree == {
            "run[-1]": {"calculation": {"energy": "exclude", "*": {"x": "*"}}}
        }
        with pytest.raises(UserError, match="no column 'run'"):
            narrow(required, ["run"], schema)


def test_the_servers_schema_says_where_sections_are(shared_data: Path) -> None:
    """Below `include-resolved` too; a reference is left as it is."""
    definitions = Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))
    schema = wide(
        "run.0.calculation.0.energy.total.value",
        "workflow2.results.calculation_result_ref.energy.fermi",
        "results.material.n_elements",
        "nowhere.in.it",
    )

    def narrowed(tree: Any, name: str) -> Any:
        return narrow(parse(tree), [name], schema, definitions=definitions).tree

    energy, reference, n_elements, nowhere = (
        "run.0.calculation.0.energy.total.value",
        "workflow2.results.calculation_result_ref.energy.fermi",
        "results.material.n_elements",
        "nowhere.in.it",
    )
    for leaf in ("*", "include-resolved"):
        assert narrowed({"run": leaf, "results": leaf}, n_elements) == {
            "results": {"material": {"n_elements": leaf}}
        }
        assert narrowed({"workflow2": leaf}, reference) == {
            "workflow2": {"results": {"calculation_result_ref": leaf}}
        }
        assert narrowed({"nowhere": leaf}, nowhere) == {"nowhere": leaf}
        assert narrowed({"run[-1]": leaf}, energy) == {
            "run[-1]": {"calculation": {"energy": {"total": {"value": leaf}}}}
        }


@pytest.mark.parametrize("served", [True, False])
def test_recorded_archives(shared_data: Path, served: bool) -> None:
    """One column after the other of real archives."""
    definitions = Definitions(orjson.loads((shared_data / "schema.json").read_bytes())) if served else None
    files = sorted((shared_data / "archives").glob("*.json"))
    rows = [orjson.loads(path.read_bytes())["archive"] for path in files[::16]]
    required = parse(
        {"run": {"calculation": "*", "method": "*"}, "results": "*", "workflow2": "include-resolved"}
    )
    schema = WIDE.infer([resolve(row, required) for row in rows], required, definitions)
    whole = [answers(row, required) for row in rows]
    for name in schema.names[:: len(schema.names) // 12]:
        narrower = narrow(required, [name], schema, definitions=definitions)
        assert len(narrower.text) < 400
        for row, found in zip(rows, whole, strict=True):
            assert answers(row, narrower).get(name) == found.get(name)


def test_a_tree_that_goes_with_every_request_stays_short() -> None:
    """Where very many columns are asked for, their sections are asked for as a whole."""
    schema = wide(
        *(f"run.0.calculation.{n}.energy.part{m}.value" for n in range(9) for m in range(500)), "results.n"
    )
    many = narrow(WHOLE, [name for name in schema.names if "energy" in name], schema)
    assert len(many.text) < MOST_TEXT
    assert many.tree.keys() == {"run"}
    few = [name for name in schema.names if ".3." in name][:20]
    narrower = narrow(WHOLE, few, schema)
    assert narrower == narrow(WHOLE, [*reversed(few)], schema), "the order of columns does not matter"
