"""The harvest page as one self-contained HTML document; it makes no requests and works without scripts."""

from __future__ import annotations

from typing import Any

import orjson

from nomad_dask.dataset import outside
from nomad_dask.dataset.history import Run
from nomad_dask.dataset.report import advice, done_by
from nomad_dask.dataset.status import Reason
from nomad_dask.layouts.layouts import ONLY
from nomad_dask.report_page.charts import bands, rates, segments_text, strip, swatch
from nomad_dask.report_page.column_figures import ColumnSample, LeafFigures
from nomad_dask.report_page.figures import Band, Bar, Page, each_bar, host_only
from nomad_dask.text import humanize
from nomad_dask.text.html import Html, box, join, row, section, table, tag, void


def state(page: Page) -> Html:
    """The state of the dataset, and what to do if it is not complete."""
    todo = advice(page.report, page.path)
    if not todo:
        n = page.report.missing
        text = "Every entry of the plan was delivered" + (
            f", {n:,} of them without an archive." if n else "."
        )
        if page.report.cap:
            text = f"{text} The plan has {page.report.cap}."
        return tag("div", tag("p", tag("strong", "✓ Complete. "), text), class_="state good")
    left = page.report.done < page.report.segments or page.report.stopped
    kind, title = ("open", "… Not finished.") if left else ("bad", "✕ Finished, but not complete.")
    steps = [tag("li", text, join(" ", tag("code", command)) if command else None) for text, command in todo]
    return tag("div", tag("p", tag("strong", title)), tag("ul", steps), class_=f"state {kind}")


def tiles(page: Page) -> Html:
    """Key figures in large type."""
    report, length = page.report, page.series.axis.length
    total = max(report.total, report.entries)
    about = "" if page.manifest.plan.exact or report.complete else "about "
    pace = f"{humanize.number(report.entries / length)} entries/s" if length >= 1 else ""
    found = [
        ("Entries", humanize.count(report.rows), f"of {about}{humanize.count(total)} in the plan"),
        ("Failed", humanize.count(report.failed), "without a row" if report.failed else "none"),
        (
            "Without archive",
            humanize.count(report.missing),
            (_NO_ARCHIVE.get(page.manifest.layout.name, "rows of nulls") if report.missing else "none"),
        ),
        ("Read", humanize.size(report.n_bytes), f"in {humanize.counted(report.requests, 'request')}"),
        (
            "Retries",
            humanize.count(report.retries),
            f"{humanize.share(report.retries, report.requests)} of requests" if report.retries else "none",
        ),
        ("Working time", humanize.duration(length), pace),
        (
            "On disk",
            humanize.size(page.stored),
            f"{report.done:,} of {humanize.counted(report.segments, 'segment')}",
        ),
    ]
    if report.n_more:
        note = f"values, in the column _more{outside.named(report.outside)}"
        found.append(("Outside the schema", humanize.count(report.n_more), note))
    return tag("dl", [_tile(*tile) for tile in found], class_="tiles")


_NO_ARCHIVE = {"tables": "without rows"}


def _tile(name: str, figure: str, note: str) -> Html:
    return tag(
        "div",
        tag("dt", name),
        tag("dd", tag("span", figure, class_="figure"), tag("span", note, class_="note")),
    )


def query(page: Page) -> Html:
    """The query and the plan of the dataset."""
    manifest, plan = page.manifest, page.manifest.plan
    question = manifest.question
    cap = "all that match" if plan.cap is None else str(plan.cap)
    size = (
        f"{humanize.counted(plan.total, 'entry', 'entries')}{'' if plan.exact else ' (estimated)'} "
        f"in {humanize.counted(len(plan), 'segment')}"
    )
    facts: list[tuple[str, Any]] = [
        ("Server", tag("code", host_only(manifest.url))),
        ("Owner", f"{question.owner} entries, {'logged in' if manifest.logged_in else 'without a login'}"),
        ("Source", question.source),
        (
            "Layout",
            manifest.layout.name + ("" if question.resolve_references else ", references not resolved"),
        ),
        ("Entries", cap + (f", after {manifest.after}" if manifest.after else "")),
        ("Plan", size),
        ("Planned", humanize.moment(manifest.created)),
        ("Made with", ", ".join(f"{name} {version}" for name, version in manifest.versions)),
    ]
    facts += [_run(run) for run in manifest.history[-5:]]
    listed = tag(
        "dl",
        [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts if value],
        class_="facts",
    )
    expression = _tree(
        "Search expression", question.query or {}, "every entry" if not question.query else None
    )
    return section(
        "query",
        "Query",
        listed,
        tag("div", expression, _tree("Required", question.required.written), class_="trees"),
    )


def _run(run: Run) -> tuple[str, str]:
    return "Update", f"{humanize.moment(run.begun)}: {done_by(run)}"


def _tree(name: str, tree: Any, text: str | None = None) -> Html:
    text = text or orjson.dumps(tree, option=orjson.OPT_INDENT_2).decode()
    return tag("div", tag("h3", name), box(tag("pre", text), label=name, class_="scroll code"))


def over_time(page: Page) -> Html:
    """Charts of throughput, batch sizes and concurrent requests."""
    found = page.series
    if not found.entries:
        return section("time", "Over time", tag("p", "No segment is finished yet."))
    axis, length = found.axis, max(found.axis.length, 1e-9)

    def rate(name: str, title: str, values: tuple[float, ...], format_value: Any) -> Html:
        mean = sum(values) * found.bin_seconds / length
        return rates(
            name,
            title,
            f"mean {format_value(mean)}, peak {format_value(max(values))}",
            axis,
            values,
            format_value,
        )

    drawn = [
        rate("entries", "Entries per second", found.entries, humanize.number),
        rate("bytes", "Data per second", found.n_bytes, humanize.size),
        rate("requests", "Requests per second", found.requests, humanize.number),
        bands("batches", "Entries per request", _spread(found.batch_sizes), axis, found.batch_sizes),
        bands(
            "concurrency", "Concurrent requests, limit", _spread(found.concurrency), axis, found.concurrency
        ),
    ]
    notes = [
        "The figures of a segment are spread evenly over its time. Line: median; band: minimum to maximum."
    ]
    if pauses := axis.pauses:
        duration = humanize.duration(sum(seconds for _, seconds in pauses))
        noun = "pause" if len(pauses) == 1 else "pauses"
        notes.append(f"{len(pauses)} {noun} ({duration} in total) left out, at the dashed lines.")
    if page.manifest.history:
        notes.append("Segments that an update read again count at the time of the update.")
    return section(
        "time", "Over time", tag("div", drawn, class_="charts"), tag("p", " ".join(notes), class_="note")
    )


def _spread(values: tuple[Band | None, ...]) -> str:
    known = [band for band in values if band]
    if not known:
        return "none"
    low, high = min(band.minimum for band in known), max(band.maximum for band in known)
    if low == high:
        return f"always {humanize.number(high)}"
    last = known[-1].median
    return f"{humanize.number(low)} to {humanize.number(high)}, last {humanize.number(last)}"


def requests(page: Page) -> Html:
    """Requests by status of the answer."""
    total = sum(n for _, n in page.statuses)
    rows = [
        row(
            join(tag("code", status), " ", tag("span", _meaning(status), class_="note")),
            humanize.count(n),
            humanize.share(n, total),
            tag(
                "span",
                tag("span", class_=f"fill {_kind(status)}", style=f"width:{100 * n / total:.2f}%"),
                class_="bar",
            ),
        )
        for status, n in page.statuses
    ]
    if not rows:
        return section("requests", "Requests by status", tag("p", "No answers are recorded."))
    heads = ("Status", "Requests", "Share", tag("span", "Share as a bar", class_="hidden"))
    retries = humanize.counted(page.report.retries, "retry", "retries")
    caption = f"{humanize.count(total)} answers and faults, with {retries}"
    return section(
        "requests",
        "Requests by status",
        table(caption, heads, rows, label="Requests by status", class_="statuses"),
    )


def _kind(status: str) -> str:
    """The style class of a status. 400 is mild: NOMAD answers it to references to other installations."""
    return "good" if status.startswith("2") else "mild" if status == "400" else "bad"


def _meaning(status: str) -> str:
    if status in _MEANINGS:
        return _MEANINGS[status]
    return (
        {"2": "answered", "4": "refused", "5": "server error"}.get(status[:1], "")
        if status.isdigit()
        else "no complete answer"
    )


_MEANINGS = {
    "200": "answered",
    "400": "refused: split or sent again in another form",
    "401": "login expired or missing",
    "408": "timeout of the server",
    "422": "refused: invalid request",
    "429": "too many requests",
    "502": "gateway error",
    "503": "busy, or request limit reached",
    "504": "timeout of the gateway",
}


MAX_ROWS, FIRST_ROWS = 10_000, 300
"""Rows of the column table: the maximum in the page, and the maximum shown at first and for a search."""


def segments(page: Page) -> Html:
    """The plan's segments as a strip and as a table."""
    report, bars = page.report, page.bars
    failed = sum(1 for bar in bars if bar.failed)
    each = each_bar(bars, report.segments)
    caption = (
        f"{report.done:,} of {report.segments:,} segments done; a bar is {each}, in the order of entry ids"
    )
    paces = sorted(bar.pace for bar in bars if bar.pace is not None)
    shades = [swatch(f"heat{level}") for level in range(5)]
    ends = (
        f"{humanize.number(paces[0])} to {humanize.number(paces[-1])} entries a second, in five equal groups"
        if paces
        else ""
    )
    legend = tag(
        "ul",
        tag("li", tag("span", shades), " ", ends) if paces else None,
        tag("li", swatch("left"), " left to do") if report.done < report.segments else None,
        tag("li", swatch("failed"), f" entries failed ({humanize.counted(failed, 'bar')})")
        if failed
        else None,
        class_="legend",
    )
    rows = [_segment_row(bar) for bar in bars]
    heads = ("Segments", "From (exclusive)", "Up to", "Done", "Entries", "Failed", "Seconds", "Entries/s")
    listed = tag(
        "details",
        tag("summary", "As a table"),
        table(caption, heads, rows, label="Segments", class_="numbers"),
    )
    return section("segments", "Segments", tag("p", caption, "."), strip(bars, caption), legend, listed)


def _segment_row(bar: Bar) -> Html:
    pace = humanize.number(bar.pace) if bar.pace is not None else "–"
    seconds = humanize.number(bar.seconds) if bar.done else "–"
    done = f"{bar.done} of {bar.segments}"
    ends = tag("code", bar.after or "start"), tag("code", bar.upto or "end")
    figures = (humanize.count(bar.entries), humanize.count(bar.failed), seconds, pace)
    return row(segments_text(bar).split(" ", 1)[1], *ends, done, *figures)


def failures(page: Page) -> Html:
    """Failed entries by reason, and entries without an archive."""
    report = page.report
    parts: list[Html] = []
    if page.reasons:
        heads = ("Reason", "Status", "Entries", "First entries")
        caption = f"{_entries(report.failed)} failed, by reason"
        parts.append(table(caption, heads, map(_reason, page.reasons), label="Failures", class_="reasons"))
    else:
        parts.append(tag("p", "No entry failed."))
    if page.more_reasons:
        parts.append(tag("p", f"{humanize.counted(page.more_reasons, 'more reason')} not listed."))
    if report.missing:
        ids = ", ".join(ref.entry_id for ref in page.missing)
        rest = report.missing - len(page.missing)
        caption = (
            f"{_entries(report.missing)} listed by the server without an archive, hence without values: "
        )
        parts.append(tag("p", caption, tag("code", ids), f" and {rest:,} more" if rest else "", "."))
    if page.reasons or report.missing:
        name = "failures.parquet"
        file = tag("a", name, href=page.failures) if page.failures else tag("code", name)
        parts.append(
            tag("p", "All of them are listed with reasons in ", file, ", which is written when a run ends.")
        )
    return section("failures", "Failures", *parts)


def _entries(n: int) -> str:
    return humanize.counted(n, "entry", "entries")


def _reason(reason: Reason) -> Html:
    ids = [
        tag("li", tag("code", f.entry_id), f" {humanize.counted(f.attempts, 'try', 'tries')}")
        for f in reason.first
    ]
    more = reason.count - len(reason.first)
    listed = tag(
        "details", tag("summary", f"{len(ids)} of {reason.count:,}" if more else "entry ids"), tag("ul", ids)
    )
    return row(reason.words or "no reason given", reason.status or "–", humanize.count(reason.count), listed)


def schema(page: Page) -> Html:
    """The columns: path, type, unit, share of nulls and an example."""
    columns = page.columns
    tables = ONLY not in columns.leaves
    rows, n = [], 0
    for key, leaves in columns.leaves.items():
        sample = columns.samples.get(key, ColumnSample())
        for number, leaf in enumerate(leaves):
            n += 1
            if n <= MAX_ROWS:
                rows.append(_leaf(key if tables else None, leaf, number, sample, n > FIRST_ROWS))
    sampled = max((sample.parts for sample in columns.samples.values()), default=0)
    parts = f"of {sampled:,} of {columns.parts:,} parts" + (" of each table" if tables else "")
    caption = f"{n:,} columns. Nulls: from the statistics {parts}; examples: from the first rows of one part"
    notes = []
    if any(leaf.listed for leaves in columns.leaves.values() for leaf in leaves):
        notes.append("≈: from the first rows of one part.")
    if n > MAX_ROWS:
        notes.append(
            f"The first {MAX_ROWS:,} columns are listed; {n - MAX_ROWS:,} more are in manifest.json."
        )
    heads = (*(("Table",) if tables else ()), "Path", "Type", "Unit", "Nulls", "Example")
    listed = table(caption, heads, rows, label="Columns", class_="columns")
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
        data_limit=FIRST_ROWS,
    )
    result = tag("output", id="found", for_="search", aria_live="polite")
    searching = tag("div", label, field, result, class_="search", hidden=True, id="searching")
    if n <= FIRST_ROWS:
        return searching
    text = f"Show all {min(n, MAX_ROWS):,} columns, not only the first {FIRST_ROWS}"
    return join(
        searching,
        tag("div", void("input", type="checkbox", id="all"), tag("label", text, for_="all"), class_="all"),
    )


def _leaf(key: str | None, leaf: LeafFigures, number: int, sample: ColumnSample, hidden: bool) -> Html:
    """A row of the column table. There may be thousands, so it makes few calls."""
    nulls = sample.nulls.get(number)
    share = "–" if nulls is None else humanize.share(nulls, sample.counts.get(number, 0))
    if leaf.listed and nulls is not None:
        share = f"≈ {share}"
    path = tag("th", tag("code", leaf.path), scope="row", title=leaf.description or None)
    example = sample.examples.get(number)
    cells = [
        tag("td", leaf.type),
        tag("td", leaf.unit),
        tag("td", share),
        tag("td", tag("code", example) if example else ""),
    ]
    return tag(
        "tr",
        tag("td", tag("code", key)) if key is not None else None,
        path,
        cells,
        class_="rest" if hidden else None,
    )


_SECTIONS = (
    ("query", "Query", query),
    ("time", "Over time", over_time),
    ("requests", "Requests", requests),
    ("segments", "Segments", segments),
    ("failures", "Failures", failures),
    ("columns", "Columns", schema),
)


def document(page: Page, style: str, script: str) -> str:
    """The page as HTML with the style sheet and the script inline."""
    links = [tag("a", title, href=f"#{name}") for name, title, _ in _SECTIONS]
    head = tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        void("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        void("link", rel="icon", href="data:,"),
        tag("title", f"{page.name}: harvest report"),
        tag("style", Html(style)),
    )
    source = f"{host_only(page.manifest.url)}, as of {humanize.moment(page.made)}"
    top = tag(
        "header",
        tag("p", "Harvest report", class_="kind"),
        tag("h1", page.name),
        tag("p", "from ", source, class_="note"),
    )
    main = tag("main", state(page), tiles(page), [render(page) for _, _, render in _SECTIONS], id="main")
    note = (
        f"Written by nomad-dask {page.version} from the manifest and receipts of the dataset. "
        "It contains no data except the examples above, and loads nothing from the network."
    )
    foot = tag("footer", tag("p", note))
    skip = tag("a", "Skip to the report", href="#main", class_="skip")
    body = tag(
        "body", skip, top, tag("nav", links, aria_label="Sections"), main, foot, tag("script", Html(script))
    )
    return str(join(Html("<!doctype html>\n"), tag("html", head, body, lang="en"), Html("\n")))


_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""Content security policy: the browser loads nothing, whatever the page contains."""
