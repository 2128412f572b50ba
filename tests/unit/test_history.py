"""SPEC, "Updates": which listed entries are new to a dataset, and up to when its segments are known."""

from datetime import UTC, datetime, timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.dataset.history import (
    OVERLAP,
    TIMES,
    Run,
    is_news,
    is_recent,
    known_until,
    looking_back,
    moved_since,
    stamp,
)
from nomad_dask.dataset.report import Receipt, Report
from nomad_dask.request.segments import ALPHABET, Plan, cut_ids, segments_between

ids = st.text(ALPHABET, min_size=1, max_size=28)
moments = st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1))
CREATED = "2024-05-01T00:00:00+00:00"


def run(number, begun, *, finished=True, after=0):
    return Run(number, CREATED, begun, after=after, finished=begun if finished else "")


@given(st.sets(ids, min_size=1, max_size=60), st.integers(1, 12), ids)
def test_a_new_id_falls_in_exactly_the_segment_that_holds_it(known, n, new):
    plan = Plan(cut_ids(sorted(known), n), len(known), True)
    assert [k for k, segment in enumerate(plan) if new in segment] == [plan.holding(new)]


def test_the_bounds_of_a_segment_are_open_below_and_closed_above():
    plan = Plan(segments_between(["", "B", "M", ""], [1, 1, 1]), 3)
    assert [plan.holding(i) for i in ("A", "B", "BA", "M", "M-", "z")] == [0, 0, 1, 1, 2, 2]


@given(moments, moments)
def test_recent_is_what_has_a_time_from_then_on_whatever_its_form(time, since):
    since = since.replace(tzinfo=UTC)
    for form in (time.isoformat(), time.replace(tzinfo=UTC).isoformat(), f"{time.isoformat()}Z"):
        stamped = stamp({"publish_time": form})
        assert is_recent(stamped, since.isoformat()) == (time.replace(tzinfo=UTC) >= since)
        assert is_news("A", stamped, since.isoformat(), {}) == is_recent(stamped, since.isoformat())
        assert not is_news("A", stamped, since.isoformat(), {"A": stamped})


def test_an_entry_seen_with_other_times_is_news_again():
    one, two = ({"last_processing_time": f"2024-05-0{day}T00:00:00"} for day in (2, 3))
    assert stamp(one) != stamp(two) and is_news("A", stamp(two), CREATED, {"A": stamp(one)})
    assert is_recent("whenever - -", CREATED), "a time that cannot be read is no reason to leave an entry out"
    assert not is_recent(stamp({}), CREATED)


@given(moments)
def test_each_time_of_the_server_counts_alone(moment):
    moved = moment.isoformat()
    for name in TIMES:
        assert is_recent(stamp({name: moved}), moved)
        assert moved_since({"a": 1}, moved)["and"][0] == {"a": 1}
        assert {f"{name}:gte": moved} in moved_since({"a": 1}, moved)["and"][1]["or"]


def test_a_run_looks_back_behind_what_is_known():
    begun = datetime.fromisoformat(CREATED)
    assert datetime.fromisoformat(looking_back(CREATED)) == begun - OVERLAP < begun - timedelta(hours=1)


def test_a_segment_is_known_up_to_the_last_finished_run_or_the_later_one_that_wrote_it():
    one, two, three = (f"2024-0{month}-01T00:00:00+00:00" for month in (6, 7, 8))
    stopped = (run(1, one, finished=False),)
    assert known_until((), CREATED) == known_until(stopped, CREATED) == CREATED
    assert known_until(stopped, CREATED, written_by=1) == one
    runs = (*stopped, run(2, two), run(3, three, finished=False, after=2))
    assert known_until(runs, CREATED) == known_until(runs, CREATED, 1) == known_until(runs, CREATED, 2) == two
    assert known_until(runs, CREATED, 3) == three


def test_a_dataset_whose_update_was_stopped_is_not_complete():
    plan, whole = Plan(segments_between(["", ""], [3]), 3, True), [Receipt(0, "", "", 3)]
    assert Report.of(plan, whole).complete and Report.of(plan, whole, run(1, CREATED)).complete
    assert not Report.of(plan, whole, run(1, CREATED, finished=False)).complete


def test_what_updates_moved_is_due_instead_of_what_was_planned():
    plan = Plan(segments_between(["", ""], [3]), 3, True)
    assert Report.of(plan, [Receipt(0, "", "", 2)]).short == 1
    pruned = Report.of(plan, [Receipt(0, "", "", 2, planned=2)])
    assert (pruned.short, pruned.total, pruned.complete) == (0, 2, True)
    grown = Report.of(plan, [Receipt(0, "", "", 4, planned=5)])
    assert (grown.short, grown.total, grown.complete) == (1, 5, False)


@given(st.builds(Run, st.integers(1, 9), st.just(CREATED), st.just(CREATED), prune=st.booleans()))
def test_runs_and_receipts_come_back_from_json(one):
    assert Run.from_json(orjson.loads(orjson.dumps(one.to_json()))) == one
    receipt = Receipt(0, "", "", 1, "A", "A", bare=("A",), run=2, seen={"A": "x"}, planned=4)
    assert Receipt.from_json(orjson.loads(orjson.dumps(receipt.to_json()))) == receipt


@given(
    st.dictionaries(
        st.sampled_from(TIMES),
        st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text())),
        max_size=3,
    )
)
def test_times_of_any_kind_are_news_rather_than_an_error(row):
    stamped = stamp(row)
    assert len(stamped.split(" ")) == len(TIMES)
    assert is_recent(stamped, "0001-01-02T00:00:00+00:00") in (True, False)
    if any(value is not None and not isinstance(value, str) and value for value in row.values()):
        assert is_recent(stamped, "2020-01-01T00:00:00+00:00")
