"""SPEC, "Responses": the limit of an answer holds while it streams; larger batches are halved."""

import asyncio
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import IDS, archives, asked, bomb, endless, listing, raw

from nomad_dask import ArchiveQuery
from nomad_dask.client import search, transport
from nomad_dask.client.archives import DownloadOptions
from nomad_dask.client.archives import documents as archives_of
from nomad_dask.client.event_loop import iterate, run
from nomad_dask.client.retry import Policy
from nomad_dask.client.search import count
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client, CutOffError, TooLargeError, read_beginning, read_body
from nomad_dask.common import memory
from nomad_dask.errors import AnswerTooLargeError, EntriesFailedError, ProtocolError, ServerError, UserError
from nomad_dask.limits import BatchSize
from nomad_dask.request import QuerySpec, required_of
from nomad_dask.request.required import parse
from nomad_dask.request.segments import Segment

GZIP = {"Content-Encoding": "gzip"}
QUESTION = QuerySpec("visible", {}, parse({"results": "*"}))
PACK = {
    "": lambda data: data,
    "gzip": lambda data: packed(data, 31),
    "deflate": lambda data: packed(data, 15),
}


def packed(data, window):
    packer = zlib.compressobj(6, zlib.DEFLATED, window)
    return packer.compress(data) + packer.flush()


async def chunked(body, size):
    for start in range(0, len(body), size):
        yield body[start : start + size]


def whole(body, encoding, size, most):
    return asyncio.run(read_body(chunked(body, size), encoding, most))


BODIES = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda piece, n: piece * n, st.binary(max_size=9), st.integers(0, 2**17)),
)


@given(BODIES, st.sampled_from(["", "gzip", "deflate", "raw"]), st.integers(1, 5000), st.integers(1, 3))
def test_a_body_is_read_as_it_was_sent(data, encoding, size, members):
    """In any chunks; gzip of several members, and deflate without its head."""
    if encoding == "raw":
        sent, name, times = packed(data, -15), "deflate", 1
        if not sent or sent[0] & 0x0F == 8:
            return  # nobody can tell it from one with a head
    else:
        times = members if encoding == "gzip" else 1
        sent, name = PACK[encoding](data) * times, encoding
    size = max(size, len(sent) // 50)
    assert whole(sent, name, size, len(data) * times) == data * times
    if data:
        with pytest.raises(TooLargeError):
            whole(sent, name, size, len(data) * times - 1)


@given(st.binary(min_size=1, max_size=500), st.data())
def test_a_compressed_body_that_is_cut_off_or_broken_is_never_taken_for_whole(data, draw):
    body = packed(data, 31)
    cut = draw.draw(st.integers(1, len(body) - 1))
    with pytest.raises(CutOffError):
        whole(body[:cut], "gzip", 7, 1000)
    hole = draw.draw(st.integers(0, len(body) - 1))
    broken = body[:hole] + bytes([body[hole] ^ 0xFF]) + body[hole + 1 :]
    try:
        assert whole(broken, "gzip", 7, 1000) == data, "some bits of gzip's head mean nothing"
    except (CutOffError, ValueError):
        pass
    assert len(asyncio.run(read_beginning(chunked(broken, 7), "gzip", 10))) <= 10


def test_an_encoding_that_was_not_asked_for_is_named():
    with pytest.raises(ValueError, match="its encoding is 'br'; only gzip was requested"):
        whole(b"x", "br", 1, 9)


def test_a_bomb_takes_no_more_memory_than_the_bound():
    """1.2 GB in 1.2 MB; on its way it never takes much more than it may."""
    sent, most = bomb(1_200_000_000), 20_000_000
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            whole(sent, "gzip", 2**17, most)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(sent) < 1_300_000 and peak < 1.3 * most


@pytest.mark.parametrize(("begin", "letter"), [(b"", b" "), (b"", b"1"), (b" \n[", b"["), (b'"', b"a")])
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_a_body_that_begins_as_no_object_is_given_up_long_before_its_bound(encoding, begin, letter):
    """To its bound it would take seconds for each of many entries."""
    inflated = transport.inflated(chunked(bomb(20_000_000, begin, letter), 2**12), "gzip")
    read_of_it = 0

    async def pieces():
        nonlocal read_of_it
        sent = chunked(bomb(20_000_000, begin, letter), 2**12) if encoding else inflated
        async for piece in sent:
            read_of_it += len(piece)
            yield piece

    with pytest.raises(ValueError, match="no JSON object begins in its first 4 MB"):
        asyncio.run(read_body(pieces(), encoding, 1_000_000_000))
    assert read_of_it < 5_000_000


def test_a_large_object_may_begin_after_blanks_or_a_byte_order_mark():
    for before in (b"", b" \r\n\t" * 900_000, b"\xef\xbb\xbf\n"):
        body = before + b'{"data": "' + b"a" * 5_000_000 + b'"}'
        assert whole(body, "", 2**16, 10**7) == body


def query_of(url, **options):
    how = {"progress": False, "sleep_time": 0.01, "retry": 1, "max_requests_per_second": None}
    return ArchiveQuery(url=url, required={"results": "*"}, **(how | options))


def with_bombs(bad, answer_bad):
    def answer(path, body):
        if path == "entries/query":
            return listing(body)
        if path == "entries/archive/query":
            return answer_bad() if bad & {*asked(body)} else archives(body)
        return 404, {}, b"{}"

    return answer


@pytest.mark.parametrize(
    "answer_bad",
    [lambda: (200, GZIP, bomb(5_000_000)), lambda: (200, {}, endless())],
    ids=["bomb", "endless"],
)
def test_the_entry_whose_answer_is_too_large_is_a_failure_and_costs_no_other(answer_bad):
    bad = {IDS[3], IDS[20]}
    with raw(with_bombs(bad, answer_bad)) as (url, requests):
        query = query_of(url, max_answer_bytes=1_000_000)
        found = query.download()
        assert sorted(archive.entry_id for archive in found) == sorted(set(IDS) - bad)
        assert {f.entry_id: (f.status, f.reason, f.attempts) for f in query.failures} == dict.fromkeys(
            bad, (None, "its archive is larger than 1 MB (max_answer_bytes)", 1)
        )
        assert sum(path == "entries/archive/query" for path, _ in requests) < 2 + 4 * 5 + 4


def test_a_partition_names_the_entry_too():
    with raw(with_bombs({IDS[3]}, lambda: (200, GZIP, bomb(5_000_000)))) as (url, _):
        (lazy,) = query_of(url, max_answer_bytes=1_000_000).to_delayed(npartitions=1)
        with pytest.raises(EntriesFailedError, match=f"{IDS[3]} .its archive is larger than 1 MB"):
            lazy.compute(scheduler="sync")


def test_an_answer_may_have_an_eighth_of_the_workers_memory(monkeypatch):
    monkeypatch.setattr(memory, "_of_worker", None)
    memory.set_worker_memory(8_000_000)
    try:
        with raw(with_bombs({IDS[3]}, lambda: (200, {}, endless()))) as (url, _):
            query = query_of(url)
            query.download()
            (failure,) = query.failures
    finally:
        memory.set_worker_memory(None)
    assert failure.reason == "its archive is larger than 1 MB, an eighth of the memory of this process"


def test_documents_are_asked_for_in_smaller_pages_and_the_one_too_large_is_a_failure():
    def answer(path, body):
        if body is None:
            return 404, {}, b"{}"
        found = listing(body)
        whole_document = body.get("required", {}).get("include") != ["entry_id", "upload_id"]
        if whole_document and body["pagination"]["page_size"] and IDS[5] in str(found):
            return 200, {}, endless()
        return found

    with raw(answer) as (url, _):
        query = ArchiveQuery(
            url=url, source="documents", progress=False, retry=0, sleep_time=0.01, max_answer_bytes=100_000
        )
        frame = query.to_delayed(npartitions=1, on_failure="null")[0].compute(scheduler="sync")
        assert len(frame) == 26
        with pytest.raises(EntriesFailedError, match=f"{IDS[5]} .its document is larger than 100 kB"):
            query.to_delayed(npartitions=1)[0].compute(scheduler="sync")


def test_a_listing_that_is_too_large_is_asked_for_in_smaller_pages(monkeypatch):
    monkeypatch.setattr(transport, "SMALL_ANSWER", 1_000)
    with raw(lambda path, body: listing(body)) as (url, requests):
        client = Client(Server(url, policy=Policy(0, 0.01)))
        found = [*iterate(search.iter_pages(client, QUESTION, Segment()))]
        assert [ref.entry_id for page in found for ref in page.refs] == IDS
        sizes = [body["pagination"]["page_size"] for _, body in requests]
        assert sizes[:5] == [10_000, 1_000, 100, 10, 10]
    with raw(lambda path, body: (200, {}, endless())) as (url, _):
        client = Client(Server(url, policy=Policy(0, 0.01)))
        with pytest.raises(AnswerTooLargeError, match="larger than 1 kB, the maximum size of a listing"):
            [*iterate(search.iter_pages(client, QUESTION, Segment()))]


@pytest.mark.parametrize("how", ["walk", "fetch", "documents"])
def test_a_listing_without_an_end_is_an_error(monkeypatch, how):
    """A server that counts three entries and lists ever new ones."""
    monkeypatch.setattr(search, "LARGEST_PAGE", 10)

    def answer(path, body):
        after = str(body["query"]).partition("'gt': '")[2].partition("'")[0] or "A"
        rows = [{"entry_id": f"{after}{n}", "upload_id": "u"} for n in range(2)]
        return {"pagination": {"total": 3}, "data": rows}

    with (
        raw(answer) as (url, requests),
        pytest.raises(ProtocolError, match="counted 3 entries .* and continues"),
    ):
        if how == "walk":
            client = Client(Server(url, policy=Policy(0, 0.01)))
            [*iterate(search.iter_pages(client, QUESTION, Segment(), page_size=2))]
        elif how == "fetch":
            query_of(url, page_size=2, results_max=None).fetch()
        else:
            client, documents = Client(Server(url)), QuerySpec("visible", {}, required_of("documents", None))
            [*iterate(archives_of(client, documents, Segment(), DownloadOptions(BatchSize(2, fixed=True))))]
    assert len(requests) < 12


def test_an_error_is_read_as_far_as_its_words_go():
    endless_error = raw(lambda path, body: (500, {}, endless()))
    with endless_error as (url, _), pytest.raises(ServerError, match="status 500") as caught:
        run(count(Client(Server(url, policy=Policy(0, 0.01))), QUESTION, Segment()))
    assert len(str(caught.value)) < 600


def test_answers_that_turn_out_large_come_one_at_a_time(monkeypatch):
    """Those that are not the next to be taken are asked for again; nothing waits for what waits for it."""
    monkeypatch.setattr(transport, "LARGE", 10_000)

    def answer(path, body):
        if path == "entries/query":
            return listing(body)
        rows = archives(body)["data"]
        for row in rows:
            row["archive"]["results"]["text"] = "x" * 20_000
        return {"data": rows}

    with raw(answer) as (url, requests):
        query = query_of(url, batch_size=2, max_concurrency=3)
        assert [archive.entry_id for archive in query.download()] == IDS
        assert not query.failures
        assert len(requests) < 2 + 13 + 3 * 4


def test_the_bound_is_an_option():
    for wrong in (0, 1.5, "2 GB", True):
        with pytest.raises(UserError, match="max_answer_bytes must be an integer between 1000"):
            ArchiveQuery(max_answer_bytes=wrong)
    with raw(lambda path, body: (200, {}, b"[" * 5_000)) as (url, _):
        query = query_of(url, max_answer_bytes=2_000, retry=0)
        with pytest.raises(AnswerTooLargeError, match=r"larger than 2 kB \(max_answer_bytes\)"):
            query.count()
