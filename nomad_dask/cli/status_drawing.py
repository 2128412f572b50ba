"""The state of a dataset: a drawing on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nomad_dask.dataset import outside
from nomad_dask.dataset.report import advice, closing, done_by
from nomad_dask.dataset.status import DatasetStatus, Reason
from nomad_dask.report_page.figures import Bar, bars, each_bar, ends
from nomad_dask.text import humanize, one_line

_MAX_REASONS = 5
_MANY = 0.1
"""Fraction of entries without archive from which a block is shown as such: most blocks have a few."""
_KINDS = {
    "done": ("█", "#", "green", "done"),
    "missing": ("▓", "m", "blue", "done, many without archive"),
    "failed": ("✕", "x", "bold red", "entries failed"),
    "part": ("▒", "+", "cyan", "done in part"),
    "left": ("░", ".", "bright_black", "to do"),
}
"""Kinds of blocks in the strip: character, ASCII character, colour and legend."""


def lines(status: DatasetStatus) -> Iterator[str]:
    """Plain lines: the summary, what to do next, and why entries failed."""
    yield closing(status.report, status.place)
    for text in _reasons(status.reasons):
        yield f"failed: {text}"


def drawing(status: DatasetStatus, width: int, *, ascii_only: bool = False) -> RenderableType:
    """A drawing for a terminal: a progress bar, a strip of the segments, figures and what to do next."""
    width = max(20, width - 2)
    blocks = bars(status.manifest.plan, status.receipts, width)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, text in _facts(status, blocks):
        grid.add_row(name, Text(text))
    for number, (text, command) in enumerate(advice(status.report, status.place)):
        grid.add_row(
            "" if number else "Next", Text.assemble(text, "\n" if command else "", (command or "", "cyan"))
        )
    rows: list[RenderableType] = [
        _title(status),
        _progress(status, width, ascii_only),
        Text(),
        _strip(blocks, width, ascii_only),
        _scale(blocks, width),
        _legend(blocks, ascii_only),
        Text(),
        grid,
    ]
    return Padding(Group(*rows), 1)


def _title(status: DatasetStatus) -> Text:
    report = status.report
    if report.complete:
        state = "complete", "bold green"
    elif report.done < report.segments or report.stopped:
        state = "not finished", "bold yellow"
    else:
        state = "finished, but not complete", "bold red"
    return Text.assemble((status.place, "bold"), ": ", state)


def _progress(status: DatasetStatus, width: int, ascii_only: bool) -> Text:
    report = status.report
    about = "" if status.manifest.plan.exact or report.done == report.segments else "about "
    total = max(report.total, report.entries)
    text = f" {100 * status.share:.0f}%  {report.entries:,} of {about}{total:,} entries"
    length = max(10, width - len(text))
    full = int(length * status.share)
    signs = "#." if ascii_only else "━╌"
    return Text.assemble((signs[0] * full, "green"), (signs[1] * (length - full), "bright_black"), text)


def _kind(bar: Bar) -> str:
    if bar.failed:
        return "failed"
    if not bar.done:
        return "left"
    if bar.done < bar.segments:
        return "part"
    return "missing" if bar.missing > _MANY * bar.entries else "done"


def _strip(blocks: Sequence[Bar], width: int, ascii_only: bool) -> Text:
    """The strip of blocks, over the whole line; a block has several characters if there are few segments."""
    strip, begin = Text(), 0
    for number, bar in enumerate(blocks, start=1):
        end = width * number // len(blocks)
        sign, plain, colour, _ = _KINDS[_kind(bar)]
        strip.append((plain if ascii_only else sign) * (end - begin), colour)
        begin = end
    return strip


def _scale(blocks: Sequence[Bar], width: int) -> Text:
    """The ids at the start, quarters and end of the strip."""
    marks = ends(blocks)
    line = marks[0]
    for number, mark in enumerate(marks[1:], start=1):
        last = number == len(marks) - 1
        place = width * number // (len(marks) - 1) - (len(mark) if last else 0)
        line = f"{line:<{max(place, len(line) + 1)}}{mark}"
    return Text(line, "bright_black")


def _legend(blocks: Sequence[Bar], ascii_only: bool) -> Text:
    there = {_kind(bar) for bar in blocks}
    legend = Text()
    for kind, (sign, plain, colour, text) in _KINDS.items():
        if kind in there:
            legend.append(plain if ascii_only else sign, colour).append(f" {text}   ")
    return legend


def _facts(status: DatasetStatus, blocks: Sequence[Bar]) -> Iterator[tuple[str, str]]:
    report = status.report
    yield (
        "Segments",
        f"{report.done:,} of {report.segments:,} done; a block is {each_bar(blocks, report.segments)}",
    )
    without = f", {report.missing:,} of them without archive" if report.missing else ""
    more = f"; {humanize.counted(report.n_more, 'value')} outside the schema" if report.n_more else ""
    yield "Entries", f"{report.rows:,} delivered{without}; {report.failed:,} failed{more}"
    if report.outside:
        yield "In _more", outside.named(report.outside).removeprefix(": ")
    if report.cap:
        yield "Maximum", str(report.cap)
    requests, retries = (
        humanize.counted(report.requests, "request"),
        humanize.counted(report.retries, "retry", "retries"),
    )
    yield (
        "Read",
        f"{humanize.size(report.n_bytes)} in {requests}, {retries}; on disk {humanize.size(status.stored)}",
    )
    if status.last:
        pace = f", {humanize.number(status.pace)} entries/s" if status.pace else ""
        yield (
            "Time",
            f"{humanize.duration(status.seconds)}{pace}; last segment {humanize.moment(status.last)}",
        )
    for number, text in enumerate(_reasons(status.reasons)):
        yield "" if number else "Failed", text
    if report.update is not None:
        yield "Update", f"{humanize.moment(report.update.begun)}: {done_by(report.update)}"


def _reasons(reasons: Sequence[Reason]) -> Iterator[str]:
    for reason in reasons[:_MAX_REASONS]:
        text = one_line(reason.words) or "no reason given"
        known = reason.status is None or text.startswith(f"status {reason.status}")
        yield f"{reason.count:,}{'' if known else f' with status {reason.status}'}: {text}"
    if len(reasons) > _MAX_REASONS:
        yield f"and {humanize.counted(len(reasons) - _MAX_REASONS, 'more reason')}, in failures.parquet"
