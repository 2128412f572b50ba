"""SPEC, "Segments", "Plan": `after < entry_id <= upto`, cuts by arithmetic and by ids, plans as values."""

import itertools
import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nomad_dask.request.segments import (
    ALPHABET,
    Density,
    Plan,
    Segment,
    both,
    bound_at,
    cut_ids,
    even_bounds,
    position,
    spread,
    uneven,
)

ids = st.text(ALPHABET, min_size=28, max_size=28)
id_sets = st.lists(ids, unique=True, min_size=0, max_size=60).map(sorted)
cursors = st.one_of(st.just(""), ids, st.text(ALPHABET, max_size=5), st.text(max_size=6))


def holders(segments, entry_id):
    return [s for s in segments if entry_id in s]


def test_the_alphabet_is_in_byte_order():
    assert list(ALPHABET.encode()) == sorted(ALPHABET.encode()) and len(set(ALPHABET)) == 64


@given(cursors, cursors)
def test_position_keeps_the_order_of_cursors(a, b):
    assume(a <= b)
    assert position(a) <= position(b)


@given(st.integers(1, 2**96 - 1))
def test_a_bound_stands_at_its_place(place):
    bound = bound_at(place)
    assert position(bound) == place
    assert set(bound) <= set(ALPHABET)


@given(id_sets, st.integers(1, 70))
def test_every_id_is_in_exactly_one_segment_of_a_cut_by_ids(entries, n):
    segments = cut_ids(entries, n)
    assert all(len(holders(segments, e)) == 1 for e in entries)
    assert [sum(e in s for e in entries) for s in segments] == [s.size for s in segments]
    assert len(segments) == max(1, min(n, len(entries)))


@given(id_sets, cursors, cursors, st.integers(1, 40))
def test_every_id_of_the_interval_is_in_exactly_one_range_of_an_even_cut(entries, after, upto, n):
    assume(not upto or after < upto)
    bounds = even_bounds(after, upto, n)
    segments = [Segment(a, b) for a, b in itertools.pairwise(bounds)]
    for entry in entries:
        assert len(holders(segments, entry)) == (entry in Segment(after, upto))
    assert 1 <= len(segments) <= n
    assert list(bounds[:-1]) == sorted(set(bounds[:-1]))


@given(id_sets, st.integers(1, 16), st.integers(1, 80))
def test_every_id_is_in_exactly_one_segment_of_a_cut_by_counts(entries, ranges, n):
    bounds = even_bounds("", "", ranges)
    counts = [sum(e in Segment(a, b) for e in entries) for a, b in itertools.pairwise(bounds)]
    segments = Density(bounds, tuple(counts)).cut(n)
    assert all(len(holders(segments, e)) == 1 for e in entries)
    assert (segments[0].after, segments[-1].upto) == ("", "")
    assert len(segments) <= max(1, min(n, len(entries)))
    assert sum(s.size for s in segments) == len(entries)


@given(st.integers(0, 40), st.integers(1, 10))
def test_a_cut_by_counts_follows_the_counts(total, n):
    """All entries in one of 16 ranges: every bound lies in that range."""
    bounds = even_bounds("", "", 16)
    counts = [0] * 16
    counts[5] = total
    for segment in Density(bounds, tuple(counts)).cut(n)[:-1]:
        assert bounds[5] <= segment.upto <= bounds[6]


def counted(entries, segments):
    return [sum(e in segment for e in entries) for segment in segments]


def test_a_density_is_halved_where_it_is_uneven():
    """Half of all entries in 1/1024 of the id space: each halving of the fullest ranges brings them
    nearer.
    """
    dense = [2**86 * 700 + k * 2**86 // 5_000 for k in range(5_000)]
    entries = sorted(map(bound_at, [*dense, *(2**96 * k // 5_000 for k in range(1, 5_000))]))
    bounds = even_bounds("", "", 4)
    density, doubtful = Density(bounds, tuple(counted(entries, map(Segment, bounds, bounds[1:])))), range(4)
    while doubtful:
        places = density.halves(doubtful, min_count=300, limit=24 - len(density.counts))
        lower = counted(entries, [Segment(density.bounds[i], middle) for i, middle in places.items()])
        density, doubtful = density.halved(places, lower)
        assert density.total == len(entries) and len(density.counts) <= 24
    sizes = counted(entries, density.cut(10))
    assert max(abs(size - len(entries) / 10) for size in sizes) < 50


def test_the_fullest_ranges_are_halved_first():
    density = Density(even_bounds("", "", 4), (10, 400, 30, 200))
    assert list(density.halves(range(4), min_count=20, limit=2)) == [1, 3]
    assert list(density.halves([0, 2], min_count=20, limit=2)) == [2]
    assert density.halves(range(4), min_count=0, limit=-1) == {}
    finer, doubtful = density.halved({1: "G", 3: "q"}, [100, 105])
    assert finer.counts == (10, 100, 300, 30, 105, 95) and doubtful == [1, 2]
    assert finer.bounds == (*density.bounds[:2], "G", *density.bounds[2:4], "q", density.bounds[4])


@given(st.integers(0, 1000), st.integers(1, 50))
def test_shares_differ_by_one_at_most(total, n):
    shares = spread(total, n)
    assert sum(shares) == total and len(shares) == n and max(shares) - min(shares) <= 1


def test_unevenness_is_more_than_chance():
    assert not uneven(500, 1000)
    assert not uneven(530, 1000)
    assert uneven(700, 1000)
    assert uneven(0, 1000)


def test_a_query_is_only_anded_with_bounds():
    """What the user wrote is never altered."""
    query = {"results.material.elements": ["Ti"]}
    assert Segment().within(query) is query
    assert Segment("A", "M").within({}) == {"entry_id": {"gt": "A", "lte": "M"}}
    assert Segment("A").within(query) == {"and": [query, {"entry_id": {"gt": "A"}}]}
    assert both({}, {}) == {}


@given(st.lists(ids, unique=True, min_size=1, max_size=9).map(sorted))
def test_a_plan_is_a_value(bounds):
    plan = Plan(cut_ids(bounds, 4), len(bounds), True, 99)
    assert Plan.from_json(plan.to_json()) == plan
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert len({plan, plan}) == 1


@pytest.mark.parametrize("place", [0, 2**96, -1])
def test_no_bound_outside_the_id_space(place):
    with pytest.raises(ValueError, match="position must be between 1 and"):
        bound_at(place)
