"""SPEC, "Types": a table whose columns are found from its own rows equals one with all of them known."""

from functools import partial

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fuzzed, many, requireds

from nomad_dask.layouts.layouts import WIDE
from nomad_dask.layouts.schema import wide_schema
from nomad_dask.layouts.wide import Wide, build_wide
from nomad_dask.request.required import parse


def entries_of(archives):
    return [(f"{n:03}", "U", archive) for n, archive in enumerate(archives)]


def all_known(entries, required):
    wide = Wide(WIDE.infer([tree for *_, tree in entries], required), required)
    for entry in entries:
        wide.append(*entry)
    return wide.finish()


def in_blocks(entries, size, required=None):
    calls = []

    def blocks():
        calls.append(1)
        return (entries[at : at + size] for at in range(0, len(entries), size))

    required = required or parse("*")
    table, left_out = build_wide(blocks, required, partial(wide_schema, required=required))
    assert left_out == 0
    return table, len(calls)


@fuzzed(1000)
@given(many, requireds, st.integers(1, 4))
def test_blocks_of_any_size_give_the_same_table(archives, required, size):
    entries = entries_of(archives)
    table, _ = in_blocks(entries, size, required)
    expected = all_known(entries, required)
    assert table.schema.equals(expected.schema, check_metadata=True)
    assert table.equals(expected)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 0.5], pa.float64()),
        ([2**53 + 1, 0.5], pa.float64()),
        ([None, "a"], pa.string()),
        ([[], [1], [0.5, None]], pa.list_(pa.float64())),
        ([[[1]], [[0.5], []]], pa.list_(pa.list_(pa.float64()))),
        ([[None], [0.5]], pa.list_(pa.float64())),
        ([1, "a"], pa.string()),
        (["a", 1, "b"], pa.string()),
        ([True, 0.5], pa.string()),
        ([1, 1, 1, 0.5, 2], pa.float64()),
        ([1, 1, 1, "a", 2], pa.string()),
        ([None, None, None, None, 1], pa.int64()),
        ([[None], [None], [None], [0.5]], pa.list_(pa.float64())),
        ([0.5, 0.5, 0.5, 2**53 + 1], pa.float64()),
        ([0.5, 0.5, 0.5, 2**70], pa.string()),
    ],
    ids=str,
)
def test_types_are_those_of_all_blocks(values, kind):
    entries = entries_of([{"x": value} for value in values])
    table, calls = in_blocks(entries, 1)
    assert table.equals(all_known(entries, parse("*")))
    assert table.schema.field("x").type == kind and calls == 2


def test_no_entries():
    table, _ = in_blocks([], 1)
    assert table.num_rows == 0 and table.column_names == ["entry_id", "upload_id", "_more"]
