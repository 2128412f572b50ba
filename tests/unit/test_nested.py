"""SPEC, "Layouts": nested: one row per entry, one column per path; archives can be restored."""

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from checks import check_back, check_nested
from hypothesis import given
from hypothesis import strategies as st
from strategies import Row, many, many_with_gaps, requireds

from nomad_dask.common import types
from nomad_dask.errors import UnknownValueError, UserError
from nomad_dask.layouts import nested
from nomad_dask.layouts.nested import Nested, NestedSchema, infer_nested, to_json_rows
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.required import Required, parse

WHOLE = parse("*")


def build(schema: NestedSchema, required: Required, rows: Iterable[Row | None]) -> pa.Table:
    builder = Nested(schema, required)
    for number, archive in enumerate(rows):
        builder.append(f"entry{number}", "upload", archive)
    return builder.finish()


@given(many_with_gaps, requireds, st.data())
def test_order_and_blocks_do_not_matter(
    rows: list[Row | None], required: Required, data: st.DataObject
) -> None:
    schema = infer_nested([row for row in rows[::2] if row is not None], required)
    expected = build(schema, required, rows)
    builder = Nested(schema, required)
    for number in data.draw(st.permutations(range(len(rows)))):
        builder.append(f"entry{number}", "upload", rows[number])
        if data.draw(st.booleans()):
            builder.flush()
    found = builder.finish()
    assert found.sort_by("entry_id").to_pylist() == expected.sort_by("entry_id").to_pylist()
    assert len(builder.finish()) == 0
    assert NestedSchema.from_json(orjson.loads(orjson.dumps(schema.to_json()))) == schema
    assert pickle.loads(pickle.dumps(schema)) == schema


def big(value: Any) -> bool:
    """True for integers that no float holds, and what has them."""
    return abs(value) > 2**53 if type(value) is int else type(value) is list and any(map(big, value))


@given(many)
def test_a_schema_holds_all_that_it_was_inferred_from(rows: list[Row]) -> None:
    """But nulls in sections, and integers that no float holds."""
    for more in build(infer_nested(rows, WHOLE), WHOLE, rows)["_more"].to_pylist():
        for value in types.loads(more or "{}").values():
            assert value is None or big(value)


def one(tree: Any, archive: Row) -> Row:
    """The row of an archive, with its own schema, less what is null."""
    required = parse(tree)
    table = build(infer_nested([archive], required), required, [archive])
    (cells,) = table.drop_columns(["entry_id", "upload_id"]).to_pylist()
    return {key: value for key, value in cells.items() if value is not None}


def test_lists_crossed_on_the_way_are_lists_positions_kept() -> None:
    tree = {"run[-1]": {"calculation": {"energy": "*", "ref": {"n": "*"}}}, "results": {"material": "*"}}
    archive = {
        "run": [
            {"calculation": [{"energy": {"fermi": 1.5}}, {}, {"energy": {"fermi": 2.5}, "ref": {"n": 3}}]}
        ],
        "results": {"material": {"elements": ["Ti", "O"], "n_elements": 2}},
        "other": 1,
    }
    assert one(tree, archive) == {
        "run[-1].calculation.energy": [[{"fermi": 1.5}, None, {"fermi": 2.5}]],
        "run[-1].calculation.ref.n": [[None, None, 3]],
        "results.material": {"elements": ["Ti", "O"], "n_elements": 2},
    }


def test_what_a_column_cannot_tell_is_in_more_by_its_name() -> None:
    schema = infer_nested([{"a": {"x": 1, "l": [{"y": 1.5}]}}], WHOLE)
    rows: list[Row] = [
        {"a": {"x": None, "l": [{"y": 2.5}, None, {}]}},
        {"a": {"x": "text", "l": [{"y": 2.5, "z.z": 1}, 7]}, "b": []},
        {"a": {"x": True, "l": [{"y": True}, {"y": 1}, {"y": 2**53 + 1}, {"y": 1.0}]}},
        {"a": 5},
    ]
    builder = Nested(schema, WHOLE)
    for number, row in enumerate(rows):
        builder.append(str(number), None, row)
    table = builder.finish()
    assert [types.loads(more) for more in table["_more"].to_pylist()] == [
        {"a.x": None},
        {"a.x": "text", r"a.l.0.z\.z": 1, "a.l.1": 7, "b": []},
        {"a.x": True, "a.l.0.y": True, "a.l.2.y": 2**53 + 1},
        {"a": 5},
    ]
    assert builder.n_more == 9
    assert list(to_json_rows(table, WHOLE)) == rows


def test_a_reference_above_a_leaf_stays_in_more_once() -> None:
    """It is met on the way to each path that leads through it, and is nothing new."""
    required = parse({"ref": {"a": "*", "b": "*"}})
    schema = infer_nested([{"ref": {"a": 1, "b": 2}}], required)
    builder = Nested(schema, required, on_new="raise")
    builder.append("E", None, {"ref": "/run/0"})
    table = builder.finish()
    assert (builder.n_more, table["_more"].to_pylist()) == (1, ['{"ref":"/run/0"}'])
    assert list(to_json_rows(table, required)) == [{"ref": "/run/0"}]


def test_on_new_raise_names_the_entry_and_the_value_but_lets_nulls_pass() -> None:
    builder = Nested(infer_nested([{"a": {"x": 1}}], WHOLE), WHOLE, on_new="raise")
    builder.append("good", None, {"a": {"x": None}})
    with pytest.raises(
        UnknownValueError, match=r"entry bad: a\.y does not fit the schema, and the value is 1;"
    ):
        builder.append("bad", None, {"a": {"y": 1}})
    with pytest.raises(UserError, match="on_new"):
        Nested(NestedSchema(), WHOLE, on_new="ignore")  # type: ignore[arg-type]


def test_units_and_descriptions_are_in_nested_metadata_and_survive_parquet(
    shared_data: Path, tmp_path: Path
) -> None:
    definitions = Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))
    required = parse({"run": {"calculation": {"energy": "*"}}, "results": {"properties": "*"}})
    rows = [
        orjson.loads(path.read_bytes())["archive"]
        for path in sorted((shared_data / "archives").glob("*.json"))[:40]
    ]
    schema = infer_nested(rows, required, definitions=definitions)
    table = build(schema, required, rows)
    pq.write_table(table, tmp_path / "part.parquet")
    stored = pq.read_table(tmp_path / "part.parquet")
    assert stored.equals(table)
    for found in (table, stored):
        energy = found.schema.field("run.calculation.energy").type.value_type.value_type
        total = energy.field("total").type.field("value")
        assert total.metadata[b"unit"] == b"joule" and total.metadata[b"description"]
        check_back(to_json_rows(found, required), required, rows)
    check_nested(table, schema, required, rows)


@pytest.mark.parametrize(
    "tree", ["*", {"*": "*", "run": "exclude"}, {"run": {"*": {"energy": "*", "atoms": "*"}}}]
)
def test_recorded_archives(shared_data: Path, tree: Any) -> None:
    """All real archives come back, with the schema of all and with that of every fifth."""
    required = parse(tree)
    rows = [orjson.loads(path.read_bytes())["archive"] for path in (shared_data / "archives").glob("*.json")]
    for sample in (rows, rows[::5]):
        schema = infer_nested(sample, required)
        check_nested(build(schema, required, rows), schema, required, rows)


def test_rows_are_turned_into_arrow_while_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = infer_nested([{"x": [[1]]}], WHOLE)
    blocks = []
    monkeypatch.setattr(Nested, "flush", lambda one, flush=Nested.flush: (blocks.append(1), flush(one)))
    builder = Nested(schema, WHOLE)
    for number in range(nested.MOST_ROWS * 2):
        builder.append(str(number), None, {"x": [[number]]}, n_bytes=nested.MOST_BYTES // 100)
    assert builder.finish().num_rows == nested.MOST_ROWS * 2
    assert len(blocks) >= 5


def test_large_integers_among_floats() -> None:
    """Those that a float holds are floats; the others are in `_more`, exact."""
    rows = [{"a": [{"x": 2**53 + 2}, {"x": 0.5}, {"x": 2**53 + 1}], "l": [0.5, 2**60]}]
    required = parse("*")
    table = build(infer_nested(rows, required), required, rows)
    assert types.loads(table["_more"][0].as_py()) == {"a.2.x": 2**53 + 1}
    check_back(to_json_rows(table, required), required, rows)
