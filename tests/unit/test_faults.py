"""SPEC, "Embedded archive": fault scripts, deterministic by seed."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.testing.faults import (
    Delay,
    Drop,
    EndEarly,
    FaultRequest,
    Faults,
    Garble,
    InflateTotal,
    Reorder,
    RepeatCursor,
    Reset,
    Rule,
    Stall,
    Status,
    Truncate,
    Unasked,
)

LISTING = "entries/query"
ARCHIVES = "entries/archive/query"


def fired(faults, n=100, path=LISTING, body=None):
    """The numbers of the requests that something happened to."""
    return [k for k in range(1, n + 1) if faults.plan(FaultRequest(k, path, body)) is not None]


def page(ids=("A", "B", "C"), **pagination):
    return {
        "pagination": {"total": 9, **pagination},
        "data": [{"entry_id": x, "upload_id": "U"} for x in ids],
    }


def ids(answer):
    return [row["entry_id"] for row in answer["data"]]


def test_a_rule_without_a_time_holds_always():
    assert fired(Faults([Rule(Reset())]), 5) == [1, 2, 3, 4, 5]


def test_no_rules_no_faults():
    assert fired(Faults()) == []


def test_nth_every_and_times():
    assert fired(Faults([Rule(Reset(), nth=(3, 5))])) == [3, 5]
    assert fired(Faults([Rule(Reset(), every=40)])) == [40, 80]
    assert fired(Faults([Rule(Reset(), every=10, times=2)])) == [10, 20]
    assert fired(Faults([Rule(Reset(), times=3)])) == [1, 2, 3]


def test_nth_counts_only_the_requests_that_match():
    faults = Faults([Rule(Reset(), nth=(2,), path=ARCHIVES)])
    paths = [LISTING, ARCHIVES, LISTING, LISTING, f"/api/v1/{ARCHIVES}", ARCHIVES]
    plans = [faults.plan(FaultRequest(n, path)) for n, path in enumerate(paths, 1)]
    assert plans == [None, None, None, None, Reset(), None]


def test_a_listing_rule_is_not_for_archives():
    assert fired(Faults([Rule(Reset(), path=LISTING)]), path=ARCHIVES) == []


def test_match_sees_the_body():
    faults = Faults([Rule(Reset(), match=lambda body: body["owner"] == "visible")])
    assert fired(faults, 2, body={"owner": "public"}) == []
    assert fired(faults, 2, body={"owner": "visible"}) == [1, 2]


def test_the_first_rule_that_is_due_decides_and_the_others_still_count():
    faults = Faults([Rule(Reset(), nth=(2,)), Rule(Status(500), nth=(2, 3))])
    assert [faults.plan(FaultRequest(n, LISTING)) for n in range(1, 5)] == [None, Reset(), Status(500), None]


def test_times_counts_only_what_happened():
    faults = Faults([Rule(Reset(), nth=(1,)), Rule(Status(500), times=1)])
    assert [faults.plan(FaultRequest(n, LISTING)) for n in range(1, 4)] == [Reset(), Status(500), None]


def test_a_rate_is_seeded():
    by_seed = {seed: fired(Faults([Rule(Reset(), rate=0.1)], seed=seed), 3000) for seed in (0, 1)}
    assert by_seed[0] == fired(Faults([Rule(Reset(), rate=0.1)]), 3000)
    assert by_seed[0] != by_seed[1]
    assert all(220 < len(hits) < 380 for hits in by_seed.values())


def test_two_rules_of_one_rate_hit_different_requests():
    both = Faults([Rule(Reset(), rate=0.2), Rule(Status(503), rate=0.2)])
    kinds = [type(both.plan(FaultRequest(n, LISTING))) for n in range(1, 2001)]
    assert 300 < kinds.count(Reset) < 500
    assert 230 < kinds.count(Status) < 410


@pytest.mark.parametrize("rate, hits", [(0.0, 0), (1.0, 50)])
def test_rates_of_nothing_and_of_all(rate, hits):
    assert len(fired(Faults([Rule(Reset(), rate=rate)]), 50)) == hits


@pytest.mark.parametrize("what", ["missing", "poison"])
def test_the_same_ids_are_always_hit(what):
    some = [f"{k:028d}" for k in range(20_000)]
    faults = Faults(seed=3, **{f"{what}_rate": 0.01, what: ["AAA"]})
    again = Faults(seed=3, **{f"{what}_rate": 0.01})
    hit = [x for x in some if getattr(faults, what)(x)]
    assert hit == [x for x in reversed(some) if getattr(again, what)(x)][::-1]
    assert 140 < len(hit) < 260
    assert getattr(faults, what)("AAA") and not getattr(again, what)("AAA")
    assert not any(getattr(faults, "poison" if what == "missing" else "missing")(x) for x in some)


def test_missing_and_poison_are_drawn_apart():
    faults = Faults(missing_rate=0.1, poison_rate=0.1)
    both = sum(faults.missing(str(k)) and faults.poison(str(k)) for k in range(10_000))
    assert 50 < both < 160


def test_the_limit_lets_a_second_s_worth_through_and_then_the_rate():
    faults = Faults(requests_per_second=20)
    assert [faults.admit(100.0) for _ in range(25)] == [True] * 20 + [False] * 5
    assert [faults.admit(100.101) for _ in range(3)] == [True, True, False]
    assert sum(faults.admit(500.0) for _ in range(50)) == 20


def test_a_limit_below_one_a_second_lets_the_first_through():
    faults = Faults(requests_per_second=0.5)
    assert [faults.admit(t) for t in (0.0, 1.0, 2.0, 2.5, 4.0)] == [True, False, True, False, True]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200), st.floats(0.5, 50))
def test_never_more_than_a_second_s_worth_and_the_rate(times, rate):
    times.sort()
    faults = Faults(requests_per_second=rate)
    admitted = sum(faults.admit(t) for t in times)
    assert 1 <= admitted <= max(1.0, rate) + rate * (times[-1] - times[0]) + 1e-6


def test_no_limit_admits_all_and_a_clock_that_goes_back_gives_no_tokens():
    assert all(Faults().admit(0.0) for _ in range(1000))
    faults = Faults(requests_per_second=1)
    assert [faults.admit(t) for t in (10.0, 5.0, 10.0)] == [True, False, False]


def test_counters_hold_among_threads():
    faults = Faults([Rule(Reset(), every=4), Rule(Status(500), times=50)])
    plans = []

    def ask():
        for n in range(500):
            plans.append(faults.plan(FaultRequest(n, LISTING)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert plans.count(Reset()) == 500
    assert plans.count(Status(500)) == 50


def test_edits_change_what_they_say_and_not_what_they_are_given():
    answer = page(page_after_value="0", next_page_after_value="C")
    before = repr(answer)
    assert ids(Reorder().edit(answer)) == ["C", "B", "A"]
    assert ids(Drop(2).edit(answer)) == ["A"]
    assert ids(Drop(9).edit(answer)) == []
    assert InflateTotal(4).edit(answer)["pagination"]["total"] == 13
    assert "next_page_after_value" not in EndEarly().edit(answer)["pagination"]
    assert RepeatCursor().edit(answer)["pagination"]["next_page_after_value"] == "0"
    assert ids(Unasked(("Y", "Z")).edit(answer)) == ["A", "B", "C", "Y", "Z"]
    assert Unasked(("Z",)).edit(answer)["data"][-1] == {"entry_id": "Z", "upload_id": "U"}
    assert repr(answer) == before


def test_edits_of_a_first_and_of_an_empty_page():
    assert RepeatCursor().edit(page())["pagination"]["next_page_after_value"] == "A"
    assert "next_page_after_value" not in RepeatCursor().edit(page(()))["pagination"]
    assert ids(Unasked(("Z",)).edit(page(()))) == ["Z"]


@pytest.mark.parametrize(
    "text, rules",
    [
        ("", ()),
        (" ; ", ()),
        ("status=503,html,rate=0.1", (Rule(Status(503, html=True), rate=0.1),)),
        ("status=429 , retry_after=2.5 ,nth=3+5", (Rule(Status(429, retry_after=2.5), nth=(3, 5)),)),
        (
            "reset,every=10,path=entries/archive/query,times=2",
            (Rule(Reset(), every=10, path=ARCHIVES, times=2),),
        ),
        (
            "truncate; truncate=0.3; garble=0.2; stall=60; delay=0.5",
            (Rule(Truncate()), Rule(Truncate(0.3)), Rule(Garble(0.2)), Rule(Stall(60)), Rule(Delay(0.5))),
        ),
        ("reorder; repeat-cursor; end-early", (Rule(Reorder()), Rule(RepeatCursor()), Rule(EndEarly()))),
        (
            "inflate-total=10; unasked=A+B; drop; drop=2",
            (Rule(InflateTotal(10)), Rule(Unasked(("A", "B"))), Rule(Drop(1)), Rule(Drop(2))),
        ),
    ],
)
def test_a_script_in_words_is_the_script_in_python(text, rules):
    assert Faults.parse(text).rules == rules


def test_a_server_takes_a_script_or_its_words():
    script = Faults([Rule(Status(503))])
    assert Faults.of(script) is script and Faults.of(None) is None and Faults.of("latency=0.1").latency == 0.1
    with pytest.raises(ValueError, match="latncy"):
        Faults.of("latncy=0.1")
    with pytest.raises(TypeError, match="faults must be Faults or a string"):
        Faults.of({"latency": 0.1})


def test_settings_in_words():
    some = "9" * 28
    faults = Faults.parse(f"latency=0.2; slots=4; limit=20; missing=0.002; poison=ID1+ID2+{some}; seed=4")
    assert (faults.latency, faults.requests_per_second, faults.seed, faults.rules) == (0.2, 20, 4, ())
    assert faults.slots == 4
    assert [faults.poison(x) for x in ("ID1", "ID2", some, "ID3")] == [True, True, True, False]
    same = Faults(seed=4, missing_rate=0.002)
    assert all(faults.missing(str(k)) == same.missing(str(k)) for k in range(5000))


@pytest.mark.parametrize(
    "text, words",
    [
        ("statu=503", "unknown fault 'statu'; did you mean 'status'?"),
        ("latency=0.1; status", "status needs a value"),
        ("status=x", "status must be an integer, not 'x', in 'status=x'"),
        ("status=42", "between 300 and 599, not 42"),
        ("status=503,rte=1", "unknown option 'rte'; did you mean 'rate'?"),
        ("status=503,rate=2", "rate must be between 0 and 1, not 2"),
        ("status=503,rate=-1", "rate must be non-negative"),
        ("status=503,html=1", "html takes no value"),
        ("status=503,rate", "rate needs a value"),
        ("reset=3", "reset takes no value"),
        ("reset,html", "unknown option 'html'"),
        ("reset,nth=0", "nth must be positive"),
        ("reset,nth=1+x", "nth must be an integer, not 'x'"),
        ("reset,nth=1,every=2", "only one of rate, nth and every"),
        ("truncate=1.5", "truncate must be between 0 and 1"),
        ("stall=inf", "must be non-negative and finite"),
        ("drop=-1", "drop must be non-negative"),
        ("unasked", "unasked needs a value"),
        ("missing=2", "missing must be between 0 and 1, not 2"),
        ("latency=1,2", "latency takes no options"),
        ("limit=0", "requests_per_second must be positive"),
        (",", "unknown fault ''"),
    ],
)
def test_a_mistake_is_named(text, words):
    with pytest.raises(ValueError) as caught:
        Faults.parse(text)
    assert words in str(caught.value)


def test_mistakes_in_python_are_named():
    with pytest.raises(ValueError, match="only one of rate, nth and every"):
        Rule(Reset(), rate=0.1, nth=(1,))
    with pytest.raises(ValueError, match="missing_rate must be between 0 and 1"):
        Faults(missing_rate=3)
    with pytest.raises(ValueError, match="latency must not be negative"):
        Faults(latency=-1)
    with pytest.raises(ValueError, match="slots must be positive"):
        Faults(slots=0)
