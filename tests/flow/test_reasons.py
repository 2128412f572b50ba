"""SPEC, "Batches": of several faults of an entry, the most specific one is its reason, not the last."""

import pytest
from raw import IDS, archives, asked, listing, raw

from nomad_dask import ArchiveQuery
from nomad_dask.errors import ServerError
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults, Reset, Rule, Status

HOW = {"required": {"results": "*"}, "progress": False, "sleep_time": 0.01, "max_requests_per_second": None}


def test_a_poison_entry_is_named_by_what_the_server_says_of_it():
    """The last answers are cut connections: that is not what the entry fails of."""
    with serve(n_entries=40, seed=1) as url:
        (poison,) = [e.entry_id for e in url.corpus.entries if e.state == "public" and e.has_archive][7:8]
        alone = {"match": lambda body: body["query"].get("entry_id:any") == [poison]}
        url.faults = Faults([Rule(Reset(), nth=(3, 4, 5), path="archive/query", **alone)], poison={poison})
        query = ArchiveQuery(url=url, **HOW)
        query.download()
        (failure,) = query.failures
        assert (failure.entry_id, failure.status) == (poison, 500)
        assert failure.reason.startswith("status 500: ")


@pytest.mark.parametrize("words", ["status 500", "no such file"])
def test_a_status_is_said_once(words):
    def answer(path, body):
        if path == "entries/query":
            return listing(body)
        if IDS[3] in asked(body):
            return 500, {}, b'{"detail": "%s"}' % words.encode()
        return archives(body)

    with raw(answer) as (url, _):
        query = ArchiveQuery(url=url, **HOW)
        assert len(query.download()) == 25
        (failure,) = query.failures
    assert failure.reason == ("status 500" if words == "status 500" else "status 500: no such file")


def test_a_server_that_fails_in_several_ways_is_named_by_the_most_telling():
    with serve(n_entries=5) as url:
        url.faults = Faults([Rule(Status(500), nth=(2,)), Rule(Reset())])
        with pytest.raises(
            Exception, match="failed 5 times: status 500: Injected by the fault script"
        ) as caught:
            ArchiveQuery(url=url, **HOW).count()
    assert caught.value.status == 500


@pytest.mark.parametrize("status", [429, 503])
def test_that_the_server_takes_every_question_for_one_too_many_is_no_entrys_fault(status):
    """Its listing goes on meanwhile, as with NOMAD, whose limits are for each kind of question."""
    with raw(lambda path, body: listing(body) if path == "entries/query" else (status, {}, b"later")) as (
        url,
        requests,
    ):
        query = ArchiveQuery(url=url, retry=1, batch_size=13, **HOW)
        with pytest.raises(ServerError, match=f"failed 5 times: status {status}: later"):
            query.download()
        assert not query.failures
        assert sum(path == "entries/archive/query" for path, _ in requests) <= 20


@pytest.mark.parametrize("status", [429, 503])
def test_an_entry_that_is_refused_so_while_others_come_is_a_failure(status):
    def answer(path, body):
        if path == "entries/query":
            return listing(body)
        return (status, {}, b"later") if IDS[3] in asked(body) else archives(body)

    with raw(answer) as (url, _):
        query = ArchiveQuery(url=url, retry=0, batch_size=2, **HOW)
        assert len(query.download()) == 25
        (failure,) = query.failures
    assert (failure.entry_id, failure.status) == (IDS[3], status)
