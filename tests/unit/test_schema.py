"""SPEC, "Types": common types of values, and their Arrow and pandas types."""

import json
import pickle
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.common import types
from nomad_dask.errors import UserError
from nomad_dask.layouts.schema import Column, Schema, infer
from nomad_dask.layouts.wide import Wide
from nomad_dask.request.required import parse

WHOLE = parse("*")

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


def kind(*samples: Any) -> str:
    """The kind of a column in which these values were seen."""
    return infer([{"x": sample} for sample in samples], WHOLE).by_name["x"].kind


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([1, None, 2], "int64"),
        ([1, 2.5], "double"),
        ([True, None], "bool"),
        (["a", "b"], "string"),
        ([True, 1], "json"),
        ([True, 1.5], "json"),
        (["a", 1], "json"),
        ([1, [1]], "json"),
        ([2**63 - 1, -(2**63)], "int64"),
        ([2**63], "json"),
        ([2**63, 1.5], "json"),
        ([None], "json"),
        ([[[]]], "json"),
        ([[None]], "json"),
        ([[], [1]], "list<int64>"),
        ([[1], [2.5, None]], "list<double>"),
        ([[1, 2.5]], "list<double>"),
        ([[[1.0, 2.0], [], None]], "list<list<double>>"),
        ([[1, "a"]], "json"),
        ([[1], ["a"]], "json"),
        ([[1, [2]]], "json"),
        ([[2**64]], "json"),
        ([[{"a": 1}, 2]], "json"),
        ([[[{"a": 1}]]], "json"),
        ([["a", None]], "list<string>"),
    ],
)
def test_how_values_meet(samples: list[Any], expected: str) -> None:
    assert kind(*samples) == expected
    assert kind(*reversed(samples)) == expected


@given(values, values, values)
def test_meeting_is_a_join(one: Any, two: Any, three: Any) -> None:
    """Order and grouping do not matter, and the meeting holds both: a schema does not hang on order."""
    a, b, c = map(types.type_of, (one, two, three))
    assert types.join(a, b) == types.join(b, a)
    assert types.join(types.join(a, b), c) == types.join(a, types.join(b, c))
    assert types.join(a, a) == a
    both = types.join(a, b)
    assert types.fits(one, both)
    assert types.fits(two, both)


def test_columns_are_sorted_and_named_once() -> None:
    schema = Schema((Column("b", "double"), Column("a.10", "string"), Column("a.2", "string")))
    assert schema.names == ("a.10", "a.2", "b")
    assert schema.to_arrow().names == ["entry_id", "upload_id", "a.10", "a.2", "b", "_more"]
    with pytest.raises(UserError, match="unique"):
        Schema((Column("a", "double"), Column("a", "string")))
    with pytest.raises(UserError, match="_more"):
        Schema((Column("_more", "string"),))


kinds = st.recursive(
    st.sampled_from(["bool", "int64", "double", "string"]),
    lambda inner: inner.map(types.list_of),
    max_leaves=3,
)
columns = st.builds(
    Column, st.text(min_size=1), kinds, st.just(False), st.none() | st.text(min_size=1), st.none()
)


@given(st.lists(columns, max_size=5, unique_by=lambda column: column.name))
def test_a_schema_survives_json_and_pickle(found: list[Column]) -> None:
    schema = Schema(
        tuple(column for column in found if column.name not in ("entry_id", "upload_id", "_more"))
    )
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    assert pickle.loads(pickle.dumps(schema)) == schema
    assert hash(pickle.loads(pickle.dumps(schema))) == hash(schema)
    assert Schema().with_types(schema.to_arrow()) == schema


def test_a_damaged_stored_schema_is_refused() -> None:
    for value in ({}, {"columns": [{"nom": "a"}]}, {"columns": [{"name": "a", "type": "complex"}]}):
        with pytest.raises(UserError, match=r"schema.columns(\[0\].\w+)? (must be|is missing)"):
            Schema.from_json(value)


def test_field_metadata_keeps_units_descriptions_and_the_json_mark() -> None:
    schema = Schema(
        (Column("e", "double", unit="joule", description="Energy Å"), Column("j", "string", json=True))
    )
    arrow = schema.to_arrow()
    assert arrow.field("e").metadata == {b"unit": b"joule", b"description": "Energy Å".encode()}
    assert arrow.field("j").metadata == {b"nomad_dask.json": b"true"}
    assert arrow.field("_more").metadata == {b"nomad_dask.json": b"true"}
    assert Schema().with_types(arrow) == schema


def test_users_types_win_and_are_checked() -> None:
    schema = Schema((Column("a", "int64", unit="meter"), Column("b", "string")))
    given_types = schema.with_types(
        {"a": "float64", "c": pa.list_(pa.int64()), "d": "list<list<double>>", "e": "json"}
    )
    assert [(c.name, c.kind, c.unit) for c in given_types.columns] == [
        ("a", "double", "meter"),
        ("b", "string", None),
        ("c", "list<int64>", None),
        ("d", "list<list<double>>", None),
        ("e", "json", None),
    ]
    with pytest.raises(UserError, match="unknown type complex"):
        schema.with_types({"a": "complex"})


@given(st.integers() | st.recursive(st.integers() | st.text(max_size=2), lambda v: st.lists(v, max_size=3)))
def test_json_text_is_exact(value: Any) -> None:
    assert types.loads(types.dumps(value)) == value


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two parts with nested types, an integer beside a null, JSON text, and one row of nulls."""
    archives = [
        {"n": 1, "pos": [[0.5, 1.5], [2.5]], "mixed": 1, "s": "é"},
        {"n": None, "pos": [], "mixed": "a", "flags": [True, None]},
        None,
    ]
    schema = infer([archive for archive in archives if archive], WHOLE)
    for part, ids in enumerate((("A", "B", "C"), ("D", "E", "F"))):
        wide = Wide(schema, WHOLE)
        for entry_id, archive in zip(ids, archives, strict=True):
            wide.append(entry_id, "U", archive)
        pq.write_table(wide.finish(), tmp_path / f"part-0000{part}.parquet")
    return tmp_path


@pytest.mark.parametrize("backend", [{}, {"dtype_backend": "pyarrow"}, {"dtype_backend": "numpy_nullable"}])
def test_entry_id_comes_back_as_the_index_in_pandas(dataset: Path, backend: dict[str, Any]) -> None:
    frame = pd.read_parquet(dataset, **backend)
    assert frame.index.name == "entry_id"
    assert list(frame.index) == list("ABCDEF")
    assert list(frame.columns) == ["upload_id", "flags", "mixed", "n", "pos", "s", "_more"]
    assert [[float(x) for x in row] for row in frame["pos"].iloc[3]] == [[0.5, 1.5], [2.5]]
    assert frame["n"].isna().tolist() == [False, True, True] * 2


def test_integers_stay_integers_beside_nulls(dataset: Path) -> None:
    frame = pd.read_parquet(dataset, dtype_backend="pyarrow")
    assert frame["n"].dtype == pd.ArrowDtype(pa.int64())
    assert frame["pos"].dtype == pd.ArrowDtype(pa.list_(pa.list_(pa.float64())))
    assert frame.index.is_unique


def test_entry_id_comes_back_as_the_index_in_dask(dataset: Path) -> None:
    for options in ({}, {"dtype_backend": "pyarrow"}):
        frame = dd.read_parquet(dataset, **options)
        assert frame.npartitions == 2
        assert list(frame.compute().index) == list("ABCDEF")
        assert frame.index.name == "entry_id"
