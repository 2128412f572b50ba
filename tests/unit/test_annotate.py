"""SPEC, "Types", "Units": the server's units and descriptions always, its types if they hold the sample."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.common import types
from nomad_dask.layouts.infer import kinds_of
from nomad_dask.layouts.schema import Column, Schema, annotate, infer, undetermined
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.required import parse

WHOLE = parse("*")
NUMBERS = {"type": "array", "items": {"type": "number", "unit": "meter"}}
SERVED = Definitions(
    {
        "properties": {
            "a": {"type": "number", "unit": "joule", "description": "Energy Å"},
            "n": {"type": "integer"},
            "pos": {"type": "array", "items": NUMBERS},
            "text": {"type": "string"},
            "any": {"nomad_type": "any"},
            "ref": {"type": "string", "nomad_type": "Reference", "reference_section_def": "s.Run@1"},
            "run": {"type": "array", "items": {"$ref": "#/$defs/s.Run"}},
        },
        "$defs": {"s.Run": {"properties": {"e": {"type": "number", "unit": "kelvin"}}}},
    }
)


def met(*samples: dict[str, Any]) -> dict[str, Column]:
    seen = undetermined(kinds_of(samples, WHOLE))
    return dict(annotate(infer(samples, WHOLE), SERVED, sampled=seen).by_name)


@pytest.mark.parametrize(
    ("samples", "kind"),
    [
        ([{"a": 1}], "double"),
        ([{"a": 1.5}], "double"),
        ([{"a": None}], "double"),
        ([{"n": 1}], "int64"),
        ([{"n": 1.5}], "double"),
        ([{"n": None}], "int64"),
        ([{"pos": [None]}], "list<list<double>>"),
        ([{"pos": [[]]}, {"pos": [None]}], "list<list<double>>"),
        ([{"pos": [[1, 2]]}], "list<list<double>>"),
        ([{"pos": [1, 2]}], "list<int64>"),
        ([{"pos": 1}], "int64"),
        ([{"a": [None]}], "json"),
        ([{"a": "x"}], "string"),
        ([{"a": 1}, {"a": "x"}], "json"),
        ([{"a": 1}, {"a": [1]}], "json"),
        ([{"text": 1}], "int64"),
        ([{"text": None}], "string"),
        ([{"any": 1}], "int64"),
        ([{"any": None}], "json"),
        ([{"ref": None}], "string"),
        ([{"ref": "#/run/0"}], "string"),
        ([{"unknown": None}], "json"),
    ],
)
def test_the_servers_type_counts_where_it_holds_what_was_seen(
    samples: list[dict[str, Any]], kind: str
) -> None:
    (column,) = met(*samples).values()
    assert column.kind == kind


def test_units_and_descriptions_come_along_even_where_types_disagree() -> None:
    column = met({"a": "x"})["a"]
    assert (column.type, column.unit, column.description) == ("string", "joule", "Energy Å")
    given_unit = annotate(Schema((Column("a", "double", unit="eV"),)), SERVED)
    assert given_unit.by_name["a"].unit == "eV"


def test_numbers_and_references_lead_to_the_same_quantity() -> None:
    for column in (
        met({"run": [{"e": 1}]})["run.0.e"],
        met({"ref": {"e": 1}})["ref.e"],
    ):
        assert (column.type, column.unit) == ("double", "kelvin")


def test_json_text_stays_without_the_kinds_that_were_seen() -> None:
    schema = infer([{"a": None}], WHOLE)
    assert annotate(schema, SERVED).by_name["a"].json


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "n", "pos", "text", "any", "x"]), values), max_size=4))
def test_no_value_is_lost_to_the_servers_types(samples: list[dict[str, Any]]) -> None:
    columns = met(*samples)
    for sample in samples:
        for name, value in sample.items():
            if value != []:  # gives no column
                assert columns[name].json or types.fits(value, columns[name].type)


def test_recorded_archives_keep_all_their_values(shared_data: Path) -> None:
    definitions = Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))
    for path in sorted((shared_data / "archives").glob("*.json"))[::16]:
        archive = orjson.loads(path.read_bytes())["archive"]
        sampled = infer([archive], WHOLE)
        schema = annotate(sampled, definitions, sampled=undetermined(kinds_of([archive], WHOLE)))
        assert schema.names == sampled.names
        for column in schema.columns:
            kind = sampled.by_name[column.name].kind
            assert kind == "json" or types.join(kind, column.kind) == column.kind
        energies = [column for column in schema.columns if column.name.endswith("energy.total.value")]
        assert all((column.type, column.unit) == ("double", "joule") for column in energies)


def test_search_documents_have_what_archives_have_under_metadata(shared_data: Path) -> None:
    definitions = Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))
    names = Schema((Column("upload_create_time", "string"), Column("results.material.n_elements", "int64")))
    documents = annotate(names, definitions, documents=True)
    assert all(column.description for column in documents.columns)
    archives = annotate(names, definitions)
    assert [column.description is None for column in archives.columns] == [False, True]
