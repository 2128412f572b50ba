"""Owns how a plan looks: a table on a terminal, lines that stay the same elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..pure import amounts
from ..pure.forecast import Forecast, uncertainty
from ..pure.segments import Plan

if TYPE_CHECKING:
    from rich.console import RenderableType

_ENDS = 5
"""Segments shown at either end of a plan that is too long to be read."""


def facts(plan: Plan, found: Forecast | None, per_second: float | None) -> list[tuple[str, str]]:
    """What there is to say of the whole plan, each with its name."""
    said = [("Entries", _entries(plan)), ("Segments", _segments(plan))]
    if found is None:
        return [*said, ("Costs", "not told: they depend on --required, and so does the cut of a harvest")]
    said += [
        (
            "Data",
            f"about {amounts.size(found.n_bytes)} of JSON: {amounts.size(found.bytes_per_entry)} an entry, "
            f"in a sample of {found.sampled:,}",
        ),
        ("Requests", f"about {found.requests:,}, if all entries are like the sample; more for retries"),
    ]
    if found.least_seconds is not None and per_second:
        said.append(
            (
                "Time",
                f"at least {amounts.duration(found.least_seconds)}, at {amounts.number(per_second)} requests a second; "
                "longer where the server or the way to it is slower",
            )
        )
    return said


def lines(plan: Plan, said: list[tuple[str, str]]) -> Iterator[str]:
    """Facts after a `#`; then a line for each segment: number, from (exclusive), up to, entries; apart by spaces."""
    yield f"# {plan}"
    for name, words in said:
        yield f"# {name.lower()}: {words}"
    for number in range(len(plan)):
        yield "{:>6}  {:<28}  {:<28}  {}".format(*_row(plan, number))


def table(plan: Plan, said: list[tuple[str, str]], *, whole: bool) -> RenderableType:
    """The same for a person: the facts, and the segments, or (but for `whole`) the first and the last of them."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, words in said:
        grid.add_row(name, Text(words))
    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for name in ("Segment", "Entries"):
        rows.add_column(name, justify="right", no_wrap=True)
    for name in ("From (exclusive)", "Up to"):
        rows.add_column(name, overflow="ellipsis")
    left_out = 0 if whole else max(0, len(plan) - 2 * _ENDS)
    for number in range(len(plan)):
        if left_out <= 1 or not _ENDS <= number < len(plan) - _ENDS:
            where, after, upto, size = _row(plan, number)
            rows.add_row(where, _about(plan, size), Text(after), Text(upto))
        elif number == _ENDS:
            rows.add_row("…", "", Text(f"{left_out:,} more (--all lists them)", "dim"), "")
    return Group(Padding(grid, (1, 0, 1, 1)), Padding(rows, (0, 0, 1, 1)))


def _row(plan: Plan, number: int) -> tuple[str, str, str, str]:
    segment = plan.segments[number]
    return str(number), segment.after or "start", segment.upto or "end", str(segment.size)


def _about(plan: Plan, size: str) -> str:
    if not size.isdigit():
        return "?"
    return f"{'' if plan.exact else '~'}{int(size):,}"


def _entries(plan: Plan) -> str:
    of = f" of {plan.matched:,} that match" if plan.matched not in (None, plan.total) else ""
    return f"{plan.total:,}{of}"


def _segments(plan: Plan) -> str:
    sizes = [segment.size for segment in plan if segment.size is not None]
    if not sizes:
        return f"{len(plan):,}"
    least, most = min(sizes), max(sizes)
    each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    if plan.exact:
        return f"{len(plan):,}, of {each} entries (exact)"
    return (
        f"{len(plan):,}, of about {each} entries (estimated from counts of ranges: a segment may be off by "
        f"{100 * uncertainty(plan):.0f}%, the sum is right)"
    )
