"""SPEC, "Archives": a walk over a reference leads to its own target, or to its string; never elsewhere."""

import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.request.required import parse, sliced
from nomad_dask.testing import serve


@pytest.fixture(scope="module")
def recorded(shared_data):
    with serve(archives=shared_data) as url:
        yield url


def archives_of(url, required):
    query = ArchiveQuery(required=required, url=str(url), results_max=None, progress=False)
    return {a.entry_id: a for a in query.download()}


def test_a_reference_into_a_list_of_which_only_some_came_is_its_string(recorded):
    """Answers are compact: number 0 of `system[-1]` is the last system."""
    archives = archives_of(recorded, {"run": {"calculation": {"system_ref": "*"}, "system[-1]": "*"}})
    walks = [
        calculation.system_ref
        for a in archives.values()
        for run in a.run or ()
        for calculation in run.calculation or ()
    ]
    assert any(walks) and all(ref is None or isinstance(ref, str) for ref in walks)


def test_a_reference_inside_a_target_that_was_put_in_place_is_its_string(recorded):
    """The target may be another entry's, whose own references mean its own archive."""
    required = {
        "run": "*",
        "workflow2": {"results": {"calculation_result_ref": {"energy": "*", "system_ref": "*"}}},
    }
    archives = archives_of(recorded, required)
    for entry_id in ("XwQ9x_SuwTxSxyRuhTMn22dNtsqC", "ECmFmRrKrjmeNmXwv_3agbLkGwWF"):
        target = archives[entry_id].workflow2.results.calculation_result_ref
        assert isinstance(target.system_ref, str) and target.energy.total.value.to("eV").magnitude < 0


def test_what_is_resolved_in_place_is_walked_through(recorded):
    required = {
        "workflow2": {
            "results": {
                "calculation_result_ref": {"energy": "*", "system_ref": {"chemical_composition_reduced": "*"}}
            }
        }
    }
    target = archives_of(recorded, required)[
        "XwQ9x_SuwTxSxyRuhTMn22dNtsqC"
    ].workflow2.results.calculation_result_ref
    assert target.system_ref.chemical_composition_reduced == "Ge"


@pytest.mark.parametrize(
    ("required", "names"),
    [
        ("*", []),
        ({"run": "*"}, []),
        ({"run[0]": {"system[0:3]": "*", "calculation[:2]": "*"}}, []),
        ({"run[-1]": {"system[2:]": "*", "calculation": "*"}}, ["run", "run.system"]),
        ({"run": {"calculation[-2:]": "*", "method[1]": "*"}}, ["run.calculation", "run.method"]),
    ],
    ids=str,
)
def test_lists_whose_numbers_do_not_hold(required, names):
    assert sorted(sliced(parse(required))) == names
