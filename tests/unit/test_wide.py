"""SPEC, "Layouts", "Types": wide: every required leaf once, exact values, the fast path as the rule says."""

import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from checks import check_wide, wide_rows
from hypothesis import given
from hypothesis import strategies as st
from strategies import Row, many, many_with_gaps, requireds

from nomad_dask.errors import UnknownValueError, UserError
from nomad_dask.layouts import wide as flatten
from nomad_dask.layouts.schema import RESERVED, Column, Schema, infer
from nomad_dask.layouts.walk import leaves
from nomad_dask.layouts.wide import Wide
from nomad_dask.request.required import Required, parse

WHOLE = parse("*")


def table(schema: Schema, required: Required, rows: Iterable[Row | None]) -> pa.Table:
    wide = Wide(schema, required)
    for number, archive in enumerate(rows):
        wide.append(f"entry{number}", "upload", archive)
    return wide.finish()


@given(many, requireds)
def test_a_schema_holds_all_values_that_it_was_inferred_from(rows: list[Row], required: Required) -> None:
    schema = infer(rows, required)
    for _, more in wide_rows(table(schema, required, rows), schema):
        assert more.keys() <= RESERVED


@given(many, requireds)
def test_without_a_schema_everything_goes_to_more(rows: list[Row], required: Required) -> None:
    found = table(Schema(), required, rows)
    assert found.column_names == ["entry_id", "upload_id", "_more"]
    check_wide(found, Schema(), required, rows)


@given(many_with_gaps, requireds, st.data())
def test_order_and_blocks_do_not_matter(
    rows: list[Row | None], required: Required, data: st.DataObject
) -> None:
    schema = infer([row for row in rows[::2] if row is not None], required)
    expected = table(schema, required, rows)
    order = data.draw(st.permutations(range(len(rows))))
    wide = Wide(schema, required)
    for number in order:
        wide.append(f"entry{number}", "upload", rows[number])
        if data.draw(st.booleans()):
            wide.flush()
    shuffled = wide.finish()
    assert shuffled.schema.equals(expected.schema, check_metadata=True)
    assert shuffled.sort_by("entry_id").to_pylist() == expected.sort_by("entry_id").to_pylist()


def test_the_rule_by_example() -> None:
    archive = {
        "run": [{"calculation": [{"e": 1.5}, {"e": 2.5, "m": {}}]}],
        "empty": {},
        "none": [],
        "list": [[1, 2], [3]],
        "mixed": [{"a": 1}, 2],
        "nested": [[{"a": 1}]],
        "null": None,
        "a.b": {"c\\d": True},
        "m_ref_archives": {"x": {"y": 1}},
    }
    assert dict(leaves(archive, WHOLE)) == {
        "run.0.calculation.0.e": 1.5,
        "run.0.calculation.1.e": 2.5,
        "list": [[1, 2], [3]],
        "mixed": [{"a": 1}, 2],
        "nested": [[{"a": 1}]],
        "null": None,
        r"a\.b.c\\d": True,
    }


def test_only_what_is_required_counts_and_slices_name_the_plain_key() -> None:
    required = parse({"run[-1]": {"calculation": {"energy": "*", "ref": {"n": "*"}}}})
    sections = [
        {"energy": {"total": 1.0, "m_def": "kept"}, "m_def": "not"},
        {"ref": "/run/0"},
        {"ref": {"n": 2, "x": 3}},
    ]
    archive = {"run": [{"m_def": "not", "calculation": sections}], "m_def": "not", "m_ref_archives": {}}
    assert dict(leaves(archive, required)) == {
        "run.0.calculation.0.energy.total": 1.0,
        "run.0.calculation.0.energy.m_def": "kept",
        "run.0.calculation.1.ref": "/run/0",
        "run.0.calculation.2.ref.n": 2,
    }


def test_above_a_leaf_only_references_stay() -> None:
    required = parse({"ref": {"n": "*"}})
    for void in (None, [], [None], {}, {"x": 1}, [{"x": 1}]):
        assert list(leaves({"ref": void}, required)) == []
    assert list(leaves({"ref": ["/a", {"n": 1, "m_def": 2}]}, required)) == [("ref", ["/a", {"n": 1}])]
    rows = [{"ref": ["/a", "/b"]}, {"ref": "/c"}, {"ref": {"n": 1}}, {"ref": ["/a", {"n": 1, "m_def": 2}]}]
    schema = Schema((Column("ref", "list<string>"), Column("ref.n", "int64")))
    assert wide_rows(table(schema, required, rows), schema) == [
        ({"ref": ["/a", "/b"]}, {}),
        ({}, {"ref": "/c"}),
        ({"ref.n": 1}, {}),
        ({}, {"ref": ["/a", {"n": 1}]}),
    ]


@pytest.mark.parametrize(
    ("kind", "fits", "not_"),
    [
        ("int64", [1, 2**63 - 1], [1.0, True, "1", 2**63, [1]]),
        ("double", [1.5, 1, 2**53 + 1], [True, "1", 2**63, [1.5]]),
        ("bool", [True], [1, 0.0, "true"]),
        ("string", ["a", ""], [1, True, ["a"]]),
        ("list<int64>", [[1, None], []], [[1.0], [True], [2**63], 1, [[1]], [{}, 1]]),
        ("list<double>", [[1.5, 1, None]], [[True], [2**63], ["1"], [{}, 1.5], [[1.5]]]),
        ("list<string>", [["a", None]], ["a", [1], [["a"]]]),
        ("list<list<double>>", [[[1.5], None, []], []], [[1.5], [[True]], [["a"]], ["ab"], [[[1.5]]]]),
        ("list<list<string>>", [[["a"]]], [["ab"], "ab", [[1]]]),
        ("list<bool>", [[True, None]], [[1], [0.0]]),
    ],
)
def test_what_does_not_fit_its_column_goes_to_more_as_it_is(
    kind: str, fits: list[Any], not_: list[Any]
) -> None:
    schema = Schema((Column("x", kind),))
    rows = [{"x": value} for pair in zip(fits * 6, not_, strict=False) for value in pair]
    wide = Wide(schema, WHOLE)
    for number, row in enumerate(rows):
        wide.append(str(number), "U", row)
    found = wide.finish()
    check_wide(found, schema, WHOLE, rows)
    assert wide.n_more == len(not_)
    assert [bool(more) for _, more in wide_rows(found, schema)] == [False, True] * len(not_)


def test_a_repeating_section_is_numbered_though_the_column_is_a_list() -> None:
    schema = Schema((Column("x", "list<int64>"), Column("x.0.y", "int64")))
    rows = [{"x": [1]}, {"x": [{"y": 5}]}, {"x": [{"z": 5}]}]
    assert wide_rows(table(schema, WHOLE, rows), schema) == [
        ({"x": [1]}, {}),
        ({"x.0.y": 5}, {}),
        ({}, {"x.0.z": 5}),
    ]


def test_an_entry_without_archive_is_a_row_of_nulls() -> None:
    schema = Schema((Column("x", "list<double>"), Column("y", "string")))
    found = table(schema, WHOLE, [None, {"x": [1.5]}, None])
    assert found.to_pylist()[0] == {
        "entry_id": "entry0",
        "upload_id": "upload",
        "x": None,
        "y": None,
        "_more": None,
    }
    assert found.num_rows == 3
    assert table(schema, WHOLE, []).schema.equals(schema.to_arrow(), check_metadata=True)


def test_the_identity_is_not_repeated_in_more() -> None:
    """Search documents name the entry themselves."""
    wide = Wide(Schema(), WHOLE)
    wide.append("E", "U", {"entry_id": "E", "upload_id": "U"})
    wide.append("E", "U", {"entry_id": "F", "upload_id": None})
    assert wide.finish()["_more"].to_pylist() == [None, '{"entry_id":"F","upload_id":null}']


@pytest.mark.parametrize("archive", [{"new": 1}, {"x": "a"}, {"x": 2**63}])
def test_on_new_raise_names_the_entry_and_the_column(archive: Row) -> None:
    wide = Wide(Schema((Column("x", "int64"),)), WHOLE, on_new="raise")
    wide.append("good", "U", {"x": 1})
    with pytest.raises(UnknownValueError, match=f"entry bad: {next(iter(archive))} "):
        wide.append("bad", "U", archive)
        wide.finish()
    with pytest.raises(UserError, match="on_new"):
        Wide(Schema(), WHOLE, on_new="ignore")  # type: ignore[arg-type]


def test_rows_are_turned_into_arrow_while_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by what waits: by the bytes of its JSON, and by rows."""
    schema = Schema((Column("x", "list<list<int64>>"),))
    rows = [{"x": [[n, n]] * 3} for n in range(50)]
    expected = table(schema, WHOLE, rows)
    blocks = []
    monkeypatch.setattr(Wide, "flush", lambda wide, flush=Wide.flush: (blocks.append(1), flush(wide)))
    wide = Wide(schema, WHOLE)
    for number, row in enumerate(rows):
        wide.append(f"entry{number}", "upload", row, n_bytes=flatten.MOST_BYTES // 4)
    assert wide.finish().equals(expected)
    assert len(blocks) > 8
    monkeypatch.setattr(flatten, "MOST_ROWS", 7)
    blocks.clear()
    assert table(schema, WHOLE, rows).equals(expected)
    assert len(blocks) == 8


@pytest.mark.parametrize("values", [["a", "b"] * 9, [[0.5], None] * 9, [1, "x", None] * 6])
def test_parts_of_a_table_are_one_chunk_in_the_end(
    monkeypatch: pytest.MonkeyPatch, values: list[Any]
) -> None:
    """Each part stays far from what 32-bit offsets can count."""
    schema = infer([{"x": values[0]}], WHOLE)
    rows = [{"x": value, "y": value} for value in values]
    expected = table(schema, WHOLE, rows)
    monkeypatch.setattr(flatten, "MOST_ROWS", 2)
    monkeypatch.setattr(flatten, "_PART", 1)
    found = table(schema, WHOLE, rows)
    assert found.equals(expected) and found["x"].num_chunks == 1


def test_columns_are_cut_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{f"x{n}": n / 2 for n in range(k, 40, k + 1)} for k in range(5)]
    schema = infer(rows, WHOLE)
    expected = table(schema, WHOLE, rows)
    monkeypatch.setattr(flatten, "_AT_ONCE", 16)
    assert table(schema, WHOLE, rows).equals(expected)


def test_columns_pickle_without_one_another() -> None:
    """A slice of a shared block would take the whole block along."""
    schema = Schema(tuple(Column(f"x{n}", "double") for n in range(1000)))
    found = table(schema, WHOLE, [{f"x{n}": float(n) for n in range(1000)}] * 20)
    assert len(pickle.dumps(found["x7"])) < 2000


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> list[dict[str, Any]]:
    return [orjson.loads(path.read_bytes()) for path in sorted((shared_data / "archives").glob("*.json"))]


@pytest.mark.parametrize(
    "tree",
    [
        "*",
        {"*": "*", "metadata": "exclude"},
        {"run": {"program": "*", "calculation": {"energy": "*", "system_ref": {"x": "*"}}}, "results": "*"},
    ],
)
def test_recorded_archives(recorded: list[dict[str, Any]], tree: Any) -> None:
    """All real archives: each leaf once and exact, with the schema of all and with that of every fifth."""
    required = parse(tree)
    rows = [entry["archive"] for entry in recorded]
    for sample in (rows, rows[::5]):
        schema = infer(sample, required)
        found = table(schema, required, rows)
        check_wide(found, schema, required, rows)
        assert (found["_more"].null_count == len(rows)) == (sample is rows)


def test_energies_of_the_recorded_answers(shared_data: Path) -> None:
    """An answer in place lies under the path that `required` names, in columns of numbers."""
    lines = (shared_data / "recorded.jsonl").read_text().splitlines()
    record = next(r for r in map(json.loads, lines) if r["name"] == "reference within the upload, in place")
    required = parse(record["request"]["required"])
    archive = record["answer"]["data"][0]["archive"]
    schema = infer([archive], required)
    prefix = "workflow2.results.calculation_result_ref"
    assert schema.names == (
        f"{prefix}.energy.fermi",
        f"{prefix}.energy.free.value",
        f"{prefix}.energy.total.value",
        f"{prefix}.energy.total.value_per_atom",
        f"{prefix}.system_ref.chemical_composition_reduced",
    )
    assert table(schema, required, [archive])[f"{prefix}.energy.total.value"].to_pylist() == [
        -8.534993426836824e-16
    ]
