"""SPEC, "Types": the table of types in the documentation is what archives, frames and Parquet become."""

import io
import json
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nomad_dask.layouts.layouts import NESTED, ONLY, WIDE, Layout
from nomad_dask.layouts.schema import is_json
from nomad_dask.layouts.to_pandas import BACKENDS, DtypeBackend, to_pandas
from nomad_dask.request.required import parse

TYPES = Path(__file__).parents[2] / "examples" / "guide" / "types.md"
HEAD = "| JSON | Arrow | pandas `pyarrow` | `numpy_nullable` | `numpy` | Parquet |"
PANDAS_2 = pd.__version__.startswith("2.")
REQUIRED = parse({"k": "*"})


class Row(NamedTuple):
    """One row of the table."""

    json: str
    arrow: str
    pyarrow: str
    numpy_nullable: str
    numpy: str
    parquet: str

    @property
    def layout(self) -> Layout:
        return NESTED if self.json.startswith("nested: ") else WIDE

    @property
    def values(self) -> list:
        """The JSON values that stand in backticks."""
        return [json.loads(text) for text in re.findall(r"`([^`]+)`", self.json)]

    @property
    def cells(self) -> tuple[str, ...]:
        """All but the first, without their backticks; `str` is what pandas 3 says."""
        plain = (cell.replace("`", "") for cell in self[1:])
        return tuple("object" if cell == "str" and PANDAS_2 else cell for cell in plain)


def rows() -> list[Row]:
    lines = TYPES.read_text(encoding="utf-8").partition(HEAD + "\n")[2].partition("\n\n")[0].splitlines()
    return [Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines[1:]]


def table_of(row: Row) -> pa.Table:
    """The values as archives of one entry each, which the schema holds: in `_more` is nothing but nulls that
    were there.
    """
    table = built(row.layout, row.values)
    assert all(set(json.loads(more).values()) == {None} for more in table["_more"].to_pylist() if more)
    return table


def built(layout: Layout, values: list) -> pa.Table:
    archives = [{"k": value} for value in values]
    schema = layout.infer(archives, REQUIRED)
    builder = layout.builder(schema, REQUIRED)
    for number, archive in enumerate(archives):
        builder.append(f"entry{number}", "upload", archive)
    table = layout.tables(builder.finish())[ONLY]
    assert table.schema.equals(layout.arrow(schema)[ONLY], check_metadata=True)
    return table


def frame_of(table: pa.Table, dtype_backend: DtypeBackend) -> pd.DataFrame:
    """As lazy frames have it: an empty partition has the same types."""
    frame, meta = (to_pandas(t, dtype_backend=dtype_backend, alike=True) for t in (table, table[:0]))
    assert frame.dtypes.equals(meta.dtypes)
    return frame


def short(kind: object) -> str:
    """A type's name without those that Arrow and Parquet give to the items of a list."""
    return re.sub(r"\b(item|element): ", "", str(kind))


def parquet_type(column: pq.ColumnSchema) -> str:
    """Of the leaf, and what stands around it."""
    logical = column.logical_type.type
    leaf = column.physical_type + ("" if logical == "NONE" else f", {logical}")
    is_group = column.path.split(".")[-1] not in ("k", "element") and column.max_definition_level > 1
    return "LIST of " * column.max_repetition_level + "group of " * is_group + leaf


def found(row: Row) -> tuple[str, ...]:
    """What the cells should say, by what the code does."""
    table = table_of(row)
    names = table.column_names[2:-1]
    if not names:
        return ("no column", "", "", "", "")
    (name,) = names
    field = table.schema.field(name)
    place = "" if name == "k" else f" in {name}"
    dtypes = [frame_of(table, backend)[name].dtype for backend in BACKENDS]
    file = io.BytesIO()
    pq.write_table(table, file)
    leaf = pq.ParquetFile(file).schema.column(2)
    return (
        short(field.type) + ", JSON" * is_json(field) + place,
        *map(short, dtypes),
        parquet_type(leaf),
    )


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.json)
def test_a_row_says_what_its_values_become(row):
    assert row.cells == found(row)


def test_the_table_has_a_row_for_every_kind():
    kinds = " ".join(row.json for row in rows())
    assert len(rows()) > 20
    for kind in (
        "bool",
        "integer",
        "float",
        "NaN",
        "text",
        "date-time",
        "list of lists",
        "null only",
        "dot",
        "nested",
    ):
        assert kind in kinds


def test_an_empty_list_beside_others():
    assert built(WIDE, [[1], []])["k"].to_pylist() == [[1], None]
    assert built(NESTED, [[1], []])["k"].to_pylist() == [[1], []]


@pytest.mark.parametrize("backend", BACKENDS)
def test_pandas_turns_date_times(backend):
    texts = ["2024-02-29T12:00:00+00:00", None, "2024-02-29T12:00:00.5+00:00"]
    times = pd.to_datetime(frame_of(built(WIDE, texts), backend)["k"], format="ISO8601")
    assert times.iloc[0] == pd.Timestamp(texts[0]) and times.isna().tolist() == [False, True, False]
    assert times.iloc[2] - times.iloc[0] == pd.Timedelta("0.5s")
