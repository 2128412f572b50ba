"""SPEC, "Archives": mappings by item, the schema's view by attribute, references followed."""

import copy
import keyword
import pickle
import subprocess
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pint
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomad_dask.archive import archive as module
from nomad_dask.archive.archive import Archive, remember
from nomad_dask.archive.section import Section, SectionList
from nomad_dask.errors import UnreachableError, UserError
from nomad_dask.metainfo.definitions import Definitions

NUMBERS = {"type": "array", "items": {"type": "number", "unit": "meter"}}
RUN = {"$ref": "#/$defs/s.Run"}
SCHEMA: dict[str, Any] = {
    "$id": "https://nomad.example/schemas/EntryArchive@1",
    "properties": {
        "run": {"type": "array", "items": RUN},
        "workflow2": {"anyOf": [{"$ref": "#/$defs/s.Phonon"}, {"$ref": "#/$defs/s.Workflow"}]},
    },
    "$defs": {
        "s.Run": {
            "properties": {
                "energy": {"type": "number", "unit": "joule"},
                "positions": {"type": "array", "items": NUMBERS},
                "label": {"type": "string", "unit": "joule"},
                "path": {"type": "string"},
                "next": {"type": "string", "reference_section_def": "s.Run@1"},
                "others": {
                    "type": "array",
                    "items": {"type": "string"},
                    "nomad_type": "Reference",
                    "reference_section_def": "s.Run@1",
                },
                "their": {
                    "type": "string",
                    "nomad_type": "QuantityReference",
                    "reference_section_def": "s.Run@1",
                },
                "anything": {"nomad_type": "any"},
                "values": {"type": "array", "items": {"type": "number", "unit": "meter"}},
                "within": RUN,
            }
        },
        "s.Workflow": {"properties": {"run_ref": {"type": "string", "reference_section_def": "s.Run@1"}}},
        "s.Phonon": {
            "allOf": [{"$ref": "#/$defs/s.Workflow"}],
            "properties": {"mesh": {"type": "number", "unit": "kelvin"}},
        },
    },
}


def wrapped(tree: dict[str, Any], entry_id: str = "E") -> Archive:
    return Archive(tree, entry_id, "U", Definitions(SCHEMA))


def run(**quantities: Any) -> Any:
    return wrapped({"run": [quantities]}).run[0]


def plain(value: Any) -> Any:
    """What attributes gave, without units, as JSON has it."""
    if isinstance(value, pint.Quantity):
        value = value.magnitude
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float | np.floating) and np.isnan(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def reachable(key: str) -> bool:
    return key.isidentifier() and not key.startswith("_")


def compare(view: Any, tree: Any) -> int:
    """Walk by attributes beside the JSON; how many leaves were compared. References are compared by their
    target.
    """
    if isinstance(tree, dict):
        assert isinstance(view, Section | Archive)
        assert view == tree
        return sum(compare(getattr(view, key), value) for key, value in tree.items() if reachable(key))
    if isinstance(view, SectionList):
        assert len(view) == len(tree)
        return sum(compare(item, value) for item, value in zip(view, tree, strict=True)) or int(not tree)
    if isinstance(tree, str) and not isinstance(view, str):
        tree = target(view, tree)
        return int(view == tree) if isinstance(view, Section) else compare(view, tree)
    assert plain(view) == tree
    return 1


ROOTS: list[Any] = []


def target(view: Any, reference: str) -> Any:
    value = ROOTS[-1]
    for key in reference.lstrip("#").strip("/").split("/"):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


@pytest.fixture(scope="module")
def served(shared_data: Path) -> Definitions:
    return Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))


def recorded(shared_data: Path) -> list[dict[str, Any]]:
    files = sorted((shared_data / "archives").glob("*.json"))
    assert files
    return [orjson.loads(file.read_bytes()) for file in files]


def leaves_of(tree: Any) -> int:
    """Leaves as `compare` counts them: a list without sections is one."""
    if isinstance(tree, dict):
        return sum(leaves_of(value) for key, value in tree.items() if reachable(key))
    if isinstance(tree, list) and holds_dicts(tree):
        return sum(map(leaves_of, tree))
    return 1


def holds_dicts(values: list[Any]) -> bool:
    return any(isinstance(v, dict) or (isinstance(v, list) and holds_dicts(v)) for v in values)


def test_every_leaf_of_every_recorded_archive_is_reached(shared_data: Path, served: Definitions) -> None:
    for entry in recorded(shared_data):
        ROOTS.append(entry["archive"])
        view = Archive(entry["archive"], entry["entry_id"], entry["upload_id"], served)
        assert compare(view, entry["archive"]) >= leaves_of(entry["archive"])
        ROOTS.pop()


def test_energies_convert_to_electron_volts(shared_data: Path, served: Definitions) -> None:
    seen = 0
    for entry in recorded(shared_data):
        view = Archive(entry["archive"], entry["entry_id"], entry["upload_id"], served)
        for number, section in enumerate(view.run or ()):
            for place, calculation in enumerate(section.calculation or ()):
                if calculation.energy is not None and calculation.energy.total is not None:
                    raw = entry["archive"]["run"][number]["calculation"][place]["energy"]["total"]
                    if raw.get("value") is not None:
                        value = calculation.energy.total.value.to("eV")
                        assert value.magnitude == pytest.approx(raw["value"] / 1.602176634e-19, rel=1e-9)
                        seen += 1
    assert seen > 100


def test_the_guides_walk(shared_data: Path, served: Definitions) -> None:
    """`entry.workflow2.results.calculation_result_ref.energy.total.value`, its unit and all."""
    walked = 0
    for entry in recorded(shared_data):
        view = Archive(entry["archive"], entry["entry_id"], entry["upload_id"], served)
        results = view.workflow2 and view.workflow2.results
        calculation = results and getattr(results, "calculation_result_ref", None)
        if isinstance(calculation, Section) and "total" in calculation.get("energy", ()):
            value = calculation.energy.total.value
            assert value is None or value.check("[energy]")
            walked += value is not None
        elif isinstance(calculation, str):
            assert calculation == entry["archive"]["workflow2"]["results"]["calculation_result_ref"]
    assert walked > 20


def test_names_complete_also_where_the_schema_cannot_be_had() -> None:
    def gone() -> Definitions:
        raise UnreachableError("no server any more")

    archive = Archive({"run": [], "a b": 1}, "E", "U", gone)
    assert "run" in dir(archive) and "a b" not in dir(archive) and "to_dict" in dir(archive)
    assert archive._ipython_key_completions_() == ["run", "a b"]


def test_wrapping_touches_neither_tree_nor_schema() -> None:
    class Untouched(dict[str, Any]):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    def never() -> Definitions:
        raise AssertionError("asked for the schema")

    archives = [Archive(Untouched(), "E", "U", never) for _ in range(100)]
    assert (archives[0].entry_id, archives[0].upload_id) == ("E", "U")
    assert len(Archive({"run": []}, "E", "U", never)["run"]) == 0
    assert Archive({"a": 1}, "E", "U", never) == {"a": 1}
    assert "run" in repr(Archive({"run": 1}, "E", "U", never))
    pickle.dumps(Archive({"a": 1}, "E", "U", len))  # type: ignore[arg-type]
    assert "a" in Archive({"a": 1}, "E", "U", never)._repr_html_()
    for name in ("__array__", "_ipython_canary_method_"):
        assert not hasattr(Archive({"a": 1}, "E", "U", never), name)


def test_the_schema_is_asked_for_once() -> None:
    asked: list[int] = []

    def definitions() -> Definitions:
        asked.append(1)
        return Definitions(SCHEMA)

    archive = Archive({"run": [{"energy": 1.0}]}, "E", "U", definitions)
    for _ in range(3):
        assert archive.run[0].energy.magnitude == 1.0
    assert len(asked) == 1


def test_pint_is_imported_by_the_first_unit_only() -> None:
    code = (
        "import sys; from nomad_dask.archive.archive import Archive;"
        "from nomad_dask.metainfo.definitions import Definitions;"
        "d = Definitions({'properties': {'e': {'type': 'number', 'unit': 'joule'}, 's': {'type': 'string'}}});"  # noqa: E501
        "a = Archive({'e': 1.0, 's': 'x'}, 'E', 'U', d); a.s; assert 'pint' not in sys.modules;"
        "a.e; assert 'pint' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_none_for_what_the_schema_defines_and_an_error_for_what_it_does_not() -> None:
    section = run(energy=None)
    assert section.energy is None
    assert section.positions is None
    assert section.next is None
    assert wrapped({}).run is None
    with pytest.raises(AttributeError, match=r"run\.0 of entry E has no 'enrgy'.* did you mean 'energy'"):
        section.enrgy  # noqa: B018
    with pytest.raises(AttributeError, match="entry E has no 'ran'.* did you mean 'run'"):
        wrapped({}).ran  # noqa: B018
    with pytest.raises(AttributeError, match=r"select one, such as run\[0\]\.energy"):
        wrapped({"run": [{}]}).run.energy  # noqa: B018
    assert not hasattr(section, "enrgy")


def test_what_the_data_holds_is_there_although_no_schema_knows_it() -> None:
    section = run(x_code={"n": [1, 2]}, x_list=[{"a": 1}, None])
    assert section.x_code.n == [1, 2]
    assert [item and item.a for item in section.x_list] == [1, None]
    with pytest.raises(AttributeError, match="no 'm'"):
        section.x_code.m  # noqa: B018


def test_the_sections_own_word_tells_what_it_is() -> None:
    for m_def, mesh in (("s.Phonon", "kelvin"), ("s.Workflow", None), ("s.Unknown", None), (3, None)):
        workflow = wrapped({"workflow2": {"m_def": m_def, "mesh": 1.0, "run_ref": None}}).workflow2
        assert workflow.m_def == m_def
        assert workflow.run_ref is None
        assert (str(workflow.mesh.units) if mesh else workflow.mesh) == (mesh or 1.0)
    assert wrapped({"workflow2": {"m_def": "s.Phonon"}}).workflow2.mesh is None
    assert not hasattr(wrapped({"workflow2": {"m_def": "s.Unknown"}}).workflow2, "mesh")


def test_m_def_is_always_its_text() -> None:
    tree = {"workflow2": {"m_def": "#/run/0"}, "run": [{}]}
    assert wrapped(tree).workflow2.m_def == "#/run/0"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ([[1.5, None]], [[1.5, None]]),
        ([], []),
        ([[]], [[]]),
        ([1, 2.5], [1.0, 2.5]),
    ],
)
def test_lists_of_numbers_are_arrays_with_their_unit(value: Any, expected: Any) -> None:
    positions = run(positions=value).positions
    assert isinstance(positions.magnitude, np.ndarray)
    assert str(positions.units) == "meter"
    assert plain(positions) == expected


def test_ragged_lists_keep_their_rows_and_what_is_no_number_has_no_unit() -> None:
    assert [str(row.units) for row in run(positions=[[1.0, 2.0], [3.0]]).positions] == ["meter", "meter"]
    for value in ("x", True, ["a"], [True], {"a": 1}):
        assert run(energy=value).energy == value
    assert run(label="x").label == "x"


def test_units_are_those_of_the_applications_registry() -> None:
    registry = pint.UnitRegistry()
    before = pint.get_application_registry().get()
    pint.set_application_registry(registry)
    try:
        assert run(energy=1.0).energy == registry.Quantity(1.0, "joule")
    finally:
        pint.set_application_registry(before)


TARGET = {"energy": 2.0, "path": "/run/1", "values": [1.0]}


@pytest.mark.parametrize(
    "reference",
    [
        "#/run/1",
        "/run/1",
        "../upload/archive/E#/run/1",
        "../uploads/U/archive/E#/run/1",
        "../upload/archive/F#/run/1",
        "../uploads/U/archive/F#/run/1",
        "../uploads/V/archive/G#/run/1",
        "../uploads/V/archive/G#/run/0/next",
    ],
)
def test_references_are_followed_within_and_to_what_came_along(reference: str) -> None:
    others = {
        "../uploads/U/archive/F": {"run": [None, TARGET]},
        "../uploads/V/archive/G": {"run": [{"next": "../upload/archive/H#/run/0"}, TARGET]},
        "../uploads/V/archive/H": {"run": [{"next": "../../upload/archive/E#/run/1"}]},
    }
    if reference.endswith("next"):
        others["../uploads/V/archive/H"]["run"][0] = TARGET
    tree = {"run": [{"next": reference}, TARGET], "m_ref_archives": others}
    found = wrapped(tree).run[0].next
    assert found == TARGET
    assert found.energy == pint.get_application_registry().Quantity(2.0, "joule")
    assert found.path == "/run/1"
    assert wrapped(tree)["run"][0]["next"] == reference


@pytest.mark.parametrize(
    "reference",
    [
        "#/run/7",
        "#/run/x",
        "#/nothing/0",
        "../uploads/V/archive/X#/run/0",
        "../uploads/V/archive/E",
        "https://elsewhere.example/api/uploads/V/archive/X#/run/0",
        "some text",
        "",
        "#",
        "/",
        "#/run/" + "9" * 5000,
    ],
)
def test_what_cannot_be_resolved_is_its_string(reference: str) -> None:
    assert run(next=reference).next == reference
    assert run(anything=reference).anything == reference


def test_lists_of_references_and_targets_in_their_place() -> None:
    tree = {"run": [{"others": ["#/run/1", "#/run/9", {"energy": 3.0}], "next": {"energy": 4.0}}, TARGET]}
    first = wrapped(tree).run[0]
    assert first.others[0].energy.magnitude == 2.0
    assert first.others[1] == "#/run/9"
    assert first.others[2].energy.magnitude == 3.0
    assert first.next.energy.magnitude == 4.0
    assert first.next.positions is None


def test_lists_of_plain_ids_are_lists() -> None:
    assert type(run(others=["ada", "bo"]).others) is list
    assert type(run(others=[]).others) is list


def test_a_reference_to_a_quantity_is_its_value_with_its_unit() -> None:
    values = wrapped({"run": [{"their": "#/run/1/values"}, TARGET]}).run[0].their
    assert plain(values) == [1.0]
    assert str(values.units) == "meter"


def test_cycles_end() -> None:
    ring = wrapped({"run": [{"next": "#/run/0", "their": "#/run/0/their"}]}).run[0]
    assert ring.next.next.next.next == ring
    assert ring.their == "#/run/0/their"
    others = {
        "../uploads/U/archive/F": {"run": [{"their": "../upload/archive/G#/run/0/their"}]},
        "../uploads/U/archive/G": {"run": [{"their": "../upload/archive/F#/run/0/their"}]},
    }
    tree = {"run": [{"their": "../upload/archive/F#/run/0/their"}], "m_ref_archives": others}
    assert isinstance(wrapped(tree).run[0].their, str)


def test_text_that_looks_like_a_path_is_text() -> None:
    tree = {"run": [{"path": "/run/0", "x_path": "/run/0/path", "x_ref": "#/run/0", "x_refs": ["#/run/0"]}]}
    section = wrapped(tree).run[0]
    assert section.path == "/run/0"
    assert section.x_path == "/run/0/path"
    assert section.x_ref == section
    assert section.x_refs[0] == section


def test_lists_of_sections_are_sequences() -> None:
    runs = wrapped({"run": [{"energy": float(n)} for n in range(5)] + [None]}).run
    assert isinstance(runs, SectionList)
    assert len(runs) == 6
    assert runs[-1] is None
    assert runs[-2].energy.magnitude == 4.0
    assert [item.energy.magnitude for item in runs[1:4]] == [1.0, 2.0, 3.0]
    assert [item.energy.magnitude for item in runs[::-2][1:]] == [3.0, 1.0]
    assert runs[1:4][1] == runs[2]
    assert "run.2" in repr(runs[1:4][1])
    assert runs[1:3] == [{"energy": 1.0}, {"energy": 2.0}]
    assert runs[1] in runs
    with pytest.raises(IndexError, match=r"run has 6 sections, so there is no \[6\]"):
        runs[6]
    assert len(wrapped({"run": []}).run) == 0


def test_an_archive_is_a_read_only_mapping_over_the_json() -> None:
    tree = {"run": [{"energy": 1.0}], "keys": 1}
    archive = wrapped(tree)
    assert isinstance(archive, Mapping)
    assert isinstance(archive.run[0], Mapping)
    assert archive["run"] is tree["run"]
    assert (list(archive), len(archive), "run" in archive) == (["run", "keys"], 2, True)
    assert archive.get("nothing", 3) == 3
    assert dict(archive.run[0]) == {"energy": 1.0}
    match archive:
        case {"run": [{"energy": energy}]}:
            assert energy == 1.0
    with pytest.raises(KeyError):
        archive["nothing"]
    with pytest.raises(AttributeError):
        archive.run = 1
    with pytest.raises(AttributeError):
        archive.entry_id = "F"  # type: ignore[misc]
    with pytest.raises(TypeError):
        archive["run"] = 1  # type: ignore[index]
    with pytest.raises(TypeError):
        hash(archive)


def test_data_wins_over_the_methods_of_mappings_where_there_is_data() -> None:
    section = run(values=[1.0], items=2, get=None)
    assert plain(section.values) == [1.0]
    assert str(section.values.units) == "meter"
    assert (section.items, section.get) == (2, None)
    assert list(section.keys()) == ["values", "items", "get"]
    assert list(run(energy=1).values()) == [1]


def test_equality() -> None:
    tree = {"run": [{"energy": 1.0}]}
    assert wrapped(tree) == wrapped(copy.deepcopy(tree))
    assert wrapped(tree) != wrapped(tree, "F")
    assert wrapped(tree) == tree
    assert tree == wrapped(tree)
    assert wrapped(tree) != {"run": []}
    assert wrapped(tree).run[0] == {"energy": 1.0}
    assert wrapped(tree) != 3


def test_to_dict_is_a_copy() -> None:
    tree = {"run": [{"energy": 1.0, "positions": [[1]]}]}
    copied = wrapped(tree).to_dict()
    assert copied == tree
    copied["run"][0]["positions"][0].append(2)
    assert tree["run"][0]["positions"] == [[1]]


def test_completion_lists_what_is_there_and_what_could_be() -> None:
    names = dir(run(energy=1.0, x_new=1, **{"not a name": 1}))
    assert {"energy", "positions", "x_new", "to_dict"} <= set(names)
    assert "not a name" not in names
    assert {"entry_id", "to_nomad", "run"} <= set(dir(wrapped({})))


def test_pickles_name_the_schema_and_do_not_hold_it() -> None:
    archive = wrapped({"run": [{"energy": 1.0, "next": "../uploads/V/archive/G#/run/0"}]})
    archive["run"].append({"energy": 5.0})
    views = [archive, archive.run, archive.run[0], archive.run[0].next]
    for view in views:
        text = pickle.dumps(view)
        assert b"positions" not in text
        assert pickle.loads(text) == view
    assert pickle.loads(pickle.dumps(archive)).run[1].energy.magnitude == 5.0
    assert pickle.loads(pickle.dumps(archive.run[1])).energy.magnitude == 5.0
    assert pickle.loads(pickle.dumps(archive.run[1:])).to_list() == [{"energy": 5.0}]


def test_an_archive_from_another_process_finds_its_schema_once_it_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = pickle.dumps(wrapped({"run": [{"energy": 1.0}]}))
    monkeypatch.setattr(module, "_KNOWN", {})
    assert pickle.loads(text).run[0].energy == 1.0
    remember(Definitions(SCHEMA))
    assert str(pickle.loads(text).run[0].energy.units) == "joule"


def test_copies_and_what_came_along_keep_their_ways() -> None:
    others = {"../uploads/V/archive/G": {"run": [{"next": "../../uploads/U/archive/E#/run/0"}]}}
    tree = {"run": [{"next": "../uploads/V/archive/G#/run/0", "energy": 1.0}], "m_ref_archives": others}
    archive = wrapped(tree)
    for twin in (copy.copy(archive), copy.deepcopy(archive), pickle.loads(pickle.dumps(archive))):
        assert twin == archive
        assert twin.run[0].next.next.energy.magnitude == 1.0
    there = pickle.loads(pickle.dumps(archive.run[0].next))
    assert there.next.energy.magnitude == 1.0
    assert copy.copy(archive)["run"] is tree["run"]


def test_to_nomad_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nomad", None)
    monkeypatch.delitem(sys.modules, "nomad.datamodel", raising=False)
    with pytest.raises(UserError, match=r"nomad-dask\[nomad\]"):
        wrapped({}).to_nomad()


def test_to_nomad_is_nomad_labs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    datamodel = types.ModuleType("nomad.datamodel")
    monkeypatch.setitem(sys.modules, "nomad", types.ModuleType("nomad"))
    monkeypatch.setitem(sys.modules, "nomad.datamodel", datamodel)
    datamodel.EntryArchive = types.SimpleNamespace(m_from_dict=lambda tree: ("theirs", tree))  # type: ignore[attr-defined]
    tree = {"run": [{"energy": 1.0}]}
    theirs, given_tree = wrapped(tree).to_nomad()
    assert theirs == "theirs"
    assert given_tree == tree
    assert given_tree is not tree


names = st.from_regex(r"[a-z][a-z_0-9]{0,4}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab .é", max_size=4)
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(names, trees, max_size=4))
def test_without_a_schema_every_leaf_of_any_json_is_reached(tree: dict[str, Any]) -> None:
    for archive in (Archive(tree, "E", "U"), Archive(tree, "E", "U", lambda: None)):
        assert compare(archive, tree) >= leaves_of(tree)
        with pytest.raises(AttributeError):
            archive.no_such_name_at_all  # noqa: B018


messy = st.recursive(
    scalars
    | st.sampled_from(["#/a", "/a/0", "#/a/b", "../upload/archive/E#/b", "../uploads/V/archive/G#/a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "run", "next", "energy", "positions", "m_def"]), inner)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "run", "workflow2", "m_ref_archives"]), messy))
def test_any_json_is_walked_without_surprise(tree: dict[str, Any]) -> None:
    """Whatever the data, a walk gives values, None or AttributeError, and ends."""
    waiting: list[tuple[Any, int]] = [(wrapped(tree), 0)]
    while waiting:
        view, depth = waiting.pop()
        repr(view)
        if depth < 4 and isinstance(view, Section | Archive):
            waiting += [(getattr(view, name), depth + 1) for name in view]
        elif depth < 4 and isinstance(view, SectionList):
            waiting += [(item, depth + 1) for item in view]


def test_a_unit_that_pint_does_not_know_leaves_the_number() -> None:
    from nomad_dask.archive.section import with_unit

    assert (
        with_unit(1.5, "florbs") == 1.5 and with_unit([1, 2], ")(") == [1, 2] and with_unit(3, "joule").units
    )
