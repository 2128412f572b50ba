"""Owns how a value of ours looks in a notebook: a small table, a tree or a bar as HTML (`_repr_html_`).

Styles stand in the elements, and have no colour of text or ground: a card takes the notebook's own, light or dark. All
from outside is escaped (`page/markup`). Nothing here asks anybody for anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from .amounts import count, counted, share
from .page.markup import Html, tag
from .progress import Progress
from .report import Report
from .verdict import done_by

_GREY = "rgba(128, 128, 128, 0.3)"
_TABLE = "border-collapse: collapse; margin: 0.3em 0"
_CELL = "text-align: left; vertical-align: top; padding: 0.15em 0.8em 0.15em 0; overflow-wrap: anywhere"
_NUMBER = "text-align: right; vertical-align: top; padding: 0.15em 0.8em 0.15em 0; white-space: nowrap"
_CAPTION = "text-align: left; font-weight: bold; padding: 0.15em 0; caption-side: top"
_LONGEST = 300
"""Characters of a value that are shown."""


class State(Enum):
    """What has become of the work that a progress tells of; its value is the colour of the bar."""

    RUNNING = "#3f84cf"
    DONE = "#3c9a5f"
    STOPPED = "#cf6f2e"
    LEFT = "#8a8f98"
    """Nobody looks any more: the cell is over."""


def progress_card(label: str, progress: Progress, state: State) -> Html:
    """A bar with its words: what it is about, how much of it, and the figures."""
    done = progress.share or 0.0
    percent = share(done, 1) if progress.share is not None else ""
    ending = {State.STOPPED: "stopped", State.LEFT: "goes on, or was left"}.get(state, "")
    right = ", ".join(filter(None, (ending, percent)))
    head = tag(
        "div",
        tag("span", label, style="font-weight: bold; overflow-wrap: anywhere"),
        tag("span", right, style="white-space: nowrap; padding-left: 1em"),
        style="display: flex; justify-content: space-between",
    )
    filled = tag("div", style=f"height: 100%; width: {100 * done:.1f}%; background: {state.value}")
    bar = tag(
        "div",
        filled,
        role="progressbar",
        aria_label=label,
        aria_valuemin="0",
        aria_valuemax="100",
        aria_valuenow=f"{100 * done:.0f}" if progress.share is not None else None,
        style=f"height: 0.7em; border-radius: 0.35em; overflow: hidden; margin: 0.25em 0; background: {_GREY}",
    )
    words = " · ".join([progress.counted(), *progress.facts()])
    told = tag("div", words, style="font-variant-numeric: tabular-nums; opacity: 0.85")
    return tag("div", head, bar, told, style="max-width: 52em; margin: 0.3em 0")


def words_card(words: str) -> Html:
    """A line of words."""
    return tag("div", words, style="opacity: 0.85")


def facts_card(title: str, facts: Mapping[str, Any]) -> Html:
    """What there is to say of something: names and values; those of None are left out."""
    told = {name: value for name, value in facts.items() if value is not None}
    rows = [
        tag("tr", tag("th", name, scope="row", style=_CELL), tag("td", _short(value), style=_CELL))
        for name, value in told.items()
    ]
    return _table(title, None, rows)


def report_card(report: Report) -> Html:
    """How far a dataset is, and what it took."""
    state = State.DONE if report.complete else State.STOPPED
    bar = progress_card(_ending(report), Progress.of_reports(report), state)
    facts = {
        "delivered": counted(report.rows, "entry", "entries"),
        "without archive": count(report.missing),
        "failed": f"{count(report.failed)}: failures.parquet tells which, and why" if report.failed else "0",
        "not listed any more": count(report.short) if report.short else None,
        "outside the schema": f"{counted(report.n_more, 'value')}, in the column _more"
        if report.n_more
        else None,
        "requests": f"{count(report.requests)}, {counted(report.retries, 'retry', 'retries')} among them",
        "segments": f"{count(report.done)} of {count(report.segments)}",
        "last update": f"{report.update.begun}: {done_by(report.update)}" if report.update else None,
    }
    return tag("div", bar, facts_card("", facts))


def _ending(report: Report) -> str:
    if report.complete:
        return "Complete"
    if report.done < report.segments or report.stopped:
        return "Not finished: the same call again goes on"
    return "Finished, but not all entries are there"


def rows_card(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    most: int = 10,
    last: int = 3,
    of: str = "row",
) -> Html:
    """A table of rows, numbers to the right. Of more than `most` the first and the `last` few are shown."""
    first, end = (len(rows), len(rows)) if len(rows) <= most else (most - last, len(rows) - last)
    shown = [_row(row) for row in rows[:first]]
    if first < end:
        between = f"… {counted(end - first, f'more {of}')}{' …' if last else ''}"
        shown.append(tag("tr", tag("td", between, colspan=len(heads), style=_CELL)))
    return _table(title, heads, [*shown, *(_row(row) for row in rows[end:])])


def _row(cells: Sequence[Any]) -> Html:
    return tag("tr", [_cell(cell) for cell in cells])


def _cell(value: Any) -> Html:
    if isinstance(value, int):
        return tag("td", count(value), style=_NUMBER)
    return tag("td", _short(value), style=_CELL)


def _table(title: str, heads: Sequence[str] | None, rows: Iterable[Html]) -> Html:
    caption = tag("caption", title, style=_CAPTION) if title else None
    head = (
        tag("thead", tag("tr", [tag("th", name, scope="col", style=_CELL) for name in heads]))
        if heads
        else None
    )
    return tag("table", caption, head, tag("tbody", list(rows)), style=_TABLE)


def tree_card(title: str, tree: Mapping[str, Any], *, most: int = 12, depth: int = 4) -> Html:
    """A JSON object as sections that can be opened: of each the first members, and so deep."""
    return tag(
        "div",
        tag("div", title, style="font-weight: bold"),
        _members(tree, most, depth),
        style="margin: 0.3em 0; overflow-wrap: anywhere",
    )


def _members(tree: Mapping[str, Any], most: int, depth: int) -> Html:
    names = list(tree)
    told = [_member(name, tree[name], most, depth) for name in names[:most]]
    if len(names) > most:
        told.append(tag("div", f"… {counted(len(names) - most, 'more name')}"))
    return tag("div", told, style=f"padding-left: 1em; border-left: 1px solid {_GREY}")


def _member(name: str, value: Any, most: int, depth: int) -> Html:
    section = value[0] if isinstance(value, list) and value and _are_sections(value) else value
    if not isinstance(section, dict) or not section or depth <= 1:
        return tag("div", tag("b", name), " ", _summary(value))
    which = f"{counted(len(value), 'section')}, the first:" if section is not value else _summary(value)
    # Half as many at each step down: cards of large archives stay small.
    inside = _members(section, max(2, most // 2), depth - 1)
    return tag(
        "details", tag("summary", tag("b", name), " ", tag("span", which, style="opacity: 0.7")), inside
    )


def _are_sections(values: list[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _summary(value: Any) -> str:
    if isinstance(value, dict):
        names = ", ".join(list(value)[:4])
        return f"{names}, …" if len(value) > 4 else names or "empty"
    if isinstance(value, list):
        if value and _are_sections(value):
            return counted(len(value), "section")
        if len(value) > 6 or any(isinstance(item, list) for item in value):
            return f"list of {counted(len(value), 'item')}"
    return _short(value)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
