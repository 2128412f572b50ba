"""SPEC, "Column limit": which columns are kept is by rule, and no value is lost."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Row, many, requireds

from nomad_dask.common.types import loads
from nomad_dask.layouts import infer
from nomad_dask.layouts import wide as flatten
from nomad_dask.layouts.column_limit import MOST_COLUMNS, ColumnLimit, left_out_message
from nomad_dask.layouts.infer import Kinds
from nomad_dask.layouts.layouts import LAYOUTS, NESTED, ONLY, TABLES, WIDE, left_out
from nomad_dask.layouts.nested import required_part, to_json_rows
from nomad_dask.layouts.schema import RESERVED
from nomad_dask.layouts.walk import leaves
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.query.dataframes import FrameOptions, entries_to_dataframe
from nomad_dask.request.required import Required, parse

WHOLE = parse("*")
SERVED = Definitions(
    {
        "properties": {"results": {"$ref": "#/$defs/Results"}},
        "$defs": {"Results": {"properties": {"z": {"type": "number", "nomad_type": "float64"}}}},
    }
)

FULL = pytest.mark.skipif(not os.environ.get("NOMAD_DASK_FULL"), reason="NOMAD_DASK_FULL=1")


def built(layout, schema, rows, required=WHOLE):
    builder = layout.builder(schema, required)
    for number, archive in enumerate(rows):
        builder.append(f"entry{number}", "upload", archive)
    return layout.tables(builder.finish())


@settings(max_examples=30)
@given(many, requireds, st.integers(0, 6))
def test_no_table_is_wider_than_its_room_and_no_value_is_lost(
    rows: list[Row], required: Required, most: int
) -> None:
    wide = WIDE.infer(rows, required, None, most)
    assert len(wide.names) <= most
    table = built(WIDE, wide, rows, required)[ONLY]
    for archive, cells in zip(rows, table.to_pylist(), strict=True):
        more = loads(cells["_more"] or "{}")
        for name, value in leaves(archive, required):
            is_there = (name in wide.names and cells[name] is not None) or name in more
            assert is_there or value is None or name in RESERVED or value == [None] * len(value)
    for schema in TABLES.infer(rows, required, None, most).tables:
        assert len(schema.values.names) <= most
    nested = NESTED.infer(rows, required, None, most)
    # Each required path has its column, of JSON text where there is no room for what it has inside.
    assert all(kept <= most + len(nested.columns) for _, kept, _ in left_out(nested))
    back = list(to_json_rows(built(NESTED, nested, rows, required)[ONLY], required))
    assert back == [required_part(archive, required) for archive in rows]


def test_known_names_come_first_then_the_fullest_then_the_first_by_name():
    rows = [{"data": {"k10": 1, "k9": 2}, "results": {"z": None}}, {"data": {"k10": 1, "a": [{"x": 1}] * 11}}]
    kept = [WIDE.infer(rows, WHOLE, SERVED, most).names for most in (1, 2, 4, 5)]
    assert kept == [
        ("results.z",),
        ("data.k10", "results.z"),
        ("data.a.0.x", "data.a.1.x", "data.k10", "results.z"),
        ("data.a.0.x", "data.a.1.x", "data.a.2.x", "data.k10", "results.z"),
    ]
    asked = parse({"data": {"k9": "*", "*": "include"}})
    assert WIDE.infer(rows, asked, None, 1).names == ("data.k9",)


def test_what_was_chosen_does_not_depend_on_the_order_of_entries_or_keys():
    rows = [{"data": {f"k{(7 * i) % 40}": 1 for i in range(n)}} for n in (5, 17, 40)]
    other = [{"data": dict(reversed(row["data"].items()))} for row in reversed(rows)]
    for layout in LAYOUTS.values():
        assert layout.infer(rows, WHOLE, None, 12) == layout.infer(other, WHOLE, None, 12)


@pytest.mark.parametrize("name", LAYOUTS)
def test_values_without_a_column_are_in_more(name):
    layout, n = LAYOUTS[name], 2_000
    archive = {"data": {f"k{i}": i for i in range(n)}, "results": {"z": 1}}
    schema = layout.infer([archive], WHOLE, SERVED, 500)
    ((table, kept, lacking),) = left_out(schema)
    assert (kept, lacking) == (500, n + 1 - 500)
    assert "2,001 columns; the 500 filled most often are kept" in left_out_message(table, kept, lacking)
    (found,) = built(layout, schema, [archive]).values()
    more = loads(found["_more"][0].as_py())
    assert len(more) == lacking and more["data.k1999"] == 1999
    assert layout.schema_from_json(layout.schema_to_json(schema)) == schema


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("n", [55_000, pytest.param(1_000_000, marks=FULL)])
def test_a_map_with_very_many_keys_becomes_a_bounded_schema(name, n):
    schema = LAYOUTS[name].infer([{"data": {f"k{i}": i for i in range(n)}}], WHOLE, SERVED)
    assert [found[1:] for found in left_out(schema)] == [(MOST_COLUMNS, n - MOST_COLUMNS)]


def test_names_past_what_an_inference_takes_are_counted_and_those_that_are_known_still_found(monkeypatch):
    monkeypatch.setattr(infer, "MOST_NAMES", 10)
    archive = {"data": {f"k{i}": i for i in range(50)}, "results": {"z": 1}}
    found = Kinds(WHOLE, is_known=ColumnLimit(WHOLE, SERVED).known_name_test())
    found.add([archive])
    assert "results.z" in found.found() and found.skipped == 40
    assert WIDE.infer([archive], WHOLE, SERVED).left_out == 40


def test_a_builder_forgets_names_that_are_outside_its_schema(monkeypatch):
    """Each entry may bring its own: what a worker remembers of them has a bound."""
    monkeypatch.setattr(flatten, "MOST_NEW", 100)
    builder = WIDE.builder(WIDE.infer([{"data": {"a": 1}}], WHOLE), WHOLE)
    for n in range(20):
        builder.append(f"entry{n}", "upload", {"data": {"a": n} | {f"k{n}_{i}": i for i in range(50)}})
        builder.flush()
        assert builder._n_new <= 150
    table = builder.finish()
    assert table["data.a"].to_pylist() == [*range(20)] and builder.n_more == 1_000


@pytest.mark.parametrize("size", [1, 3])
def test_frames_in_memory_keep_the_fullest_and_say_so_once(size):
    rows = [{"data": {"a": n} | {f"k{n}_{i}": i for i in range(10)}} for n in range(5)]
    entries = [(f"entry{n}", "upload", row) for n, row in enumerate(rows)]

    def blocks():
        return (entries[at : at + size] for at in range(0, len(entries), size))

    with pytest.warns(UserWarning, match=r"51 columns; the 3 filled most often are kept") as told:
        frame = entries_to_dataframe(blocks, parse({"data": "*"}), FrameOptions(max_columns=3))
    assert len(told) == 1 and list(frame) == ["data.a", "data.k0_0", "data.k0_1", "_more"]
    assert loads(frame["_more"].iloc[4]) == {f"data.k4_{i}": i for i in range(10)}
    with pytest.warns(UserWarning, match=r"data: 51 columns; the 3 filled most often are kept") as told:
        frames = entries_to_dataframe(
            blocks, parse({"data": "*"}), FrameOptions(max_columns=3, from_query=True)
        )
    assert len(told) == 1 and list(frames["data"]) == ["a", "k0_0", "k0_1", "_more"]
    assert "_more" not in entries_to_dataframe(blocks, parse({"data": "*"}), FrameOptions(max_columns=51))
    assert "_more" not in entries_to_dataframe(blocks, parse({"data": "*"}), FrameOptions(max_columns=None))
