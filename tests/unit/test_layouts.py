"""SPEC, "Layouts": three layouts of one archive hold all of it, agree, and are used alike."""

import pickle
from collections.abc import Collection
from itertools import pairwise
from typing import Any

import orjson
import pyarrow as pa
import pytest
from checks import check_all, check_nested, check_tables, check_wide, n_aside, table_rows, wide_rows
from hypothesis import given
from strategies import Case, Row, cases, fuzzed, with_gaps

from nomad_dask.errors import UserError
from nomad_dask.layouts import LAYOUT_NAMES
from nomad_dask.layouts.layouts import LAYOUTS, NESTED, TABLES, WIDE, Layout, layout
from nomad_dask.layouts.nested import required_part, to_json_rows
from nomad_dask.layouts.walk import leaves
from nomad_dask.request.references import merge
from nomad_dask.request.required import Required, parse

every_layout = pytest.mark.parametrize("chosen", LAYOUTS.values(), ids=LAYOUTS)


def build(
    chosen: Layout,
    schema: Any,
    required: Required,
    rows: list[Row | None],
    start: int = 0,
    *,
    flushed_before: Collection[int] = (),
) -> dict[str, pa.Table]:
    """The tables of a builder that counted in `n_more` what is in their `_more`."""
    builder = chosen.builder(schema, required)
    for number, archive in enumerate(rows, start):
        if number in flushed_before:
            builder.flush()
        builder.append(f"entry{number}", "upload", archive)
    tables = chosen.tables(builder.finish())
    assert builder.n_more == n_aside(tables.values())
    return tables


def in_one_table(tables: dict[str, pa.Table], schema: Any, n_rows: int) -> list[Row]:
    """Each entry's values over all tables, by the wide layout's names."""
    rows: list[Row] = [{} for _ in range(n_rows)]
    for path, table in tables.items():
        for entry_id, values in table_rows(table, schema.by_path[path]):
            row = rows[int(entry_id.removeprefix("entry"))]
            for name, value in values.items():
                # A list on the way that is one cell is in the tables of all paths through it, cut to each.
                row[name] = merge((row.get(name), value))
    return rows


def test_every_layout_has_a_name_of_the_choice() -> None:
    assert tuple(LAYOUTS) == LAYOUT_NAMES


@fuzzed(1000)
@given(cases)
def test_the_archives_come_back_from_the_nested_layout(case: Case) -> None:
    """The same JSON as went in, whatever archives the schema was inferred from."""
    rows, sample, required, *_ = case
    schema = NESTED.infer(sample, required)
    check_nested(build(NESTED, schema, required, [*rows])[""], schema, required, rows)


@fuzzed(1000)
@given(cases)
def test_wide_and_tables_hold_every_required_leaf_once(case: Case) -> None:
    """In a column or, counted, in `_more`; a reference above a leaf once in each table of a path through
    it.
    """
    rows, sample, required, *_ = case
    wide, tables = WIDE.infer(sample, required), TABLES.infer(sample, required)
    check_wide(build(WIDE, wide, required, [*rows])[""], wide, required, rows)
    check_tables(build(TABLES, tables, required, [*rows]), tables.by_path, required, rows)


@fuzzed(1000)
@given(cases)
def test_the_layouts_agree(case: Case) -> None:
    """Of what `required_part` leaves, which all three have."""
    required = case.required
    rows, sample = ([required_part(row, required) for row in some] for some in (case.rows, case.sample))
    schema = {one.name: one.infer(sample, required) for one in LAYOUTS.values()}
    made = {one.name: build(one, schema[one.name], required, [*rows]) for one in LAYOUTS.values()}
    wide = [columns | more for columns, more in wide_rows(made["wide"][""], schema["wide"])]
    nested = [dict(leaves(row, required)) for row in to_json_rows(made["nested"][""], required)]
    tables = in_one_table(made["tables"], schema["tables"], len(rows))
    for row, *held in zip(rows, wide, nested, tables, strict=True):
        for values in held:
            check_all(values, dict(leaves(row, required)))


@fuzzed(500)
@given(cases)
def test_any_partitioning_gives_the_same(case: Case) -> None:
    """Parts that are built alone, wherever cut, make the same table one after the other, in each layout.

    So do the blocks of one builder, wherever it turns into Arrow what waits.
    """
    rows, required = with_gaps(case.rows, case.gaps), case.required
    bounds = [0, *case.cuts, len(rows)]
    for chosen in LAYOUTS.values():
        schema = chosen.infer(case.sample, required)
        whole = build(chosen, schema, required, rows)
        parts = [build(chosen, schema, required, rows[start:end], start) for start, end in pairwise(bounds)]
        in_blocks = build(chosen, schema, required, rows, flushed_before=bounds)
        assert [*whole] == [*chosen.arrow(schema)]
        for key, table in whole.items():
            joined = pa.concat_tables([part[key] for part in parts])
            assert joined.schema.equals(chosen.arrow(schema)[key], check_metadata=True)
            assert joined.equals(table, check_metadata=True)
            assert in_blocks[key].equals(table, check_metadata=True)


@every_layout
def test_a_layout_and_its_schema_are_plain_values(chosen: Layout) -> None:
    required = parse({"run": {"calculation": {"energy": "*"}}, "results": "*"})
    row = {"run": [{"calculation": [{"energy": {"a.b": 1.5}}]}], "results": {"n": 1}}
    schema = chosen.infer([row], required)
    assert layout(chosen.name) == chosen == pickle.loads(pickle.dumps(chosen))
    assert pickle.loads(pickle.dumps(schema)) == schema
    assert chosen.schema_from_json(orjson.loads(orjson.dumps(chosen.schema_to_json(schema)))) == schema
    for value in ({}, {"columns": 5}, {"nested": [{}]}, {"tables": [5]}):
        with pytest.raises(UserError, match=r"^schema\..* (must be|is missing)"):
            chosen.schema_from_json(value)
    tables = build(chosen, schema, required, [row])
    assert {key: table.schema for key, table in tables.items()} == chosen.arrow(schema)
    for key, index in chosen.index(schema).items():
        assert set(index) <= {*tables[key].column_names}


def test_tables_by_their_keys() -> None:
    required = parse({"run": {"calculation": {"energy": "*"}}, "results": "*"})
    schema = {one.name: one.infer([], required) for one in LAYOUTS.values()}
    assert [*WIDE.arrow(schema["wide"])] == [*NESTED.arrow(schema["nested"])] == [""]
    assert [*TABLES.arrow(schema["tables"])] == ["run.calculation.energy", "results"]


def test_an_unknown_layout_is_told_the_choices() -> None:
    with pytest.raises(
        UserError, match=r"layout must be one of wide, nested, tables \(got 'nest'\); did you mean 'nested'\?"
    ):
        layout("nest")
    with pytest.raises(UserError, match=r"layout must be one of wide, nested, tables \(got 5\)"):
        layout(5)  # type: ignore[arg-type]
