"""SPEC, "ArchiveQuery", "Fetch and download": as in the guide, and correct where the server misbehaves."""

import asyncio
import pickle

import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.errors import ProtocolError, RefusedError, RequiredError, ServerError, UserError
from nomad_dask.testing import serve
from nomad_dask.testing.faults import (
    Drop,
    Faults,
    InflateTotal,
    Reorder,
    RepeatCursor,
    Reset,
    Rule,
    Status,
    Truncate,
)
from nomad_dask.testing.generate import PLAIN, generate

REQUIRED = {"results": {"material": {"elements": "*"}}}
ARCHIVES = "entries/archive/query"


@pytest.fixture
def served():
    with serve(generate(60, seed=2, features=PLAIN)) as url:
        yield url


def query_of(url, **options):
    defaults = {"required": REQUIRED, "sleep_time": 0.01, "max_requests_per_second": None, "progress": False}
    return ArchiveQuery(url=str(url), **(defaults | options))


def ids_at(url):
    return [e.entry_id for e in url.corpus.entries if e.state == "public"]


def loop(query, n):
    """The guide's loop: download until nothing comes."""
    total = []
    while True:
        result = query.download(n)
        if len(result) == 0:
            return total
        total += result


def test_fetch_then_download_as_in_the_guide(served, capsys):
    query = query_of(served, page_size=10, progress=True)
    assert query.fetch(10) == 10
    assert [e for e, _ in query.entry_list()] == ids_at(served)[:10]
    assert len(query.download(8)) == 8
    assert [e for e, _ in query.entry_list()] == ids_at(served)[8:10]
    capsys.readouterr()
    assert len(query.download(5)) == 5
    words = capsys.readouterr().err
    assert "Fetching remote uploads..." in words
    assert "10 entries are qualified and added to the download list." in words
    assert "Downloading 5 entries...  [####################################]  100%" in words
    assert len(query.entry_list()) == 7


def test_progress_false_is_silent(served, capsys):
    query_of(served).download(10)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize(
    ("results_max", "page_size", "added"), [(15, 10, 15), (60, 60, 60), (61, 7, 60), (0, 5, 0)]
)
def test_fetch_returns_exactly_what_was_added(served, results_max, page_size, added):
    query = query_of(served, results_max=results_max, page_size=page_size)
    assert query.fetch() == added == len(query.entry_list())
    assert query.fetch() == 0


def test_download_alone_fetches_up_to_the_maximum(served):
    assert len(query_of(served, results_max=25).download()) == 25
    assert len(query_of(served, results_max=None).download()) == 60


@pytest.mark.parametrize("n", [1, 7, 59, 60, 100])
def test_the_loop_delivers_each_entry_once(served, n):
    query = query_of(served, results_max=None, page_size=10)
    assert len(loop(query, n)) == 60 and query.entry_list() == []


def test_after_begins_in_the_middle(served):
    middle = ids_at(served)[30]
    query = query_of(served, after=middle)
    assert query.count() == 29 and query.fetch() == 29
    assert query.entry_list()[0][0] == ids_at(served)[31]
    tilde = query_of(served, after="~")
    assert tilde.fetch() == 0 and tilde.download() == []


def test_clear_begins_again(served):
    query = query_of(served, results_max=20)
    query.download(10)
    query.clear()
    assert query.entry_list() == [] and query.fetch() == 20


def test_a_dropped_entry_is_missing_and_the_rest_delivered(served):
    gone = ids_at(served)[5]
    served.faults = Faults(missing=[gone])
    query = query_of(served)
    assert len(loop(query, 7)) == 59
    assert [entry_id for entry_id, _ in query.missing] == [gone] and query.entry_list() == []


@pytest.mark.parametrize(
    "fault",
    [Reorder(), Reset(), Truncate(0.4), Status(503, html=True), Status(429, retry_after=0), Drop(1)],
    ids=str,
)
def test_faults_in_the_second_batch_lose_nothing_and_repeat_nothing(served, fault):
    served.faults = Faults([Rule(fault, path=ARCHIVES, nth=(2,))])
    archives = loop(query_of(served, page_size=10, batch_size=5), 10)
    index = {e.entry_id: i for i, e in enumerate(served.corpus.entries)}
    wanted = [served.corpus.archive(index[e])["results"]["material"]["elements"] for e in ids_at(served)]
    assert sorted(a["results"]["material"]["elements"] for a in archives) == sorted(wanted)


@pytest.mark.parametrize("fault", [RepeatCursor(), InflateTotal(5)], ids=str)
def test_a_list_that_breaks_the_rules_is_an_error_and_no_loop(served, fault):
    served.faults = Faults([Rule(fault, path="entries/query")])
    query = query_of(served, page_size=10, results_max=None)
    with pytest.raises(ProtocolError):
        loop(query, 10)


def test_failing_entries_stay_in_the_list_and_the_loop_ends(served):
    bad = ids_at(served)[10:15]
    served.faults = Faults(poison=bad)
    query = query_of(served, results_max=None, page_size=10, retry=1)
    assert len(loop(query, 5)) == 55
    assert [e for e, _ in query.entry_list()] == bad
    assert {f.entry_id for f in query.failures} == set(bad)
    failure = query.failures[0]
    assert failure.status == 500 and failure.attempts >= 2 and failure.reason and failure.upload_id
    served.faults = None
    assert len(query.download(5)) == 5
    assert query.entry_list() == [] and query.failures == []


def test_an_error_of_the_whole_request_keeps_the_list(served):
    query = query_of(served, retry=0)
    query.fetch(20)
    listed = query.entry_list()
    served.faults = Faults([Rule(Status(502))])
    with pytest.raises(ServerError):
        query.download(10)
    assert query.entry_list() == listed
    served.faults = None
    assert len(query.download(10)) == 10


@pytest.mark.parametrize("k", [1, 3, 6])
def test_an_error_on_the_way_gives_everything_back(served, k):
    """502s from the k-th batch on: what had come already is the list's again, and comes later."""
    query = query_of(served, retry=0, batch_size=2, max_concurrency=1, page_size=10)
    query.fetch(30)
    listed = query.entry_list()
    served.faults = Faults([Rule(Status(502), match=lambda body: len(asked) >= k or asked.append(1))])
    asked = []
    with pytest.raises(ServerError):
        query.download(20)
    assert query.entry_list() == listed
    with pytest.raises(ServerError):
        query.download(50)
    assert [e for e, _ in query.entry_list()] == [e for e, _ in listed] + [
        e for e, _ in query.entry_list()[len(listed) :]
    ]
    served.faults = None
    assert len(loop(query, 7)) == 60


def test_a_cancelled_download_gives_everything_back(served):
    query = query_of(served, batch_size=2, max_concurrency=1)

    async def cut_short():
        served.faults = Faults(latency=0.05)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(query.async_download(), 0.5)
        while len(query.entry_list()) not in (0, 60):
            await asyncio.sleep(0.01)

    asyncio.run(cut_short())
    served.faults = None
    assert len(loop(query, 20)) == 60


def test_calls_at_once_take_turns(served):
    query = query_of(served, page_size=5, results_max=25)

    async def all_at_once():
        return await asyncio.gather(
            *(query.async_download(5) for _ in range(4)), query.async_fetch(), query.async_fetch()
        )

    *downloads, _, _ = asyncio.run(all_at_once())
    rest = query.download()
    ids = [a.entry_id for found in (*downloads, rest) for a in found]
    assert len(ids) == len(set(ids)) == 25


def test_async_calls_and_sync_calls_inside_a_running_loop(served):
    query = query_of(served, page_size=10)

    async def cell():
        fetched = await query.async_fetch(10)
        found = await query.async_download(5)
        return fetched, len(found), query.fetch(10), len(query.download(5))

    assert asyncio.run(cell()) == (10, 5, 10, 5)
    assert len(query.entry_list()) == 10


def test_errors_raise_inside_a_running_loop(served):
    async def cell():
        query_of(served, query={"nope": 1}).fetch()

    with pytest.raises(RefusedError, match="nope is not a doc quantity"):
        asyncio.run(cell())


def test_required_in_another_order_asks_for_the_same_entries(served):
    one = query_of(served, required={"results": "*", "metadata": {"entry_id": "*"}})
    other = query_of(served, required={"metadata": {"entry_id": "*"}, "results": "*"})
    assert one.download() == other.download()


def test_a_query_pickles_and_begins_anew(served):
    query = query_of(served, results_max=10)
    query.fetch()
    again = pickle.loads(pickle.dumps(query))
    assert again.count() == 60 and again.owner == "visible"
    assert len(again.download()) == 10


def test_lazy_partitions_together_are_the_whole(served):
    import pandas as pd

    lazy = query_of(served, results_max=None).to_delayed(npartitions=4)
    served.log.clear()
    assert len(lazy) == 4
    frame = pd.concat([d.compute(scheduler="sync") for d in lazy])
    assert list(frame.index) == ids_at(served) and "results.material.elements" in frame


def test_a_lazy_partition_with_failures_raises_or_holds_nulls(served):
    from nomad_dask.errors import EntriesFailedError

    bad = ids_at(served)[3]
    served.faults = Faults(poison=[bad], seed=1)
    query = query_of(served, results_max=None, retry=0)
    with pytest.raises(EntriesFailedError, match=bad):
        query.to_delayed(npartitions=1)[0].compute(scheduler="sync")
    frame = query.to_delayed(npartitions=1, on_failure="null")[0].compute(scheduler="sync")
    assert list(frame.index) == ids_at(served) and frame.loc[bad].drop("upload_id").isna().all()
    with pytest.raises(UserError, match="on_failure"):
        query.to_delayed(on_failure="nul")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"query": ["x"]}, "query must be a dict"),
        ({"page_size": 0}, "page_size"),
        ({"owner": "me"}, "owner must be one of visible, public, user, .*got 'me'"),
        ({"owner": "pubic"}, "did you mean 'public'"),
        ({"sleep_time": -1}, "sleep_time"),
        ({"sleep_time": "x"}, "sleep_time"),
        ({"url": 5}, "url"),
        ({"results_max": -5}, "results_max"),
        ({"retry": -1}, "retry"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"max_requests_per_second": -1}, "max_requests_per_second"),
        ({"batch_size": 0}, "batch_size"),
        ({"timeout": 0}, "timeout"),
        ({"url": "localhost:8000"}, "url"),
        ({"required": {"run": 5}}, "run"),
        ({"required": {"run[a]": "*"}}, r"run\[a\]"),
    ],
    ids=str,
)
def test_arguments_are_checked_before_any_request(options, words):
    with pytest.raises(UserError, match=words):
        ArchiveQuery(**options)


def test_no_requests_a_second_is_no_limit_as_the_help_says():
    assert (
        ArchiveQuery(max_requests_per_second=0)._server.limits
        == ArchiveQuery(max_requests_per_second=None)._server.limits
    )


def test_a_query_says_what_it_asks_for_and_how_far_it_is(served):
    query = query_of(served, query={"results.material.elements:any": ["<Ti>"]}, page_size=10)
    assert "at most 1000)" in repr(query) and "results.material.elements" in repr(query)
    count = query.count()
    query.fetch(5)
    assert f"all of {count} that match (fetch and download: at most 1000)" in repr(query)
    html = query._repr_html_()
    assert "&lt;Ti&gt;" in html and "<Ti>" not in html and str(served) in html


def test_nomad_labs_name_for_n(served):
    query = query_of(served, page_size=10)
    assert query.fetch(number=10) == 10 and len(query.download(number=4)) == 4


def test_required_mistakes_are_required_errors():
    with pytest.raises(RequiredError, match=r"unknown directive 'nope' at run\.calculation"):
        ArchiveQuery(required={"run": {"calculation": "nope"}})
