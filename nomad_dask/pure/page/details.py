"""Owns the page's sections that go into detail: segments, failures, columns."""

from __future__ import annotations

from .. import amounts
from ..layouts import ONLY
from .charts import segments_words, strip, swatch
from .columns import Glimpse, Leaf
from .figures import Bar, Page, Reason, each_bar
from .markup import Html, join, row, section, table, tag, void

MOST_ROWS, FIRST_ROWS = 10_000, 300
"""Of the schema table: those in the page, and those that are shown before someone asks for more, or of what is found."""


def segments(page: Page) -> Html:
    """The plan's segments as a strip over the id space, and as a table."""
    report, bars = page.report, page.bars
    failed = sum(1 for bar in bars if bar.failed)
    told = f"{report.done:,} of {report.segments:,} segments done; a bar is {each_bar(bars, report.segments)}, in the order of entry ids"
    paces = sorted(bar.pace for bar in bars if bar.pace is not None)
    shades = [swatch(f"heat{level}") for level in range(5)]
    ends = (
        f"{amounts.number(paces[0])} to {amounts.number(paces[-1])} entries a second, in five equal groups"
        if paces
        else ""
    )
    legend = tag(
        "ul",
        tag("li", tag("span", shades), " ", ends) if paces else None,
        tag("li", swatch("left"), " left to do") if report.done < report.segments else None,
        tag("li", swatch("failed"), f" entries failed ({amounts.counted(failed, 'bar')})")
        if failed
        else None,
        class_="legend",
    )
    rows = [_segment_row(bar) for bar in bars]
    heads = ("Segments", "From (exclusive)", "Up to", "Done", "Entries", "Failed", "Seconds", "Entries/s")
    listed = tag(
        "details", tag("summary", "As a table"), table(told, heads, rows, label="Segments", class_="numbers")
    )
    return section("segments", "Segments", tag("p", told, "."), strip(bars, told), legend, listed)


def _segment_row(bar: Bar) -> Html:
    pace = amounts.number(bar.pace) if bar.pace is not None else "–"
    seconds = amounts.number(bar.seconds) if bar.done else "–"
    done = f"{bar.done} of {bar.segments}"
    ends = tag("code", bar.after or "start"), tag("code", bar.upto or "end")
    figures = (amounts.count(bar.entries), amounts.count(bar.failed), seconds, pace)
    return row(segments_words(bar).split(" ", 1)[1], *ends, done, *figures)


def failures(page: Page) -> Html:
    """What failed, by reason; and what has no archive."""
    report = page.report
    parts: list[Html] = []
    if page.reasons:
        heads = ("Reason", "Status", "Entries", "The first of them")
        told = f"{_entries(report.failed)} failed, by reason"
        parts.append(table(told, heads, map(_reason, page.reasons), label="Failures", class_="reasons"))
    else:
        parts.append(tag("p", "No entry failed."))
    if page.more_reasons:
        parts.append(tag("p", f"{amounts.counted(page.more_reasons, 'more reason')} not listed."))
    if report.missing:
        ids = ", ".join(ref.entry_id for ref in page.missing)
        rest = report.missing - len(page.missing)
        told = f"{_entries(report.missing)} listed by the server without an archive, hence without values: "
        parts.append(tag("p", told, tag("code", ids), f" and {rest:,} more" if rest else "", "."))
    if page.reasons or report.missing:
        name = "failures.parquet"
        file = tag("a", name, href=page.failures) if page.failures else tag("code", name)
        parts.append(
            tag("p", "All of them, with reasons, are in ", file, ", which is written when a run ends.")
        )
    return section("failures", "Failures", *parts)


def _entries(n: int) -> str:
    return amounts.counted(n, "entry", "entries")


def _reason(reason: Reason) -> Html:
    ids = [
        tag("li", tag("code", f.entry_id), f" {amounts.counted(f.attempts, 'try', 'tries')}")
        for f in reason.first
    ]
    more = reason.count - len(reason.first)
    listed = tag(
        "details", tag("summary", f"{len(ids)} of {reason.count:,}" if more else "entry ids"), tag("ul", ids)
    )
    return row(reason.words or "no reason given", reason.status or "–", amounts.count(reason.count), listed)


def schema(page: Page) -> Html:
    """The columns: path, type, unit, share of nulls, an example."""
    columns = page.columns
    tables = ONLY not in columns.leaves
    rows, n = [], 0
    for key, leaves in columns.leaves.items():
        glimpse = columns.glimpses.get(key, Glimpse())
        for place, leaf in enumerate(leaves):
            n += 1
            if n <= MOST_ROWS:
                rows.append(_leaf(key if tables else None, leaf, place, glimpse, n > FIRST_ROWS))
    looked = max((glimpse.parts for glimpse in columns.glimpses.values()), default=0)
    seen = f"of {looked:,} of {columns.parts:,} parts" + (" of each table" if tables else "")
    told = f"{n:,} columns. Nulls: from the statistics {seen}; examples: from the first rows of one part"
    notes = []
    if any(leaf.listed for leaves in columns.leaves.values() for leaf in leaves):
        notes.append("≈: counted in the first rows of one part.")
    if n > MOST_ROWS:
        notes.append(
            f"The first {MOST_ROWS:,} columns are listed; {n - MOST_ROWS:,} more are in manifest.json."
        )
    heads = (*(("Table",) if tables else ()), "Path", "Type", "Unit", "Nulls", "Example")
    listed = table(told, heads, rows, label="Columns", class_="columns")
    return section(
        "columns", "Columns", _search(n), listed, tag("p", " ".join(notes), class_="note") if notes else None
    )


def _search(n: int) -> Html:
    label = tag("label", "Search columns", for_="search")
    field = void(
        "input",
        type="search",
        id="search",
        autocomplete="off",
        spellcheck="false",
        placeholder="path, type or unit",
        data_most=FIRST_ROWS,
    )
    said = tag("output", id="found", for_="search", aria_live="polite")
    searching = tag("div", label, field, said, class_="search", hidden=True, id="searching")
    if n <= FIRST_ROWS:
        return searching
    words = f"Show all {min(n, MOST_ROWS):,} columns, not the first {FIRST_ROWS}"
    return join(
        searching,
        tag("div", void("input", type="checkbox", id="all"), tag("label", words, for_="all"), class_="all"),
    )


def _leaf(key: str | None, leaf: Leaf, place: int, glimpse: Glimpse, rest: bool) -> Html:
    """Written with few calls: there may be thousands."""
    nulls = glimpse.nulls.get(place)
    share = "–" if nulls is None else amounts.share(nulls, glimpse.places.get(place, 0))
    if leaf.listed and nulls is not None:
        share = f"≈ {share}"
    path = tag("th", tag("code", leaf.path), scope="row", title=leaf.description or None)
    shown = glimpse.examples.get(place)
    cells = [
        tag("td", leaf.type),
        tag("td", leaf.unit),
        tag("td", share),
        tag("td", tag("code", shown) if shown else ""),
    ]
    return tag(
        "tr",
        tag("td", tag("code", key)) if key is not None else None,
        path,
        cells,
        class_="rest" if rest else None,
    )
