"""SPEC 5: a large answer is decoded a piece at a time, and its rows are those of the whole, whatever is in them."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.pure.rows import undecoded
from nomad_dask.pure.words import decoded

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


def rows_of(body, size):
    bare, rows = undecoded(body, size)
    found = bare["data"] if rows is None else [row for piece, _ in rows.pieces() for row in piece]
    return {**bare, "data": []}, found


@given(HEADS, ROWS, st.integers(1, 60))
def test_the_pieces_are_the_whole(head, rows, size):
    body = as_text({**head, "data": rows})
    whole = decoded(body)
    assert rows_of(body, size) == ({**whole, "data": []}, whole["data"])


@given(HEADS, ROWS, HEADS.filter(bool), st.integers(1, 60))
def test_an_answer_that_goes_on_after_its_rows_is_never_taken_for_another(head, rows, tail, size):
    body = as_text({**head, "data": rows, **{f"{key}_": value for key, value in tail.items()}})
    whole = decoded(body)
    try:
        found = rows_of(body, size)
    except ValueError:
        return
    assert found == ({**whole, "data": []}, whole["data"])


@given(ROWS.filter(lambda rows: len(rows) > 2), st.integers(1, 60), st.data())
def test_a_body_that_is_no_json_is_never_taken_for_one(rows, size, data):
    body = as_text({"owner": "visible", "data": rows})
    hole = data.draw(st.integers(0, len(body) - 1))
    broken = body[:hole] + b"\0" + body[hole + 1 :]
    with pytest.raises(ValueError):
        decoded(broken)
    with pytest.raises(ValueError):
        rows_of(broken, size)


def test_a_large_answer_is_cut_and_a_small_one_is_not():
    rows = [{"entry_id": f"{n}", "archive": {"text": "x" * 1000}} for n in range(50)]
    body = orjson.dumps({"owner": "visible", "data": rows})
    bare, packed = undecoded(body, 10_000)
    assert bare == {"owner": "visible", "data": []}
    pieces = [*packed.pieces()]
    assert len(pieces) == 5 and [rows for rows, _ in pieces] == [orjson.loads(text) for _, text in pieces]
    assert b"".join(text[1:-1] + b"," for _, text in pieces)[:-1] in body
    assert undecoded(body, 30_000) == (orjson.loads(body), None)
