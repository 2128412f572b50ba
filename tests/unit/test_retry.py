"""SPEC 10: one place decides on a retry, as a pure function of what happened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.pure.retry import (
    Broken,
    GiveUp,
    Halve,
    Policy,
    Refused,
    Status,
    Wait,
    decide,
    parse_retry_after,
    retried,
)

POLICY = Policy(retry=4, sleep_time=4.0)
outcomes = st.one_of(
    st.builds(Status, st.sampled_from([408, 425, 429, 500, 502, 503, 504])),
    st.builds(Broken, st.sampled_from(["timeout", "reset", "truncated", "undecodable", "refused"])),
)


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504, 599])
def test_statuses_that_are_retried(code):
    assert retried(Status(code))


@pytest.mark.parametrize("code", [300, 400, 401, 403, 404, 405, 413, 422])
def test_statuses_that_are_the_users_error(code):
    assert decide(Status(code), 1, POLICY) == Refused()


@given(outcomes, st.integers(1, 6), st.integers(0, 9), st.floats(0, 100), st.floats(0, 1))
def test_every_request_ends(outcome, entries, retry, sleep_time, jitter):
    policy = Policy(retry=retry, sleep_time=sleep_time)
    decisions = [decide(outcome, k, policy, entries=entries, jitter=jitter) for k in range(1, 100)]
    ends = [d for d in decisions if not isinstance(d, Wait)]
    assert ends
    assert set(map(type, ends)) <= ({Halve} if entries > 1 else {GiveUp})


@given(outcomes, st.integers(1, 4), st.floats(0, 1))
def test_waits_are_capped_and_grow(outcome, attempt, jitter):
    decision = decide(outcome, attempt, POLICY, jitter=jitter)
    assert isinstance(decision, Wait)
    assert 0.5 * 0.5 * 2 ** (attempt - 1) <= decision.seconds <= min(4.0, 0.5 * 2 ** (attempt - 1))


def test_retry_after_is_honoured_and_capped():
    assert decide(Status(429, retry_after=7), 1, POLICY) == Wait(7, everyone=True)
    assert decide(Status(503, retry_after=1e6), 1, POLICY) == Wait(POLICY.longest, everyone=True)


def test_a_limit_makes_everyone_wait_and_gets_more_patience():
    assert decide(Status(503), 2, POLICY).everyone
    assert not decide(Status(502), 2, POLICY).everyone
    assert isinstance(decide(Status(503), 16, POLICY), Wait)
    assert decide(Status(503), 17, POLICY) == GiveUp()


def test_a_batch_whose_page_fails_is_halved_early():
    assert isinstance(decide(Status(500), 1, POLICY, entries=8), Wait)
    assert decide(Status(500), 2, POLICY, entries=8) == Halve()
    assert decide(Broken("timeout"), 2, POLICY, entries=8) == Halve()
    assert isinstance(decide(Status(502), 2, POLICY, entries=8), Wait)
    assert decide(Status(500), 5, POLICY, entries=1) == GiveUp()
    assert decide(Status(500), 1, POLICY, entries=8, suspect=True) == Halve()
    assert isinstance(decide(Status(500), 2, POLICY, suspect=True), Wait)
    assert decide(Status(500), 3, POLICY, suspect=True) == GiveUp()
    assert isinstance(decide(Status(502), 3, POLICY, suspect=True), Wait), "that is not of an entry"


def test_retry_after_is_seconds_or_a_date():
    assert parse_retry_after("7", 0) == 7
    assert parse_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 20) == 40
    assert parse_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 90) == 0
    assert parse_retry_after("soon", 0) is None
    assert parse_retry_after(None, 0) is None
