"""Charts of the harvest page, as SVG.

The SVG stretches with the page. Labels are HTML beside it, so that text has the same size on every screen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nomad_dask.dataset.status import Axis
from nomad_dask.report_page.figures import Band, Bar, ends
from nomad_dask.text import humanize
from nomad_dask.text.html import Html, join, tag, text

_WIDTH, _HEIGHT = 1000, 100


def rates(
    name: str,
    title: str,
    description: str,
    axis: Axis,
    values: Sequence[float],
    format_value: Callable[[float], str],
) -> Html:
    """Bar chart of a rate over time."""
    top = _nice(max(values, default=0))
    step = _WIDTH / max(1, len(values))
    seconds = axis.length / max(1, len(values))
    bars = [
        _rect(i * step, _HEIGHT * (1 - value / top), step * 0.86, _HEIGHT * value / top, "rate", hint)
        for i, value in enumerate(values)
        for hint in [f"{humanize.duration(i * seconds)}: {format_value(value)}"]
    ]
    return _chart(name, title, description, axis, format_value(top), join(bars))


def bands(name: str, title: str, description: str, axis: Axis, values: Sequence[Band | None]) -> Html:
    """Chart of a figure of requests over time: the median as a line, minimum to maximum as a band."""
    top = _nice(1.1 * max((band.maximum for band in values if band), default=0))
    step = _WIDTH / max(1, len(values))

    def y(value: float) -> float:
        return _HEIGHT * (1 - value / top)

    drawn = []
    for i, band in enumerate(values):
        if band is not None:
            low, median, high = map(humanize.number, band)
            hint = f"{median} ({low} to {high})"
            drawn.append(
                _rect(i * step, y(band.maximum), step, y(band.minimum) - y(band.maximum), "band", hint)
            )
            drawn.append(_line(i * step, y(band.median), (i + 1) * step))
    return _chart(name, title, description, axis, humanize.number(top), join(drawn))


def _chart(name: str, title: str, description: str, axis: Axis, top: str, drawn: Html) -> Html:
    pauses = [
        tag("line", x1=_short(x), x2=_short(x), y1=0, y2=_HEIGHT, class_="pause")
        for after, _ in axis.pauses
        for x in [_WIDTH * after / max(axis.length, 1e-9)]
    ]
    grid = [tag("line", x1=0, x2=_WIDTH, y1=y, y2=y, class_="grid") for y in (0, _HEIGHT / 2, _HEIGHT)]
    times = [humanize.duration(axis.length * part) if part else "0 s" for part in (0, 0.5, 1)]
    return tag(
        "figure",
        tag("figcaption", tag("strong", title), tag("span", description)),
        tag("div", tag("span", top), tag("span", "0"), class_="scale", aria_hidden="true"),
        _svg(name, f"{title} over time", description, join(grid, drawn, pauses), class_="plot"),
        tag("div", [tag("span", time) for time in times], class_="ends", aria_hidden="true"),
        class_="chart",
    )


def strip(bars: Sequence[Bar], description: str) -> Html:
    """The plan's segments in the order of entry ids.

    The colour shows the speed, hatching shows what is left to do, and triangles below show failed entries.
    """
    step = _WIDTH / max(1, len(bars))
    levels = heat(bars)
    drawn: list[Html] = []
    marks: list[Html] = []
    for i, bar in enumerate(bars):
        height = _HEIGHT * bar.done / bar.segments
        hint = bar_text(bar)
        gap = 0.94 if len(bars) <= 100 else 1.0
        if bar.done < bar.segments:
            drawn.append(_rect(i * step, 0, step * gap, _HEIGHT - height, "left", hint))
        if bar.done:
            drawn.append(_rect(i * step, _HEIGHT - height, step * gap, height, f"heat{levels[i]}", hint))
        if bar.failed:
            marks.append(_mark((i + 0.5) * step, hint))
    hatching = tag("path", d="M0 12L12 0M-3 3L3 -3M9 15L15 9", class_="hatching")
    ground = tag("rect", width=12, height=12, class_="hatch-ground")
    hatch = tag("pattern", ground, hatching, id="hatch", width=12, height=12, patternUnits="userSpaceOnUse")
    return join(
        _svg(
            "strip",
            "Segments over the id space",
            description,
            join(tag("defs", hatch), drawn),
            class_="strip",
        ),
        _svg(
            "marks",
            "Segments with failed entries",
            _failed_text(bars),
            join(marks),
            class_="marks",
            height=20,
        )
        if marks
        else None,
        tag("div", [tag("code", end) for end in ends(bars)], class_="ends", aria_hidden="true"),
    )


def heat(bars: Sequence[Bar]) -> list[int]:
    """For each bar its speed class by rank, from 0 (slowest, or unknown) to 4."""
    order = sorted((bar.pace or 0.0, i) for i, bar in enumerate(bars) if bar.done)
    found = [0] * len(bars)
    for rank, (_, i) in enumerate(order):
        found[i] = 5 * rank // len(order)
    return found


def bar_text(bar: Bar) -> str:
    """A bar as text."""
    name = segments_text(bar)
    if not bar.done:
        return f"{name}: left to do"
    pace = f", {humanize.number(bar.pace)} entries/s" if bar.pace is not None else ""
    failed = f", {humanize.count(bar.failed)} failed" if bar.failed else ""
    done = "" if bar.done == bar.segments else f"{bar.done} of {bar.segments} done, "
    return f"{name}: {done}{humanize.count(bar.entries)} entries{pace}{failed}"


def segments_text(bar: Bar) -> str:
    """The numbers of a bar's segments, as text."""
    if bar.segments == 1:
        return f"segment {bar.first}"
    return f"segments {bar.first} to {bar.first + bar.segments - 1}"


def swatch(class_: str) -> Html:
    """The square or triangle of a legend entry."""
    square = "M0 0H14V14H0Z" if class_ != "failed" else "M7 1L13 13H1Z"
    return tag(
        "svg", tag("path", d=square, class_=class_), class_="swatch", viewBox="0 0 14 14", aria_hidden="true"
    )


def _failed_text(bars: Sequence[Bar]) -> str:
    return "; ".join(bar_text(bar) for bar in bars if bar.failed)[:500]


def _svg(name: str, title: str, description: str, drawn: Any, *, class_: str, height: int = _HEIGHT) -> Html:
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", description, id=f"{name}-desc"),
        drawn,
        class_=class_,
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
        viewBox=f"0 0 {_WIDTH} {height}",
        preserveAspectRatio="none",
    )


def _rect(x: float, y: float, width: float, height: float, class_: str, hint: str) -> Html:
    """A rectangle, formatted without `tag` for speed: a page has hundreds."""
    shape = f'x="{_short(x)}" y="{_short(y)}" width="{_short(width)}" height="{_short(max(0.0, height))}"'
    return Html(f'<rect {shape} class="{class_}"><title>{text(hint)}</title></rect>')


def _line(x1: float, y: float, x2: float) -> Html:
    return Html(
        f'<line x1="{_short(x1)}" x2="{_short(x2)}" y1="{_short(y)}" y2="{_short(y)}" class="middle"></line>'
    )


def _mark(x: float, hint: str) -> Html:
    """A triangle that points at the bar above it."""
    shape = f"M{_short(x)} 2L{_short(x + 6)} 18H{_short(x - 6)}Z"
    return Html(f'<path d="{shape}" class="failed"><title>{text(hint)}</title></path>')


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _nice(value: float) -> float:
    """A round number that is not less than the value: the top of a scale."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 1.0
    while power > value:
        power /= 10
    return next(
        power * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20) if power * step >= value * 0.9999
    )
