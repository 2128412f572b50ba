"""SPEC 6, 7: a table whose columns are found while it is built is the one that is built with all of them known."""

from functools import partial

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fuzzed, many, requireds

from nomad_dask.pure import growing
from nomad_dask.pure.flatten import Wide
from nomad_dask.pure.growing import grown
from nomad_dask.pure.layouts import WIDE, wide_schema
from nomad_dask.pure.required import parse


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
    return grown(blocks, required, partial(wide_schema, required=required)), len(calls)


@fuzzed
@given(many, requireds, st.integers(1, 4))
def test_blocks_of_any_size_give_the_same_table(archives, required, size):
    entries = entries_of(archives)
    table, _ = in_blocks(entries, size, required)
    expected = all_known(entries, required)
    assert table.schema.equals(expected.schema, check_metadata=True)
    assert table.equals(expected)


@pytest.mark.parametrize(
    ("values", "kind", "calls"),
    [
        ([1, 0.5], pa.float64(), 1),
        ([2**53 + 1, 0.5], pa.float64(), 1),
        ([None, "a"], pa.string(), 1),
        ([[], [1], [0.5, None]], pa.list_(pa.float64()), 1),
        ([[[1]], [[0.5], []]], pa.list_(pa.list_(pa.float64())), 1),
        ([[None], [0.5]], pa.list_(pa.float64()), 2),
        ([1, "a"], pa.string(), 2),
        (["a", 1, "b"], pa.string(), 2),
        ([True, 0.5], pa.string(), 2),
        ([1, 1, 1, 0.5, 2], pa.float64(), 1),
        ([1, 1, 1, "a", 2], pa.string(), 2),
        ([None, None, None, None, 1], pa.int64(), 1),
        ([[None], [None], [None], [0.5]], pa.list_(pa.float64()), 2),
        ([0.5, 0.5, 0.5, 2**53 + 1], pa.float64(), 1),
        ([0.5, 0.5, 0.5, 2**70], pa.string(), 2),
    ],
    ids=str,
)
def test_only_types_that_a_cell_cannot_take_afterwards_are_built_again(values, kind, calls):
    entries = entries_of([{"x": value} for value in values])
    table, called = in_blocks(entries, 1)
    assert table.equals(all_known(entries, parse("*")))
    assert table.schema.field("x").type == kind and called == calls


def test_blocks_that_bring_nothing_new_are_walked_once(monkeypatch):
    walks = []
    monkeypatch.setattr(growing.Kinds, "add", lambda self, samples: walks.append(1) or added(self, samples))
    entries = entries_of([{"x": 1.0}] * 8 + [{"x": 1, "y": "a"}] * 4)
    table, _ = in_blocks(entries, 1)
    # Two until nothing was new; the one that brought `y`, and the one after it.
    assert len(walks) == 4 and table.equals(all_known(entries, parse("*")))


def test_names_of_the_tables_own_are_no_reason_to_take_every_block_twice(monkeypatch):
    ends = []
    monkeypatch.setattr(growing._Growing, "_end", lambda self: ends.append(1) or ended(self))
    entries = entries_of([{"x": 1.0, "_more": 2}] * 12)
    table, _ = in_blocks(entries, 1)
    assert len(ends) == 3 and table.equals(all_known(entries, parse("*")))


added, ended = growing.Kinds.add, growing._Growing._end


def test_no_entries():
    table, _ = in_blocks([], 1)
    assert table.num_rows == 0 and table.column_names == ["entry_id", "upload_id", "_more"]
