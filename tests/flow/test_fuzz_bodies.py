"""SPEC, "Responses": random and mutated answers, to every reader of them, give rows, failures or our errors.

Right answers of the embedded archive are changed as text or as JSON on their way into the client; there is no
socket
between. The gate tries some hundred of them; `make fuzz-bodies` tries others for NOMAD_DASK_FUZZ_SECONDS.
"""

import json
import os
import random
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import orjson
import pytest

from nomad_dask.client import metainfo_cache, transport
from nomad_dask.client.auth import forget, login_of
from nomad_dask.client.event_loop import run
from nomad_dask.client.retry import Policy
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.dataset.segment import Job, read_segment
from nomad_dask.errors import NomadDaskError
from nomad_dask.layouts.layouts import NESTED, TABLES, WIDE
from nomad_dask.limits import Limits
from nomad_dask.plan.planner import PartitionSpec, TableOptions, prepare
from nomad_dask.request import QuerySpec, required_of
from nomad_dask.request.segments import Segment
from nomad_dask.testing.answers import Answers
from nomad_dask.testing.generate import PLAIN, generate

N = 12
URL = "http://127.0.0.1:9/api/v1"
REQUIRED = {"metadata": {"entry_type": "*"}, "results": {"material": "*"}, "workflow2": "*"}
CORPUS = generate(N, seed=5, kind="small", features=PLAIN, private_share=0)
IDS = [entry.entry_id for entry in CORPUS.entries]
FEW = 25
SECONDS = float(os.environ.get("NOMAD_DASK_FUZZ_SECONDS", "0"))

TOKENS = [
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"1" * 20,
    b'"\\ud800"',
    b"\x00",
    b"\xff",
    b"null",
    b"{}",
    b"[[[[",
    b'"',
    b"}",
    b",",
]
TOKENS += [
    b"[" * 1_500,
    b'{"a":' * 1_100,
    b"\xef\xbb\xbf",
    b"<html>",
    b'"entry_id":',
    b'},{"entry_id":',
    b'"data":[',
    b"\\",
]

LEAVES = [
    None,
    True,
    0,
    -1,
    200.0,
    10**19,
    10**30,
    0.5,
    "",
    "é",
    "\x1b[2J",
    "\ud800",
    "a.b",
    "m_def",
    "entry_id",
    IDS[0],
]


def odd(draw, depth=3):
    """Any JSON value."""
    kind = draw.randrange(6) if depth else 0
    if kind == 4:
        return [odd(draw, depth - 1) for _ in range(draw.randrange(4))]
    if kind == 5:
        names = [str(draw.choice(LEAVES)) for _ in range(draw.randrange(4))]
        return {name: odd(draw, depth - 1) for name in names}
    return draw.choice(LEAVES)


def places(tree, path=()):
    """Every place of a JSON tree."""
    yield path
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from places(value, (*path, key))


def changed_tree(draw, body):
    tree = orjson.loads(body)
    for _ in range(draw.randint(1, 3)):
        all_places = [*places(tree)]
        # Half of the changes near the top, where the envelope is.
        few = [place for place in all_places if len(place) < 3]
        path = draw.choice(few if draw.random() < 0.5 else all_places)
        if not path:
            tree = odd(draw)
            break
        parent = tree
        for key in path[:-1]:
            parent = parent[key]
        what = draw.choice(["replace", "remove", "copy"])
        if what == "remove":
            del parent[path[-1]]
        elif what == "copy" and isinstance(parent, list):
            parent.append(parent[path[-1]])
        else:
            parent[path[-1]] = odd(draw)
        if not isinstance(tree, dict | list):
            break
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def changed_text(draw, body):
    for _ in range(draw.randint(1, 3)):
        at = draw.randint(0, len(body))
        end = min(len(body), at + draw.choice([0, 0, 1, 2, 9, 400]))
        put = draw.choice([b"", *TOKENS, draw.randbytes(3)])
        body = body[:at] + put + body[end:]
    return body


def changed(draw, body):
    if draw.random() < 0.05:
        return draw.choice([*TOKENS, draw.randbytes(40)])
    return (changed_text if draw.random() < 0.5 else changed_tree)(draw, body)


class Session:
    """Answers as the embedded archive does; every answer of `path` is changed by `change`, at most
    `times`.
    """

    def __init__(self, path, change, times):
        self._answers, self._path, self._change, self._left = Answers(CORPUS), path, change, times

    def _right(self, path, body):
        if path == "entries/query":
            return self._answers.entries(body, None)
        if path == "entries/archive/query":
            return self._answers.archives(body, None, lambda _: False, lambda _: False)
        if path == "auth/token":
            return {"access_token": "t", "expires_in": 3600, "refresh_token": "r"}
        if path == "info":
            return dict(CORPUS.info)
        return json.loads(CORPUS.schema_json)

    @asynccontextmanager
    async def request(self, method, url, *, data=None, **_):
        path = url.removeprefix(URL + "/").partition("?")[0]
        body = orjson.loads(data) if isinstance(data, bytes) else None
        answer = orjson.dumps(self._right(path, body))
        if self._left and path.startswith(self._path):
            self._left -= 1
            answer = self._change(answer)

        async def chunks():
            yield answer

        yield SimpleNamespace(status=200, headers={}, content=SimpleNamespace(iter_any=chunks))


@pytest.fixture
def session(monkeypatch):
    """Put a session in the place of the process's; what is known of the server is forgotten."""

    def put(path, change, times):
        monkeypatch.undo()  # else it keeps every session there was
        monkeypatch.setattr(transport, "_session", lambda found=Session(path, change, times): found)
        metainfo_cache._cache.clear()

    yield put
    metainfo_cache._cache.clear()


def server(login=None):
    return Server(URL, Limits(None, 8, 5.0), Policy(1, 0.0), login)


def accounted(tables, receipt):
    """Every entry that was listed has a row, or is missing or failed by name."""
    named = {*(f.entry_id for f in receipt.failures), *(r.entry_id for r in receipt.missing), *receipt.bare}
    named |= {i for table in tables.values() for i in table.column("entry_id").to_pylist()}
    return named


def read(question, layout):
    """Plan and read all, as a job does."""
    client = Client(server())
    _, sample = run(prepare(client, question, PartitionSpec(npartitions=1), TableOptions(layout)))
    job = Job(sample.question, sample.schema, layout, server=server())
    return accounted(*read_segment(job, Segment()))


def of_archives(layout):
    return lambda: read(QuerySpec("visible", {}, required_of("archives", REQUIRED)), layout)


def of_documents():
    return read(QuerySpec("visible", {}, required_of("documents", {"results": {"material": "*"}})), WIDE)


def of_login():
    login = login_of(URL, "ada", "ada-pw")
    try:
        run(Client(server(login)).get("info"))
    finally:
        transport._tokens().forget_server(URL)
        forget(login)


def of_schema():
    run(metainfo_cache.definitions_of(Client(server())))


READERS = {
    "listing": ("entries/query", of_archives(WIDE)),
    "wide": ("entries/archive/query", of_archives(WIDE)),
    "nested": ("entries/archive/query", of_archives(NESTED)),
    "tables": ("entries/archive/query", of_archives(TABLES)),
    "documents": ("entries/query", of_documents),
    "schema": ("schemas", of_schema),
    "token": ("auth/token", of_login),
    "info": ("info", of_login),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(2 * SECONDS + 300)
@pytest.mark.parametrize("reader", READERS)
def test_any_answer_is_read_or_is_one_of_our_errors(reader, session, capsys):
    path, call = READERS[reader]
    first = time.time_ns() if SECONDS else 0
    until, tried = time.monotonic() + SECONDS / len(READERS), 0
    while tried < FEW or time.monotonic() < until:
        number = first + tried
        draw, tried = random.Random(number), tried + 1
        session(path, lambda body, draw=draw: changed(draw, body), draw.choice([1, 2, 1_000]))
        began = time.monotonic()
        try:
            named = call()
        except NomadDaskError as error:
            assert str(error), number
        except Exception as error:
            raise AssertionError(f"{reader}, seed {number}") from error
        else:
            if path == "entries/archive/query":
                assert named == {*IDS}, f"an entry was lost without a word, seed {number}"
        assert time.monotonic() - began < 60, number
    if SECONDS:
        with capsys.disabled():
            print(f"\n{reader}: {tried} answers")
