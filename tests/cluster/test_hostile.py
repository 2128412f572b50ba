"""SPEC, "Responses": whatever a server answers, a harvest ends soon, in rows, named failures or our errors.

Each kind is one answer, or one part of it, that no right server gives; it is given to every request of its
path, or to
those that hold one entry.
"""

import json
import os
import time
import zlib

import pandas as pd
import pytest
from processes import forget_peak, peak

from nomad_dask import open_dataset
from nomad_dask.testing import Faults, Rule, serve
from nomad_dask.testing.faults import (
    Change,
    Drop,
    EndEarly,
    InflateTotal,
    Reorder,
    RepeatCursor,
    Rewrite,
    Say,
    Status,
    Unasked,
)
from nomad_dask.testing.generate import PLAIN, generate

pytestmark = pytest.mark.skipif(
    "NOMAD_DASK_FULL" not in os.environ, reason="140 harvests and more take minutes: make test-full"
)

N = 24
LISTING, ARCHIVES, TOKEN, INFO = "entries/query", "entries/archive/query", "auth/token", "info"
SCHEMA = "schemas/nomad.datamodel.datamodel.EntryArchive"
REQUIRED = {"metadata": {"entry_type": "*"}, "results": {"material": {"elements": "*"}}}
PASSWORD = "ada-pw"
ALL, SOME, NONE = "every row", "named failures", "an error"


def page(change):
    """Change the listing pages that hold rows."""

    def changed(answer):
        if answer.get("data"):
            change(answer)
        return answer

    return Change(changed)


def pagination(**values):
    return Change(lambda answer: {**answer, "pagination": {**answer["pagination"], **values}})


def rows(**values):
    """Every row of a page with other values; a value that is a function is called with the row's own."""

    def change(answer):
        for row in answer["data"]:
            row.update({k: v(row[k]) if callable(v) else v for k, v in values.items()})

    return page(change)


def bomb():
    piece, packer = b" " * 2**20, zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + again * 1200


def endless():
    while True:
        yield b" " * 2**16


GZIP = {"Content-Encoding": "gzip"}
# The result if all listings are like this, and if all answers with archives are. Archives: failures of their
# entries if a
# retry could have helped (SPEC, "Retries") and the listing shows that the server is there. A server that
# always reports
# its rate limit is not the fault of an entry.
WHOLE = {
    "an empty body": (Say(b""), NONE, SOME),
    "null": (Say(b"null"), NONE, SOME),
    "an empty list": (Say(b"[]"), NONE, SOME),
    "a text": (Say(b'"here you are"'), NONE, SOME),
    "a number": (Say(b"7"), NONE, SOME),
    "a page of HTML": (
        Say(b"<html><body>Please log in</body></html>", 200, {"Content-Type": "text/html"}),
        NONE,
        SOME,
    ),
    "UTF-16": (Rewrite(lambda body: body.decode().encode("utf-16")), NONE, SOME),
    "a byte order mark": (Rewrite(lambda body: b"\xef\xbb\xbf" + body), ALL, ALL),
    "brackets without end": (Say(b"[" * 200_000), NONE, SOME),
    "objects without end": (Say(b'{"data":' * 200_000), NONE, SOME),
    "a bomb of gzip": (Say(bomb(), 200, GZIP), NONE, SOME),
    "no end": (Say(endless), NONE, SOME),
    "gzip that is none": (Say(b"not compressed", 200, GZIP), NONE, SOME),
    "an encoding that nobody asked for": (Say(b"x" * 90, 200, {"Content-Encoding": "br"}), NONE, SOME),
    "204": (Say(b"", 204), NONE, NONE),
    "a redirect": (Say(b"", 302, {"Location": "http://127.0.0.1:9/elsewhere?token=1"}), NONE, NONE),
    "304": (Say(b"", 304), NONE, NONE),
    "418": (Say(b"{}", 418), NONE, NONE),
    "503 until the year 9999": (Say(b"", 503, {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}), NONE, NONE),
    "503 until a date of no zone": (
        Say(b"", 503, {"Retry-After": "Mon, 01 Jan 0001 00:00:00 +2500"}),
        NONE,
        NONE,
    ),
    "503 for 1e400 seconds": (Say(b"", 503, {"Retry-After": "1e400"}), NONE, NONE),
    "503 for a while": (Say(b"", 503, {"Retry-After": "a while"}), NONE, NONE),
    "429 for -5 seconds": (Say(b"", 429, {"Retry-After": "-5"}), NONE, NONE),
    "500 with control characters": (Say(b'{"detail": "\\u001b[2Jgone\\u0007"}', 500), NONE, SOME),
    "500 with 20 MB of traceback": (Say(b"Traceback " * 2_000_000, 500), NONE, SOME),
    "details of another kind": (Say(b'{"detail": {"reason": [1], "loc": 7}}', 422), NONE, NONE),
}
LISTINGS = {
    "total is a text": (pagination(total="24"), NONE),
    "total is a float": (
        Change(lambda a: {**a, "pagination": {**a["pagination"], "total": a["pagination"]["total"] * 1.0}}),
        ALL,
    ),
    "total is half": (pagination(total=0.5), NONE),
    "total is negative": (pagination(total=-1), NONE),
    "total is null": (pagination(total=None), NONE),
    "total is true": (pagination(total=True), NONE),
    "total is huge": (pagination(total=10**30), NONE),
    "no pagination": (Change(lambda a: {k: v for k, v in a.items() if k != "pagination"}), NONE),
    "pagination is a list": (Change(lambda a: {**a, "pagination": []}), NONE),
    "no data": (Change(lambda a: {k: v for k, v in a.items() if k != "data"}), NONE),
    "data is null": (Change(lambda a: {**a, "data": None}), NONE),
    "data is an object": (Change(lambda a: {**a, "data": {"0": a["data"]}}), NONE),
    "rows are numbers": (Change(lambda a: {**a, "data": list(range(len(a["data"])))}), NONE),
    "rows are null": (Change(lambda a: {**a, "data": [None for _ in a["data"]]}), NONE),
    "ids are null": (rows(entry_id=None), NONE),
    "ids are numbers": (rows(entry_id=7), NONE),
    "ids are lists": (rows(entry_id=["a"]), NONE),
    "ids are empty": (rows(entry_id=""), NONE),
    "ids are long": (rows(entry_id=lambda i: i * 400), NONE),
    "ids ring the bell": (rows(entry_id=lambda i: i[:20] + "\x07\x1b[2J"), NONE),
    "upload ids are null": (rows(upload_id=None), ALL),
    "upload ids are numbers": (rows(upload_id=3), {ALL, NONE}),
    "the cursor is a number": (page(lambda a: a["pagination"].update(next_page_after_value=7)), {ALL, NONE}),
    "the cursor is a list": (
        page(lambda a: a["pagination"].update(next_page_after_value=["a"])),
        {ALL, NONE},
    ),
    "the cursor stands still": (RepeatCursor(), NONE),
    "the end comes early": (EndEarly(), {ALL, NONE}),
    "rows are left out": (Drop(2), NONE),
    "rows that were not asked for": (Unasked(("Z" * 28,)), NONE),
    "more are counted than there are": (InflateTotal(5), NONE),
    "rows twice": (Change(lambda a: {**a, "data": [*a["data"], *a["data"][:1]]}), NONE),
    "rows in reverse": (Reorder(), ALL),
}


def of_one(change):
    """Change the row of the first entry of an answer of archives that holds it."""

    def changed(answer):
        answer["data"] = [change(row) if row["entry_id"] == FIRST else row for row in answer["data"]]
        return answer

    return Change(changed)


def written(value):
    """Another text in the place of the first entry's `entry_type`."""

    def change(body):
        begin = body.find(b'"entry_id":"' + FIRST.encode())
        at = body.find(b'"entry_type":', begin)
        if begin < 0 or at < 0:
            return body
        at += len(b'"entry_type":')
        end = body.index(b'"', at + 1) + 1
        return body[:at] + value + body[end:]

    return Rewrite(change)


def nested(n, one=b'{"a":', end=b"}"):
    return written(one * n + b"1" + end * n)


ONE_FAILS = {SOME}
IN_ARCHIVES = {
    "NaN": (written(b"NaN"), {ALL, SOME}),
    "Infinity": (written(b"-Infinity"), {ALL, SOME}),
    "1e400": (written(b"1e400"), {ALL, SOME}),
    "twenty digits": (written(b"12345678901234567890123"), ALL),
    "twenty digits in a text": (written(b'"job_20231231235959123456.out"'), ALL),
    "half a surrogate": (written(rb'"\ud800"'), {ALL, SOME}),
    "half a surrogate and twenty digits": (written(rb'["\ud800",123456789012345678901]'), {ALL, SOME}),
    "no UTF-8": (written(b'"\xff\xfe"'), {ALL, SOME}),
    "a name twice": (written(b'"a","entry_type":"b"'), ALL),
    "objects nested 1,012 deep": (nested(1_012), SOME),
    "objects nested 20,000 deep": (nested(20_000), SOME),
    "lists nested 1,012 deep": (nested(1_012, b"[", b"]"), SOME),
    "lists nested 900,000 deep": (nested(900_000, b"[", b"]"), SOME),
    "a control character": (written(b'"a\x01b"'), {ALL, SOME}),
    "a comma too many": (written(b'"a",'), SOME),
    "many names": (
        written(b"{" + b",".join(b'"n%d":%d' % (n, n) for n in range(100_000)) + b"}"),
        ALL,
    ),
    "names of dots and nothing": (written(b'{"":1,".":2,"a.b":3,"\\u0000":4,"*":5,"a[0]":6}'), ALL),
    "an archive that is null": (of_one(lambda row: {**row, "archive": None}), {ALL, SOME}),
    "an archive that is a list": (of_one(lambda row: {**row, "archive": [row["archive"]]}), SOME),
    "an archive that is a text": (of_one(lambda row: {**row, "archive": "gone"}), SOME),
    "no archive": (of_one(lambda row: {k: v for k, v in row.items() if k != "archive"}), {ALL, SOME}),
    "a row that is null": (of_one(lambda row: None), {ALL, SOME}),
    "a row that is a number": (of_one(lambda row: 7), {ALL, SOME}),
    "a row of another entry": (of_one(lambda row: {**row, "entry_id": "Z" * 28}), NONE),
    "ids that are lists": (of_one(lambda row: {**row, "entry_id": [row["entry_id"]]}), {ALL, SOME, NONE}),
    "targets of another kind": (
        of_one(lambda row: {**row, "archive": {**row["archive"], "m_ref_archives": [7]}}),
        ALL,
    ),
    "sections of another kind": (
        of_one(lambda row: {**row, "archive": {"metadata": 7, "results": ["a"]}}),
        ALL,
    ),
}


def deep_schema(n):
    return b'{"type":"object","properties":{"a":' * n + b"1" + b"}}" * n


def said(tree):
    return Say(
        tree
        if isinstance(tree, bytes)
        else tree.encode()
        if isinstance(tree, str)
        else json.dumps(tree).encode()
    )


def schema_with(**values):
    """The schema with these in every definition, instead of its own: what it defines no more is refused by
    name.
    """

    def change(tree):
        for one in tree.get("$defs", {}).values():
            one.update(values)
        return tree

    return Change(change)


def schema_also(**properties):
    """The schema with these properties in every definition, beside its own."""

    def change(tree):
        for one in tree.get("$defs", {}).values():
            one["properties"] = {**one.get("properties", {}), **properties}
        return tree

    return Change(change)


REFERS_TO_A_NUMBER, UNIT_IS_AN_OBJECT = (
    {"a": {"$ref": 7}},
    {"entry_type": {"type": "string", "unit": {"m": 1}}},
)
# Where no other is named, it ends with every row: types come from a sample then.
SCHEMA_ENDS = dict.fromkeys(
    ["nothing but a reference to a number", "nothing but a unit that is an object"], NONE
)
SCHEMAS = {
    "a reference that is a number": said({"$ref": 7, "$defs": {"a": {"$ref": 7}}}),
    "definitions that refer to a number too": schema_also(**REFERS_TO_A_NUMBER),
    "nothing but a reference to a number": schema_with(properties=REFERS_TO_A_NUMBER),
    "a circle of references": said(
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    ),
    "a unit that is an object": schema_also(**UNIT_IS_AN_OBJECT),
    "nothing but a unit that is an object": schema_with(properties=UNIT_IS_AN_OBJECT),
    "properties that are a list": schema_with(properties=["a"]),
    "types that are numbers": schema_with(type=7, description=["a"]),
    "definitions that are a list": said({"$defs": [1, 2]}),
    "a list": said([]),
    "null": said("null"),
    "HTML": said("<html></html>"),
    "nested 800 deep": said(deep_schema(800)),
    "nested 9,000 deep": said(deep_schema(9_000)),
    "no end": Say(endless),
    "500": Status(500),
    "401": Status(401),
}
INFOS = {"a list": said([1]), "HTML": said("<html></html>"), "500": Status(500), "no end": Say(endless)}


def token(**values):
    return Change(lambda answer: {**answer, **values})


TOKENS = {
    "is a number": (token(access_token=7), NONE),
    "is null": (token(access_token=None), NONE),
    "is not there": (said({}), NONE),
    "is in a list": (said([{"access_token": "a"}]), NONE),
    "has a line end": (token(access_token="a\r\nX-Evil: 1"), NONE),
    "ends soon, as a text": (token(expires_in="soon"), ALL),
    "ends before now": (token(expires_in=-5), ALL),
    "ends never": (token(expires_in=10**400), ALL),
    "ends at NaN": (
        Rewrite(lambda body: body.replace(b'"expires_in":3600', b'"expires_in":NaN')),
        {ALL, NONE},
    ),
    "ends at null": (token(expires_in=None), ALL),
    "has another token of another kind": (token(refresh_token={"a": 1}), ALL),
    "is a page": (said("<html></html>"), NONE),
    "comes with the password": (Say(json.dumps({"detail": f"{PASSWORD} is wrong"}).encode(), 500), NONE),
}

KINDS = [
    *(
        (f"{what} {name}", Rule(action, path=path), expected[place])
        for place, (what, path) in enumerate((("listing:", LISTING), ("archives:", ARCHIVES)))
        for name, (action, *expected) in WHOLE.items()
    ),
    *(
        (f"listing: {name}", Rule(action, path=LISTING), expected)
        for name, (action, expected) in LISTINGS.items()
    ),
    *(
        (f"archive: {name}", Rule(action, path=ARCHIVES), expected)
        for name, (action, expected) in IN_ARCHIVES.items()
    ),
    *(
        (f"schema: {name}", Rule(action, path=SCHEMA), SCHEMA_ENDS.get(name, ALL))
        for name, action in SCHEMAS.items()
    ),
    *((f"info: {name}", Rule(action, path=INFO), ALL) for name, action in INFOS.items()),
    *((f"token {name}", Rule(action, path=TOKEN), expected) for name, (action, expected) in TOKENS.items()),
]


CORPUS = generate(N, seed=3, kind="small", private_share=0, features=PLAIN)
FIRST = min(entry.entry_id for entry in CORPUS.entries)


@pytest.fixture
def served():
    """A server for each kind: nothing that was learned of the one before is known of it, as its schema or its
    pace.
    """
    with serve(CORPUS) as url:
        yield url


def ids_in(dataset):
    """Ids of all rows, each of which is read whole. Arrow's dataset reader takes 18 GB for 50,000 columns."""
    return [*open_dataset(dataset).compute(scheduler="sync").index]


@pytest.mark.parametrize(("rule", "expected"), [kind[1:] for kind in KINDS], ids=[kind[0] for kind in KINDS])
def test_a_harvest_from_a_hostile_server_ends(
    rule, expected, served, cluster, tmp_path, monkeypatch, call, record_property
):
    cluster.run(forget_peak)
    served.faults = Faults([rule])
    if rule.path == TOKEN:
        for name, value in {"USER": "ada", "PASSWORD": PASSWORD, "URL": str(served)}.items():
            monkeypatch.setenv(f"NOMAD_CLIENT_{name}", value)
    began = time.monotonic()
    try:
        done = call(
            *("harvest", "--url", served, "--required", json.dumps(REQUIRED), "--out", tmp_path / "out"),
            *("--npartitions", 2, "--retry", 1, "--sleep-time", 0.01, "--max-requests-per-second", 0),
            *("--timeout", 20, "--scheduler", cluster.scheduler.address),
        )
    finally:
        served.faults = None
    took, most = time.monotonic() - began, max(cluster.run(peak).values())
    record_property("seconds", round(took, 1))
    record_property("worker_MB", round(most / 1e6))
    words = done.stdout + done.stderr
    assert any(seen.fault is rule.action for seen in served.log), "nobody asked for it"
    assert took < 60
    assert "Traceback" not in words.replace("Traceback Traceback", ""), words
    assert not {c for c in words if c < " " and c not in "\n\r\t"}, words
    assert PASSWORD not in words
    ids = sorted(entry.entry_id for entry in served.corpus.entries)
    if done.returncode == 0:
        got = ALL
        assert ids_in(tmp_path / "out") == ids
    elif done.returncode == 3:
        got = SOME
        failed = pd.read_parquet(tmp_path / "out" / "failures.parquet").query("kind == 'failed'")
        assert failed.reason.str.len().min() > 5 and len(failed)
        assert sorted([*ids_in(tmp_path / "out"), *failed.entry_id]) == ids
    else:
        got = NONE
        assert done.returncode in (1, 2, 4) and len(words) > 20
    record_property("got", got)
    assert got in ({expected} if isinstance(expected, str) else expected), words
    assert most < 1.5e9
