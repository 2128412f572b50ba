"""SPEC 7: integers of any size stay whole; orjson alone would make floats of them."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.pure import words

RUN = re.compile(rb"(?<![0-9.])[0-9]{20}")
TEXTS = st.lists(
    st.one_of(
        st.binary(max_size=6),
        st.integers(0, 45).map(lambda n: b"7" * n),
        st.sampled_from([b".", b"-", b"/", b":", b",", b"\xb0", b"0.", b"e"]),
    ),
    max_size=12,
).map(b"".join)


@given(TEXTS, st.sampled_from([1, 3, 20, 64, 2**17]))
def test_long_integers_are_seen_wherever_they_stand(text, step):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(words, "_STEP", step)
        assert words._has_long_integer(text) == bool(RUN.search(text))


@given(st.lists(st.one_of(st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False))))
def test_decoded_is_exact(values):
    assert words.decoded(json.dumps(values).encode()) == values
