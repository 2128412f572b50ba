"""SPEC, "JSON rules": one set of rules for all JSON; integers of any size are exact."""

import json
import re

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.common import json_rules, types
from nomad_dask.common.json_rules import MAX_LEVELS, ROW, TOO_DEEP, ContentError, decode, levels_of
from nomad_dask.dataset.segment import values_outside

LONG = re.compile(rb"-[0-9]{19}|(?:^|[\[:, \t\n\r])[0-9]{20}")
TEXTS = st.lists(
    st.one_of(
        st.binary(max_size=6),
        st.integers(0, 45).map(lambda n: b"7" * n),
        st.sampled_from([b".", b"-", b"/", b":", b",", b"\xb0", b"0.", b"e", b"[", b" "]),
    ),
    max_size=12,
).map(b"".join)


@given(TEXTS, st.sampled_from([1, 3, 20, 64, 2**17]))
def test_long_integers_are_seen_wherever_they_may_stand(text, step):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_rules, "_STEP", step)
        assert json_rules.has_long_integer(text) == bool(LONG.search(text))


@given(
    st.lists(
        st.one_of(
            st.integers(-(10**30), 10**30),
            st.integers(-(10**19), 10**20),
            st.floats(allow_nan=False, allow_infinity=False),
        )
    )
)
def test_decoded_is_exact(values):
    assert decode(json.dumps(values).encode()) == values


def nested(levels, opening=b"[", closing=b"]"):
    return opening * levels + b"1" * (opening != b"[") + closing * levels


RULES = [
    (b"[18446744073709551616]", [2**64]),
    (b"[-9223372036854775809]", [-(2**63) - 1]),
    (b"-9223372036854775809", -(2**63) - 1),
    (b"1" + b"0" * 4299, 10**4299),
    (b"1" + b"0" * 4300, "an integer of more than 4,300 digits"),
    (b"[1e400]", "the number 1e400, which is outside the range of a float64"),
    (b"[-1e400, 18446744073709551616]", "the number -1e400"),
    (b"1e-400", 0.0),
    (b"[NaN]", "NaN, which is not valid JSON"),
    (b'{"a": -Infinity}', "-Infinity, which is not valid JSON"),
    (b'["\\ud800"]', "half of a surrogate pair"),
    (b'{"\\udc00": 18446744073709551616}', "half of a surrogate pair"),
    (b'["\\ud83d\\ude00", "\\\\ud800"]', ["😀", "\\ud800"]),
    (b'{"a": 1, "a": 2}', {"a": 2}),
    (b'{"a": 18446744073709551616, "a": 2}', {"a": 2}),
    (nested(MAX_LEVELS + ROW), json.loads(nested(MAX_LEVELS + ROW))),
    (nested(MAX_LEVELS + ROW + 1), TOO_DEEP),
    (nested(MAX_LEVELS + ROW + 1, b'{"]]]]":', b"}"), TOO_DEEP),
    (nested(100_000), TOO_DEEP),
]


@pytest.mark.parametrize(("text", "expected"), RULES, ids=lambda value: str(value)[:40])
def test_the_rules(text, expected):
    for one in (text, b" " + text + b"\n"):
        if isinstance(expected, str):
            with pytest.raises(ContentError, match=re.escape(expected)):
                json_rules.decode_or_explain(one, ROW)
            with pytest.raises(ValueError):
                decode(one, ROW)
        else:
            assert json_rules.decode_or_explain(one, ROW) == decode(one, ROW) == expected


@pytest.mark.parametrize(
    "text",
    [b"", b"\xef\xbb\xbf1", b"[1", b"[1,]", b"01", b'"\xff"', b'"\xed\xa0\x80"', b'"\n"', b"\xff\xfe1\0"],
)
def test_what_is_no_json_at_all(text):
    for read in (decode, json_rules.decode_or_explain):
        with pytest.raises(ValueError) as caught:
            read(text, ROW)
        assert not isinstance(caught.value, ContentError)


TOKENS = st.sampled_from(
    [
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        '"a"',
        '"é"',
        '"\\u00e9"',
        '"\\ud83d\\ude00"',
        '"\\ud800"',
        '"\\n"',
        "1",
        "-0",
        "0.1",
        "1e5",
        "1E-7",
        "5e-324",
        "1e308",
        "1e400",
        "-1",
        "NaN",
        "null",
        "true",
        "12345678901234567890",
        "0.30000000000000004",
        "\t",
        "01",
        "-",
        ".",
        "\\",
        "\x7f",
    ]
)


@given(
    st.lists(TOKENS, max_size=12).map("".join), st.lists(st.floats(allow_nan=False) | st.text(), max_size=5)
)
def test_both_decoders_keep_to_the_same_rules(text, values):
    for one in (text, json.dumps(values).replace("Infinity", "1e999")):
        if json_rules.has_long_integer(one.encode()):
            continue  # The fast one is never given such a text.
        results = []
        for decoder in (json_rules.decode_fast, json_rules.decode_exact):
            try:
                results.append(repr(decoder(one.encode(), ROW)))
            except ValueError:
                results.append("refused")
        assert results[0] == results[1]


@given(st.lists(st.tuples(st.booleans(), st.text(max_size=4)), max_size=20), st.text())
def test_levels_are_counted_in_the_text(around, value):
    for is_list, text in around:
        value = [text, value, [text]] if is_list else {text: value, f"{text} ": text or [[]]}
    assert levels_of(orjson.dumps(value)) == _levels(value)


def _levels(value):
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(_levels, value.values() if isinstance(value, dict) else value), default=0)


def test_an_update_counts_what_is_outside_whatever_its_size():
    cells = [types.dumps({"a": 10**400, "b": 2**64}), None, types.dumps({"c": "é"})]
    assert values_outside({"": pa.table({"_more": pa.array(cells, pa.string())})}, "wide")[0] == 3
