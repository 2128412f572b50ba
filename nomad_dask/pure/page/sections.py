"""Owns the page's sections on the harvest as a whole: its state, its figures, what was asked, what went on over time."""

from __future__ import annotations

from typing import Any

import orjson

from .. import amounts
from ..history import Run
from ..verdict import advice, done_by
from .charts import bands, rates
from .figures import Page, host_only
from .markup import Html, box, join, row, section, table, tag
from .series import Band


def state(page: Page) -> Html:
    """Whether the dataset is whole; and if not, what to do."""
    todo = advice(page.report, page.place)
    if not todo:
        n = page.report.missing
        told = "Every entry of the plan was delivered" + (
            f", {n:,} of them without an archive." if n else "."
        )
        return tag("div", tag("p", tag("strong", "✓ Complete. "), told), class_="state good")
    left = page.report.done < page.report.segments or page.report.stopped
    kind, word = ("open", "… Not finished.") if left else ("bad", "✕ Finished, but not complete.")
    steps = [
        tag("li", words, join(" ", tag("code", command)) if command else None) for words, command in todo
    ]
    return tag("div", tag("p", tag("strong", word)), tag("ul", steps), class_=f"state {kind}")


def tiles(page: Page) -> Html:
    """How much came, in large figures."""
    report, length = page.report, page.series.axis.length
    total = max(report.total, report.entries)
    about = "" if page.manifest.plan.exact or report.complete else "about "
    pace = f"{amounts.number(report.entries / length)} entries a second" if length >= 1 else ""
    found = [
        ("Entries", amounts.count(report.rows), f"of {about}{amounts.count(total)} in the plan"),
        ("Failed", amounts.count(report.failed), "without a row" if report.failed else "none"),
        (
            "Without archive",
            amounts.count(report.missing),
            (_NO_ARCHIVE.get(page.manifest.layout.name, "rows of nulls") if report.missing else "none"),
        ),
        ("Read", amounts.size(report.n_bytes), f"in {amounts.counted(report.requests, 'request')}"),
        (
            "Retries",
            amounts.count(report.retries),
            f"{amounts.share(report.retries, report.requests)} of requests"
            if report.retries
            else "none was needed",
        ),
        ("Time of work", amounts.duration(length), pace),
        (
            "On disk",
            amounts.size(page.stored),
            f"{report.done:,} of {amounts.counted(report.segments, 'segment')}",
        ),
    ]
    if report.n_more:
        found.append(("Outside the schema", amounts.count(report.n_more), "values, in the column _more"))
    return tag("dl", [_tile(*one) for one in found], class_="tiles")


_NO_ARCHIVE = {"tables": "without rows"}


def _tile(name: str, figure: str, note: str) -> Html:
    return tag(
        "div",
        tag("dt", name),
        tag("dd", tag("span", figure, class_="figure"), tag("span", note, class_="note")),
    )


def asked(page: Page) -> Html:
    """What was asked, and how it was planned."""
    manifest, plan = page.manifest, page.manifest.plan
    question = manifest.question
    cap = "all" if manifest.results_max is None else f"at most {amounts.count(manifest.results_max)}"
    size = (
        f"{amounts.counted(plan.total, 'entry', 'entries')}{'' if plan.exact else ' by estimate'} "
        f"in {amounts.counted(len(plan), 'segment')}"
    )
    more = (
        f", of {amounts.count(plan.matched or 0)} that match"
        if plan.matched not in (None, plan.total)
        else ""
    )
    facts: list[tuple[str, Any]] = [
        ("Server", tag("code", host_only(manifest.url))),
        ("Seen as", f"{question.owner} entries, {'logged in' if manifest.logged_in else 'without a login'}"),
        ("Source", question.source),
        (
            "Layout",
            manifest.layout.name + ("" if question.resolve_references else ", references not resolved"),
        ),
        ("Entries", cap + (f", after {manifest.after}" if manifest.after else "")),
        ("Plan", size + more),
        ("Planned", amounts.moment(manifest.created)),
        ("Made with", ", ".join(f"{name} {version}" for name, version in manifest.versions)),
    ]
    facts += [_run(run) for run in manifest.history[-5:]]
    told = tag(
        "dl",
        [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts if value],
        class_="facts",
    )
    query = _tree("Query", question.query or {}, "every entry" if not question.query else None)
    return section(
        "asked",
        "What was asked",
        told,
        tag("div", query, _tree("Required", question.required.written), class_="trees"),
    )


def _run(run: Run) -> tuple[str, str]:
    return "Update", f"{amounts.moment(run.begun)}: {done_by(run)}"


def _tree(name: str, tree: Any, instead: str | None = None) -> Html:
    written = instead or orjson.dumps(tree, option=orjson.OPT_INDENT_2).decode()
    return tag("div", tag("h3", name), box(tag("pre", written), label=name, class_="scroll code"))


def over_time(page: Page) -> Html:
    """Throughput, batch sizes and requests under way."""
    found = page.series
    if not found.entries:
        return section("time", "Over time", tag("p", "No segment is finished yet."))
    axis, length = found.axis, max(found.axis.length, 1e-9)

    def rate(name: str, title: str, values: tuple[float, ...], say: Any) -> Html:
        mean = sum(values) * found.bin_seconds / length
        return rates(name, title, f"mean {say(mean)}, peak {say(max(values))}", axis, values, say)

    drawn = [
        rate("entries", "Entries a second", found.entries, amounts.number),
        rate("bytes", "Data a second", found.n_bytes, amounts.size),
        rate("requests", "Requests a second", found.requests, amounts.number),
        bands("batches", "Entries in a request", _spread(found.batch_sizes), axis, found.batch_sizes),
        bands("crowd", "Requests under way, at most", _spread(found.concurrency), axis, found.concurrency),
    ]
    notes = [
        "What a segment counts is spread evenly over the time that it took. Line: the middle value; band: the least to "
        "the most."
    ]
    if pauses := axis.pauses:
        hours = amounts.duration(sum(seconds for _, seconds in pauses))
        once = "pause" if len(pauses) == 1 else "pauses"
        notes.append(f"{len(pauses)} {once} ({hours} in all) left out, at the dashed lines.")
    if page.manifest.history:
        notes.append("What an update read again counts where it was read last.")
    return section(
        "time", "Over time", tag("div", drawn, class_="charts"), tag("p", " ".join(notes), class_="note")
    )


def _spread(values: tuple[Band | None, ...]) -> str:
    known = [band for band in values if band]
    if not known:
        return "none"
    least, most = min(band.least for band in known), max(band.most for band in known)
    if least == most:
        return f"always {amounts.number(most)}"
    last = known[-1].middle
    return f"{amounts.number(least)} to {amounts.number(most)}, last {amounts.number(last)}"


def requests(page: Page) -> Html:
    """Requests by status."""
    whole = sum(n for _, n in page.statuses)
    rows = [
        row(
            join(tag("code", status), " ", tag("span", _meaning(status), class_="note")),
            amounts.count(n),
            amounts.share(n, whole),
            tag(
                "span",
                tag("span", class_=f"fill {_kind(status)}", style=f"width:{100 * n / whole:.2f}%"),
                class_="bar",
            ),
        )
        for status, n in page.statuses
    ]
    if not rows:
        return section("requests", "Requests by status", tag("p", "No answer is on record."))
    heads = ("Status", "Requests", "Share", tag("span", "Share, drawn", class_="hidden"))
    again = amounts.counted(page.report.retries, "retry", "retries")
    told = f"{amounts.count(whole)} answers and faults, {again} among the requests"
    return section(
        "requests",
        "Requests by status",
        table(told, heads, rows, label="Requests by status", class_="statuses"),
    )


def _kind(status: str) -> str:
    """How an answer is drawn. A 400 is NOMAD's word for a reference to another installation, which is no fault."""
    return "good" if status.startswith("2") else "mild" if status == "400" else "bad"


def _meaning(status: str) -> str:
    if status in _MEANINGS:
        return _MEANINGS[status]
    return (
        {"2": "answered", "4": "refused", "5": "server error"}.get(status[:1], "")
        if status.isdigit()
        else "no whole answer"
    )


_MEANINGS = {
    "200": "answered",
    "400": "refused as asked: asked again in another way",
    "401": "login expired or missing",
    "408": "the server ran out of time",
    "422": "refused as asked",
    "429": "too many requests",
    "502": "gateway error",
    "503": "busy, or its limit of requests was hit",
    "504": "gateway ran out of time",
}
