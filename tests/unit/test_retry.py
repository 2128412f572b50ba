"""SPEC, "Retries": one pure function decides on a retry from what happened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.client.answers import retry_after
from nomad_dask.client.retry import (
    BrokenAnswer,
    GiveUp,
    Halve,
    Policy,
    Refusal,
    StatusAnswer,
    Wait,
    decide,
    reason,
    retried,
    specificity,
)

POLICY = Policy(retry=4, sleep_time=4.0)
outcomes = st.one_of(
    st.builds(StatusAnswer, st.sampled_from([408, 425, 429, 500, 502, 503, 504])),
    st.builds(BrokenAnswer, st.sampled_from(["timeout", "reset", "truncated", "undecodable", "refused"])),
)


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504, 599])
def test_statuses_that_are_retried(code):
    assert retried(StatusAnswer(code))


@pytest.mark.parametrize("code", [300, 400, 401, 403, 404, 405, 413, 422])
def test_statuses_that_are_the_users_error(code):
    assert decide(StatusAnswer(code), 1, POLICY) == Refusal()


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
    assert decide(StatusAnswer(429, retry_after=7), 1, POLICY) == Wait(7, everyone=True)
    assert decide(StatusAnswer(503, retry_after=1e6), 1, POLICY) == Wait(POLICY.max_wait, everyone=True)


def test_a_limit_makes_everyone_wait_and_gets_more_patience():
    assert decide(StatusAnswer(503), 2, POLICY).everyone
    assert not decide(StatusAnswer(502), 2, POLICY).everyone
    assert isinstance(decide(StatusAnswer(503), 16, POLICY), Wait)
    assert decide(StatusAnswer(503), 17, POLICY) == GiveUp()


def test_a_batch_whose_page_fails_is_halved_early():
    assert isinstance(decide(StatusAnswer(500), 1, POLICY, entries=8), Wait)
    assert decide(StatusAnswer(500), 2, POLICY, entries=8) == Halve()
    assert decide(BrokenAnswer("timeout"), 2, POLICY, entries=8) == Halve()
    assert isinstance(decide(StatusAnswer(502), 2, POLICY, entries=8), Wait)
    assert decide(StatusAnswer(500), 5, POLICY, entries=1) == GiveUp()
    assert decide(StatusAnswer(500), 1, POLICY, entries=8, suspect=True) == Halve()
    assert isinstance(decide(StatusAnswer(500), 2, POLICY, suspect=True), Wait)
    assert decide(StatusAnswer(500), 3, POLICY, suspect=True) == GiveUp()
    assert isinstance(decide(StatusAnswer(502), 3, POLICY, suspect=True), Wait), "that is not of an entry"


def test_retry_after_is_seconds_or_a_date():
    assert retry_after("7", 0) == 7
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 20) == 40
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 90) == 0
    assert retry_after("soon", 0) is None
    assert retry_after(None, 0) is None


FAULTS = [
    (BrokenAnswer("reset"), ""),
    (StatusAnswer(503), "Service Temporarily Unavailable"),
    (BrokenAnswer("timeout"), ""),
    (BrokenAnswer("malformed"), "its total is 'x'"),
    (StatusAnswer(502), ""),
    (StatusAnswer(500), "the archive is broken"),
]


@given(st.lists(st.sampled_from(FAULTS), min_size=1))
def test_the_fault_that_tells_most_is_named(faults):
    """What the server says, then an answer of another shape, then no answer, then a cut connection."""
    told = max(faults, key=lambda fault: specificity(*fault))
    assert FAULTS.index(told) == max(map(FAULTS.index, faults))


@pytest.mark.parametrize(
    ("outcome", "words", "said"),
    [
        (StatusAnswer(500), "", "status 500"),
        (StatusAnswer(500), "status 500", "status 500"),
        (StatusAnswer(500), "Status 500: no files", "Status 500: no files"),
        (StatusAnswer(500), "no files", "status 500: no files"),
        (BrokenAnswer("reset"), "", "connection closed by the server"),
    ],
)
def test_nothing_is_said_twice(outcome, words, said):
    assert reason(outcome, words) == said


@pytest.mark.parametrize(
    "text",
    [
        *("nan", "inf", "-inf", "1e999", "Thu, 99 Jan 1970 00:01:00 GMT", "Mon, 01 Jan 0001 00:00:00 +9999"),
        *(
            "Mon, 01 Jan 0001 00:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 -2359",
            "Thu, 01 Jan 1970 00:00:00 +99999999",
        ),
        *("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", "\x1b[31m", "٣ days", "-5"),
    ],
)
def test_an_absurd_retry_after_is_passed_over(text):
    found = retry_after(text, 1e9)
    assert found is None or 0 <= found <= 86_400
    wait = decide(StatusAnswer(429, found), 1, POLICY)
    assert isinstance(wait, Wait) and 0 < wait.seconds <= POLICY.max_wait


@given(
    st.one_of(
        st.text(),
        st.builds("{}, {} {} {} {}:{}:{} {}".format, *[st.text(max_size=4)] * 3, *[st.integers()] * 5),
    )
)
def test_no_header_raises(text):
    found = retry_after(text, 0)
    assert found is None or found >= 0


def test_an_answer_that_is_too_large_is_never_asked_for_again():
    assert decide(BrokenAnswer("too large"), 1, POLICY, entries=2) == Halve()
    assert decide(BrokenAnswer("too large"), 1, POLICY) == GiveUp()
