"""SPEC, "Schema": what is in `_more` is counted and named, with the `schema=` that would give it a column."""

import pickle

import orjson
import pytest

from nomad_dask.dataset.outside import MAX_NAMES, merged, named, schema_line
from nomad_dask.dataset.report import Receipt, Report, closing
from nomad_dask.dataset.segment import values_outside
from nomad_dask.layouts.layouts import LAYOUTS
from nomad_dask.request.required import parse
from nomad_dask.request.segments import Plan, Segment

ROWS = [
    {"run": [{"energy": 1, "name": "a"}]},
    {"run": [{"energy": 0.5, "new": 1}, {"new": 0.5}]},
    {"run": [{"odd": {"x": [1, 2]}, "name": "b"}]},
]


def outside_of(layout):
    """What the archives have beyond a schema of the first one."""
    required = parse({"run": "*"})
    builder = layout.builder(layout.infer(ROWS[:1], required), required)
    for number, row in enumerate(ROWS):
        builder.append(f"entry{number}", None, row)
    tables = layout.tables(builder.finish())
    n_more, found = values_outside(tables, layout.name)
    assert n_more == builder.n_more
    return found


@pytest.mark.parametrize(
    "layout, expected",
    [
        (
            "wide",
            {
                "run.0.energy": ("double", 1),
                "run.0.new": ("int64", 1),
                "run.0.odd.x": ("list<int64>", 1),
                "run.1.new": ("double", 1),
            },
        ),
        ("tables", {"run.new": ("double", 2), "run.energy": ("double", 1), "run.odd.x": ("list<int64>", 1)}),
    ],
)
def test_names_and_types_are_those_that_schema_takes(layout, expected):
    found = outside_of(LAYOUTS[layout])
    assert (
        found == expected and [n for _, n in found.values()] == sorted((n for _, n in found.values()))[::-1]
    )
    given = {name: kind for name, (kind, _) in found.items()}
    required = parse({"run": "*"})
    schema = LAYOUTS[layout].with_types(LAYOUTS[layout].infer(ROWS[:1], required), given)
    builder = LAYOUTS[layout].builder(schema, required)
    for number, row in enumerate(ROWS):
        builder.append(f"entry{number}", None, row)
    builder.finish()
    assert builder.n_more == 0, "with these types nothing is left outside"


def test_a_name_inside_a_nested_column_has_no_type_of_its_own():
    found = outside_of(LAYOUTS["nested"])
    assert found and all(kind == "" for kind, _ in found.values()) and schema_line(found) == ""


def test_sums_keep_the_names_with_the_most_values():
    one = {f"a{n:02d}": ("int64", n + 1) for n in range(MAX_NAMES)}
    other = {"a00": ("double", 100), "b": ("string", 50), "a01": ("string", 1)}
    found = merged(one, other)
    assert len(found) == MAX_NAMES and [*found.items()][:2] == [
        ("a00", ("double", 101)),
        ("b", ("string", 50)),
    ]
    assert found["a01"] == ("json", 3) or "a01" not in found
    assert merged({}, other) == other == merged(other, {})


def test_report_and_closing_words_name_them():
    receipts = [
        Receipt(n, "", "", 1, "a", "b", n_more=3, outside={"x.y": ("int64", 2), f"z{n}": ("string", 1)})
        for n in range(4)
    ]
    for receipt in receipts:
        assert Receipt.from_json(orjson.loads(orjson.dumps(receipt.to_json()))) == receipt
    report = Report.of(Plan(tuple(Segment() for _ in range(4)), 4, True, 4), receipts)
    assert pickle.loads(pickle.dumps(report)) == report
    text = closing(report, "d")
    assert "12 values outside the schema: in the column _more: x.y (8 values), z0 (1 value)" in text
    assert "and 2 more" in text and 'schema={"x.y":"int64","z0":"string","z1":"string"}' in text
    assert "x.y (8 values)" in report._repr_html_()
    assert named({}) == ""
