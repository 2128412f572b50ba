"""What servers answer by mistake or malice, from the outside: rows, named failures, or one of our errors."""

import json
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from raw import IDS, archives, asked, listing, raw

from nomad_dask import ArchiveQuery
from nomad_dask.errors import NomadDaskError, ServerError

HOW = {"required": {"results": "*"}, "progress": False, "retry": 1, "sleep_time": 0.01}
HOW |= {"max_requests_per_second": None}
BOM = b"\xef\xbb\xbf"


def query_of(url, **options):
    return ArchiveQuery(url=url, **(HOW | options))


def server(change_listing=lambda page: page, change_archives=lambda page: page, schema=None, headers=None):
    """A right server but for these changes."""

    def answer(path, body):
        if path == "entries/query":
            found = change_listing(listing(body))
        elif path == "entries/archive/query":
            found = change_archives(archives(body))
        elif path.startswith("schemas/") and schema is not None:
            found = schema
        elif path == "auth/token":
            found = {"access_token": "abc"}
        else:
            return 404, {}, b"{}"
        return found if isinstance(found, tuple) else (200, headers or {}, json.dumps(found).encode())

    return raw(answer)


def with_mark(page):
    return 200, {}, BOM + json.dumps(page).encode()


def without_uploads(page, **value):
    rows = [{k: v for k, v in row.items() if k != "upload_id"} | value for row in page["data"]]
    return {**page, "data": rows}


def total_as(kind):
    return lambda page: {**page, "pagination": {"total": kind(page["pagination"]["total"])}}


@pytest.mark.parametrize(
    "changes",
    [
        {"change_listing": with_mark, "change_archives": with_mark},
        {"change_listing": total_as(float)},
        {"change_listing": without_uploads},
        {"change_listing": lambda page: without_uploads(page, upload_id=None)},
        {
            "headers": {
                "Date": "Sat, 99 Nov 99999 11:59:00 +99999999",
                "Retry-After": "x",
                "Content-Type": "\x1b[31m",
            }
        },
        {"schema": {"properties": {"results": 7}, "$defs": [], "$ref": 7}},
        {"schema": {"properties": [], "$defs": {"a": 7}}},
        {"schema": {"properties": {"results": {"$ref": {"a": 1}, "allOf": 7, "unit": {}, "properties": []}}}},
    ],
    ids=["bom", "total", "no upload", "null upload", "headers", "schema", "schema 2", "schema 3"],
)
def test_what_has_one_meaning_costs_nothing(changes):
    with server(**changes) as (url, requests):
        query = query_of(url)
        assert query.count() == 26
        assert [archive.entry_id for archive in query.download()] == IDS and not query.failures
        assert len(requests) < 12, "nothing was asked twice"
        (lazy,) = query_of(url).to_delayed(npartitions=1)
        frame = lazy.compute(scheduler="sync")
        assert len(frame) == 26 and frame["results.n"].tolist() == [1] * 26


def first_row(**value):
    return lambda page: {**page, "data": [page["data"][0] | value, *page["data"][1:]]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (total_as(str), "pagination.total is '26', not a whole number"),
        (total_as(lambda total: -total), "pagination.total is -26, not a whole number"),
        (first_row(entry_id=["A"]), "data.0.entry_id is a list, not an id"),
        (first_row(entry_id={}), "data.0.entry_id is an object, not an id"),
        (first_row(upload_id=3), "data.0.upload_id is 3, not a string"),
        (lambda page: page["data"], "the listing is a list, not an object"),
        (
            lambda page: {**page, "pagination": page["pagination"] | {"next_page_after_value": 3}},
            "pagination.next_page_after_value is 3, not a string",
        ),
    ],
)
def test_a_wrong_listing_is_an_error_that_names_the_field(change, words):
    with server(change) as (url, requests), pytest.raises(ServerError) as caught:
        query_of(url).fetch()
    assert "invalid answer: the listing" in str(caught.value) and words in str(caught.value)
    assert len(requests) == 2


@pytest.mark.parametrize(
    "wrong", [{"archive": 7}, {"archive": None}, {"entry_id": 7}, {"entry_id": []}], ids=str
)
def test_a_wrong_row_is_a_failure_of_its_entry_alone(wrong):
    def spoilt(page):
        return {"data": [row | wrong if row["entry_id"] == IDS[7] else row for row in page["data"]]}

    with server(change_archives=spoilt) as (url, requests):
        query = query_of(url)
        assert [archive.entry_id for archive in query.download()] == sorted({*IDS} - {IDS[7]})
        (failure,) = query.failures
        field = "archive" if "archive" in wrong else "entry_id"
        assert failure.entry_id == IDS[7]
        assert failure.reason.startswith(f"invalid answer: the answer's data.0.{field}")
        assert len(requests) < 25


@pytest.mark.parametrize("expires_in", [-1, "soon", 1e300, None, [], {"a": 1}])
def test_an_odd_expires_in_costs_nothing(expires_in):
    def answer(path, body):
        if path == "auth/token":
            return {"access_token": "abc", "expires_in": expires_in}
        return listing(body)

    with raw(answer) as (url, requests):
        query = query_of(url, username="ada", password="pw")
        assert query.count() == query.count() == 26
        assert [path for path, _ in requests] == ["auth/token", "entries/query", "entries/query"]


@pytest.mark.parametrize("token", ["S3CRET\nX-Evil: 1", 7, None, "S3CR€T"])
def test_a_token_that_is_none_is_an_error_that_does_not_repeat_it(token):
    answer, said = (
        {"access_token": token},
        pytest.raises(NomadDaskError, match="access_token is not a string"),
    )
    with raw(lambda path, body: answer) as (url, _), said as caught:
        query_of(url, username="ada", password="pw").count()
    assert "S3CR" not in str(caught.value)


@pytest.mark.parametrize(
    "header", ["Thu, 01 Jan 1970 00:00:00 +99999999999999", "nan", "1e999", "Mon, 01 Jan 0001 00:00:00 GMT"]
)
def test_an_absurd_retry_after_is_passed_over(header):
    answers = iter([(503, {"Retry-After": header}, b"later")])
    with raw(lambda path, body: next(answers, None) or listing(body)) as (url, requests):
        assert query_of(url).count() == 26 and len(requests) == 2


@pytest.mark.parametrize(
    "date", ["Sat, 99 Nov 99999 11:59:00 +99999999", "Mon, 01 Jan 0001 00:00:00 GMT", "", "now"]
)
def test_an_absurd_date_does_not_become_the_begin_of_a_dataset(date):
    from nomad_dask.client.event_loop import run
    from nomad_dask.client.search import server_time
    from nomad_dask.client.server import Server
    from nomad_dask.client.transport import Client

    with server(headers={"Date": date}) as (url, _):
        moment = datetime.fromisoformat(run(server_time(Client(Server(url)))))
    assert datetime(2000, 1, 1, tzinfo=UTC) <= moment <= datetime.now(UTC)


def test_all_archives_wrong_ends_soon():
    with server(change_archives=lambda page: {"data": "none"}) as (url, requests):
        query = query_of(url)
        assert query.download() == [] and len(query.failures) == 26
        assert {failure.reason for failure in query.failures} == {
            "invalid answer: the answer's data is 'none', not a list"
        }
        assert len(requests) < 8 * 26
    assert asked({"query": {"entry_id:any": [1]}}) == [1]


@pytest.mark.parametrize(
    "sent", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x1b[31m\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 50_000]
)
def test_what_is_no_http_is_our_error(sent):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            with suppress(OSError):
                while True:
                    with listening.accept()[0] as connection:
                        connection.recv(65536)
                        connection.sendall(sent)

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1"
        with pytest.raises(NomadDaskError) as caught:
            query_of(url, retry=0).count()
        listening.shutdown(socket.SHUT_RDWR)
    assert "\x1b" not in str(caught.value)
