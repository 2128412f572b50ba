"""SPEC, "Reading a segment": an entry's content costs no other entry; unreadable ones are failures."""

import pandas as pd
import pytest
from cores import compiled_only
from hostile import Texts, deep

from nomad_dask import ArchiveQuery
from nomad_dask.client import answers
from nomad_dask.client.retry import Policy
from nomad_dask.client.server import Server
from nomad_dask.common.json_rules import MAX_LEVELS
from nomad_dask.dataset.segment import Job, read_segment
from nomad_dask.errors import EntriesFailedError
from nomad_dask.layouts import compiled
from nomad_dask.layouts.infer import Kinds
from nomad_dask.layouts.layouts import LAYOUTS
from nomad_dask.layouts.wide import Wide
from nomad_dask.limits import Limits
from nomad_dask.request import QuerySpec
from nomad_dask.request.required import parse
from nomad_dask.request.segments import Segment
from nomad_dask.testing import serve

N = 60
REFUSED = {
    3: (b'{"x": NaN}', "NaN, which is not valid JSON"),
    10: (b'{"results": {"x": -1e400}}', "the number -1e400"),
    11: (b'{"t": "\\ud800", "n": 12345678901234567890123}', "half of a surrogate pair"),
    29: (deep(1_012), f"nested deeper than {MAX_LEVELS} levels"),
    30: (deep(20_000), f"nested deeper than {MAX_LEVELS} levels"),
    59: (deep(MAX_LEVELS + 2), f"nested deeper than {MAX_LEVELS} levels"),
}
TAKEN = {
    4: b'{"job": "job_20231231235959123456.out"}',
    12: b'{"n": 12345678901234567890123, "m": -9999999999999999999}',
    31: deep(MAX_LEVELS),
}
DAMAGED = {
    20: (b'{"x": 1,}', "invalid JSON"),
    41: (b'{"t": "\xff"}', "invalid JSON"),
}


@pytest.fixture(scope="module")
def hostile():
    texts = {i: text for i, (text, _) in (REFUSED | DAMAGED).items()} | TAKEN
    documents = {i: b'{%s,"results":' + text + b"}" for i, text in texts.items()}
    with serve(Texts(N, texts, documents)) as url:
        yield url


@pytest.fixture
def query(hostile):
    def make(required="*", **options):
        return ArchiveQuery(
            url=str(hostile),
            required=required,
            results_max=None,
            progress=False,
            sleep_time=0.01,
            retry=2,
            **options,
        )

    return make


def reasons(hostile):
    """Why each entry fails, by its id."""
    ids = [entry.entry_id for entry in hostile.corpus.entries]
    return ids, {ids[i]: reason for i, (_, reason) in (REFUSED | DAMAGED).items()}


def job_of(hostile, question):
    server = Server(str(hostile), Limits(None, 8, 20.0), Policy(retry=2, sleep_time=0.01))
    return Job(question, LAYOUTS["wide"].infer([], question.required), server=server)


def check(failures, expected):
    assert {failure.entry_id for failure in failures} == set(expected)
    assert all(expected[failure.entry_id] in failure.reason for failure in failures)


@pytest.mark.parametrize(
    ("layout", "batch_size"), [("wide", None), ("wide", 1), ("nested", 7), ("tables", None)]
)
def test_others_are_delivered_from_archives(hostile, query, layout, batch_size, tmp_path):
    ids, expected = reasons(hostile)
    asked = query(batch_size=batch_size)
    plan = asked.plan(npartitions=2)
    assert plan.total == N
    frame = asked.to_dask_dataframe(layout=layout, npartitions=2, on_failure="null")
    if layout == "tables":
        (frame,) = frame.values()
    found = frame.compute(scheduler="sync")
    taken = (
        found.index
        if layout == "tables"
        else found.dropna(how="all", subset=[c for c in found if c != "upload_id"]).index
    )
    assert set(taken) == set(ids) - set(expected)


@pytest.mark.parametrize("large", [1, answers._LARGE], ids=["packed", "whole"])
@pytest.mark.parametrize("source", ["archives", "documents"])
def test_why_entries_fail(monkeypatch, hostile, query, source, large):
    monkeypatch.setattr(answers, "_LARGE", large)
    ids, expected = reasons(hostile)
    job = job_of(hostile, query(source=source)._question())
    tables, receipt = read_segment(job, Segment())
    (table,) = tables.values()
    check(receipt.failures, expected)
    assert table["entry_id"].to_pylist() == sorted(set(ids) - set(expected))
    refused = [failure for failure in receipt.failures if "invalid JSON" not in failure.reason]
    assert {(f.status, f.attempts) for f in refused} == {(200, 1)} and len(refused) >= len(REFUSED)


def test_a_lazy_frame_names_them(query):
    with pytest.raises(EntriesFailedError, match="8 entries could not be downloaded"):
        query().to_dask_dataframe(npartitions=1).compute(scheduler="sync")


def test_download_brings_the_others(hostile, query):
    ids, expected = reasons(hostile)
    for plain in (False, True):
        asked = query()
        found = asked.download(as_plain_dict=plain)
        check(asked.failures, expected)
        assert len(found) == N - len(expected) and not asked.missing
        assert {ref[0] for ref in asked.entry_list()} == set(expected)
        frame = asked.entries_to_dataframe()
        assert set(frame.index) == set(ids) - set(expected)
        by_id = dict(zip(sorted(set(ids) - set(expected)), found, strict=True))
        numbers = by_id[ids[12]] if plain else by_id[ids[12]].to_dict()
        assert numbers["n"] == 12345678901234567890123 and numbers["m"] == -9999999999999999999


@compiled_only
def test_what_the_core_fails_at_is_read_by_python(monkeypatch, hostile, caplog):
    """A fault of the core is seen in the receipt and the log, not in the table."""

    def faulty(*arguments):
        raise RuntimeError("a bug")

    caplog.set_level("INFO", logger="nomad_dask")
    expected, receipt = read_segment(job_of(hostile, QuerySpec("visible", {}, parse("*"))), Segment())
    assert receipt.core == "compiled" and "a bug" not in caplog.text
    monkeypatch.setattr(compiled.CompiledBuilder, "_feed", faulty)
    found, receipt = read_segment(job_of(hostile, QuerySpec("visible", {}, parse("*"))), Segment())
    assert found[""].equals(expected[""])
    assert (
        receipt.core.startswith("Python: ")
        and "read again, entry by entry: RuntimeError: a bug" in caplog.text
    )


def test_what_cannot_be_made_into_a_row_is_a_failure_of_its_entry(monkeypatch, hostile):
    """Whatever a walk raises: a fault of ours costs the entry that shows it, and no other."""
    ids, _ = reasons(hostile)
    append = Wide.append

    def faulty(self, entry_id, upload_id, archive, **how):
        append(self, entry_id, upload_id, archive, **how)
        if archive and archive.get("job"):
            raise RecursionError("too deep for it")

    monkeypatch.setattr(Wide, "append", faulty)
    monkeypatch.setattr(compiled, "native", None)
    tables, receipt = read_segment(job_of(hostile, QuerySpec("visible", {}, parse("*"))), Segment())
    (failure,) = [failure for failure in receipt.failures if failure.entry_id == ids[4]]
    assert failure.reason == "its archive cannot be converted into rows: RecursionError: too deep for it"
    assert len(receipt.failures) == len(REFUSED) + len(DAMAGED) + 1
    assert len(tables[""]) == N - len(receipt.failures) == receipt.rows
    assert not pd.Index(tables[""]["entry_id"].to_pylist()).has_duplicates


def test_a_frame_in_memory_names_what_cannot_be_made_into_a_row(monkeypatch, hostile, query):
    ids, _ = reasons(hostile)
    asked = query()
    asked.download()
    whole = asked.entries_to_dataframe()
    add = Kinds.add

    def faulty(self, samples):
        samples = [*samples]
        if any("job" in archive for archive in samples):
            raise RecursionError("too deep for it")
        add(self, samples)

    monkeypatch.setattr(Kinds, "add", faulty)
    monkeypatch.setattr(compiled, "native", None)
    with pytest.warns(
        UserWarning, match=f"1 archive could not be converted to rows.*{ids[4]}: RecursionError: too deep"
    ):
        found = asked.entries_to_dataframe()
    assert list(found.index) == list(whole.index) and found.loc[ids[4]].isna().all()
    pd.testing.assert_frame_equal(found.drop(ids[4]), whole.drop(columns="job").drop(ids[4]))
    assert "job" not in query().plan(npartitions=1).to_json() and query().to_dask_dataframe().columns.size
