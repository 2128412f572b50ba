"""Issue 7: progress is a plain value: what is done, of how much, the pace of this run, and the time left."""

import orjson
from hypothesis import assume, given
from hypothesis import strategies as st
from progresses import progresses, tallies

from nomad_dask.dataset.report import Receipt, Report
from nomad_dask.progress.progress import Progress, WorkDone
from nomad_dask.request import Failure
from nomad_dask.request.segments import Plan, segments_between


@given(progresses)
def test_any_progress_can_be_told(progress):
    assert progress.share is None or 0 <= progress.share <= 1
    assert progress.left is None or progress.left >= 0
    assert progress.line().startswith(progress.entries_text()) and "failed" in progress.line()
    assert orjson.loads(orjson.dumps(progress.to_json()))["entries"] == progress.done.entries


@given(progresses)
def test_all_is_said_of_all_segments_alone(progress):
    assume(progress.segments is not None)
    assert (progress.share == 1) == (progress.done.segments >= progress.segments)


@given(tallies, tallies, st.floats(1e-3, 1e6))
def test_rates_and_the_time_left_are_of_this_run(before, more, seconds):
    done = before + more
    progress = Progress(done, done.entries + 1000, seconds=seconds, before=before)
    fresh = Progress(more, more.entries + 1000, seconds=seconds)
    assert (progress.entries_per_second, progress.bytes_per_second, progress.requests_per_second) == (
        fresh.entries_per_second,
        fresh.bytes_per_second,
        fresh.requests_per_second,
    )
    assert progress.left == fresh.left and (progress.left is None) == (more.entries == 0)


def test_one_line_of_words():
    earlier = WorkDone(1000, 0, 500_000, 10, 1)
    progress = Progress(earlier + WorkDone(1000, 2, 3_000_000, 20, 1), 10_000, 10, 10.0, earlier)
    assert progress.line() == (
        "2,000 of 10,000 entries, 3.5 MB, 100 entries/s, 300 kB/s, 2 requests/s, 2 failed, 80 s left"
    )
    assert Progress(WorkDone(), 10).line() == "0 of 10 entries, 0 bytes, 0 failed"
    assert Progress(WorkDone(12), 10).entries_text() == "12 of 12 entries", "the total was an estimate"
    assert Progress(WorkDone(12)).entries_text() == "12 entries"


def test_a_report_and_the_receipts_that_it_adds_up_say_the_same():
    plan = Plan(segments_between(["", "M", ""], [3, 4]), 7, exact=True)
    lost = Failure("z", "u", 503, "down", 4)
    receipts = [Receipt(0, "", "M", 3, n_bytes=10, requests=2)]
    receipts += [Receipt(1, "M", "", 3, failures=(lost,), n_bytes=5, requests=9)]
    first, both = Report.of(plan, receipts[:1]), Report.of(plan, receipts)
    assert both.work_done() == receipts[0].work_done() + receipts[1].work_done() == WorkDone(7, 1, 15, 11, 2)
    progress = both.progress(first)
    assert (progress.total, progress.segments, progress.share, progress.left) == (7, 2, 1.0, 0.0)
    assert first.progress().before == WorkDone()
