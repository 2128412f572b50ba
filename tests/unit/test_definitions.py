"""SPEC, "Schema": sections, quantities, units and references of a server's JSON schema."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.metainfo.definitions import Definitions, Quantity, SubSection, plain_keys, sections_of

BASE = "https://nomad.example/api/v1/schemas/"

SMALL: dict[str, Any] = {
    "$id": BASE + "nomad.datamodel.datamodel.EntryArchive@0?property_subtypes=true",
    "properties": {
        "run": {"type": "array", "items": {"$ref": BASE + "s.Run@1?property_subtypes=true"}},
        "workflow2": {
            "anyOf": [
                {"$ref": "#/$defs/s.Phonon"},
                {"$ref": "#/$defs/s.Elastic"},
                {"$ref": "#/$defs/s.Workflow"},
            ],
            "description": "A workflow",
        },
    },
    "$defs": {
        "s.Run": {
            "allOf": [{"$ref": "#/$defs/s.Named"}],
            "properties": {
                "energy": {"type": "number", "unit": "joule", "nomad_type": "float64", "description": "E"},
                "name": {"type": "string", "nomad_type": "enum"},
                "next": {"type": "string", "nomad_type": "Reference", "reference_section_def": "s.Run@7"},
                "points": {
                    "type": "object",
                    "nomad_type": "complex128",
                    "properties": {"re": {"type": "array", "items": {"type": "number", "unit": "joule"}}},
                },
            },
        },
        "s.Named": {
            "allOf": [{"$ref": "#/$defs/s.Root"}],
            "properties": {"name": {"type": "integer"}, "label": {"type": "string"}},
        },
        "s.Root": {"properties": {"label": {"type": "boolean"}, "any": {"nomad_type": "any"}}},
        "s.Workflow": {"properties": {"n": {"type": "integer"}}},
        "s.Phonon": {
            "allOf": [{"$ref": "#/$defs/s.Workflow"}],
            "properties": {
                "x": {"type": "number", "unit": "joule"},
                "same": {"type": "number", "unit": "kelvin"},
                "list": {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "integer"}},
            },
        },
        "s.Elastic": {
            "allOf": [{"$ref": "#/$defs/s.Workflow"}],
            "properties": {
                "x": {"type": "integer", "unit": "meter"},
                "same": {"type": "number", "unit": "kelvin"},
                "list": {"type": "string"},
            },
        },
    },
}


@pytest.fixture(scope="module")
def served(shared_data: Path) -> Definitions:
    return Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))


def quantity(definitions: Definitions, path: str) -> Quantity:
    found = definitions.find(path)
    assert isinstance(found, Quantity)
    return found


class Untouched(dict[str, Any]):
    """A schema that must not be looked into."""

    def get(self, *args: Any) -> Any:
        raise AssertionError("looked into")

    __getitem__ = __iter__ = get


def test_constructing_reads_nothing() -> None:
    Definitions(Untouched(SMALL))


def test_a_section_inherits_and_its_own_word_counts() -> None:
    run = Definitions(SMALL).section("s.Run")
    assert run is not None
    assert set(run.names) == {"energy", "name", "next", "points", "label", "any"}
    assert quantity(Definitions(SMALL), "run.name").type == "string"
    assert quantity(Definitions(SMALL), "run.label").type == "string"
    assert quantity(Definitions(SMALL), "run.any").type == "json"


def test_a_sub_section_names_the_declared_section_first() -> None:
    definitions = Definitions(SMALL)
    workflow, run = definitions.find("workflow2"), definitions.find("run")
    assert isinstance(workflow, SubSection)
    assert isinstance(run, SubSection)
    assert sections_of(workflow)[0] == "s.Workflow"
    assert set(workflow.sections) == {"s.Workflow", "s.Phonon", "s.Elastic"}
    assert (workflow.repeats, run.repeats, run.sections) == (False, True, ("s.Run",))


def test_where_several_sections_may_stand_only_what_they_agree_on_is_said() -> None:
    definitions = Definitions(SMALL)
    assert quantity(definitions, "workflow2.x").unit is None
    assert quantity(definitions, "workflow2.x").type == "double"
    assert quantity(definitions, "workflow2.same").unit == "kelvin"
    assert quantity(definitions, "workflow2.list").type == "json"
    assert quantity(definitions, "workflow2.n").type == "int64"


def test_references_are_walked_through_round_and_round() -> None:
    definitions = Definitions(SMALL)
    assert quantity(definitions, "run.3.next").is_reference
    assert quantity(definitions, "run.3.next").refers_to == "s.Run"
    assert quantity(definitions, "run.3.next.next.next.energy").unit == "joule"


def test_parts_of_complex_numbers_have_units() -> None:
    assert quantity(Definitions(SMALL), "run.points.re").unit == "joule"
    assert quantity(Definitions(SMALL), "run.points").type == "json"


def test_unknown_names_are_none() -> None:
    definitions = Definitions(SMALL)
    assert definitions.find("run.0.enrgy.total") is None
    assert definitions.section("s.Nothing") is None
    assert definitions.find("") is None


@given(st.text(max_size=20) | st.lists(st.sampled_from(["run", "next", "0", "[", "\\", ""])).map(".".join))
def test_any_text_may_be_looked_for(path: str) -> None:
    definitions = Definitions(SMALL)
    definitions.find(path)
    definitions.members(plain_keys(path))
    definitions.section(path)


def test_a_ring_of_bases_ends() -> None:
    ring = {"allOf": [{"$ref": "#/$defs/a"}], "properties": {"x": {"type": "string"}}}
    definitions = Definitions({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": ring}})
    assert definitions.section().names == ("x",)  # type: ignore[union-attr]


def test_the_identity_is_the_id_or_a_hash_of_all() -> None:
    without = {key: value for key, value in SMALL.items() if key != "$id"}
    assert Definitions(SMALL).identity == SMALL["$id"]
    assert Definitions(without).identity == Definitions(dict(reversed(without.items()))).identity
    assert Definitions(without).identity != Definitions({**without, "title": "x"}).identity
    assert pickle.loads(pickle.dumps(Definitions(SMALL))).identity == SMALL["$id"]


@pytest.mark.parametrize(
    ("path", "type_name", "unit"),
    [
        ("run.calculation.energy.total.value", "double", "joule"),
        ("run.0.calculation.3.energy.total.value", "double", "joule"),
        ("run[-1].calculation[0:2].energy.total.value", "double", "joule"),
        ("workflow2.results.calculation_result_ref.energy.total.value", "double", "joule"),
        ("workflow2.results.calculation_result_ref.system_ref.chemical_composition_reduced", "string", None),
        ("run.system.atoms.positions", "list<list<double>>", "meter"),
        ("run.system.atoms.periodic", "list<bool>", None),
        ("run.method.frequency_mesh.points.re", "list<list<double>>", "joule"),
        ("workflow2.results.energies", "list<double>", "joule"),
        ("workflow2.results.calculations_ref", "list<string>", None),
        ("results.properties.electronic.dos_electronic.energies", "string", None),
        ("metadata.upload_create_time", "string", None),
        ("results.material.elements", "list<string>", None),
        ("run.calculation.x_vasp_nothing", None, None),
    ],
)
def test_the_recorded_schema(served: Definitions, path: str, type_name: str | None, unit: str | None) -> None:
    found = served.find(path)
    if type_name is None:
        assert found is None
    else:
        assert isinstance(found, Quantity)
        assert (found.type, found.unit) == (type_name, unit)


def test_a_reference_to_a_quantity_leads_to_no_section(served: Definitions) -> None:
    energies = quantity(served, "results.properties.electronic.dos_electronic.energies")
    assert (energies.is_reference, energies.refers_to) == (True, None)
    assert served.find("results.properties.electronic.dos_electronic.energies.total") is None


def test_every_section_of_the_recorded_schema_is_read(served: Definitions, shared_data: Path) -> None:
    raw = orjson.loads((shared_data / "schema.json").read_bytes())
    units = 0
    for name in ["", *raw["$defs"]]:
        section = served.section(name)
        assert section is not None
        for key in section.names:
            member = section.get(key)
            assert member is not None
            assert (
                all(served.section(inner) for inner in member.sections)
                if isinstance(member, SubSection)
                else True
            )
            units += isinstance(member, Quantity) and member.unit is not None
    assert units >= sum(1 for _ in _units(raw)) - 2  # two stand in `re` and `im` of an object


def _units(raw: Any) -> Iterator[str]:
    if isinstance(raw, dict):
        if isinstance(raw.get("unit"), str):
            yield raw["unit"]
        raw = list(raw.values())
    if isinstance(raw, list):
        for item in raw:
            yield from _units(item)


KINDS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.just("#/$defs/a"),
    st.just("array"),
    st.just({"a": 1}),
    st.just([7]),
)
WORDS = (
    *(
        "$id",
        "$ref",
        "$defs",
        "allOf",
        "anyOf",
        "items",
        "properties",
        "type",
        "unit",
        "description",
        "nomad_type",
    ),
    *("enum", "minItems", "maxItems", "reference_section_def", "a", "b"),
)
SCHEMAS = st.recursive(
    KINDS,
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.sampled_from(WORDS), below, max_size=6)
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(WORDS), SCHEMAS, max_size=6))
def test_a_schema_with_parts_of_wrong_kinds_is_read_without_them(schema):
    definitions = Definitions(schema)
    assert definitions.identity and isinstance(definitions.inherited, frozenset)
    for path in ("a", "a.b", "b.a.b", "properties.a", "items"):
        found = definitions.find(path)
        if isinstance(found, Quantity):
            assert all(value is None or isinstance(value, str) for value in (found.unit, found.description))
            assert isinstance(found.type, str) and hash(found) is not None
    for name in ("", "a", "b", "a.b", "a@1"):
        section = definitions.section(name)
        if section is not None:
            assert all(section.get(member) is not None for member in section.names)
            assert section.description is None or isinstance(section.description, str)


@pytest.mark.parametrize(
    "unit", ["joule", "1 / meter ** 2", "kilogram * meter ** 2 / second ** 2", "m^2 s^-2", "Å", "%"]
)
def test_units_are_kept(unit):
    assert Definitions({"properties": {"a": {"type": "number", "unit": unit}}}).find("a").unit == unit


@pytest.mark.parametrize(
    "unit", [{"a": 1}, 7, None, "", "9**9**9**9", "2 ** (9**9)", "x**1000", "a\x1b[31m", "m" * 101]
)
def test_what_is_no_unit_is_left_out(unit):
    assert Definitions({"properties": {"a": {"type": "number", "unit": unit}}}).find("a").unit is None
