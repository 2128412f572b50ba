"""Everything that comes from the network is checked by kind at one border, with a message that names the
field.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.client import answers
from nomad_dask.client.answers import AnswerError
from nomad_dask.common.json_rules import fingerprint
from nomad_dask.request import Ref

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda below: st.one_of(
        st.lists(below, max_size=4), st.dictionaries(st.text(max_size=9), below, max_size=4)
    ),
    max_leaves=9,
)
NAMES = (
    "pagination",
    "data",
    "total",
    "next_page_after_value",
    "entry_id",
    "upload_id",
    "archive",
    "detail",
    "msg",
)
ANSWERS = st.recursive(
    st.one_of(JSON, st.sampled_from(["A" * 28, "", 3, 200.0])),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(st.sampled_from([*NAMES, "loc", "reason"]), below, max_size=5),
    ),
    max_leaves=20,
)


def listing(total=2, data=None, **pagination):
    rows = (
        [{"entry_id": "B", "upload_id": "u"}, {"entry_id": "A", "upload_id": "v"}] if data is None else data
    )
    return {"pagination": {"total": total, **pagination}, "data": rows}


def test_a_listing_is_read_in_the_order_of_its_ids():
    found = answers.listing(listing(next_page_after_value="B"))
    assert found.refs == [Ref("A", "v"), Ref("B", "u")] and [row["entry_id"] for row in found.rows] == [
        "A",
        "B",
    ]
    assert (found.total, found.cursor) == (2, "B")


def test_what_has_one_meaning_is_taken():
    assert answers.listing(listing(total=200.0)).total == 200
    for row in ({"entry_id": "A", "upload_id": None}, {"entry_id": "A"}):
        found = answers.listing(listing(1, [row]))
        assert found.refs == [Ref("A", "")] and found.rows == [row], "what came stays as it came"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (7, "the listing is 7, not an object"),
        ({"data": []}, "the listing's pagination is missing or null, not an object"),
        (
            listing("x"),
            "the listing's pagination.total is 'x', not a whole number from 0 to 1,000,000,000,000",
        ),
        (listing(None), "the listing's pagination.total is missing or null, not a whole number"),
        (listing(True), "the listing's pagination.total is true, not a whole number"),
        (listing(1.5), "the listing's pagination.total is 1.5, not a whole number"),
        (listing(-1), "the listing's pagination.total is -1, not a whole number"),
        (listing(10**40), "the listing's pagination.total is a very long number, not a whole number"),
        (listing(float("nan")), "the listing's pagination.total is nan, not a whole number"),
        (
            listing(next_page_after_value=["A"]),
            "the listing's pagination.next_page_after_value is a list, not a string",
        ),
        (listing(data={}), "the listing's data is an object, not a list"),
        (listing(data=["A"]), "the listing's data.0 is 'A', not an object"),
        (listing(data=[{"entry_id": ["A"]}]), "the listing's data.0.entry_id is a list, not an id"),
        (
            listing(data=[{"entry_id": "A\n\x1b[31m"}]),
            r"the listing's data.0.entry_id is 'A \\x1b[31m', not an id",
        ),
        (listing(data=[{"entry_id": ""}]), "the listing's data.0.entry_id is '', not an id"),
        (
            listing(data=[{"entry_id": "A", "upload_id": 7}]),
            "the listing's data.0.upload_id is 7, not a string",
        ),
        (
            listing(data=[{"entry_id": "A", "upload_id": "\ud800"}]),
            "data.0.upload_id is '\\\\ud800', not a string",
        ),
    ],
)
def test_what_is_wrong_with_a_listing_is_named(answer, words):
    with pytest.raises(AnswerError) as caught:
        answers.listing(answer)
    assert words.replace("\\\\", "\\") in str(caught.value).replace("\\\\", "\\")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "the answer is a list, not an object"),
        ({}, "the answer's data is missing or null, not a list"),
        ({"data": [None]}, "the answer's data.0 is missing or null, not an object"),
        ({"data": [{"entry_id": {}, "archive": {}}]}, "the answer's data.0.entry_id is an object, not an id"),
        (
            {"data": [{"entry_id": "A", "archive": {}}, {"entry_id": "B", "archive": "x"}]},
            "the answer's data.1.archive (of entry B) is 'x', not an object",
        ),
    ],
)
def test_what_is_wrong_with_archives_is_named(answer, words):
    with pytest.raises(AnswerError) as caught:
        answers.archives(answer)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (3600, 3600.0),
        ("600", 600.0),
        *[(odd, 300.0) for odd in (None, -5, 0, "soon", "nan", float("nan"), float("inf"), [], {}, True, "")],
        (1e12, 86_400.0),
        (10**400, 300.0),
    ],
)
def test_a_token_is_good_for_as_long_as_its_answer_says_in_reason(expires_in, seconds):
    token = answers.token({"access_token": "abc", "expires_in": expires_in})
    assert (token.text, token.seconds) == ("abc", seconds)


@pytest.mark.parametrize(
    "secret", ["S3CRET\n", "S3CRET S3CRET", "S3CR€T", "", None, 7, ["S3CRET"], {"S3CRET": 1}]
)
def test_what_is_no_token_is_not_repeated(secret):
    with pytest.raises(AnswerError, match="access_token is not a string") as caught:
        answers.token({"access_token": secret})
    assert "S3CR" not in str(caught.value) and "S3CR" not in repr(answers.Token("S3CRET", 1.0))
    with pytest.raises(AnswerError) as caught:
        answers.token("S3CRET")
    assert "S3CRET" not in str(caught.value)


NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "moment"),
    [
        ("Sat, 28 Nov 2026 11:59:00 GMT", NOW - timedelta(minutes=1)),
        ("Sat, 28 Nov 2026 12:59:00 +0100", NOW - timedelta(minutes=1)),
        ("Sat, 28 Nov 2026 11:59:00 -0000", NOW - timedelta(minutes=1)),
        ("Sun, 29 Nov 2026 11:00:00 GMT", NOW + timedelta(hours=23)),
        *[(header, NOW) for header in (None, "", "today", "Sat, 28 Nov 2426 11:59:00 GMT")],
        *[(f"Sat, 28 Nov 2026 11:59:00 +{zone}", NOW) for zone in ("9999999", "99999999999999999999")],
        ("Mon, 01 Jan 0001 00:00:00 +2300", datetime(2000, 12, 31, 1, tzinfo=UTC)),
        ("Sat, 28 Nov 2020 11:59:00 GMT", datetime(2020, 11, 28, 11, 59, tzinfo=UTC)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", datetime(2000, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_servers_time_is_believed_in_reason(header, moment):
    """Of two clocks the earlier one is safe: an update that goes by it misses nothing."""
    assert answers.server_time(header, NOW) == moment


@given(ANSWERS)
def test_nothing_but_our_error_comes_out(answer):
    for parse in (answers.listing, answers.archives, answers.token, answers.json_object):
        try:
            parse(answer)
        except AnswerError as error:
            assert "not a" in str(error) and len(str(error)) < 300
    body = json.dumps(answer).encode()
    said = answers.error_words(body)
    assert len(said) <= 400 and "\n" not in said
    assert fingerprint({"it": answer}) == fingerprint({"it": answer})


@given(st.binary(max_size=200))
def test_any_body_of_an_error_is_said_in_a_line(body):
    said = answers.error_words(body)
    assert len(said) <= 400 and said == " ".join(said.split())


def test_an_error_that_is_deep_or_long_is_said_in_a_line():
    deep = b'{"detail": ' + b"[" * 1000 + b"]" * 1000 + b"}"
    for body in (deep, b"<" * 65_536, b"<title>" * 9_000, b"[" * 65_536, b'{"a":' * 900 + b"1" + b"}" * 900):
        assert len(answers.error_words(body)) <= 400
    assert fingerprint(json.loads(b"[" * 900 + b"]" * 900) and {"a": 1})


def test_the_forms_of_an_error():
    for body, words in [
        (b'{"detail": "no"}', "no"),
        (b'{"detail": [{"msg": "x is not a doc quantity", "loc": [["x"]]}]}', "x is not a doc quantity"),
        (b'{"detail": [{"msg": "bad", "loc": ["body", "query"]}]}', "bad (at body.query)"),
        (
            b'{"detail": {"reason": "broke", "exception_class": "KeyError", "exception": "a"}}',
            "broke (KeyError: a)",
        ),
        (b"<html><TITLE>502 Bad Gateway</TITLE><body>x</body></html>", "502 Bad Gateway"),
        (b"<p>one</p>\n<p>two</p>", "one two"),
        (b'{"error": 7}', "error: 7"),
        (b"", ""),
    ]:
        assert answers.error_words(body) == words


def test_a_server_is_known_by_what_it_says_but_for_its_counts():
    one = {"version": "2.0", "git": {"commit": "a"}, "statistics": {"n_entries": 1}}
    assert answers.server_fingerprint(one) == answers.server_fingerprint(
        {**one, "statistics": {"n_entries": 2}}
    )
    assert answers.server_fingerprint(one) == answers.server_fingerprint(dict(reversed(one.items())))
    for other in ({**one, "git": {"commit": "b"}}, {**one, "version": 2.0}, {**one, "more": []}, {}):
        assert answers.server_fingerprint(one) != answers.server_fingerprint(other)
