"""SPEC, "Retries", "Limits": one loop and session per process, over real sockets."""

import asyncio
import multiprocessing
import os
import threading
import time

import pytest

from nomad_dask.client import transport
from nomad_dask.client.event_loop import run
from nomad_dask.client.server import Server
from nomad_dask.client.transport import RequestOptions
from nomad_dask.errors import RefusedError, ServerError, UnreachableError, UserError
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults, Reset, Rule, Stall, Status, Truncate


def anything(data):
    """Takes every answer as it is."""
    return data


LIST = {"owner": "public", "pagination": {"page_size": 3}, "required": {"include": ["entry_id"]}}


@pytest.mark.parametrize(
    "action",
    [
        Status(500),
        Status(502, html=True),
        Status(503, html=True),
        Status(504),
        Status(429, retry_after=0),
        Status(408),
        Reset(),
        Truncate(0.5),
        Stall(30),
    ],
    ids=str,
)
def test_faults_are_retried_until_the_answer_is_whole(served, client_of, action):
    served.faults = Faults([Rule(action, nth=(1, 2))])
    client = client_of(served, timeout=0.5)
    answer = run(client.post("entries/query", LIST, anything))
    assert len(answer.data["data"]) == 3
    assert (client.stats.requests, client.stats.retries) == (3, 2)


def test_an_answer_that_is_no_json_is_retried(served, client_of):
    served.faults = Faults([Rule(Status(200, html=True), nth=(1,))])
    client = client_of(served)
    assert run(client.post("entries/query", LIST, anything)).data["pagination"]["total"] == 300
    assert client.stats.statuses == {"200": 2, "undecodable": 1}


def test_a_server_that_keeps_failing_is_an_error_with_its_words(served, client_of):
    served.faults = Faults([Rule(Status(502, html=True))])
    with pytest.raises(ServerError, match="5 times.*502") as caught:
        run(client_of(served).post("entries/query", LIST, anything))
    assert (caught.value.status, caught.value.attempts) == (502, 5)


def test_the_users_error_raises_at_once_with_the_servers_words(served, client_of):
    client = client_of(served)
    with pytest.raises(RefusedError, match="nope is not a doc quantity") as caught:
        run(client.post("entries/query", {"query": {"nope": 1}}, anything))
    assert caught.value.status == 422 and client.stats.requests == 1


def test_nothing_at_the_url_is_said_at_once(client_of):
    client = client_of("http://127.0.0.1:1/api/v1")
    with pytest.raises(
        UnreachableError, match=r"no NOMAD server answers at http://127\.0\.0\.1:1/api/v1"
    ) as raised:
        run(client.post("entries/query", LIST, anything, RequestOptions(known=False)))
    assert "ssl" not in str(raised.value)
    assert client.stats.requests == 1


@pytest.mark.parametrize(
    "url",
    ["", "nomad-lab.eu/api/v1", "ftp://x/api", "https://", "http://me:secret@x/api", "http://x/api?q=1"],
)
def test_urls_that_are_none(url):
    with pytest.raises(UserError, match="url") as caught:
        Server(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("https://h", "https://h/api/v1"),
        ("https://h/", "https://h/api/v1"),
        ("https://h/api", "https://h/api/v1"),
        ("https://h/x/y/api/v1/", "https://h/x/y/api/v1"),
        ("https://h/x", "https://h/x/api/v1"),
        ("https://h/api/v2", "https://h/api/v2"),
    ],
)
def test_the_base_url_is_completed(given, base):
    assert Server(given).url == base


def test_connections_are_reused(served, client_of):
    client = client_of(served, concurrency=2)

    async def ask_many():
        await asyncio.gather(*(client.post("entries/query", LIST, anything) for _ in range(40)))
        idle = transport._session().connector._conns
        return sum(len(open_ones) for key, open_ones in idle.items() if f":{key.port}/" in served)

    assert 1 <= run(ask_many()) <= 2


def test_concurrency_is_held_over_all_threads(client_of):
    """As many requests at the server at once as allowed, and never more."""
    with serve(n_entries=20, faults=Faults(latency=0.02)) as url:
        seen, now, lock = [], [0], threading.Lock()
        plan = url.faults.plan

        def counted(request):
            with lock:
                now[0] += 1
                seen.append(now[0])
            return plan(request)

        url.faults.plan = counted
        url.server.log.add = lambda entry, add=url.server.log.add: (
            add(entry),
            now.__setitem__(0, now[0] - 1),
        )
        threads = [
            threading.Thread(
                target=lambda: run(client_of(url, concurrency=3).post("entries/query", LIST, anything))
            )
            for _ in range(24)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(seen) == 24 and max(seen) <= 3


def test_the_rate_is_held_retries_included(served, client_of):
    served.faults = Faults([Rule(Status(500), nth=tuple(range(1, 12)))])
    client = client_of(served, rate=100)

    async def ask_many():
        await asyncio.gather(*(client.post("entries/query", LIST, anything) for _ in range(20)))

    began = time.monotonic()
    run(ask_many())
    assert client.stats.requests > 20
    assert time.monotonic() - began >= (client.stats.requests - 1) / 100


def test_gzip_is_asked_for_and_understood(client_of):
    with serve(n_entries=50, gzip=True) as url:
        answer = run(client_of(url).post("entries/query", LIST | {"pagination": {"page_size": 50}}, anything))
        assert len(answer.data["data"]) == 50
        assert answer.n_bytes > url.log.bytes > 0


def test_it_works_inside_a_running_event_loop(archive, client_of):
    async def notebook_cell():
        return run(client_of(archive).post("entries/query", LIST, anything))

    assert asyncio.run(notebook_cell()).data["pagination"]["total"] == 300


def _in_child(url, client_of, answers):
    answers.put((os.getpid(), len(run(client_of(url).post("entries/query", LIST, anything)).data["data"])))


def test_a_forked_child_starts_anew(archive, client_of):
    run(client_of(archive).post("entries/query", LIST, anything))
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(str(archive), client_of, answers))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    pid, rows = answers.get()
    assert pid != os.getpid() and rows == 3
    impatient = client_of(archive, timeout=3.0)
    assert len(run(impatient.post("entries/query", LIST, anything)).data["data"]) == 3
    assert impatient.stats.requests == 1, "the child has taken the parent's loop down with it"
