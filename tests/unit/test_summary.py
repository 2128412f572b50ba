"""SPEC, "Command line": the end of a job says what is incomplete, and the command that helps."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.dataset.history import Run
from nomad_dask.dataset.report import Report, advice, closing, done_by

WHOLE = Report(segments=2, total=20, done=2, rows=20)
RUN = Run(1, "a", "2026-01-01")
few = st.integers(0, 2)


def test_each_thing_that_is_wrong_comes_with_the_command_that_helps():
    told = [
        (replace(WHOLE, done=1), "nomad-dask resume h"),
        (replace(WHOLE, failed=1), "nomad-dask resume h --retry-failures"),
        (replace(WHOLE, short=1), None),
        (replace(WHOLE, update=RUN), "nomad-dask update h"),
        (replace(WHOLE, update=replace(RUN, prune=True)), "nomad-dask update h --prune"),
    ]
    for report, command in told:
        assert [found[1] for found in advice(report, "h")] == [command]


@given(few, few, few, st.sampled_from([None, RUN, replace(RUN, finished="c")]))
def test_a_report_is_without_advice_if_and_only_if_it_is_complete(done, failed, short, run):
    report = Report(segments=2, total=20, done=done, failed=failed, short=short, update=run)
    assert (not advice(report, "h")) == report.complete
    assert closing(report, "h").count("`") == 2 * len([found for found in advice(report, "h") if found[1]])


def test_closing_words_of_a_large_and_of_a_whole_dataset():
    large = replace(
        WHOLE, rows=19_000_000, n_bytes=3_200_000_000, requests=1, retries=2, missing=1000, n_more=1
    )
    assert closing(large, "h").splitlines() == [
        "19,000,000 entries in h (3.2 GB read in 1 request, 2 retries); 1,000 without archive, 0 failed",
        "1 value outside the schema: in the column _more",
    ]


def test_the_command_names_the_dataset_as_a_shell_reads_it():
    assert advice(replace(WHOLE, done=1), "my data")[0][1] == "nomad-dask resume 'my data'"
    assert advice(replace(WHOLE, done=1), "s3://me/h-1")[0][1] == "nomad-dask resume s3://me/h-1"


def test_what_an_update_did():
    assert done_by(RUN) == "not finished"
    ended = replace(RUN, finished="c", added=2000, changed=3, pruned=4)
    assert done_by(ended) == "2,000 new, 3 reprocessed, withdrawn entries not checked"
    assert done_by(replace(ended, prune=True)) == "2,000 new, 3 reprocessed, 4 withdrawn and dropped"
    assert "last update 2026-01-01: 2,000 new" in closing(replace(WHOLE, update=ended), "h")
