"""SPEC, "Types": the types of samples, by the fast walk, are those of the flattening rule."""

from hypothesis import given
from hypothesis import strategies as st
from strategies import fuzzed, many, requireds

from nomad_dask.common import types
from nomad_dask.layouts.infer import kinds_of
from nomad_dask.layouts.walk import leaves


def by_the_rule(samples, required):
    found = {}
    for archive in samples:
        for name, value in leaves(archive, required):
            found[name] = types.join(found.get(name, types.NULL), types.type_of(value))
    return found


@fuzzed(1000)
@given(many, requireds)
def test_all_that_the_samples_hold(samples, required):
    assert kinds_of(samples, required) == by_the_rule(samples, required)


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**65), 2**65),
        st.floats(allow_nan=False),
        st.text(max_size=2),
    ),
    lambda below: st.lists(below, max_size=4),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=6))
def test_a_lists_type_is_that_of_its_elements_together(values):
    kind = types.NULL
    for value in values:
        kind = types.join(kind, types.type_of(value))
    assert types.type_of(values) == types.list_of(kind)
