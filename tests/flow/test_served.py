"""SPEC, "Embedded archive": over real sockets: pages, users, compression, log, faults."""

import gzip
import http.client
import json
import pickle
import socket
import urllib.parse
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomad_dask.testing import Corpus, Entry, Faults, Rule, Served, serve
from nomad_dask.testing.faults import (
    Change,
    Delay,
    Drop,
    EndEarly,
    InflateTotal,
    Reorder,
    RepeatCursor,
    Reset,
    Stall,
    Status,
    Truncate,
    Unasked,
)
from nomad_dask.testing.generate import PLAIN

ALPHABET = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
LISTING, ARCHIVES = "entries/query", "entries/archive/query"


class Small(Corpus):
    """Entries with little in them: ids spread over the alphabet, every seventh private to ada."""

    def __init__(self, n: int) -> None:
        ids = sorted(ALPHABET[k % 64] + ALPHABET[k * 31 // 64 % 64] + f"{k:026d}" for k in range(n))
        self._entries = [
            Entry(
                entry_id,
                f"upload{k % 5:016d}",
                "parsers/test",
                state="staging" if k % 7 == 6 else "public",
                main_author="ada" if k % 7 == 6 else "cy",
                coauthors=("bo",) if k % 14 == 13 else (),
                has_archive=k % 11 != 10,
            )
            for k, entry_id in enumerate(ids)
        ]

    @property
    def entries(self) -> Sequence[Entry]:
        return self._entries

    def document(self, i: int) -> dict[str, Any]:
        entry = self._entries[i]
        about = {"entry_id": entry.entry_id, "upload_id": entry.upload_id, "parser_name": entry.parser_name}
        return {**about, "results": {"material": {"n_elements": i % 4}}, "datasets": []}

    def archive(self, i: int) -> dict[str, Any]:
        entry = self._entries[i]
        return {"metadata": {"entry_id": entry.entry_id}, "run": [{"calculation": [{"value": i}] * 3}]}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


def ask(
    url: str, path: str, body: Any = None, *, method: str = "POST", timeout: float = 30, **headers: str
) -> Answer:
    """One request, on a connection of its own; `headers` with `_` for `-`."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method, f"{parts.path}/{path}", data, named)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def login(url: str, user: str) -> dict[str, str]:
    form = urllib.parse.urlencode({"grant_type": "password", "username": user, "password": f"{user}-pw"})
    token = ask(url, "auth/token", form, Content_Type="application/x-www-form-urlencoded").json
    return {"Authorization": f"Bearer {token['access_token']}"}


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.data
    return [row["entry_id"] for row in answer.json["data"]]


CORPUS = Small(300)
PUBLIC = [entry.entry_id for entry in CORPUS.entries if entry.state == "public"]


@pytest.fixture(scope="module")
def shared_url() -> Iterator[Served]:
    with serve(CORPUS) as url:
        yield url


@pytest.fixture
def url(shared_url: Served) -> Iterator[Served]:
    shared_url.log.clear()
    yield shared_url
    shared_url.faults = None


over_sockets = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
cursors = st.one_of(st.sampled_from(PUBLIC), st.text(ALPHABET, min_size=1, max_size=30), st.just("~"))


@over_sockets
@given(after=cursors, size=st.integers(1, 300))
def test_a_page_holds_what_follows_any_cursor(shared_url: Served, after: str, size: int) -> None:
    """A cursor need not exist; `total` is of the whole; a short page names no cursor."""
    answer = ask(shared_url, LISTING, {"pagination": {"page_after_value": after, "page_size": size}})
    start = bisect_right(PUBLIC, after)
    expected = PUBLIC[start : start + size]
    page = answer.json["pagination"]
    assert ids(answer) == expected
    assert page["total"] == len(PUBLIC)
    full = len(expected) == size < len(PUBLIC)
    assert page.get("next_page_after_value") == (expected[-1] if full else None)


@over_sockets
@given(
    size=st.integers(7, 300),
    order_by=st.sampled_from(["entry_id", "upload_id", "results.material.n_elements"]),
)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_walk_meets_every_entry_once(shared_url: Served, size: int, order_by: str, order: str) -> None:
    met: list[str] = []
    pagination = {"page_size": size, "order_by": order_by, "order": order}
    for _ in range(len(PUBLIC)):
        answer = ask(shared_url, LISTING, {"pagination": pagination})
        met += ids(answer)
        cursor = answer.json["pagination"].get("next_page_after_value")
        if cursor is None:
            break
        pagination = {**pagination, "page_after_value": cursor}
    assert sorted(met) == PUBLIC
    if order_by == "entry_id":
        assert met == sorted(PUBLIC, reverse=order == "desc")


@over_sockets
@given(low=cursors, high=cursors, n=st.integers(0, 3), form=st.integers(0, 2))
def test_bounds_on_ids_and_a_query_hold_together(
    shared_url: Served, low: str, high: str, n: int, form: int
) -> None:
    """Whether the index of ids answers the bounds or each entry is looked at, the hits are the same."""
    quantity = {"results.material.n_elements": n}
    bounds = {"entry_id": {"gt": low, "lte": high}}
    query = [
        {"and": [quantity, bounds]},
        {**quantity, **bounds},
        {"not": {"or": [{"not": quantity}, {"not": bounds}]}},
    ][form]
    answer = ask(shared_url, LISTING, {"query": query, "pagination": {"page_size": 300}})
    numbers = {entry.entry_id: i % 4 for i, entry in enumerate(CORPUS.entries)}
    assert ids(answer) == [x for x in PUBLIC if numbers[x] == n and low < x <= high]


@over_sockets
@given(some=st.lists(st.sampled_from(["nope", *(entry.entry_id for entry in CORPUS.entries)]), max_size=20))
def test_ids_are_found_once_each_and_only_where_visible(shared_url: Served, some: list[str]) -> None:
    answer = ask(shared_url, LISTING, {"query": {"entry_id:any": some}, "pagination": {"page_size": 300}})
    assert ids(answer) == sorted(set(some) & set(PUBLIC))


def test_offsets_end_at_ten_thousand(url: Served) -> None:
    assert ask(url, LISTING, {"pagination": {"page_size": 100, "page": 100}}).status == 200
    beyond = ask(url, LISTING, {"pagination": {"page_size": 100, "page": 101}})
    assert beyond.status == 400
    assert "[10100]" in beyond.json["detail"]
    assert ids(ask(url, LISTING, {"pagination": {"page_size": 5, "page_offset": 3}})) == PUBLIC[3:8]


@pytest.mark.parametrize(
    "query",
    [
        {"nope": 1},
        {"entry_id:like": "A"},
        {"entry_id:gt": "A", "entry_id:lte": "M"},
        {"entry_id": "A", "entry_id:lte": "M"},
        {"and": [{"results": {"material": {"nope": 1}}}]},
        {"entry_id:any": "A"},
        ["entry_id"],
    ],
)
def test_a_query_that_nomad_does_not_know_is_a_422(url: Served, query: Any) -> None:
    answer = ask(url, LISTING, {"query": query})
    assert answer.status == 422
    assert answer.json["detail"][0]["msg"]


def test_more_terms_than_the_search_engine_takes_are_a_400(url: Served) -> None:
    some = [str(k) for k in range(65_537)]
    assert ask(url, LISTING, {"query": {"entry_id:any": some[1:]}}).status == 200
    assert ask(url, LISTING, {"query": {"entry_id:any": some}}).status == 400


def test_an_entry_without_archive_is_counted_and_left_out(url: Served) -> None:
    answer = ask(
        url, ARCHIVES, {"pagination": {"page_size": 300}, "required": {"run": {"calculation[-1]": "*"}}}
    )
    has = {entry.entry_id: i for i, entry in enumerate(CORPUS.entries) if entry.has_archive}
    assert ids(answer) == [x for x in PUBLIC if x in has]
    assert answer.json["pagination"]["total"] == len(PUBLIC)
    assert answer.json["data"][5]["archive"] == {
        "run": [{"calculation": [{"value": has[ids(answer)[5]]}]}],
        "m_ref_archives": {},
    }


@pytest.mark.parametrize(("user", "sees"), [("ada", lambda k: k % 7 == 6), ("bo", lambda k: k % 14 == 13)])
def test_private_entries_are_for_their_authors_only(url: Served, user: str, sees: Any) -> None:
    page = {"pagination": {"page_size": 300}}
    private = [entry.entry_id for k, entry in enumerate(CORPUS.entries) if sees(k)]
    mine = login(url, user)
    assert ids(ask(url, LISTING, {"owner": "visible", **page}, **mine)) == sorted(PUBLIC + private)
    assert ids(ask(url, LISTING, {"owner": "shared", **page}, **mine)) == private
    assert ids(ask(url, LISTING, {"owner": "visible", **page})) == PUBLIC
    assert ids(ask(url, LISTING, {**page}, **mine)) == PUBLIC


@pytest.mark.parametrize("path", ["uploads/{upload_id}/archive/{entry_id}", "entries/{entry_id}/archive"])
def test_the_archive_of_one_entry_is_for_those_who_may_see_it(url: Served, path: str) -> None:
    """As the page has it: private ones with their users' tokens, 404 for all others, and where there is no
    archive.
    """

    def one(k: int, **headers: str) -> Answer:
        entry = CORPUS.entries[k]
        asked = path.format(entry_id=entry.entry_id, upload_id=entry.upload_id)
        return ask(url, asked, method="GET", **headers)

    row = ask(url, ARCHIVES, {"query": {"entry_id": PUBLIC[0]}}).json["data"][0]
    assert one(0).json == {"entry_id": PUBLIC[0], "required": "*", "data": row}
    absent = "The entry does not exist or is not visible to you."
    assert (one(13).status, one(13).json) == (404, {"detail": absent})
    assert (one(13, **login(url, "dee")).status, one(13, Authorization="Bearer x").status) == (404, 401)
    assert [one(13, **login(url, user)).status for user in ("ada", "bo")] == [200, 200]
    assert (one(10).status, one(10).json) == (
        404,
        {"detail": "The entry does exist, but it has no archive."},
    )
    nobody = ask(url, path.format(entry_id="nobody", upload_id="upload"), method="GET")
    assert (nobody.status, nobody.json) == (404, {"detail": absent})
    url.faults = Faults(missing=[PUBLIC[0]], poison=[PUBLIC[1]])
    assert (one(0).status, one(1).status) == (404, 500)


def test_an_upload_has_its_own_entries_only(url: Served) -> None:
    first, second = CORPUS.entries[:2]
    answer = ask(url, f"uploads/{second.upload_id}/archive/{first.entry_id}", method="GET")
    assert (answer.status, answer.json["detail"]) == (
        404,
        "The entry does not exist or is not visible to you.",
    )


def test_an_edit_of_pages_leaves_the_archive_of_one_entry(url: Served) -> None:
    path = f"entries/{PUBLIC[0]}/archive"
    right = ask(url, path, method="GET").json
    url.faults = Faults([Rule(Reorder())])
    assert ask(url, path, method="GET").json == right


@pytest.mark.parametrize(
    ("version", "said"), [("1.3", "1.3.0"), ("2.0", "2.0.0"), ("2.0.0", "2.0.0"), ("1.3.16", "1.3.16")]
)
def test_info_tells_the_version_that_the_server_answers_like(version: str, said: str) -> None:
    with serve(CORPUS, version=version) as url:
        assert ask(url, "info", method="GET").json["version"] == said


def test_a_token_expires(url: Served) -> None:
    url.server.users.token_seconds = -1
    try:
        late = login(url, "ada")
    finally:
        url.server.users.token_seconds = 3600
    assert ask(url, LISTING, {"owner": "public"}, **late).status == 401
    assert ask(url, LISTING, {"owner": "public"}, **login(url, "ada")).status == 200


def test_a_token_of_another_server_is_refused(url: Served) -> None:
    with serve(CORPUS) as other:
        assert ask(url, LISTING, {}, **login(other, "ada")).status == 401


def test_the_older_server_has_its_own_login_and_no_schema() -> None:
    """NOMAD 1.3 gives tokens by GET, or POST without grant_type; `any` of nothing is everything."""
    with serve(CORPUS, version="1.3") as url:
        assert ask(url, "auth/token?username=ada&password=ada-pw", method="GET").json["access_token"]
        assert ask(url, "auth/token?username=ada&password=nope", method="GET").status == 401
        assert ask(url, "auth/token", "username=ada&password=ada-pw").json["access_token"]
        schema = "schemas/nomad.datamodel.datamodel.EntryArchive?property_subtypes=true"
        assert ask(url, schema, method="GET").status == 404
        assert ids(ask(url, LISTING, {"query": {"entry_id:any": []}})) == PUBLIC[:10]


def test_bodies_are_compressed_when_asked_for_and_only_by_a_server_that_does() -> None:
    body = {"pagination": {"page_size": 300}}
    with serve(CORPUS, gzip=True) as url:
        plain, packed = ask(url, LISTING, body), ask(url, LISTING, body, Accept_Encoding="br, gzip")
        assert plain.headers["Content-Encoding"] is None
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.data) == plain.data
        assert len(packed.data) < len(plain.data) / 3
        assert url.log.bytes == len(packed.data) + len(plain.data)


@pytest.mark.parametrize("total", [10**30, 10**400, "\u00fc"], ids=["long", "longer", "text"])
def test_an_answer_may_be_changed_to_any_json(url: Served, total: Any) -> None:
    url.faults = Faults([Rule(Change(lambda answer: {**answer, "total": total}), path=LISTING)])
    answer = ask(url, LISTING, {})
    assert answer.status == 200 and json.loads(answer.data)["total"] == total


def test_without_gzip_nothing_is_compressed(url: Served) -> None:
    assert ask(url, LISTING, {}, Accept_Encoding="gzip").headers["Content-Encoding"] is None


def test_the_log_tells_what_was_asked_and_never_a_password(url: Served) -> None:
    mine = login(url, "ada")
    sent = len(ask(url, LISTING, {"owner": "shared"}, **mine).data)
    ask(url, ARCHIVES, "{no json")
    token, listing, broken = url.log
    assert (token.path, token.body, token.status) == ("auth/token", None, 200)
    assert (listing.method, listing.path, listing.body) == ("POST", LISTING, {"owner": "shared"})
    assert (listing.user, listing.status, listing.sent, listing.authorization) == ("ada", 200, sent, True)
    assert (broken.status, broken.body, broken.user, broken.authorization) == (422, "{no json", None, False)
    assert broken.n == listing.n + 1
    assert (url.log.count(LISTING), url.log.count(), url.log.count(status=422)) == (1, 3, 1)
    assert "ada-pw" not in repr(list(url.log))
    url.log.clear()
    assert (len(url.log), url.log.count(), url.log.bytes) == (0, 0, 0)


def test_the_log_is_bounded_and_its_counters_are_not() -> None:
    with serve(CORPUS, keep_log=2) as url:
        for _ in range(5):
            ask(url, LISTING, {"pagination": {"page_size": 0}})
        assert len(url.log) == 2
        assert url.log.count(LISTING) == 5


def test_the_url_is_text_and_pickles_as_text(url: Served) -> None:
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/api/v1")
    assert type(pickle.loads(pickle.dumps(url))) is str


def test_an_ended_server_does_not_listen() -> None:
    with serve(CORPUS) as url:
        assert ask(url, "info", method="GET").status == 200
    with pytest.raises(ConnectionRefusedError):
        ask(url, "info", method="GET")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("nope", "POST", 404),
        (LISTING, "GET", 405),
        ("info", "POST", 405),
        ("entries/nobody/archive", "POST", 405),
        ("entries/nobody/archives", "GET", 404),
    ],
)
def test_what_is_not_there_is_refused_as_nomad_does(url: Served, path: str, method: str, status: int) -> None:
    answer = ask(url, path, {}, method=method)
    assert (answer.status, list(answer.json)) == (status, ["detail"])


def test_a_status_in_the_html_of_the_proxy(url: Served) -> None:
    url.faults = Faults([Rule(Status(503, html=True, retry_after=2), times=1)])
    answer = ask(url, LISTING, {})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert answer.headers["Content-Type"] == "text/html"
    assert b"<center>nginx</center>" in answer.data
    assert url.log[0].fault == Status(503, html=True, retry_after=2)
    assert ask(url, LISTING, {}).status == 200


def test_a_reset_is_a_reset(url: Served) -> None:
    url.faults = Faults([Rule(Reset(), times=1)])
    with pytest.raises(ConnectionResetError):
        ask(url, LISTING, {})
    assert (url.log[0].status, url.log[0].sent) == (0, 0)
    assert ask(url, LISTING, {}).status == 200


def test_a_truncated_body_is_shorter_than_announced(url: Served) -> None:
    whole = ask(url, LISTING, {}).data
    url.faults = Faults([Rule(Truncate(0.3))])
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(url, LISTING, {})
    assert cut.value.partial == whole[: int(len(whole) * 0.3)]
    assert len(cut.value.partial) + (cut.value.expected or 0) == len(whole)


def test_a_stall_begins_and_goes_silent() -> None:
    with serve(CORPUS, faults=Faults([Rule(Stall(3600))])) as url:
        with pytest.raises(TimeoutError):
            ask(url, LISTING, {}, timeout=0.1)
        assert url.log[0].fault == Stall(3600)


def test_a_late_answer_is_a_right_answer(url: Served) -> None:
    url.faults = Faults([Rule(Delay(0.01))])
    assert ids(ask(url, LISTING, {})) == PUBLIC[:10]


@pytest.mark.parametrize("path", [LISTING, ARCHIVES])
def test_answers_are_edited(url: Served, path: str) -> None:
    """Wrong order, cursor, total, rows and end: each in an answer that is right otherwise."""
    body = {"pagination": {"page_size": 5, "page_after_value": "A"}}
    right = ask(url, path, body).json
    rows, page = right["data"], right["pagination"]

    def edited(action: Any) -> Any:
        url.faults = Faults([Rule(action)])
        return ask(url, path, body).json

    assert edited(Reorder())["data"] == rows[::-1]
    assert edited(RepeatCursor())["pagination"]["next_page_after_value"] == "A"
    assert edited(InflateTotal(7))["pagination"]["total"] == page["total"] + 7
    assert edited(Unasked(("x" * 28,)))["data"] == [*rows, {**rows[0], "entry_id": "x" * 28}]
    assert "next_page_after_value" not in edited(EndEarly())["pagination"]
    assert edited(Drop(2))["data"] == rows[:-2]


def test_missing_and_poison_entries(url: Served) -> None:
    """One is dropped without a word, the other makes each of its pages a 500; lists show both."""
    _, missing, poison, *_ = ids(ask(url, ARCHIVES, {}))
    url.faults = Faults(missing=[missing], poison=[poison])
    assert ids(ask(url, LISTING, {})) == PUBLIC[:10]
    assert ids(ask(url, ARCHIVES, {"query": {"entry_id:any": [missing, PUBLIC[0]]}})) == [PUBLIC[0]]
    broken = ask(url, ARCHIVES, {})
    assert broken.status == 500
    assert broken.json["detail"]["reason"] == "Unexpected exception while handling your request"


def test_an_upload_whose_files_are_gone_spoils_each_of_its_pages() -> None:
    """Every archive page with one of its entries is a 500; listings show them."""
    with serve(n_entries=60, kind="small", features={**PLAIN, "upload without files": 0.3}) as url:
        entries = [entry for entry in url.corpus.entries if entry.state == "public"]
        whole = {"pagination": {"page_size": 100}}
        assert ids(ask(url, LISTING, whole)) == [entry.entry_id for entry in entries]
        assert ask(url, ARCHIVES, whole).status == 500
        assert {entry.has_files for entry in entries} == {True, False}
        for entry in entries:
            status = 200 if entry.has_files else 500
            assert ask(url, ARCHIVES, {"query": {"entry_id": entry.entry_id}}).status == status
            assert ask(url, f"entries/{entry.entry_id}/archive", method="GET").status == status


def test_above_the_rate_limit_the_proxy_answers_503(url: Served) -> None:
    url.faults = Faults(requests_per_second=0.001)
    assert [ask(url, LISTING, {}).status for _ in range(3)] == [200, 503, 503]
    assert url.log[2].fault == "limit"


def test_connections_are_kept_and_used_again(url: Served) -> None:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    sockets: set[socket.socket] = set()
    for _ in range(3):
        connection.request("POST", f"{parts.path}/{LISTING}", "{}")
        connection.getresponse().read()
        sockets.add(connection.sock)
    connection.close()
    assert len(sockets) == 1
