"""What finished tables hold, read back by the names of the wide layout, and the checks that it is all of
it.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from nomad_dask.common import paths, types
from nomad_dask.layouts.nested import NestedSchema, required_part, to_json_rows
from nomad_dask.layouts.schema import Schema
from nomad_dask.layouts.tables import TableSchema, required_paths
from nomad_dask.layouts.walk import leaves
from nomad_dask.request.required import Required, RequiredLeaf

Row = dict[str, Any]


def same(one: Any, other: Any, *, is_exact: bool = False) -> bool:
    """Equal, and of the same class all through, but that an integer may have become a float.

    Where `is_exact`, the float equal to it; else the float next to it.
    """
    if type(one) is int and type(other) is float:
        return (one if is_exact else float(one)) == other
    if type(one) is not type(other):
        return False
    if type(one) is list:
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(same(*pair, is_exact=is_exact) for pair in pairs)
    if type(one) is dict:
        return one.keys() == other.keys() and all(same(one[k], other[k], is_exact=is_exact) for k in one)
    if type(one) is float:
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


def n_aside(tables: Iterable[pa.Table]) -> int:
    """How many values are in `_more`."""
    return sum(len(types.loads(more)) for table in tables for more in table["_more"].to_pylist() if more)


def wide_rows(table: pa.Table, schema: Schema) -> list[tuple[Row, Row]]:
    """Each row's values again: those in columns that are not null, and those of `_more`."""
    rows = []
    for cells in table.to_pylist():
        columns = {
            name: types.loads(cells[name]) if column.json else cells[name]
            for name, column in schema.by_name.items()
            if cells[name] is not None
        }
        rows.append((columns, types.loads(cells["_more"]) if cells["_more"] else {}))
    return rows


def table_rows(table: pa.Table, schema: TableSchema) -> list[tuple[str, Row]]:
    """Each row's entry and values, those of `_more` too, under the names of the wide layout."""
    table.validate(full=True)
    assert table.schema.equals(schema.arrow, check_metadata=True)
    whole = dict(zip(schema.names(), schema.values.columns, strict=True))
    rows = []
    for cells in table.to_pylist():
        numbers = {name: cells[level] for name, level in zip(schema.levels, schema.level_names, strict=True)}
        found: Row = types.loads(cells["_more"]) if cells["_more"] else {}
        for name, column in whole.items():
            if cells[name] is not None:
                assert column.name not in found
                found[column.name] = types.loads(cells[name]) if column.json else cells[name]
        rows.append((cells["entry_id"], {numbered(name, numbers): value for name, value in found.items()}))
    return rows


def numbered(name: str, numbers: dict[str, int | None]) -> str:
    """A whole name as the wide layout has it: with the numbers of the sections that the row crossed."""
    split, found = paths.split(name), []
    for place, key in enumerate(split):
        number = numbers.get(paths.join(split[: place + 1]))
        found += [key] if number is None else [key, str(number)]
    return paths.join(found)


def check_wide(table: pa.Table, schema: Schema, required: Required, rows: list[Row]) -> None:
    """Every required leaf is once in a column or in `_more`, and nothing else is; a null may be in
    neither.
    """
    table.validate(full=True)
    assert table.schema.equals(schema.to_arrow(), check_metadata=True)
    for archive, (columns, more) in zip(rows, wide_rows(table, schema), strict=True):
        expected = dict(leaves(archive, required))
        assert len(expected) == sum(1 for _ in leaves(archive, required))
        assert not columns.keys() & more.keys()
        check_all(columns | more, expected)


def check_tables(
    tables: dict[str, pa.Table], schemas: dict[str, TableSchema], required: Required, rows: list[Row]
) -> None:
    """Over its rows each table holds what the wide layout has of its path alone, every leaf once.

    The entries are named by their numbers. Between the tables, every leaf at or below a required one is in
    just one;
    a reference above is in those of all paths that lead through it.
    """
    assert tuple(tables) == required.paths
    for path in required_paths(required):
        got: dict[str, Row] = {}
        for entry_id, values in table_rows(tables[path.written], schemas[path.written]):
            mine = got.setdefault(entry_id, {})
            assert not mine.keys() & values.keys()
            mine |= values
        assert got.keys() <= {f"entry{number}" for number in range(len(rows))}
        for number, archive in enumerate(rows):
            check_all(got.get(f"entry{number}", {}), dict(leaves(archive, path.required)))
    for archive in rows:
        expected = [name for name, _ in leaves(archive, required)]
        found = [name for path in required_paths(required) for name, _ in leaves(archive, path.required)]
        assert set(found) <= set(expected)
        below = {name for name in expected if is_required(name, archive, required)}
        assert sorted(below) == sorted(name for name in found if name in below)


def check_nested(table: pa.Table, schema: NestedSchema, required: Required, rows: list[Row]) -> None:
    """The archives come back."""
    table.validate(full=True)
    assert table.schema.equals(schema.to_arrow(), check_metadata=True)
    check_back(to_json_rows(table, required), required, rows)


def check_back(back: Iterator[Row], required: Required, rows: list[Row]) -> None:
    """What came back is what is required, of a whole archive all but what the server adds."""
    for archive, got in zip(rows, back, strict=True):
        expected = required_part(archive, required)
        if required.is_whole:
            assert expected == {key: value for key, value in archive.items() if key != "m_ref_archives"}
        assert same(expected, got, is_exact=True), (expected, got)


def check_all(got: Row, expected: Row) -> None:
    """All values are there, but for nulls, which need not be."""
    assert got.keys() <= expected.keys()
    for name, value in expected.items():
        assert same(value, got[name]) if name in got else value is None, name


def is_required(name: str, archive: Row, required: Required) -> bool:
    """True for a leaf at or below a required one; False for a reference above."""
    value: Any = archive
    node: Any = required.root
    for key in paths.split(name):
        if type(value) is list:
            value = value[int(key)]
        else:
            value, node = value[key], node.child(key)
    return isinstance(node, RequiredLeaf)
