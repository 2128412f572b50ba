"""Issue 13: what `required` did not ask for is told as such, and not as what the entry lacks."""

import pickle

import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.testing import serve


@pytest.fixture(scope="module")
def served():
    with serve(n_entries=5, seed=1, kind="small") as url:
        yield url


def first(url, required):
    return ArchiveQuery(url=str(url), required=required, results_max=1, progress=False).download()[0]


def test_a_section_that_was_not_asked_for_says_so(served):
    found = first(served, {"results": {"material": "*"}, "metadata": "exclude"})
    for archive in (found, pickle.loads(pickle.dumps(found))):
        for name in ("run", "metadata"):
            with pytest.raises(
                AttributeError,
                match=f"no '{name}', because required asks only for results.material",
            ):
                getattr(archive, name)[0]
        assert archive.results.material.elements
        with pytest.raises(AttributeError, match="no 'rum', and neither does the schema"):
            archive.rum  # noqa: B018


def test_what_was_asked_for_and_is_not_there_is_none(served):
    whole = first(served, None)
    lacks = next(
        name for name in ArchiveQuery(url=str(served)).schema if name not in {*whole, "entry_id", "upload_id"}
    )
    for required in (None, "*", {"results": "*", lacks: "*"}, {"*": "*"}):
        assert getattr(first(served, required), lacks) is None


@pytest.mark.parametrize("rate", [0, 0.0, None])
def test_no_requests_a_second_are_no_limit_as_the_help_says(served, rate, capsys):
    query = ArchiveQuery(url=str(served), max_requests_per_second=rate, progress=False)
    assert query.count() == 5 and query._server.limits.max_requests_per_second is None
