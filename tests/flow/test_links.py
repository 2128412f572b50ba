"""SPEC, "References": also those that the server does not resolve.

References of a base section's type (`section` of a workflow's inputs and outputs) come empty, and those that
lead nowhere are
left out. What is asked for comes from the targets; a reference that leads nowhere stays its string.
"""

import dask
import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.client.event_loop import run
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.dataset.manifest import Manifest
from nomad_dask.harvest.run import make_manifest
from nomad_dask.plan.planner import PartitionSpec
from nomad_dask.testing import serve
from nomad_dask.testing.corpus import Corpus, Entry
from nomad_dask.testing.faults import Faults, Rule, Status
from nomad_dask.testing.generated.schema import schema_json

UPLOAD = "U" * 22
POINT = "simulationworkflowschema.single_point.SinglePoint"
NOWHERE, GONE = "#/run/0/calculation/99", f"../uploads/{UPLOAD}/archive/{'z' * 28}#/run/0/calculation/0"


def entry_id(i):
    return str(i) * 28


def calculations(i, n=3):
    return [{"calculation": [{"energy": {"total": {"value": 10.0 * i + k}}} for k in range(n)]}]


def archive(i, sections=(), result=None, results=None):
    found = {} if result is None else {"calculation_result_ref": result}
    found |= {} if results is None else {"calculations_ref": results}
    outputs = [{"name": "out", "section": section} for section in sections]
    workflow = {"m_def": POINT, "results": {"n_calculations": 3, **found}, "tasks": [{"outputs": outputs}]}
    return {"run": calculations(i), "workflow2": workflow if outputs else {**workflow, "tasks": []}}


ARCHIVES = [
    archive(
        0, ["#/run/0/calculation/1", "/run/0/calculation/2", "/workflow2/results"], "/run/0/calculation/2"
    ),
    archive(1, [NOWHERE], NOWHERE),
    archive(2, ["#/run/0/calculation/0"], None, ["#/run/0/calculation/0", NOWHERE]),
    archive(3),
    archive(4, [f"../upload/archive/{entry_id(0)}#/run/0/calculation/1", GONE], "#/run/0/calculation/0"),
    {"run": calculations(5)},
]


class Links(Corpus):
    """Six entries, with references of each kind."""

    quantities = frozenset({"entry_id", "upload_id", "parser_name"})
    schema_json = schema_json()

    @property
    def entries(self):
        return [Entry(entry_id(i), UPLOAD, "parsers/links") for i in range(len(ARCHIVES))]

    def document(self, i):
        return {"entry_id": entry_id(i), "upload_id": UPLOAD}

    def archive(self, i):
        return ARCHIVES[i]


ENERGY = {"energy": {"total": {"value": "*"}}}
OUTPUTS = {"workflow2": {"tasks": {"outputs": {"section": ENERGY}}}}
RESULT = {"workflow2": {"results": {"calculation_result_ref": ENERGY}}}
RESULTS = {"workflow2": {"results": {"calculations_ref": ENERGY}}}


def value(number):
    return {"energy": {"total": {"value": number}}}


@pytest.fixture
def url():
    with serve(Links()) as url:
        yield url


def query_of(url, required, **options):
    return ArchiveQuery(url=str(url), required=required, progress=False, sleep_time=0.01, **options)


def sections(tree):
    return [o["section"] for task in tree["workflow2"]["tasks"] for o in task.get("outputs", ())]


@pytest.mark.parametrize("as_plain_dict", [True, False])
def test_a_base_section_gives_what_its_targets_hold(url, as_plain_dict):
    query = query_of(url, OUTPUTS)
    found = query.download(as_plain_dict=as_plain_dict)
    trees = found if as_plain_dict else [archive.to_dict() for archive in found]
    assert len(trees) == 6
    assert sections(trees[0]) == [value(1.0), value(2.0), {}]
    assert sections(trees[1]) == [NOWHERE]
    assert sections(trees[2]) == [value(20.0)]
    assert sections(trees[4]) == [value(1.0), GONE]
    if not as_plain_dict:
        assert found[0].workflow2.tasks[0].outputs[1].section.energy.total.value == 2.0
    frame = query.entries_to_dataframe()
    assert frame["workflow2.tasks.0.outputs.0.section.energy.total.value"].tolist()[0] == 1.0


@pytest.mark.parametrize("batch_size", [None, 1, 4])
@pytest.mark.parametrize("layout", ["wide", "nested", "tables"])
def test_frames_hold_it_in_every_layout(url, layout, batch_size):
    with dask.config.set(scheduler="sync"):
        frame = query_of(url, OUTPUTS, batch_size=batch_size).to_dask_dataframe(layout=layout, npartitions=2)
        path = "workflow2.tasks.outputs.section.energy.total.value"
        if layout == "tables":
            found = frame[path].compute()
            assert found["value"].dropna().tolist() == [1.0, 2.0, 20.0, 1.0]
            assert [text for text in found["workflow2.tasks.outputs.section"] if isinstance(text, str)] == [
                NOWHERE,
                GONE,
            ]
        elif layout == "nested":
            cells = frame.compute()[path].tolist()
            assert cells[0] == [[1.0, 2.0, None]] and cells[2] == [[20.0]] and cells[4] == [[1.0, None]]
        else:
            found = frame.compute()
            assert found["workflow2.tasks.0.outputs.1.section.energy.total.value"].tolist()[0] == 2.0
            assert found["workflow2.tasks.0.outputs.0.section"].tolist()[1] == NOWHERE


def test_a_reference_that_leads_nowhere_stays_its_string(url):
    trees = query_of(url, RESULT).download(as_plain_dict=True)
    found = [tree.get("workflow2", {}).get("results", {}).get("calculation_result_ref") for tree in trees]
    assert found == [value(2.0), NOWHERE, None, None, value(40.0), None]
    frame = query_of(url, RESULT).to_dask_dataframe(npartitions=1).compute(scheduler="sync")
    assert frame["workflow2.results.calculation_result_ref"].tolist()[1] == NOWHERE


def test_a_list_with_one_that_leads_nowhere_keeps_the_others(url):
    trees = query_of(url, RESULTS).download(as_plain_dict=True)
    assert trees[2]["workflow2"]["results"]["calculations_ref"] == [value(20.0), NOWHERE]


def test_it_costs_a_request_for_many_entries_and_nothing_where_nothing_is_missing(url):
    query = query_of(url, RESULT)
    query.download()
    asked = url.log.count("entries/archive/query")
    assert asked == 2, "the archives, and the strings of those that may lack a reference"
    query_of(url, {"run": {"calculation": ENERGY}}).download()
    assert url.log.count("entries/archive/query") == asked + 1
    query_of(url, OUTPUTS).download()
    assert url.log.count("entries/archive/query") == asked + 4, "archives, strings, and targets"


def test_references_that_are_not_to_be_resolved_stay(url):
    query = query_of(url, RESULT)
    frame = query.to_dask_dataframe(npartitions=1, resolve_references=False).compute(scheduler="sync")
    assert frame["workflow2.results.calculation_result_ref"].tolist()[0] == "/run/0/calculation/2"


def asks_for_strings(body):
    tree = body.get("required", {}).get("workflow2", {})
    return tree.get("results", {}).get("calculation_result_ref") == "*"


def test_an_entry_whose_strings_do_not_come_is_a_failure_and_costs_no_other():
    """Never a part for the whole."""
    faults = Faults([Rule(Status(500), path="entries/archive/query", match=asks_for_strings)])
    with serve(Links(), faults=faults) as url:
        query = query_of(url, RESULT, retry=0)
        assert len(query.download()) == 3
        assert [f.entry_id for f in query.failures] == [entry_id(n) for n in (1, 2, 3)]
        frame = query_of(url, RESULT, retry=0).to_dask_dataframe(npartitions=1, on_failure="null")
        assert len(frame.compute(scheduler="sync")) == 6


def test_a_dataset_keeps_what_is_asked_for_besides_and_an_older_one_goes_on_without(url):
    manifest = run(
        make_manifest(Client(Server(str(url))), query_of(url, OUTPUTS)._question(), PartitionSpec())
    )
    tree = manifest.to_json()
    assert tree["links"] == [["workflow2.tasks.outputs.section", True]]
    assert Manifest.from_json(tree).question == manifest.question
    assert Manifest.from_json(tree).identity() == manifest.identity()
    before = Manifest.from_json({key: value for key, value in tree.items() if key != "links"})
    assert before.identity() == manifest.identity() and before.question.required.links == ()
