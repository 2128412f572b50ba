"""SPEC, "Embedded archive": the schema of generated archives has the form of a server's, and is complete."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.common import paths, types
from nomad_dask.metainfo.definitions import ROOT, Definitions, Member, Quantity, SubSection
from nomad_dask.testing import serve
from nomad_dask.testing.generate import generate
from nomad_dask.testing.generated.schema import _MEMBER, _QUANTITY, _whole, schema_json

SCHEMA = "schemas/nomad.datamodel.datamodel.EntryArchive?property_subtypes=true"
FREE = "x_ams_run_config"
"""What parsers add under names of their own; NOMAD's schema knows nothing of it."""
PEOPLE = {"main_author", "authors", "writers", "viewers"}
"""In search documents these are people, and no ids."""


@pytest.fixture(scope="module")
def ours() -> Definitions:
    return Definitions(orjson.loads(schema_json()))


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> Definitions:
    return Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and value of each quantity. Lists of sections are walked into; an empty list tells nothing."""
    for name, value in tree.items():
        items = value if isinstance(value, list) else [value]
        if name == FREE or not any(isinstance(item, dict) for item in items):
            if name != "m_def" and value != []:
                yield (*path, name), value
            continue
        for item in items:
            yield from leaves(item, (*path, name))


def compare(definitions: Definitions, tree: dict[str, Any], kind: str = ROOT) -> int:
    """What each section holds, its own definition knows: that of its `m_def`, else the declared one."""
    section, n = definitions.section(kind), 0
    assert section is not None, kind
    for name, value in tree.items():
        if name in ("m_def", FREE):
            continue
        member = section.get(name)
        assert member is not None, (kind, name)
        n += 1
        if isinstance(member, SubSection):
            assert member.repeats == isinstance(value, list)
            for item in value if member.repeats else [value]:
                inside = item.get("m_def", member.sections[0])
                assert inside in member.sections
                n += compare(definitions, item, inside)
        else:
            assert types.join(types.type_of(value), member.type) == member.type, (kind, name)
    return n


def archives(kind: Any, seed: int, n: int = 300) -> Iterator[dict[str, Any]]:
    """One archive of each shape: those of one shape have the same types."""
    corpus = generate(n, kind=kind, seed=seed)
    shapes = {corpus.shape(i): i for i in range(len(corpus.ids))}
    yield from map(corpus.archive, shapes.values())


def members(definitions: Definitions, *, sections: tuple[str, ...]) -> Iterator[tuple[str, str, Member]]:
    for name in sections:
        section = definitions.section(name)
        assert section is not None
        for part in section.names:
            member = section.get(part)
            assert member is not None
            yield name, part, member


def told(member: Member | None) -> Member | None:
    """What must be equal: all but the description, and which of NOMAD's many sections may stand there too."""
    if isinstance(member, SubSection):
        return replace(member, description=None, sections=member.sections[:1])
    return replace(member, description=None) if member else None


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("kind", "n"), [("mixed", 300), ("small", 300), ("large", 100), ("results", 100)])
def test_every_leaf_of_generated_archives_is_known_with_its_type(
    ours: Definitions, kind: str, n: int, seed: int
) -> None:
    seen: dict[str, set[str]] = {}
    for archive in archives(kind, seed, n):
        for path, value in leaves(archive):
            if path[-1] != FREE:
                seen.setdefault(paths.join(path), set()).add(types.type_of(value))
    assert len(seen) > 80
    for path, kinds in seen.items():
        quantity = ours.find(path)
        assert isinstance(quantity, Quantity), path
        for one in kinds:
            assert types.join(one, quantity.type) == quantity.type, path


def test_every_section_of_generated_archives_is_what_it_says(ours: Definitions) -> None:
    assert sum(compare(ours, archive) for archive in archives("mixed", 0)) > 10_000


def enums(definition: dict[str, Any]) -> list[str] | None:
    """The words of an enum, of a list too."""
    while "items" in definition:
        definition = definition["items"]
    return definition.get("enum")


def test_words_of_generated_archives_are_those_of_their_enums(ours: Definitions) -> None:
    """nomad-lab refuses a whole archive for one other word."""
    schema = orjson.loads(schema_json())
    seen = set()

    def check(tree: dict[str, Any], kind: str) -> None:
        section = ours.section(kind)
        assert section is not None
        for name, value in tree.items():
            member = section.get(name)
            for item in value if isinstance(value, list) else [value]:
                if isinstance(member, SubSection):
                    check(item, item.get("m_def", member.sections[0]))
                elif words := enums(schema["$defs"].get(kind, schema).get("properties", {}).get(name, {})):
                    assert item in words, (kind, name)
                    seen.add(name)

    for kind, seed in (("mixed", 0), ("mixed", 1), ("small", 0), ("results", 0)):
        for archive in archives(kind, seed):
            check(archive, ROOT)
    assert {"basis_set_type", "basis_set", "elements", "jacobs_ladder", "structural_type"} <= seen


def test_sections_that_an_archive_has_none_of_are_not_there(ours: Definitions) -> None:
    def lists(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, value in tree.items() if isinstance(tree, dict) else ():
            yield from [(*path, name)] if value == [] else []
            for item in value if isinstance(value, list) else [value]:
                yield from lists(item, (*path, name))

    empty = {path for archive in archives("mixed", 0) for path in lists(archive)}
    assert empty
    assert not [path for path in empty if not isinstance(ours.find(paths.join(path)), Quantity)]


def test_what_servers_derive_is_not_in_archives() -> None:
    """nomad-lab drops it, and derives it again."""
    derived = {"n_elements", "elements_exclusive", "nperiodic_dimensions"}
    found = {path for archive in archives("mixed", 0) for path, _ in leaves(archive) if path[-1] in derived}
    assert found == set()


def test_what_the_recorded_schema_leaves_free_is_left_free(ours: Definitions, shared_data: Path) -> None:
    """Keys with dots, blanks and other alphabets stand under a name that no section knows."""
    served = Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))
    found = [
        (path, value)
        for archive in archives("mixed", 0)
        for path, value in leaves(archive)
        if path[-1] == FREE
    ]
    assert found
    for path, value in found:
        assert any("." in key or " " in key for key in value)
        for key in (path, *((*path, name) for name in value)):
            assert ours.find(paths.join(key)) is served.find(paths.join(key)) is None


def test_all_that_is_defined_the_recorded_schema_defines_alike(
    ours: Definitions, recorded: Definitions
) -> None:
    """Types, NOMAD's types, shapes, units, references, and the declared sub sections, section by section."""
    names = (ROOT, *orjson.loads(schema_json())["$defs"])
    n = 0
    for section, name, member in members(ours, sections=names):
        theirs = recorded.section(section)
        assert theirs is not None, section
        there = theirs.get(name)
        assert told(member) == told(there), (section, name)
        if isinstance(member, SubSection) and isinstance(there, SubSection):
            assert set(member.sections) <= set(there.sections), (section, name)
        n += 1
    assert n > 400


def test_paths_of_generated_archives_mean_the_same_in_the_recorded_schema(
    ours: Definitions, recorded: Definitions
) -> None:
    found = {paths.join(path) for archive in archives("mixed", 1) for path, _ in leaves(archive)}
    units = set()
    for path in found:
        mine, theirs = ours.find(path), recorded.find(path)
        if isinstance(mine, Quantity) and isinstance(theirs, Quantity):
            assert (mine.type, mine.unit, mine.is_reference) == (
                theirs.type,
                theirs.unit,
                theirs.is_reference,
            ), path
            units.add(mine.unit)
        else:
            assert mine is theirs is None, path
    assert units >= {
        "joule",
        "meter",
        "meter ** 3",
        "radian",
        "kilogram",
        "newton",
        "second",
        "kelvin",
        "1 / joule",
    }


def test_raw_forms_are_those_of_the_recorded_schema(recorded: Definitions) -> None:
    """Word by word, without descriptions, links and hashes: `minItems`, `enum`, `default`, `format`."""

    def form(raw: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in raw.items() if key not in ("description", "$id", "links")}
        if "reference_section_def" in kept:
            kept["reference_section_def"] = kept["reference_section_def"].partition("@")[0]
        return kept

    definitions = orjson.loads(schema_json())["$defs"]
    for name, definition in definitions.items():
        theirs = recorded._schema["$defs"][name]
        bases = [
            [raw["$ref"].rpartition("/")[2].partition("@")[0] for raw in d.get("allOf", ())]
            for d in (definition, theirs)
        ]
        assert bases[0] == bases[1], name
        assert definition["title"] == theirs["title"]
        for quantity, raw in definition.get("properties", {}).items():
            if "nomad_type" in raw:
                assert form(raw) == form(theirs["properties"][quantity]), (name, quantity)


def test_search_documents_are_known_too(ours: Definitions) -> None:
    corpus = generate(300)
    for i in range(0, len(corpus.ids), 5):
        for path, _ in leaves(corpus.document(i)):
            if path[0] not in PEOPLE and path[:2] != ("optimade", "elements_ratios"):
                name = paths.join(path)
                assert ours.find(f"metadata.{name}") or ours.find(name), name


def test_more_is_defined_than_generated_entries_hold(ours: Definitions) -> None:
    for path in (
        "run.time_run.date_start",
        "run.calculation.pressure",
        "metadata.external_id",
        "run.system.atoms.velocities",
    ):
        assert isinstance(ours.find(path), Quantity)


def test_definitions_refer_to_what_is_defined() -> None:
    schema = orjson.loads(schema_json())
    text = schema_json().decode()
    ids = {definition["$id"] for definition in schema["$defs"].values()}
    refs = {part.partition('"')[0] for part in text.split('"$ref":"')[1:]}
    assert refs <= ids
    assert len(text.split('"$id":"')) - 1 == len(
        {part.partition('"')[0] for part in text.split('"$id":"')[1:]}
    )


def test_it_is_the_same_in_every_process_and_of_every_corpus() -> None:
    code = "import sys; from nomad_dask.testing.generated.schema import schema_json; sys.stdout.buffer.write(schema_json())"  # noqa: E501
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert again == schema_json() == generate(1).schema_json == generate(5, seed=3, kind="small").schema_json


@pytest.mark.parametrize(
    "line", ["  name str: A name", "  name: str", " name: str: A name", "  na me: str: A name"]
)
def test_a_line_that_is_no_definition_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no definition"):
        _whole(_MEMBER, line)


@pytest.mark.parametrize(
    ("what", "parts"),
    [
        ("float64[*,3] in meter / second", ("float64", "*,3", None, "meter / second", None)),
        ('enum a in b | c = "a in b"', ("enum", None, "a", "b | c", '"a in b"')),
        ("Reference[0..] runschema.run.Run = []", ("Reference", "0..", "runschema.run.Run", None, "[]")),
        ("bool = false", ("bool", None, None, None, "false")),
    ],
)
def test_quantities_are_read_apart(what: str, parts: tuple[str | None, ...]) -> None:
    assert _whole(_QUANTITY, what).groups() == parts


def test_archives_are_walked_with_units_nones_and_near_misses() -> None:
    with serve(generate(300)) as url:
        required = {
            "metadata": "*",
            "workflow2": {"results": {"calculation_result_ref": {"energy": "*"}}},
            "run": "*",
        }
        query = ArchiveQuery(
            url=str(url),
            required=required,
            query={"results.method.workflow_name": "SinglePoint"},
            progress=False,
        )
        found = query.download(40)
        without = [archive for archive in found if "workflow2" not in archive]
        walked = [archive for archive in found if "workflow2" in archive]
        assert without
        assert without[0].workflow2 is None
        archive = next(a for a in walked if a.workflow2.results.calculation_result_ref.energy is not None)
        energy = archive.workflow2.results.calculation_result_ref.energy.total.value
        assert energy.to("eV").magnitude == pytest.approx(energy.to("joule").magnitude / 1.602176634e-19)
        assert archive.run[0].system[0].atoms.positions.units == "meter"
        assert archive.run[0].calculation[0].pressure is None
        assert archive.run[0].time_run is None
        with pytest.raises(AttributeError, match="did you mean 'energy'"):
            _ = archive.run[0].calculation[0].enrgy
        with pytest.raises(AttributeError, match="did you mean 'workflow2'"):
            _ = archive.workflow3


def test_the_server_answers_with_it_and_the_older_one_has_none() -> None:
    with serve(generate(5)) as url, urllib.request.urlopen(f"{url}/{SCHEMA}") as answer:
        assert answer.read() == schema_json()
    with serve(generate(5), version="1.3") as url, pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/{SCHEMA}")
