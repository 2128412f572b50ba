"""SPEC, "JSON text": it is marked where it is, in every layout, and `decode` converts it to values."""

import io
import json
from collections.abc import Iterator

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from strategies import Row, many, requireds

from nomad_dask import decode
from nomad_dask.dataset.segment import replace_rows
from nomad_dask.errors import UserError
from nomad_dask.layouts.layouts import LAYOUTS, NESTED
from nomad_dask.layouts.nested import to_json_rows
from nomad_dask.layouts.schema import JSON_MARK, is_json
from nomad_dask.layouts.to_pandas import BACKENDS, to_pandas
from nomad_dask.request.required import Required, parse

REQUIRED = parse({"run": {"calculation": {"value": "*"}}})
ROWS = [
    {"run": [{"calculation": [{"value": 1}, {"value": "a"}, {}]}]},
    {"run": [{"calculation": [{"value": {"b": [1]}}]}]},
]


def tables_of(layout, rows, required):
    schema = layout.infer(rows, required)
    builder = layout.builder(schema, required)
    for number, archive in enumerate(rows):
        builder.append(f"entry{number}", "upload", archive)
    return layout.tables(builder.finish())


def table_of_values():
    return tables_of(NESTED, ROWS, REQUIRED)[""]


def stored(table):
    file = io.BytesIO()
    pq.write_table(table, file)
    return pq.read_table(file)


def marked(field: pa.Field, cells: pa.Array) -> Iterator[pa.Array]:
    """The cells of each field that says it holds JSON text."""
    if is_json(field):
        yield cells
    elif pa.types.is_list(field.type):
        yield from marked(field.type.value_field, cells.flatten())
    elif pa.types.is_struct(field.type):
        for below, inner in zip(field.type, cells.flatten(), strict=True):
            yield from marked(below, inner)


@given(many, requireds)
def test_what_is_marked_is_text_that_json_takes(rows: list[Row], required: Required) -> None:
    for layout in LAYOUTS.values():
        for table in tables_of(layout, rows, required).values():
            for field, column in zip(table.schema, table.columns, strict=True):
                for cells in marked(field, column.combine_chunks()):
                    assert pa.types.is_string(cells.type)
                    for text in cells.drop_null().to_pylist():
                        json.loads(text)


def plain(cell, field):
    """The reference: a cell of `to_pylist` with its JSON text decoded."""
    if cell is None:
        return None
    if is_json(field):
        return json.loads(cell)
    if pa.types.is_list(field.type):
        return [plain(item, field.type.value_field) for item in cell]
    if pa.types.is_struct(field.type):
        return {below.name: plain(cell[below.name], below) for below in field.type}
    return cell


@given(many, requireds)
def test_decode_gives_the_values_in_every_layout(rows: list[Row], required: Required) -> None:
    for layout in LAYOUTS.values():
        for table in tables_of(layout, rows, required).values():
            frame = decode(table)
            for field in table.schema:
                if field.name != "entry_id" and list(marked(field, pa.array([], field.type))):
                    expected = [plain(cell, field) for cell in table[field.name].to_pylist()]
                    assert json.dumps(frame[field.name].tolist()) == json.dumps(expected)


def test_a_column_that_crosses_lists_marks_the_text_inside_and_json_takes_it():
    table = stored(table_of_values())
    field = table.schema.field("run.calculation.value")
    assert not is_json(field) and is_json(field.type.value_field.type.value_field)
    cell = table[field.name][0].as_py()
    assert [json.loads(text) if text else None for text in cell[0]] == [1, "a", None]


@pytest.mark.parametrize("dtype_backend", BACKENDS)
def test_frames_decode_whatever_their_types(dtype_backend):
    frame = decode(to_pandas(stored(table_of_values()), dtype_backend=dtype_backend))
    assert frame["run.calculation.value"].tolist() == [[[1, "a", None]], [[{"b": [1]}]]]
    assert list(frame.index) == ["entry0", "entry1"] and frame["upload_id"].tolist() == ["upload"] * 2
    assert decode(frame).equals(frame)  # once is enough


def test_a_lazy_frame_stays_lazy_and_a_dict_of_frames_a_dict():
    lazy = dd.from_map(
        lambda n: to_pandas(table_of_values().slice(n, 1)), [0, 1], meta=to_pandas(table_of_values()[:0])
    )
    found = decode({"a": lazy})["a"]
    assert isinstance(found, dd.DataFrame)
    assert found.compute(scheduler="sync")["run.calculation.value"].tolist()[1] == [[{"b": [1]}]]


def test_what_is_no_frame_and_what_lost_its_marks_is_refused():
    with pytest.raises(UserError, match="takes a dataframe, an Arrow table or a dict of them"):
        decode(3)
    with pytest.raises(UserError, match="no information about JSON text"):
        decode(pd.DataFrame({"a": ["1"]}))


def as_before(table: pa.Table) -> pa.Table:
    """As datasets were written when the mark stood at the column."""
    fields = []
    for field in table.schema:
        inner, depth = field, 0
        while pa.types.is_list(inner.type):
            inner, depth = inner.type.value_field, depth + 1
        if depth and is_json(inner):
            kind = inner.type
            for _ in range(depth):
                kind = pa.list_(kind)
            field = pa.field(field.name, kind, metadata={**(field.metadata or {}), JSON_MARK: b"true"})
        fields.append(field)
    return table.cast(pa.schema(fields, table.schema.metadata))


def test_datasets_of_before_are_read_and_go_on():
    table = stored(table_of_values())
    before = stored(as_before(table))
    assert is_json(before.schema.field("run.calculation.value"))
    assert list(to_json_rows(before, REQUIRED)) == list(to_json_rows(table, REQUIRED))
    assert decode(before)["run.calculation.value"].tolist() == decode(table)["run.calculation.value"].tolist()
    both = replace_rows(before.slice(0, 1), table.slice(1, 1), [])
    assert list(to_json_rows(both, REQUIRED)) == ROWS
