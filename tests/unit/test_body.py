"""SPEC, "JSON rules": rows of an answer are decoded in pieces or at once, each as if it were alone."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.client.answers import read_answer
from nomad_dask.common.json_rules import MAX_LEVELS, decode

TEXTS = st.sampled_from(["a", '"', "\\", '},{"entry_id":', '"data":[', "]", "data", "entry_id", "ü\u2028"])
VALUES = st.recursive(
    st.one_of(
        st.none(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), TEXTS
    ),
    lambda below: st.one_of(
        st.lists(below, max_size=4),
        st.dictionaries(TEXTS, below, max_size=4),
        # What looks like the beginning of a row where none is.
        st.lists(st.builds(lambda v: {"entry_id": v}, below), min_size=1, max_size=4),
    ),
    max_leaves=12,
)
ROWS = st.lists(
    st.builds(lambda n, v: {"entry_id": f"{n}", "archive": v}, st.integers(0, 99), VALUES), max_size=8
)
HEADS = st.dictionaries(TEXTS.filter(lambda key: key != "data"), VALUES, max_size=3)


def as_text(value):
    """Compact JSON with integers of any size, as the server writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def read_all(body, size, how="packed"):
    """The answer with all of its rows, those that are refused, and whether there were others."""
    found = read_answer(body, how, size)
    pieces = [*found.rows.pieces()] if found.rows else []
    assert [row for piece in pieces for row in piece.rows] == [
        row for piece in pieces for text in piece.texts for row in as_list(text)
    ]
    rows = [*found.data["data"], *(row for piece in pieces for row in piece.rows)]
    refused = [*found.rejected, *(one for piece in pieces for one in piece.rejected)]
    return found.data | {"data": rows}, refused, found.damaged or any(piece.damaged for piece in pieces)


def as_list(text):
    return decode(b"".join((b"[", text, b"]")))


@given(HEADS, ROWS, st.integers(1, 60), st.sampled_from(["packed", "separate", "together"]))
def test_the_pieces_are_the_whole(head, rows, size, how):
    whole = {**head, "data": rows}
    assert read_all(as_text(whole), size, how) == (whole, [], False)


@given(HEADS, ROWS, HEADS.filter(bool), st.integers(1, 60))
def test_an_answer_that_goes_on_after_its_rows_is_never_taken_for_another(head, rows, tail, size):
    whole = {**head, "data": rows, **{f"{key}_": value for key, value in tail.items()}}
    assert read_all(as_text(whole), size, "separate") == (whole, [], False)
    try:
        found = read_all(as_text(whole), size)
    except ValueError:
        return  # it is asked for again, to be read apart
    assert found == (whole, [], False)


@given(ROWS.filter(lambda rows: len(rows) > 2), st.integers(1, 60), st.data())
def test_of_a_body_that_is_no_json_only_whole_rows_are_taken(rows, size, data):
    body = as_text({"owner": "visible", "data": rows})
    hole = data.draw(st.integers(0, len(body) - 1))
    broken = body[:hole] + b"\0" + body[hole + 1 :]
    for how in ("together", "packed", "separate"):
        try:
            found, refused, damaged = read_all(broken, size, how)
        except ValueError:
            continue
        assert damaged and not refused and how != "together"
        left = [*rows]
        assert all(left.remove(row) is None for row in found["data"]) and left


def test_a_large_answer_is_cut_and_a_small_one_is_not():
    rows = [{"entry_id": f"{n}", "archive": {"text": "x" * 1000}} for n in range(50)]
    body = orjson.dumps({"owner": "visible", "data": rows})
    found = read_answer(body, "packed", 10_000)
    assert found.data == {"owner": "visible", "data": []}
    pieces = [*found.rows.pieces()]
    assert len(pieces) == 5 and [piece.rows for piece in pieces] == [
        as_list(piece.texts[0]) for piece in pieces
    ]
    assert b",".join(bytes(piece.texts[0]) for piece in pieces) in body
    small = read_answer(body, "packed", 30_000)
    assert (small.data, small.rows) == (orjson.loads(body), None)


def deep(levels):
    return (
        b'{"a":' * (levels // 2)
        + b"[" * (levels - levels // 2)
        + b"]" * (levels - levels // 2)
        + b"}" * (levels // 2)
    )


CONTENTS = [
    b'{"n": 1.5, "job": "job_20231231235959123456.out"}',
    b'{"t": "a: 20231231235959123456"}',
    b'{"i": 12345678901234567890123}',
    b'{"i": -9999999999999999999}',
    b'{"i": [18446744073709551615, -0, 0.00012345678901234567]}',
    b'{"i": 1' + b"0" * 5000 + b"}",
    b'{"x": NaN}',
    b'{"x": [Infinity, -Infinity]}',
    b'{"x": 1e400}',
    b'{"x": 1e400, "i": 12345678901234567890123}',
    b'{"t": "\\ud800"}',
    b'{"t": "\\ud800", "i": 12345678901234567890123}',
    b'{"t": "\xff"}',
    b'{"t": "}}]]{{[[\\"", "entry_id": [{"entry_id": 1},{"entry_id":2}]}',
    b'{"x": 1,}',
    b'{"x": 1, "x": 2}',
    b"{}",
    deep(MAX_LEVELS - 1),
    deep(MAX_LEVELS),
    deep(MAX_LEVELS + 1),
    deep(MAX_LEVELS + 2),
    deep(1_200),
    deep(20_000),
]


def answer_of(contents, spaced):
    rows = [
        b'{"entry_id":"E%d","upload_id":"U%d","archive":%b}' % (n, n, one) for n, one in enumerate(contents)
    ]
    if spaced:
        return b'{ "data" : [ %b ] , "total": %d}' % (b" , ".join(rows), len(rows))
    return b'{"total":%d,"data":[%b]}' % (len(rows), b",".join(rows))


def became(contents, size, how, spaced=False):
    """What becomes of each entry of an answer: its archive, or why it is refused; nothing where it is no
    JSON.
    """
    found, refused, damaged = read_all(answer_of(contents, spaced), size, how)
    taken = {row["entry_id"]: row["archive"] for row in found["data"]}
    why = {one.entry_id: one.reason for one in refused if one.upload_id == one.entry_id.replace("E", "U")}
    fates = [repr(taken[f"E{n}"]) if f"E{n}" in taken else why.get(f"E{n}") for n in range(len(contents))]
    assert damaged == (None in fates) and len(taken) + len(refused) == len(contents) - fates.count(None)
    assert found["total"] == len(contents)
    return fates


@given(
    st.lists(st.sampled_from(CONTENTS) | VALUES.map(lambda v: as_text({"a": v})), min_size=1, max_size=5),
    st.sampled_from([1, 50, 200, 10**6]),
    st.booleans(),
)
def test_what_an_entry_becomes_does_not_depend_on_its_neighbours(contents, size, spaced):
    alone = [became([one], 10**6, "separate")[0] for one in contents]
    for how in ("packed", "separate"):
        assert became(contents, size, how, spaced) == alone


def test_why_entries_are_refused():
    fates = became(CONTENTS, 100, "packed")
    reasons = [fate for fate in fates if fate is not None and not fate.startswith("{")]
    assert set(reasons) == {
        "an integer of more than 4,300 digits",
        "NaN, which is not valid JSON",
        "Infinity, which is not valid JSON",
        "the number 1e400, which is outside the range of a float64",
        "a string with half of a surrogate pair",
        "nested deeper than 100 levels",
    }
    assert [fate.startswith("{") for fate in fates[-6:]] == [True, True, False, False, False, False]
    assert fates.count(None) == 2


def test_an_answer_may_repeat_a_query_that_is_nested_deeper_than_archives_are():
    query = deep(MAX_LEVELS + 500)
    body = b'{"query":' + query + b',"data":[{"entry_id":"E","upload_id":"U"}]}'
    for how in ("together", "packed", "separate"):
        found, refused, damaged = read_all(body, 10**6, how)
        assert found["data"] == [{"entry_id": "E", "upload_id": "U"}] and not refused and not damaged


def test_what_is_read_as_a_whole_has_no_row_less():
    with pytest.raises(ValueError, match="NaN"):
        read_answer(answer_of([b"{}", b'{"x": NaN}'], False), "together")
    with pytest.raises(ValueError, match="invalid JSON"):
        read_answer(answer_of([b"{}", b'{"x": 1,}'], False), "together")


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"[" * 2_000, b'{"data":' * 2_000, b'{"data":[{"a":1},{"b":', b'"data":[{}]}', b"{"]
)
def test_an_answer_that_breaks_off_is_refused_without_a_walk_over_it(body, monkeypatch):
    monkeypatch.setattr(
        "nomad_dask.client.answers.list_under", lambda *_: pytest.fail("a walk over the text")
    )
    for how in ("together", "packed", "separate"):
        with pytest.raises(ValueError, match="."):
            read_answer(body, how)


def test_blanks_around_an_answer_cost_no_row():
    body = b" \n" + answer_of([b'{"x":1}', b'{"x":NaN}'], False) + b"\r\n\t"
    found, refused, damaged = read_all(body, 10**6, "separate")
    assert len(found["data"]) == 1 and len(refused) == 1 and not damaged
