"""SPEC, "Limits": requests are evenly spaced, slower when the server refuses, and faster again later."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.limits.token_bucket import RateController
from nomad_dask.testing.faults import Faults


@given(st.floats(0.5, 100), st.lists(st.floats(0, 2), min_size=1, max_size=40))
def test_never_more_than_the_rate(rate, gaps):
    pace, now, sent = RateController(rate), 0.0, []
    for gap in gaps:
        now += gap
        sent.append(now + pace.reserve(now))
    assert all(b - a >= 1 / rate - 1e-9 for a, b in itertools.pairwise(sent))


def test_an_idle_line_lets_the_next_go_at_once():
    pace = RateController(2)
    assert [pace.reserve(10.0), pace.reserve(10.0), pace.reserve(20.0)] == [0.0, 0.5, 0.0]


def test_a_hold_keeps_everyone_back():
    for pace in (RateController(2), RateController(None)):
        pace.hold(1.0, 4.0)
        assert pace.reserve(1.0) == 4.0


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 3)), min_size=1, max_size=20))
def test_places_that_are_out_move_back_with_the_line(holds):
    """Holds that overlap stop the line for their union, and no two places ever meet."""
    pace, now, until = RateController(10), 0.0, 0.0
    place = pace.reserve(now) + 10.0
    pace._next = place + 0.1
    stopped = 0.0
    for gap, seconds in holds:
        now += gap
        stopped += max(0.0, now + seconds - max(until, now))
        until = max(until, now + seconds)
        pace.hold(now, seconds)
    assert pace.paused == pytest.approx(stopped)
    following = now + pace.reserve(now)
    if now + pace.hold_left(now) < place:
        assert following - (place + pace.paused) == pytest.approx(0.1)
    assert following >= until - 1e-9


def harvest(pace, allow, seconds, *, most=500.0, interval=0.25, back_off=0.4):
    """Times of answers and of refusals, of clients that always have a request ready and tell every quarter
    second.
    """
    now, taken, refused, unsaid, tell = 0.0, [], [], [0, 0], interval
    while now < seconds:
        now = max(now + 1 / most, now + pace.reserve(now))
        while now >= tell:
            pace.record(tell, *unsaid)
            unsaid, tell = [0, 0], tell + interval
        if allow(now):
            taken.append(now)
            unsaid[0] += 1
        else:
            refused.append(now)
            pace.record(now, unsaid[0], unsaid[1] + 1)
            unsaid = [0, 0]
            pace.hold(now, back_off)
    return taken, refused


@pytest.mark.parametrize("rate", [None, 40.0, 25.0, 20.0])
def test_it_finds_a_limit_below_its_own(rate):
    """A server of 20 requests a second is used well, and refuses few, whatever was configured."""
    taken, refused = harvest(RateController(rate), Faults(requests_per_second=20).admit, 120)
    used = sum(t > 10 for t in taken) / 110
    late = sum(t > 10 for t in refused) / (110 * 20)
    assert used >= 18.0
    assert late <= 0.015 if rate != 20 else not refused


def test_faults_at_any_rate_do_not_bring_it_down():
    """One answer in 25 is a 503 for no reason: a harvest goes on at most of its rate."""
    dice = random.Random(4)
    taken, _ = harvest(RateController(20), lambda now: dice.random() > 0.04, 300, back_off=0.01)
    assert sum(t > 200 for t in taken) / 100 > 14


def test_it_comes_back_after_an_outage():
    """A minute of nothing but refusals says nothing of the server's limit."""
    pace = RateController(20.0)
    taken, _ = harvest(pace, lambda now: not 10 < now < 70, 90)
    assert sum(t > 71 for t in taken) / 19 > 14
