"""The embedded archive's queries: real ones, from published notebooks and programs, find what a plain look at
the documents
finds; values are converted as the index converts them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomad_dask.testing.answers import Answers
from nomad_dask.testing.corpus import Corpus, Entry, values_at
from nomad_dask.testing.generate import PLAIN, generate
from nomad_dask.testing.kinds import Test as Condition
from nomad_dask.testing.kinds import time_of
from nomad_dask.testing.quantities import QUANTITIES
from nomad_dask.testing.refused import Refused

DEVICE = "perovskite_solar_cell_database.schema.PerovskiteSolarCell"
MORE = [
    {
        "datasets": [
            {"dataset_id": "DqIYkZGzQ8yEkpHkW0zCHw", "doi": "10.17172/NOMAD/2023.11.17-2", "dataset_name": "Alexandria PBE"},
            {"dataset_id": "another", "dataset_name": "Perovskites"},
        ],
        "external_db": "Materials Project",
        "pid": "123",
        "comment": "Relaxed with a dense mesh",
    },
    {
        "results": {
            "eln": {"lab_ids": ["KIT_1"], "sections": ["HySprint_JVmeasurement", "Substrate"], "names": ["JV of sample 1"]},
            "properties": {
                "optoelectronic": {
                    "solar_cell": {
                        "efficiency": 17.2,
                        "illumination_intensity": 1000.0,
                        "hole_transport_layer": ["Spiro-OMeTAD"],
                        "device_architecture": "nip",
                    }
                },
                "available_properties": ["optoelectronic.solar_cell"],
            },
        },
        "section_defs": [{"definition_qualified_name": DEVICE, "used_directly": True}],
        "sections": ["nomad.datamodel.results.SolarCell"],
        "data": {"m_def": DEVICE, "name": "cell", "htl": {"stack_sequence": ["Spiro-MeOTAD"], "thickness": 2.5}},
    },
    {
        "results": {
            "eln": {"lab_ids": ["KIT_2"], "methods": ["MOVPE 1 experiment"], "sections": ["ExperimentMovpeIKZ"]},
            "properties": {"optoelectronic": {"solar_cell": {"efficiency": 0.0, "illumination_intensity": 2000.0}}},
        },
        "section_defs": [{"definition_qualified_name": DEVICE}],
        "entry_references": [{"target_entry_id": "T"}],
        "entry_type": "HySprint_ExperimentalPlan",
    },
    {
        "results": {
            "material": {"structural_type": "surface", "elements": ["Cl", "Na"], "n_elements": 2, "elements_exclusive": "Cl Na"},
            "method": {"simulation": {"program_name": "VASP"}},
            "properties": {
                "electronic": {"dos_electronic": [{"band_gap": [{"type": "direct", "value": 1e-19}, {"type": "indirect", "value": 9e-19}]}]}
            },
        },
    },
]  # fmt: skip


class Documents(Corpus):
    """Generated entries; the first few have what no calculation has."""

    def __init__(self) -> None:
        self._of = generate(60, seed=3, features=PLAIN, private_share=0)
        self.documents = [{**self._of.document(i), **(MORE[i] if i < len(MORE) else {})} for i in range(60)]

    @property
    def entries(self) -> Sequence[Entry]:
        return self._of.entries

    def document(self, i: int) -> dict[str, Any]:
        return self.documents[i]

    def archive(self, i: int) -> dict[str, Any]:
        return {"data": self.documents[i].get("data", {})}


CORPUS = Documents()
ANSWERS = Answers(CORPUS)
SOME = CORPUS.documents[10]
AUTHOR, UPLOAD = SOME["authors"][0]["name"], CORPUS.documents[2]["upload_id"]
CODE, FORMULA = "results.method.simulation.program_name", SOME["results"]["material"]["chemical_formula_hill"]
MATERIAL, CELL = "results.material", "results.properties.optoelectronic.solar_cell"
DFT = "results.method.simulation.dft"
HTL = f"data.htl.stack_sequence#{DEVICE}"


def found(query: Any) -> list[int]:
    """The places of the entries that the search finds."""
    body = {"query": query, "pagination": {"page_size": 100}, "required": {"include": ["entry_id"]}}
    answer = ANSWERS.entries(body, None)
    hits = {row["entry_id"] for row in answer["data"]}
    return [i for i, entry in enumerate(CORPUS.entries) if entry.entry_id in hits]


def at(document: dict[str, Any], name: str) -> list[Any]:
    return values_at(document, name)


def has(document: dict[str, Any], name: str, *values: Any) -> bool:
    return set(values) <= set(at(document, name))


REAL = [
    ({"datasets.doi": "10.17172/NOMAD/2023.11.17-2"}, lambda d: has(d, "datasets.doi", "10.17172/NOMAD/2023.11.17-2")),
    ({"datasets.dataset_id": "DqIYkZGzQ8yEkpHkW0zCHw"}, lambda d: has(d, "datasets.dataset_id", "DqIYkZGzQ8yEkpHkW0zCHw")),
    (
        {"datasets.dataset_name:any": ["Alexandria PBE", "Alexandria PBEsol"]},
        lambda d: bool({"Alexandria PBE", "Alexandria PBEsol"} & {*at(d, "datasets.dataset_name")}),
    ),
    ({"pid": "123"}, lambda d: d.get("pid") == "123"),
    ({"upload_id": UPLOAD, "entry_type": "HySprint_ExperimentalPlan"}, lambda d: d["entry_type"] == "HySprint_ExperimentalPlan"),
    (
        {"results.eln.lab_ids:any": ["KIT_1", "KIT_2"], f"{CELL}.efficiency:gt": "0"},
        lambda d: bool(at(d, "results.eln.lab_ids")) and at(d, f"{CELL}.efficiency")[0] > 0,
    ),
    (
        {"results.eln.sections:any": ["SubstrateMovpe", "Substrate"], "results.eln.lab_ids:any": ["KIT_1"]},
        lambda d: has(d, "results.eln.sections", "Substrate"),
    ),
    (
        {"results.eln.sections:any": ["ExperimentMovpeIKZ"], "results.eln.methods:any": ["MOVPE 1 experiment"], "upload_id:any": [UPLOAD]},
        lambda d: has(d, "results.eln.methods", "MOVPE 1 experiment"),
    ),
    ({"results.eln.names:any": ["sample"]}, lambda d: any("sample" in name for name in at(d, "results.eln.names"))),
    (
        {"and": [{f"{CELL}.illumination_intensity": {"gte": 600.0, "lte": 1200.0}}, {"section_defs.definition_qualified_name:all": [DEVICE]}]},
        lambda d: any(600 <= x <= 1200 for x in at(d, f"{CELL}.illumination_intensity")),
    ),
    (
        {f"{CELL}.hole_transport_layer:any": ["Spiro-OMeTAD"], f"{CELL}.device_architecture": ["nip"]},
        lambda d: has(d, f"{CELL}.hole_transport_layer", "Spiro-OMeTAD"),
    ),
    ({f"{HTL}:any": ["Spiro-MeOTAD"]}, lambda d: has(d, "data.htl.stack_sequence", "Spiro-MeOTAD")),
    ({"sections:all": ["nomad.datamodel.results.SolarCell"]}, lambda d: has(d, "sections", "nomad.datamodel.results.SolarCell")),
    (
        {"entry_references.target_entry_id:all": ["T"], "section_defs.definition_qualified_name:all": [DEVICE]},
        lambda d: has(d, "entry_references.target_entry_id", "T"),
    ),
    (
        {f"{CODE}:any": ["VASP"], "quantities:all": ["results.properties", "results.material.topology"]},
        lambda d: has(d, CODE, "VASP") and has(d, "quantities", "results.properties", "results.material.topology"),
    ),
    (
        {"and": [{f"{CODE}:any": ["VASP"], "authors.name:any": [AUTHOR]}, {"quantities:all": [CODE]}]},
        lambda d: has(d, CODE, "VASP") and has(d, "authors.name", AUTHOR) and has(d, "quantities", CODE),
    ),
    ({f"{MATERIAL}.structural_type": "surface", CODE: "VASP"}, lambda d: has(d, f"{MATERIAL}.structural_type", "surface")),
    ({"results.method": {"simulation.program_name": "VASP"}}, lambda d: has(d, CODE, "VASP")),
    (
        {
            "and": [
                {f"{MATERIAL}.elements_exclusive": {"all": ["Cl Na"]}},
                {"not": {f"{DFT}.xc_functional_names": ["HF_X"]}},
                {"not": {f"{MATERIAL}.structural_type": ["atom"]}},
                {"not": {"authors": ["Materials Project"]}},
            ]
        },
        lambda d: has(d, f"{MATERIAL}.elements_exclusive", "Cl Na"),
    ),
    (
        {"and": [{f"{MATERIAL}.elements": {"all": ["Na", "Cl"]}}, {f"{MATERIAL}.n_elements": 2}, {f"{MATERIAL}.structural_type": "surface"}]},
        lambda d: has(d, f"{MATERIAL}.elements", "Na", "Cl") and has(d, f"{MATERIAL}.n_elements", 2),
    ),
    (
        {f"{MATERIAL}.elements": ["O"], f"{MATERIAL}.n_elements": "3"},
        lambda d: has(d, f"{MATERIAL}.elements", "O") and has(d, f"{MATERIAL}.n_elements", 3),
    ),
    (
        {
            f"{MATERIAL}.structural_type:any": ["bulk"],
            f"{MATERIAL}.n_elements": {"gte": 2, "lte": 3},
            f"{CODE}:any": ["VASP"],
            f"{DFT}.basis_set_type:any": ["plane waves"],
            f"{DFT}.core_electron_treatment:any": ["pseudopotential"],
            f"{DFT}.xc_functional_type:any": ["GGA"],
            f"{DFT}.xc_functional_names:any": ["GGA_C_PBE", "GGA_X_PBE"],
        },
        lambda d: (
            has(d, f"{MATERIAL}.structural_type", "bulk")
            and any(2 <= n <= 3 for n in at(d, f"{MATERIAL}.n_elements"))
            and has(d, CODE, "VASP")
            and bool({"GGA_C_PBE", "GGA_X_PBE"} & {*at(d, f"{DFT}.xc_functional_names")})
        ),
    ),
    (
        {f"{MATERIAL}.chemical_formula_hill": FORMULA, f"{DFT}.xc_functional_names:any": ["GGA_X_PBE", "LDA_X_PZ", "GGA_X_PBE_SOL", "HYB_GGA_XC_HSE06"],
         "datasets.dataset_name:none": ["Alexandria PBE"], "external_db:none": ["AFLOW"]},
        lambda d: has(d, f"{MATERIAL}.chemical_formula_hill", FORMULA),
    ),
    ({"external_db": "Materials Project"}, lambda d: d.get("external_db") == "Materials Project"),
    ({"optimade_filter": "nelements = 2"}, lambda d: d["optimade"]["nelements"] == 2),
    ({"optimade_filter": "nelements >= 2"}, lambda d: d["optimade"]["nelements"] >= 2),
    ({"optimade_filter": 'elements HAS ALL "O", "Ti" OR elements LENGTH 1'},
     lambda d: {"O", "Ti"} <= {*d["optimade"]["elements"]} or d["optimade"]["nelements"] == 1),
    ({"optimade_filter": 'NOT (elements HAS ANY "O","N") AND 2<nelements'},
     lambda d: not {"O", "N"} & {*d["optimade"]["elements"]} and d["optimade"]["nelements"] > 2),
    ({"optimade_filter": f'chemical_formula_hill="{FORMULA}"'}, lambda d: d["optimade"]["chemical_formula_hill"] == FORMULA),
    ({"results.properties.electronic.dos_electronic.band_gap.type": "direct"}, lambda d: has(d, "results.properties.electronic.dos_electronic.band_gap.type", "direct")),
    ({"results.properties": {"electronic.dos_electronic.band_gap": {"type": "direct", "value:lt": "5e-19"}}},
     lambda d: has(d, "results.properties.electronic.dos_electronic.band_gap.type", "direct")),
    ({"results.properties.electronic.dos_electronic.band_gap": {"type": "direct", "value:gt": 5e-19}}, lambda d: False),
    ({"results.properties.geometry_optimization": {"final_energy_difference:lt": 1e-19}},
     lambda d: any(x < 1e-19 for x in at(d, "results.properties.geometry_optimization.final_energy_difference"))),
    ({"text_search_contents": "simulation"}, lambda d: any("simulation" in t for t in at(d, "text_search_contents"))),
    ({"mainfile.path": "vasprun.xml"}, lambda d: d["mainfile"].endswith("/vasprun.xml")),
    ({"mainfile": SOME["mainfile"], "main_author.name": AUTHOR}, lambda d: d["mainfile"] == SOME["mainfile"] and d["main_author"]["name"] == AUTHOR),
    ({"comment": "dense"}, lambda d: "dense" in d.get("comment", "")),
    ({"upload_create_time:gt": "1970-01-01"}, lambda d: True),
    ({"upload_create_time": {"gte": "2016", "lt": "2019-07"}}, lambda d: "2016" <= d["upload_create_time"] < "2019-07"),
    ({"upload_create_time:gte": 1577836800000}, lambda d: d["upload_create_time"] >= "2020"),
    ({"published": "true", "with_embargo": "false", "processed": True}, lambda d: d["processed"]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "meant"), REAL, ids=[json.dumps(query)[:60] for query, _ in REAL])
def test_real_queries_find_what_the_documents_hold(query, meant):
    assert found(query) == [i for i, document in enumerate(CORPUS.documents) if meant(document)]


def test_the_real_queries_tell_entries_apart():
    counts = [len(found(query)) for query, _ in REAL]
    assert sum(0 < n < 60 for n in counts) >= len(REAL) - 4


@settings(max_examples=25)
@given(
    low=st.integers(-5, 10), high=st.floats(-5, 10), op=st.sampled_from(["gt", "gte", "lt", "lte"]), form=st.integers(0, 2)
)  # fmt: skip
def test_numbers_sent_as_text_are_the_numbers(low, high, op, form):
    bounds = [{op: low}, {op: high}, {"gte": low, "lt": high}][form]
    for name in ("results.material.n_elements", f"{CELL}.efficiency", "results.material.topology.n_atoms"):
        as_text = {key: str(bound) for key, bound in bounds.items()}
        assert found({name: as_text}) == found({name: bounds})
        assert found({name: str(low)}) == found({name: low})


@settings(max_examples=25)
@given(st.datetimes(datetime(2009, 1, 1), datetime(2026, 1, 1)))
def test_times_are_compared_as_times(moment):
    """However they are written; one that is not written to the end is all of its day, month or year."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    forms = [
        moment.isoformat(),
        moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        int(moment.timestamp() * 1000),
        str(int(moment.timestamp() * 1000)),
        (moment + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00"),
    ]
    places = found({"upload_create_time:lt": forms[0]})
    written = [datetime.fromisoformat(d["upload_create_time"]) for d in CORPUS.documents]
    assert places == [i for i, time in enumerate(written) if time < moment]
    assert all(found({"upload_create_time:lt": form}) == places for form in forms[1:])
    day, month, year = (moment.strftime(form) for form in ("%Y-%m-%d", "%Y-%m", "%Y"))
    for begun in (day, month, year):
        first, last = time_of(begun)
        assert first.isoformat().startswith(begun) and last.isoformat().startswith(begun)
        assert (last + timedelta(microseconds=1)).strftime("%Y-%m-%d")[: len(begun)] != begun
        inside = [i for i, d in enumerate(CORPUS.documents) if d["upload_create_time"].startswith(begun)]
        assert found({"upload_create_time": begun}) == inside
        both = {"upload_create_time": {"gte": begun, "lte": begun}}
        assert found(both) == inside and not found({"upload_create_time": {"gt": begun, "lte": begun}})


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"results.material.n_elements": "two"}, 400, 'For input string: "two"'),
        ({"results.material.n_elements:gt": True}, 400, 'For input string: "true"'),
        ({"published": "yes"}, 400, "Can't parse boolean value [yes]"),
        ({"upload_create_time:gt": "yesterday"}, 400, "failed to parse date field [yesterday]"),
        ({"upload_create_time:gt": "2020-13"}, 400, "failed to parse date field [2020-13]"),
        ({"results.material": "Si"}, 422, "results.material is not a doc quantity"),
        ({"results.material.topology": "Si"}, 422, "results.material.topology is not a doc quantity"),
        ({"license": "CC BY 4.0"}, 422, "license is not a doc quantity"),
        ({"data.name": "x"}, 422, "data.name is not a doc quantity"),
        ({"entry_id": {"gt": ["A"]}}, 422, "Input should be a valid string"),
        ({"optimade_filter": "#broken syntax"}, 422, "Could not parse optimade filter: Syntax error"),
        ({"optimade_filter": "doesnotexist = 1"}, 422, "Semantic error: doesnotexist is not supported"),
        ({"optimade_filter": "nelements ="}, 422, "Syntax error: unexpected end of 'nelements ='"),
        (
            {"optimade_filter": 'elements:elements_ratios HAS "H":>0.5'},
            422,
            "the embedded archive does not evaluate joined properties",
        ),
        ({"optimade_filter": "nelements = nsites"}, 422, "does not compare two properties"),
    ],
)
def test_what_the_index_cannot_read_is_refused(query, status, words):
    with pytest.raises(Refused) as refused:
        found(query)
    assert refused.value.status == status
    assert words in json.dumps(refused.value.detail, ensure_ascii=False).replace('\\"', '"')


@pytest.mark.parametrize(
    ("query", "echo"),
    [
        (
            {"results.material.topology.cell.a:gt": 0},
            {"prefix": "results.material.topology", "query": {"name": "cell.a", "value": {"gt": 0}}},
        ),
        (
            {"results.material.topology.elemental_composition": {"element": "O"}},
            {
                "prefix": "results.material.topology",
                "query": {
                    "prefix": "results.material.topology.elemental_composition",
                    "query": {"and": [{"name": "element", "value": "O"}]},
                },
            },
        ),
        ({"optimade_filter": "nelements=2"}, {"name": "optimade_filter", "value": "nelements=2"}),
    ],
)
def test_sections_that_repeat_are_entered_however_they_are_written(query, echo):
    answer = ANSWERS.entries({"query": query, "pagination": {"page_size": 1}}, None)
    assert answer["query"] == echo
    assert answer["pagination"]["total"] > 0


def test_texts_are_found_by_their_words():
    def holds(kind, wanted, text):
        return Condition.of(kind, "is", wanted).holds(text)

    assert holds("text", "DENSE mesh", "a dense grid") and not holds("text", "den", "a dense grid")
    assert holds("words", "a den", "some dense grid") and not holds("words", "ense", "dense")
    assert holds("phrase", "dense gr", "a dense grid") and not holds("phrase", "grid dense", "a dense grid")
    assert holds("path", "OUTCAR", "calc/1/OUTCAR") and not holds("path", "OUT", "calc/1/OUTCAR")
    assert not holds("text", "", "anything") and not holds("section", "x", "x")


def test_every_quantity_of_nomads_index_can_be_queried():
    """Before it is known what it holds: none is refused."""
    values = {"integer": 1, "double": "1.5", "boolean": True, "date": "2020-01-01"}
    for name, kind in QUANTITIES.items():
        found({f"{name}:any": [values.get(kind, "x")]})
