"""SPEC, "Harvest page": its numbers are correct, and no foreign text in it is markup."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.dataset.history import Run
from nomad_dask.dataset.manifest import Manifest
from nomad_dask.dataset.report import Receipt, advice, closing, done_by
from nomad_dask.dataset.status import reasons
from nomad_dask.layouts.schema import Schema
from nomad_dask.report_page import charts
from nomad_dask.report_page.column_figures import (
    ColumnFigures,
    ColumnSample,
    LeafFigures,
    example,
    leaf_arrays,
    leaves,
)
from nomad_dask.report_page.document import FIRST_ROWS, MAX_ROWS, document
from nomad_dask.report_page.figures import Page, bars, figures_of, host_only, series
from nomad_dask.request import Failure, QuerySpec, Ref
from nomad_dask.request.required import parse
from nomad_dask.request.segments import Plan, even_bounds, segments_between
from nomad_dask.text import humanize, printable
from nomad_dask.text.html import Html, join, tag

EVIL = "<script>alert('x')</script>&\"'"


def receipt(number=0, at=10, seconds=4.0, **more):
    given = {"rows": 100, "n_bytes": 4000, "requests": 8} | more
    finished = f"2026-01-01T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}+00:00"
    return Receipt(number, "", "", seconds=seconds, finished=finished, **given)


def plan_of(n):
    return Plan(segments_between(even_bounds("", "", n), [10] * n), 10 * n)


def page_of(receipts=(), n=2, columns=None, **changed):
    plan = plan_of(n)
    question = QuerySpec("visible", {}, parse("*"))
    manifest = Manifest(question, Schema(), id="1", url="http://h/api/v1", plan=plan)
    known = columns or ColumnFigures({"": (LeafFigures("entry_id", "string"),)}, {"": ColumnSample()}, 0)
    told = {"name": "h", "path": "h", "failures": None, "made": "2026-01-01T00:00:00+00:00", "version": "1"}
    return Page(**figures_of(replace(manifest, **changed), {r.segment: r for r in receipts}, known), **told)


def rendered(*args, **kwargs):
    return document(page_of(*args, **kwargs), "", "")


class Reading(HTMLParser):
    """The elements and the text of a page; a tag that closes what is not open is an error."""

    VOID = frozenset({"meta", "link", "input"})

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(page)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in self.VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        self.words.append(data)


@given(
    st.lists(
        st.builds(
            receipt,
            at=st.integers(0, 80_000),
            seconds=st.floats(0, 5000),
            rows=st.integers(0, 10_000),
            n_bytes=st.integers(0, 10**12),
            requests=st.integers(0, 1000),
            batch_sizes=st.lists(st.integers(1, 1000), max_size=40).map(tuple),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_what_receipts_count_is_all_in_the_bins(receipts):
    found = series(receipts)
    for name, total in (("entries", "listed"), ("n_bytes", "n_bytes"), ("requests", "requests")):
        drawn = sum(getattr(found, name)) * found.bin_seconds
        assert drawn == pytest.approx(sum(getattr(one, total) for one in receipts), rel=1e-6, abs=1e-6)
    assert 1 <= len(found.entries) <= 60
    assert bool(any(found.batch_sizes)) == any(one.batch_sizes for one in receipts)


def test_a_pause_is_cut_out_of_the_time_of_work():
    found = series([receipt(0, 100, 50), receipt(1, 150, 50), receipt(2, 40_000, 100)])
    assert found.axis.length == 200
    assert found.axis.pauses == ((100.0, 39_750.0),)
    assert "1 pause (11.1 h in total) left out" in rendered([receipt(0, 100, 50), receipt(1, 40_000, 100)])


def test_a_short_wait_is_no_pause():
    assert series([receipt(0, 100, 50), receipt(1, 170, 50)]).axis.pauses == ()


def test_rates_and_bands():
    found = series([receipt(0, 10, 10.0, batch_sizes=(10, 20, 30), concurrency=(4,))])
    assert found.entries[0] == pytest.approx(10) and found.requests[0] == pytest.approx(0.8)
    known = [band for band in found.batch_sizes if band]
    assert [band.median for band in known] == [10, 20, 30]
    assert {band.maximum for band in found.concurrency} == {4}, "a level holds until it changes"


@pytest.mark.parametrize("finished", ["", "yesterday"])
def test_a_receipt_without_a_time_is_in_no_bin(finished):
    assert series([replace(receipt(), finished=finished)]).entries == ()
    assert "No segment is finished yet" in rendered([replace(receipt(), finished=finished)])


@given(st.integers(1, 1500), st.sets(st.integers(0, 1500)))
def test_every_segment_is_in_exactly_one_bar(n, done):
    receipts = {number: receipt(number) for number in done if number < n}
    found = bars(plan_of(n), receipts)
    assert len(found) == min(n, 200)
    assert [bar.first for bar in found] == [0, *(bar.first + bar.segments for bar in found[:-1])]
    assert sum(bar.segments for bar in found) == n
    assert sum(bar.done for bar in found) == len(receipts)
    assert sum(bar.entries for bar in found) == 100 * len(receipts)


def test_the_fastest_bar_has_the_strongest_colour():
    found = bars(plan_of(5), {number: receipt(number, seconds=10.0 - number) for number in range(5)})
    assert charts.heat(found) == [0, 1, 2, 3, 4]


def test_a_bar_is_told_apart_by_more_than_colour():
    failed = receipt(0, failures=(Failure("a", "u", 500, "no", 3),))
    drawn = rendered([failed, receipt(1)], n=3)
    assert 'class="left"><title>segment 2: left to do' in drawn and "url(#hatch)" not in drawn
    assert 'class="failed"' in drawn and "1 failed" in drawn
    assert 'id="hatch"' in drawn and "<path" in drawn, "hatched, and a triangle below"


def test_reasons_that_differ_in_the_entrys_names_are_one():
    found = reasons(
        [Failure(f"id{i}", "up", 500, f"entry id{i} of up is broken", 3) for i in range(30)]
        + [Failure("x", "up", None, "timeout", 5)]
    )
    assert [(one.words, one.status, one.count) for one in found] == [
        ("entry … of … is broken", 500, 30),
        ("timeout", None, 1),
    ]
    assert len(found[0].first) == 10


def test_a_failure_without_names_keeps_its_reason():
    assert reasons([Failure("", "", 500, "abc", 1)])[0].words == "abc"


def test_the_page_says_what_the_command_line_says():
    """What is wrong and what helps, and what each update did, in one wording."""
    failed = receipt(0, failures=(Failure("a", "u", 500, "no", 3),))
    runs = (
        Run(1, "a", "2026-01-01T00:00:00+00:00", finished="c", added=1, changed=2),
        Run(2, "a", "2026-01-02T00:00:00+00:00"),
    )
    made = page_of([failed], history=runs)
    said = "".join(Reading(document(made, "", "")).words)
    for words, command in advice(made.report, "h"):
        assert f"{words} {command}" in said and f"{words} `{command}`" in closing(made.report, "h")
    for run in runs:
        assert f"UTC: {done_by(run)}" in said


def test_nothing_foreign_is_markup():
    """Ids, reasons, statuses, columns, examples, query and names are text, whatever they hold."""
    bad = receipt(
        0,
        failures=(Failure(EVIL, EVIL, 500, f"reason {EVIL}", 3), Failure("id2", "u", None, EVIL, 1)),
        missing=(Ref(EVIL, EVIL),),
        statuses={EVIL: 2},
    )
    columns = ColumnFigures(
        {EVIL: (LeafFigures(EVIL, EVIL, EVIL, EVIL),)},
        {EVIL: ColumnSample(1, 1, {0: 0}, {0: 1}, {0: EVIL})},
        1,
    )
    question = QuerySpec(EVIL, {EVIL: EVIL}, parse({EVIL.replace(".", ""): "*"}))
    segments = segments_between(["", EVIL, ""], [1, 1])
    drawn = document(
        replace(
            page_of(
                [bad],
                columns=columns,
                question=question,
                after=EVIL,
                url=f"http://h/{EVIL}",
                plan=Plan(segments, 2),
            ),
            name=EVIL,
            path=EVIL,
            failures=EVIL,
            version=EVIL,
            made=EVIL,
        ),
        "",
        "",
    )
    assert "<script>alert" not in drawn
    read = Reading(drawn)
    assert [name for name, _ in read.elements].count("script") == 1, "its own"
    assert not [a for _, attributes in read.elements for a in attributes if a.startswith("on")]
    assert "".join(read.words).count(EVIL) >= 8


def test_the_page_needs_nothing_else():
    """No address is loaded; and the browser is told to load none."""
    elements = Reading(rendered([receipt()])).elements
    for name, attributes in elements:
        assert "src" not in attributes and name not in ("img", "iframe", "object")
        if name == "link":
            assert attributes == {"rel": "icon", "href": "data:,"}
    assert [a["content"] for _, a in elements if "default-src 'none'" in a.get("content", "")]
    style = (resources.files("nomad_dask.report_page") / "page.css").read_text()
    assert "@import" not in style and style.count("url(") == style.count("url(#")


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_page_of_any_state_is_well_formed_with_one_heading(n):
    done = [receipt(number) for number in range(n)]
    read = Reading(rendered(done, n=3))
    names = [name for name, _ in read.elements]
    assert names.count("h1") == 1 and {"header", "nav", "main", "footer"} <= {*names}
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    said = "".join(read.words)
    assert ("Complete" in said) == (n == 3) and ("Not finished" in said) == (n < 3)


def test_a_url_is_shown_without_a_login():
    assert host_only("https://me:secret@h:1/api/v1") == "https://h:1/api/v1"
    assert "secret" not in rendered(url="https://me:secret@h/api/v1")


def test_many_columns_are_shown_some_at_a_time_and_the_rest_is_told():
    def drawn(n):
        many = tuple(LeafFigures(f"c{i}", "double") for i in range(n))
        return rendered(columns=ColumnFigures({"": many}, {"": ColumnSample()}, 0))

    few = drawn(FIRST_ROWS)
    assert 'class="rest"' not in few and 'id="all"' not in few
    more = drawn(FIRST_ROWS + 5)
    assert more.count('class="rest"') == 5 and f"Show all {FIRST_ROWS + 5} columns" in more
    most = drawn(MAX_ROWS + 7)
    assert most.count('scope="row"><code>c') == MAX_ROWS and "7 more are in manifest.json" in most


NESTED = pa.schema(
    [
        pa.field("entry_id", pa.string()),
        pa.field(
            "run",
            pa.list_(
                pa.struct(
                    [
                        pa.field("a.b", pa.int64()),
                        pa.field("e", pa.list_(pa.float64()), metadata={b"unit": b"joule"}),
                    ]
                )
            ),
        ),
        pa.field("l", pa.list_(pa.string())),
        pa.field("s", pa.struct([pa.field("x", pa.string(), metadata={b"nomad_dask.json": b"true"})])),
    ]
)


def test_leaves_are_what_parquet_has_columns_for():
    assert leaves(NESTED) == (
        LeafFigures("entry_id", "string"),
        LeafFigures(r"run.a\.b", "int64", listed=True),
        LeafFigures("run.e", "list<double>", "joule", listed=True),
        LeafFigures("l", "list<string>", listed=True),
        LeafFigures("s.x", "JSON text"),
    )
    row = {"entry_id": "i", "run": [{"a.b": None, "e": [1.0]}, {"a.b": 2, "e": None}], "l": [], "s": None}
    table = pa.Table.from_pylist([row], NESTED)
    arrays = [leaf for column in table.columns for leaf in leaf_arrays(column.combine_chunks())]
    assert [array.to_pylist() for array in arrays] == [["i"], [None, 2], [[1.0], None], [[]], [None]]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([None, "a"], "a"),
        ([None], None),
        ([1.23456789], "1.23457"),
        ([True], "true"),
        ([[0.5, 1.0, None]], "[0.5, 1, null]"),
        ([[[1.0] * 9] * 9], "[[1, 1, 1, 1, …], [1, 1, 1, 1, …], [1, 1, 1, 1, …], [1, 1, 1, 1, …], …]"),
        ([["Ti", "O"]], '["Ti", "O"]'),
        (["x" * 100], "x" * 79 + "…"),
        ([[]], "[]"),
    ],
)
def test_examples(values, told):
    assert example(pa.array(values)) == told


def test_amounts():
    assert [humanize.size(n) for n in (0, 850, 1_500_000, 999_600, 3.2e12)] == [
        "0 bytes",
        "850 bytes",
        "1.5 MB",
        "1 MB",
        "3.2 TB",
    ]
    assert [humanize.number(n) for n in (0.0421, 1.5, 12.0, 412.4, 12400)] == [
        "0.0421",
        "1.5",
        "12",
        "412",
        "12,400",
    ]
    assert [humanize.share(*n) for n in ((0, 5), (5, 5), (1, 5000), (4999, 5000), (1, 3), (0, 0))] == [
        "0%",
        "100%",
        "<0.1%",
        ">99.9%",
        "33.3%",
        "–",
    ]
    assert humanize.moment("2026-01-01T02:00:00+02:00") == "2026-01-01 00:00 UTC"
    assert humanize.moment("no time") == "no time"


@given(st.text())
def test_text_is_text(value):
    assert re.sub("&(amp|lt|gt|quot|#x27);", "", join(value)).find("<") < 0
    assert Reading(tag("p", value, title=value)).elements[0][1]["title"] == printable(value)
    assert join(Html("<b>")) == "<b>"
