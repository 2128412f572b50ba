"""Three layouts of one archive (SPEC 6): they agree with one another, and nobody need know which it is."""

import pickle
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomad_dask.pure import paths, types
from nomad_dask.pure.errors import UserError
from nomad_dask.pure.layouts import LAYOUTS, NESTED, TABLES, WIDE, Layout, TablesSchema, empty, layout
from nomad_dask.pure.leaves import leaves
from nomad_dask.pure.nested import required_part, to_json_rows
from nomad_dask.pure.references import merge
from nomad_dask.pure.required import Required, parse
from nomad_dask.pure.schema import Schema

rule = settings(deadline=None)
Row = dict[str, Any]

names = st.sampled_from(["a", "b", "c.d", "0", "é", "entry_id", "_more", "m_ref_archives", ""])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    dicts = st.dictionaries(names, inner, max_size=4)
    return dicts | st.lists(inner, max_size=3) | st.lists(dicts, max_size=3)


archives = st.dictionaries(names, st.recursive(scalars, containers, max_leaves=12), max_size=4)


def first(item: tuple[str, Any]) -> str:
    return item[0].partition("[")[0]


keys = st.sampled_from(["a", "b", "c.d", "0", "é", "*", "a[-1]", "entry_id"])
requireds = (
    st.recursive(
        st.sampled_from(["*", "*", "include", "exclude"]),
        lambda below: st.lists(st.tuples(keys, below), max_size=3, unique_by=first).map(dict),
        max_leaves=6,
    )
    .filter(lambda tree: tree != "exclude")
    .map(parse)
)
every_layout = pytest.mark.parametrize("chosen", LAYOUTS.values(), ids=LAYOUTS)


def build(
    chosen: Layout, schema: Any, required: Required, rows: list[Row | None], start: int = 0
) -> dict[str, pa.Table]:
    builder = chosen.builder(schema, required)
    for number, archive in enumerate(rows, start):
        builder.append(f"entry{number:02}", "upload", archive)
    return chosen.tables(builder.finish())


def wide_leaves(table: pa.Table, schema: Schema) -> list[Row]:
    rows = []
    for cells in table.to_pylist():
        found: Row = types.loads(cells["_more"]) if cells["_more"] else {}
        for column in schema.columns:
            if cells[column.name] is not None:
                cell = cells[column.name]
                found[column.name] = types.loads(cell) if column.json else cell
        rows.append(found)
    return rows


def tables_leaves(tables: dict[str, pa.Table], schema: TablesSchema, n_rows: int) -> list[Row]:
    """By the wide layout's names: with the numbers of the sections that a row crossed."""
    rows: list[Row] = [{} for _ in range(n_rows)]
    for path, table in tables.items():
        one = schema.by_path[path]
        for cells in table.to_pylist():
            numbers = {name: cells[level] for name, level in zip(one.levels, one.level_names, strict=True)}
            found: Row = types.loads(cells["_more"]) if cells["_more"] else {}
            for name, column in zip(one.names(), one.values.columns, strict=True):
                if cells[name] is not None:
                    found[column.name] = types.loads(cells[name]) if column.json else cells[name]
            row = rows[int(cells["entry_id"].removeprefix("entry"))]
            for name, value in found.items():
                # A list on the way that is one cell is in the tables of all paths through it, cut to each.
                whole = numbered(name, numbers)
                row[whole] = merge((row.get(whole), value))
    return rows


def numbered(name: str, numbers: dict[str, int | None]) -> str:
    split, found = paths.split(name), []
    for place, key in enumerate(split):
        number = numbers.get(paths.join(split[: place + 1]))
        found += [key] if number is None else [key, str(number)]
    return paths.join(found)


def unlike(found: Row, expected: Row) -> dict[str, tuple[Any, Any]]:
    """What differs, but for nulls, which a row need not have, and numbers that became floats."""
    every = {*found, *expected}
    return {
        name: (found.get(name), expected.get(name))
        for name in every
        if not same(found.get(name), expected.get(name))
    }


def same(one: Any, other: Any) -> bool:
    if type(one) in (int, float) and type(other) in (int, float):
        return float(one) == float(other)
    if type(one) is list and type(other) is list:
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


@rule
@given(st.lists(archives, max_size=3), st.lists(archives, max_size=3), requireds)
def test_the_layouts_agree(seen: list[Row], rows: list[Row], required: Required) -> None:
    """With the schema of other archives too; of what `required_part` leaves, which all three have."""
    rows = [required_part(row, required) for row in rows]
    for sample in (seen, rows):
        schema = {one.name: one.infer(sample, required) for one in LAYOUTS.values()}
        made = {one.name: build(one, schema[one.name], required, [*rows]) for one in LAYOUTS.values()}
        wide = wide_leaves(made["wide"][""], schema["wide"])
        nested = [dict(leaves(row, required)) for row in to_json_rows(made["nested"][""], required)]
        tables = tables_leaves(made["tables"], schema["tables"], len(rows))
        for n, row in enumerate(rows):
            expected = dict(leaves(row, required))
            assert not unlike(wide[n], expected)
            assert not unlike(nested[n], expected)
            assert not unlike(tables[n], expected)


@rule
@given(st.sampled_from([*LAYOUTS.values()]), st.lists(st.none() | archives, max_size=6), requireds, st.data())
def test_any_partitioning_gives_the_same(
    chosen: Layout, rows: list[Row | None], required: Required, data: st.DataObject
) -> None:
    """Parts that are built alone, wherever cut, make the same table one after the other."""
    schema = chosen.infer([row for row in rows[::2] if row is not None], required)
    whole = build(chosen, schema, required, rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    pieces = zip([0, *cuts], [*cuts, len(rows)], strict=True)
    parts = [build(chosen, schema, required, rows[start:end], start) for start, end in pieces]
    assert [*whole] == [*empty(chosen, schema)]
    for key, table in whole.items():
        joined = pa.concat_tables([part[key] for part in parts])
        assert joined.schema.equals(empty(chosen, schema)[key].schema, check_metadata=True)
        assert joined.to_pylist() == table.to_pylist()


@every_layout
def test_a_layout_and_its_schema_are_plain_values(chosen: Layout) -> None:
    required = parse({"run": {"calculation": {"energy": "*"}}, "results": "*"})
    row = {"run": [{"calculation": [{"energy": {"a.b": 1.5}}]}], "results": {"n": 1}}
    schema = chosen.infer([row], required)
    assert layout(chosen.name) == chosen == pickle.loads(pickle.dumps(chosen))
    assert pickle.loads(pickle.dumps(schema)) == schema
    assert chosen.schema_from_json(orjson.loads(orjson.dumps(chosen.schema_to_json(schema)))) == schema
    for value in ({}, {"columns": 5}, {"nested": [{}]}, {"tables": [5]}):
        with pytest.raises(UserError, match="not a stored"):
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
        UserError, match=r"layout is one of wide, nested, tables, not 'nest'; did you mean 'nested'\?"
    ):
        layout("nest")
    with pytest.raises(UserError, match="layout is one of wide, nested, tables, not 5"):
        layout(5)  # type: ignore[arg-type]
