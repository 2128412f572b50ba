"""Owns how a dataset's standing looks: drawn on a terminal, plain words elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..pure import amounts
from ..pure.page.figures import Bar, Reason, bars, each_bar, ends
from ..pure.standing import Standing
from ..pure.verdict import advice, closing, done_by

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_MOST_REASONS = 5
_MANY = 0.1
"""Entries without archive, of a block's, from which on it is shown: a few are in most."""
_KINDS = {
    "done": ("█", "#", "green", "done"),
    "missing": ("▓", "m", "blue", "done, many without archive"),
    "failed": ("✕", "x", "bold red", "entries failed"),
    "part": ("▒", "+", "cyan", "done in part"),
    "left": ("░", ".", "bright_black", "to do"),
}
"""Of a block in the strip: its sign, the same in ASCII, its colour, and what it says. Signs tell it without colours."""


def words(standing: Standing) -> Iterator[str]:
    """Plain lines: what is there and what to do; then why entries failed."""
    yield closing(standing.report, standing.place)
    for told in _reasons(standing.reasons):
        yield f"failed: {told}"


def drawing(standing: Standing, width: int, *, ascii_only: bool = False) -> RenderableType:
    """A terminal's picture of a dataset: a bar of what is done, the segments over the id space, figures, what to do."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    room = max(20, width - 2)
    found = bars(standing.manifest.plan, standing.receipts, room)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, told in _facts(standing, found):
        grid.add_row(name, Text(told))
    for number, (told, command) in enumerate(advice(standing.report, standing.place)):
        grid.add_row(
            "" if number else "Next", Text.assemble(told, "\n" if command else "", (command or "", "cyan"))
        )
    lines: list[RenderableType] = [
        _title(standing),
        _progress(standing, room, ascii_only),
        Text(),
        _strip(found, room, ascii_only),
        _scale(found, room),
        _legend(found, ascii_only),
        Text(),
        grid,
    ]
    return Padding(Group(*lines), 1)


def _title(standing: Standing) -> Text:
    from rich.text import Text

    report = standing.report
    if report.complete:
        state = "complete", "bold green"
    elif report.done < report.segments or report.stopped:
        state = "not finished", "bold yellow"
    else:
        state = "finished, but not complete", "bold red"
    return Text.assemble((standing.place, "bold"), ": ", state)


def _progress(standing: Standing, room: int, ascii_only: bool) -> Text:
    from rich.text import Text

    report = standing.report
    about = "" if standing.manifest.plan.exact or report.done == report.segments else "about "
    total = max(report.total, report.entries)
    told = f" {100 * standing.share:.0f}%  {report.entries:,} of {about}{total:,} entries"
    length = max(10, room - len(told))
    full = int(length * standing.share)
    signs = "#." if ascii_only else "━╌"
    return Text.assemble((signs[0] * full, "green"), (signs[1] * (length - full), "bright_black"), told)


def _kind(bar: Bar) -> str:
    if bar.failed:
        return "failed"
    if not bar.done:
        return "left"
    if bar.done < bar.segments:
        return "part"
    return "missing" if bar.missing > _MANY * bar.entries else "done"


def _strip(found: Sequence[Bar], room: int, ascii_only: bool) -> Text:
    """The blocks, as wide as the line: where segments are fewer than letters, each has several."""
    from rich.text import Text

    strip, begin = Text(), 0
    for number, bar in enumerate(found, start=1):
        end = room * number // len(found)
        sign, plain, colour, _ = _KINDS[_kind(bar)]
        strip.append((plain if ascii_only else sign) * (end - begin), colour)
        begin = end
    return strip


def _scale(found: Sequence[Bar], room: int) -> Text:
    """Where in the id space the strip begins, is at each quarter, and ends."""
    from rich.text import Text

    marks = ends(found)
    line = marks[0]
    for number, mark in enumerate(marks[1:], start=1):
        last = number == len(marks) - 1
        place = room * number // (len(marks) - 1) - (len(mark) if last else 0)
        line = f"{line:<{max(place, len(line) + 1)}}{mark}"
    return Text(line, "bright_black")


def _legend(found: Sequence[Bar], ascii_only: bool) -> Text:
    from rich.text import Text

    there = {_kind(bar) for bar in found}
    legend = Text()
    for kind, (sign, plain, colour, told) in _KINDS.items():
        if kind in there:
            legend.append(plain if ascii_only else sign, colour).append(f" {told}   ")
    return legend


def _facts(standing: Standing, found: Sequence[Bar]) -> Iterator[tuple[str, str]]:
    report = standing.report
    yield (
        "Segments",
        f"{report.done:,} of {report.segments:,} done; a block is {each_bar(found, report.segments)}",
    )
    without = f", {report.missing:,} of them without archive" if report.missing else ""
    more = f"; {amounts.counted(report.n_more, 'value')} outside the schema" if report.n_more else ""
    yield "Entries", f"{report.rows:,} delivered{without}; {report.failed:,} failed{more}"
    requests, retries = (
        amounts.counted(report.requests, "request"),
        amounts.counted(report.retries, "retry", "retries"),
    )
    yield (
        "Read",
        f"{amounts.size(report.n_bytes)} in {requests}, {retries}; on disk {amounts.size(standing.stored)}",
    )
    if standing.last:
        pace = f", {amounts.number(standing.pace)} entries a second" if standing.pace else ""
        yield "Work", f"{amounts.duration(standing.seconds)}{pace}; the last {amounts.moment(standing.last)}"
    for number, told in enumerate(_reasons(standing.reasons)):
        yield "" if number else "Failed", told
    if report.update is not None:
        yield "Update", f"{amounts.moment(report.update.begun)}: {done_by(report.update)}"


def _reasons(reasons: Sequence[Reason]) -> Iterator[str]:
    for reason in reasons[:_MOST_REASONS]:
        status = f" with status {reason.status}" if reason.status else ""
        yield f"{reason.count:,}{status}: {_printable(reason.words) or 'no reason given'}"
    if len(reasons) > _MOST_REASONS:
        yield f"and {amounts.counted(len(reasons) - _MOST_REASONS, 'more reason')}, in failures.parquet"


def _printable(words: str) -> str:
    """A server's words without what would move a terminal's cursor or colours."""
    return "".join(letter if letter.isprintable() else "�" for letter in words)
