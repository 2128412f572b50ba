"""Issue 7: how values look in a notebook: short, escaped, in the notebook's own colours, and made of what is
there.
"""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from progresses import progresses

from nomad_dask import ArchiveQuery
from nomad_dask.archive.archive import Archive
from nomad_dask.dataset.history import Run
from nomad_dask.dataset.report import Receipt, Report
from nomad_dask.progress.progress import CardState, progress_card
from nomad_dask.request import Failure
from nomad_dask.request.segments import Plan, even_bounds, segments_between, spread
from nomad_dask.text.html import rows_card

EVIL = "<script>alert('&\"')</script>"
VOID = {"br", "img"}


class Checked(HTMLParser):
    """Raises where elements are not closed in their order; keeps the elements, their styles and all text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.styles, self.words = [], [], [], ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.styles.append(dict(attrs).get("style") or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def seen(html):
    """The page's words, after a look at what it is made of: nothing that runs or loads, no colour of text or
    ground.
    """
    page = Checked(html)
    assert not {*page.elements} & {"script", "style", "iframe", "img", "link", "a"}
    for style in page.styles:
        assert not re.search(r"(?<![-\w])color:|background(-color)?: *(white|black|#fff)", style)
    return page.words


@pytest.fixture
def plan():
    bounds = even_bounds("", "", 10_000)
    return Plan(segments_between(bounds, spread(19_000_000, 10_000)), 19_000_000)


def test_a_plan_of_ten_thousand_segments_is_short(plan):
    html = plan._repr_html_()
    words = seen(html)
    assert len(html) < 10_000 and "start" in words and "end" in words and "9,990 more segments" in words
    assert "19,000,000 entries in 10,000 segments" in words


def test_all_of_a_small_plan_is_shown():
    plan = Plan(segments_between(["", "M", ""], [3, 4]), 7, exact=True)
    assert "more" not in seen(plan._repr_html_())


def test_a_query_shows_what_it_asks_and_no_secret():
    query = ArchiveQuery(
        query={"a": EVIL}, username="ada", password="geheim", url="http://127.0.0.1:1/api/v1", progress=False
    )
    words = seen(query._repr_html_())
    assert "alert" in words and "geheim" not in query._repr_html_() + repr(query)


def test_an_archive_is_a_short_tree_and_asks_for_no_schema():
    def never():
        raise AssertionError("asked for the schema")

    calculation = {"energy": {"total": {"value": -1.5}}, "forces": [[0.0] * 3] * 900}
    tree = {
        EVIL: EVIL,
        "run": [{"calculation": [calculation] * 1000}],
        "wide": {str(n): n for n in range(5000)},
    }
    archive = Archive(tree, "E", "U", never)
    html = archive._repr_html_()
    words = seen(html)
    assert len(html) < 20_000 and "alert" in words and "1,000 sections, the first:" in words
    assert "list of 900 items" in words and "more names" in words
    assert archive._ipython_key_completions_() == [EVIL, "run", "wide"]


def test_a_tree_of_any_breadth_and_depth_is_short():
    tree = {}
    for _ in range(6):
        tree = {f"name-{n}": tree for n in range(40)}
    assert len(Archive(tree, "E", "U")._repr_html_()) < 100_000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)


@given(st.dictionaries(st.text(), json_values))
def test_any_json_can_be_shown(tree):
    seen(Archive(tree, "E", "U")._repr_html_())


@given(progresses, st.sampled_from(CardState), st.text())
def test_any_progress_can_be_shown(progress, state, label):
    assert progress.entries_text() in seen(progress_card(label, progress, state))


@given(st.integers(0, 30), st.integers(4, 12), st.integers(0, 3))
def test_of_many_rows_the_first_and_last_few_are_shown_and_the_others_counted(n, most, last):
    html = rows_card("", ["name"], [[f"row-{i}-"] for i in range(n)], max_rows=most, last=last)
    shown = [int(i) for i in re.findall(r"row-(\d+)-", str(html))]
    if n <= most:
        assert shown == [*range(n)] and "more" not in html
    else:
        assert shown == [*range(most - last), *range(n - last, n)] and f"… {n - most} more row" in seen(html)


def test_a_report_says_how_it_ended_and_what_is_amiss():
    plan = Plan(segments_between(["", "M", ""], [3, 4]), 7, exact=True)
    lost = Failure("z", "u", 503, EVIL, 4)
    whole = Receipt(0, "", "M", 3, n_bytes=10, requests=2)
    run = Run(1, "2026-01-01", "2026-01-02", finished="2026-01-02", added=5)
    assert "Not finished" in seen(Report.of(plan, [whole])._repr_html_())
    failed = seen(Report.of(plan, [whole, Receipt(1, "M", "", 3, failures=(lost,))])._repr_html_())
    assert "some entries are missing" in failed and "failures.parquet" in failed
    complete = seen(Report.of(plan, [whole, Receipt(1, "M", "", 4)], run)._repr_html_())
    assert "Complete" in complete and "5 new" in complete and "failures.parquet" not in complete
