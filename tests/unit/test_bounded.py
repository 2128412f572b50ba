"""Issue 13: what is printed of a value has a bound, whatever the value holds; a report prints as a
sentence.
"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask import ArchiveQuery
from nomad_dask.dataset.report import Report
from nomad_dask.errors import DatasetError, NomadDaskError, UserError
from nomad_dask.request.segments import Plan, even_bounds, segments_between
from nomad_dask.text import hint, shown

IDS = [f"{number:028d}" for number in range(20_000)]
MANY = {"entry_id:any": IDS}


def query_of(**options):
    return ArchiveQuery(url="http://127.0.0.1:9/api/v1", progress=False, **options)


def test_a_query_with_20_000_ids_prints_in_a_few_lines():
    query = query_of(query=MANY, required={f"section_{n}": "*" for n in range(5_000)})
    for text in (repr(query), query._repr_html_()):
        assert len(text) < 5_000 and IDS[0] in text
    assert (
        "characters)" in repr(query)
        and "section_0, section_1, " in repr(query)
        and "4,980 more" in repr(query)
    )
    assert query.query == MANY


def test_a_plan_prints_in_a_line():
    plan = Plan(segments_between(even_bounds("", "", 20_000), [5] * 20_000), 100_000)
    assert repr(plan) == "<Plan: 100,000 entries in 20,000 segments of 5 entries (estimated)>"
    assert len(plan._repr_html_()) < 10_000


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: query_of(owner=MANY),
        lambda: query_of(owner=IDS),
        lambda: query_of(after=IDS),
        lambda: query_of(required=IDS),
        lambda: query_of(required={"results": IDS}),
        lambda: query_of(page_size=IDS),
        lambda: query_of(source="documents", required=[MANY]),
        lambda: query_of().to_dask_dataframe(schema=IDS),
        lambda: ArchiveQuery(url="http://" + "h" * 700_000 + "?x"),
        lambda: ArchiveQuery(url="h" * 700_000),
    ],
)
def test_errors_are_bounded(wrong):
    with pytest.raises(UserError) as caught:
        wrong()
    assert len(str(caught.value)) <= 4_010


def test_a_dataset_of_another_query_is_told_in_a_few_lines():
    from dataclasses import replace

    from datasets import REQUIRED

    from nomad_dask.dataset.manifest import Manifest
    from nomad_dask.layouts.schema import Schema
    from nomad_dask.request import QuerySpec
    from nomad_dask.request.required import parse

    plan = Plan(segments_between(("", ""), [3]), 3)
    question = QuerySpec("visible", MANY, parse(REQUIRED))
    manifest = Manifest(question, Schema(), id="id", url="http://h/api/v1", plan=plan)
    other = replace(manifest, question=replace(question, query={"entry_id:any": IDS[::-1]}))
    with pytest.raises(DatasetError) as caught:
        manifest.must_match(other.identity(), "h")
    words = str(caught.value)
    assert len(words) < 1_000 and words.endswith("choose another folder, or use the same query")
    assert IDS[0] in words and IDS[-1] in words


def test_a_long_message_keeps_its_beginning_and_its_end():
    words = str(NomadDaskError("a" * 10_000 + "; do this"))
    assert len(words) < 4_010 and words.startswith("aaa") and words.endswith("; do this")
    assert str(NomadDaskError("short")) == "short"


@given(
    st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_whatever_is_shown_is_one_line_with_a_bound(value):
    text = shown(value, max_length=80)
    assert "\n" not in text and len(text) < 80 * 10 + 40


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (Report(12, 60, 12, rows=60), "complete, 60 entries delivered, 0 failed; 12 of 12 segments done"),
        (
            Report(12, 60, 10, rows=50, missing=10, failed=2),
            "not finished, 50 entries delivered, 10 of them without archive, 2 failed; 10 of 12 segments done",  # noqa: E501
        ),
        (
            Report(1, 3, 1, rows=1, failed=1, short=1),
            "not complete, 1 entry delivered, 1 failed, 1 no longer listed; 1 of 1 segment done",
        ),
    ],
)
def test_a_report_prints_as_a_sentence(report, words):
    assert repr(report) == f"<Report: {words}>"


@given(st.text(min_size=1), st.lists(st.text(), max_size=4))
def test_a_hint_names_neither_what_was_refused_nor_a_name_twice(refused, meant):
    words = hint(refused, [*meant, refused, *meant])
    named = re.escape(repr(refused))
    assert not re.search(rf"(mean|or) {named}( or|\?)", words)
    assert words.count(" or ") <= max(0, len({*meant} - {refused}) - 1) + sum(
        " or " in name for name in meant
    )
