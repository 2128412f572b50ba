"""SPEC, "Plan": a maximum that was not given means all in bulk; one that excludes entries is reported."""

import pickle
import warnings

import dask
import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.dataset.report import Report
from nomad_dask.request.segments import Plan
from nomad_dask.testing import serve

REQUIRED = {"results": {"material": {"elements": "*"}}}


@pytest.fixture(scope="module")
def many():
    """1,500 entries: more than the guide's default maximum."""
    with serve(n_entries=1_500, seed=4) as url:
        yield url


@pytest.fixture(scope="module")
def total(many):
    return query_of(many).count()


def query_of(url, **options):
    fast = {"required": REQUIRED, "sleep_time": 0.01, "max_requests_per_second": None, "progress": False}
    return ArchiveQuery(url=str(url), **(fast | options))


def test_in_bulk_a_maximum_that_was_not_given_means_all(many, total):
    assert total > 1_000
    query = query_of(many)
    assert query.results_max == 1_000 and query.fetch() == 1_000
    assert query.plan().total == total and query.plan().cap is None
    assert len(query.to_dask_dataframe()) == total
    assert sum(len(part) for part in dask.compute(*query.to_delayed())) == total
    again = ArchiveQuery(url=str(many), results_max=pickle.loads(pickle.dumps(query)).results_max)
    assert again.plan().total == total


def test_the_same_number_given_is_a_maximum(many, total):
    query = query_of(many, results_max=1_000)
    assert query.plan().total == len(query.to_dask_dataframe()) == 1_000
    assert dask.base.tokenize(query) != dask.base.tokenize(query_of(many))


@pytest.mark.parametrize("make", ["plan", "to_delayed", "to_dask_dataframe"])
def test_a_maximum_that_excludes_entries_is_noted(many, total, make, capsys):
    getattr(query_of(many, results_max=300, progress=True), make)()
    assert f"300 of {total:,} that match: results_max=300" in capsys.readouterr().err
    getattr(query_of(many, results_max=total, progress=True), make)()
    assert "that match" not in capsys.readouterr().err


def test_plan_and_report_name_the_maximum(many, total):
    words = f"300 of {total:,} that match: results_max=300"
    plan = query_of(many, results_max=300).plan()
    assert words in str(plan) and Plan.from_json(plan.to_json()) == plan
    report = Report.of(plan, [])
    assert words in repr(report) and words in report._repr_html_()
    assert "that match" not in repr(Report.of(query_of(many).plan(), []))


def test_fetch_says_that_its_default_excludes_entries(many, total, capsys):
    query = query_of(many, progress=True)
    query.fetch(500)
    assert "that match" not in capsys.readouterr().err
    query.fetch()
    assert f"1,000 of {total:,} that match: results_max=1000" in capsys.readouterr().err


def test_a_query_without_matches_says_what_is_usual(many, capsys):
    query = query_of(many, query={"results.material.elements": "ti"}, progress=True)
    assert query.fetch() == 0
    assert "no entry matches the query: results.material.elements: " in capsys.readouterr().err
    with pytest.warns(UserWarning, match="case-sensitive: 'Ti', not 'ti'"):
        assert query.plan().total == 0
    with pytest.warns(UserWarning, match="case-sensitive: 'Ti', not 'ti'"):
        assert len(query.to_dask_dataframe().compute()) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        query_of(many, query={"results.material.elements": "Ti"}).plan()
