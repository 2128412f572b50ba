"""SPEC, "Units": numbers are converted in every layout, and metadata names the unit that they have."""

import math
import pickle

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask import UserError, convert_units
from nomad_dask.common.unit_registry import unit_registry
from nomad_dask.layouts.layouts import LAYOUTS
from nomad_dask.layouts.to_pandas import to_pandas, units_of
from nomad_dask.layouts.units import PRESETS, SI, UnitChoice
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.required import parse

NUMBER = {"type": "number"}
QUANTITIES = {
    "energy": NUMBER | {"unit": "joule"},
    "steps": {"type": "integer", "unit": "second"},
    "forces": {"type": "array", "items": {"type": "array", "items": NUMBER | {"unit": "newton"}}},
    "density": NUMBER | {"unit": "1 / meter ** 3"},
    "name": {"type": "string"},
}


def schema_of_server():
    sections = {"type": "array", "items": {"$ref": "#/$defs/s.Step"}}
    run = {"type": "array", "items": {"$ref": "#/$defs/s.Run"}}
    return Definitions(
        {
            "properties": {"run": run},
            "$defs": {"s.Run": {"properties": {"step": sections}}, "s.Step": {"properties": QUANTITIES}},
        }
    )


def required():
    return parse({"run": {"step": "*"}})


numbers = st.floats(-1e200, 1e200).filter(lambda x: x == 0 or abs(x) > 1e-200)
cells = st.fixed_dictionaries(
    {},
    optional={
        "energy": st.none() | numbers,
        "steps": st.none() | st.integers(-(2**53), 2**53),
        "forces": st.none() | st.lists(st.lists(st.none() | numbers, max_size=3), max_size=3),
        "density": numbers,
        "name": st.text(max_size=3),
        "new": numbers,
    },
)
archives = st.lists(
    st.builds(lambda steps: {"run": [{"step": steps}]}, st.lists(cells, max_size=3)), max_size=4
)


def annotated(layout, sample):
    """A layout's schema of archives, with units by the server's schema."""
    return layout.infer(sample, required(), schema_of_server())


def tables_of(layout, schema, rows):
    builder = layout.builder(schema, required())
    for number, row in enumerate(rows):
        builder.append(f"entry{number}", None, row)
    return layout.tables(builder.finish())


def below(factor, key):
    return factor.get(key, 1.0) if isinstance(factor, dict) else 1.0


def close(found, expected, factor):
    """The numbers of two values are one another's by a factor, within one unit in the last place of 1."""
    if isinstance(expected, dict):
        return all(close(found[key], expected[key], below(factor, key)) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected, [factor] * len(found)))
    if type(expected) in (int, float) and factor != 1.0:
        return type(found) is float and math.isclose(found / factor, expected, rel_tol=2**-52, abs_tol=0)
    return found == expected


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("preset", PRESETS)
@given(rows=archives)
def test_values_are_those_of_si_by_the_factor_that_metadata_name(layout, preset, rows):
    schema = annotated(layout, rows)
    choice = UnitChoice.of(preset, required())
    for key, table in tables_of(layout, schema, rows).items():
        names = layout.full_names(schema)[key]
        found = choice.convert(table, names)
        found.validate(full=True)
        assert found.schema.equals(choice.schema(table.schema, names), check_metadata=True)
        before, after = units_of(table.schema), units_of(found.schema)
        assert before.keys() == after.keys()
        assert "eV" not in before.values() and ("joule" in before.values()) == (
            ("joule" if preset == "SI" else "eV") in after.values()
        )
        for name in found.column_names:
            inside = {path.rpartition(".")[2]: path for path in before if path.startswith(f"{name}.")}
            factors = {
                last: float(unit_registry().Quantity(1.0, before[path]).to(after[path]).magnitude)
                for last, path in ({name: name} | inside).items()
                if path in before
            }
            factor = factors.get(name, factors)
            for value, old in zip(found[name].to_pylist(), table[name].to_pylist(), strict=True):
                assert close(value, old, factor if factor != {} else 1.0), (name, value, old)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_nothing_is_converted_by_default(layout):
    rows = [{"run": [{"step": [{"energy": 1e-18, "name": "a"}]}]}]
    for table in tables_of(layout, annotated(layout, rows), rows).values():
        assert SI.convert(table) is table


def test_what_does_not_fit_and_json_text_stay_as_they_are():
    rows = [{"run": [{"step": [{"energy": 1.0}]}]}, {"run": [{"step": [{"energy": [1.0, "x"]}]}]}]
    layout = LAYOUTS["wide"]
    table = tables_of(layout, annotated(layout, rows[:1]), rows)[""]
    found = UnitChoice.of("atomistic").convert(table)
    assert found["_more"].to_pylist() == table["_more"].to_pylist() and found["_more"][1].as_py()
    text = tables_of(layout, layout.infer(rows, required(), schema_of_server()), rows)[""]
    assert UnitChoice.of("atomistic").convert(text).equals(text)


def test_a_slice_of_a_table_is_converted_as_the_whole():
    rows = [{"run": {"step": [{"forces": [[float(n), 1.0]] * n} for _ in range(n)]}} for n in range(6)]
    layout, choice = LAYOUTS["nested"], UnitChoice.of("atomistic")
    table = tables_of(layout, annotated(layout, rows), rows)[""]
    assert choice.convert(table.slice(2, 3)).equals(choice.convert(table).slice(2, 3))
    assert choice.convert(pa.concat_tables([table, table.slice(3)])).num_rows == 9


def test_a_path_is_of_one_place_or_of_all_and_goes_before_its_dimension():
    rows = [{"run": [{"step": [{"energy": 1.0}, {"energy": 2.0}]}]}]
    layout = LAYOUTS["wide"]
    table = tables_of(layout, annotated(layout, rows), rows)[""]
    given = {"[energy]": "eV", "run.0.step.1.energy": "hartree"}
    assert [*units_of(UnitChoice.of(given).schema(table.schema)).values()] == ["eV", "hartree"]
    given = {"[energy]": "eV", "run.step.energy": "kJ"}
    assert [*units_of(UnitChoice.of(given).schema(table.schema)).values()] == ["kJ", "kJ"]
    assert UnitChoice.of({"run.step.energy": "kJ"}).convert(table)["run.0.step.1.energy"].to_pylist() == [
        0.002
    ]


@pytest.mark.parametrize(
    "given, message",
    [
        ("ev", "unknown preset 'ev'; the presets are SI, atomistic"),
        (3, r"must be a preset or a dict of units \(got 3\)"),
        ({"[energy]": 3}, ".*must be a dimension or path and a unit"),
        ({"[energy]": "foo"}, r"\[energy\]: unknown unit 'foo'"),
        ({"[energie]": "eV"}, r"unknown dimension \[energie\]"),
        ({"[energy]": "angstrom"}, r"\[energy\]: angstrom is a unit of \[length\]"),
        ({"[temperature]": "degC"}, ".*degC is not a multiple of the SI unit"),
        ({"results.gap": "eV"}, "results.gap is not at or below what is required"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given, message):
    with pytest.raises(UserError, match=f"^units: {message}|^units {message}"):
        UnitChoice.of(given, required())


def test_the_dimension_of_a_path_is_that_of_the_servers_schema():
    for unit, message in (
        ("eV", None),
        ("angstrom", "has the unit joule, which cannot be converted to angst"),
    ):
        choice = UnitChoice.of({"run.step.energy": unit}, required())
        choice.check_paths(None)
        if message is None:
            choice.check_paths(schema_of_server())
        else:
            with pytest.raises(UserError, match=message):
                choice.check_paths(schema_of_server())
    with pytest.raises(UserError, match=r"run\.step\.name has no unit"):
        UnitChoice.of({"run.step.name": "eV"}).check_paths(schema_of_server())


def test_a_choice_is_a_plain_value():
    one, other = UnitChoice.of("atomistic"), UnitChoice.of(dict(reversed(PRESETS["atomistic"].items())))
    assert one == other == pickle.loads(pickle.dumps(one)) and hash(one) == hash(other)


@pytest.mark.parametrize("layout", ["wide", "nested"])
def test_parquet_duckdb_and_polars_see_the_same(layout, tmp_path):
    rows = [{"run": {"step": [{"energy": 1.5e-18, "steps": 3, "forces": [[1e-9, None]]}]}}] * 3
    layout, path = LAYOUTS[layout], tmp_path / "part.parquet"
    choice = UnitChoice.of("atomistic")
    table = choice.convert(tables_of(layout, annotated(layout, rows), rows)[""])
    pq.write_table(table, path)
    assert pq.read_table(path).equals(table) and units_of(pq.read_schema(path)) == units_of(table.schema)
    assert polars.read_parquet(path).to_dicts() == table.to_pylist()
    with duckdb.connect() as connection:
        found = connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    assert found == [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("backend", ["pyarrow", "numpy_nullable", "numpy"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_frame_in_hand_is_converted_as_its_table(layout, backend):
    rows = [
        {"run": [{"step": [{"energy": 1.5e-18, "steps": 3, "forces": [[1e-9, 2.0]], "name": "a"}]}]},
        {"run": [{"step": [{"name": "b"}]}]},
    ]
    choice, schema = UnitChoice.of("atomistic"), annotated(layout, rows)
    for key, table in tables_of(layout, schema, rows).items():
        expected = to_pandas(choice.convert(table, layout.full_names(schema)[key]), dtype_backend=backend)
        frame = to_pandas(table, dtype_backend=backend)
        found = convert_units(frame, "atomistic")
        assert found.attrs["units"] == expected.attrs["units"] != frame.attrs["units"]
        if backend == "pyarrow" or layout.name == "tables":
            assert (found.dtypes == expected.dtypes).all()
        assert found.to_dict("index").__repr__() == expected.to_dict("index").__repr__()
        again = convert_units(found, "atomistic")
        assert again.to_dict("index").__repr__() == found.to_dict("index").__repr__()
    assert convert_units(table, "atomistic").schema == choice.convert(table).schema


def test_what_has_no_units_is_said():
    frame = to_pandas(pa.table({"entry_id": ["a"], "x": [1.0]}))
    frame.attrs.clear()
    with pytest.raises(UserError, match="no information about units"):
        convert_units(frame, "atomistic")
    with pytest.raises(UserError, match="takes a dataframe"):
        convert_units([1.0], "atomistic")
