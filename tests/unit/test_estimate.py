"""What a harvest will cost, told before it."""

import pytest

from nomad_dask.limits import BatchSize
from nomad_dask.plan.estimate import SampleCost, forecast, uncertainty
from nomad_dask.request.segments import Plan, Segment, cut_ids

IDS = [f"{n:028d}" for n in range(1_000)]


def told(plan, batch=BatchSize(100), per_entry=1_000.0, per_second=20.0, documents=False, more=0.0):
    return forecast(
        plan,
        batch,
        SampleCost(9, per_entry, (per_entry or 0.0) * (1 + more), more),
        per_second=per_second,
        documents=documents,
    )


def test_a_segment_is_listed_and_comes_in_batches():
    fixed = BatchSize(100, fixed=True)
    plan = Plan(cut_ids(IDS, 4), 1_000, True)
    found = told(plan, fixed)
    assert found.requests == 4 * (1 + 3) and found.n_bytes == 1_000_000
    assert found.least_seconds == found.requests / 20.0
    assert told(plan, fixed, documents=True).requests == 4 * 3, "documents need no list"
    assert told(plan, fixed, per_second=None).least_seconds is None


def test_batches_grow_as_they_do_in_a_harvest():
    plan = Plan((Segment("", "", 25_000),), 25_000)
    assert told(plan).requests == 3 + len([100, 400, 1_600, 5_000, 5_000, 5_000, 5_000, 2_900])
    assert told(plan, per_entry=80_000.0).requests == 3 + 250


def test_what_the_sample_took_besides_its_batches_is_counted_for_all():
    plan, fixed = Plan(cut_ids(IDS, 4), 1_000, True), BatchSize(100, fixed=True)
    found = told(plan, fixed, more=0.5)
    assert found.requests == told(plan, fixed).requests + 500 and found.n_bytes == 1_500_000


def test_an_empty_sample_tells_nothing():
    assert told(Plan((Segment("", "", 0),), 0, True), per_entry=None) is None


@pytest.mark.parametrize(("total", "segments", "share"), [(1_000_000, 10, 0.05), (1_000, 10, 0.2)])
def test_small_segments_of_an_estimate_are_less_sure(total, segments, share):
    cut = tuple(Segment("", "", total // segments) for _ in range(segments))
    assert uncertainty(Plan(cut, total)) == pytest.approx(share)
    assert uncertainty(Plan(cut, total, exact=True)) == 0
