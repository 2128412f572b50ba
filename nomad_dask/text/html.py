"""Building HTML. Values are made printable and escaped here; no other module writes tags.

`Html` is a string that is markup already; `tag` and `join` escape everything else.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nomad_dask.text import printable
from nomad_dask.text.humanize import count, counted

GREY = "rgba(128, 128, 128, 0.3)"
_TABLE = "border-collapse: collapse; margin: 0.3em 0"
_CELL = "text-align: left; vertical-align: top; padding: 0.15em 0.8em 0.15em 0; overflow-wrap: anywhere"
_NUMBER = "text-align: right; vertical-align: top; padding: 0.15em 0.8em 0.15em 0; white-space: nowrap"
_CAPTION = "text-align: left; font-weight: bold; padding: 0.15em 0; caption-side: top"
_LONGEST = 300


def facts_card(title: str, facts: Mapping[str, Any]) -> Html:
    """A table of names and values, without those that are None."""
    rows = [
        tag("tr", tag("th", name, scope="row", style=_CELL), tag("td", _short(value), style=_CELL))
        for name, value in facts.items()
        if value is not None
    ]
    return _table(title, None, rows)


def rows_card(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    max_rows: int = 10,
    last: int = 3,
    of: str = "row",
) -> Html:
    """A table of rows. Above `max_rows`, it shows the first rows and the `last` ones."""
    first, end = (len(rows), len(rows)) if len(rows) <= max_rows else (max_rows - last, len(rows) - last)
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
    head = heads and tag("thead", tag("tr", [tag("th", name, scope="col", style=_CELL) for name in heads]))
    return tag("table", caption, head, tag("tbody", list(rows)), style=_TABLE)


def tree_card(title: str, tree: Mapping[str, Any], *, max_members: int = 12, depth: int = 4) -> Html:
    """A JSON object as nested collapsible sections with up to `max_members` members, at most `depth` deep."""
    return tag(
        "div",
        tag("div", title, style="font-weight: bold"),
        _members(tree, max_members, depth),
        style="margin: 0.3em 0; overflow-wrap: anywhere",
    )


def _members(tree: Mapping[str, Any], max_members: int, depth: int) -> Html:
    names = list(tree)
    members = [_member(name, tree[name], max_members, depth) for name in names[:max_members]]
    if len(names) > max_members:
        members.append(tag("div", f"… {counted(len(names) - max_members, 'more name')}"))
    return tag("div", members, style=f"padding-left: 1em; border-left: 1px solid {GREY}")


def _member(name: str, value: Any, max_members: int, depth: int) -> Html:
    section = value[0] if isinstance(value, list) and value and _are_sections(value) else value
    if not isinstance(section, dict) or not section or depth <= 1:
        return tag("div", tag("b", name), " ", _summary(value))
    summary = f"{counted(len(value), 'section')}, the first:" if section is not value else _summary(value)
    # Half as many members per level keeps the cards of large archives small.
    inside = _members(section, max(2, max_members // 2), depth - 1)
    head = tag("summary", tag("b", name), " ", tag("span", summary, style="opacity: 0.7"))
    return tag("details", head, inside)


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


class Html(str):
    """Markup."""

    __slots__ = ()


def text(value: Any) -> Html:
    """A value as escaped HTML; markup is returned unchanged."""
    return value if isinstance(value, Html) else Html(html.escape(printable(str(value))))


def join(*parts: Any) -> Html:
    """The concatenated parts; lists are flattened, None is skipped."""
    return Html("".join(_each(parts)))


def _each(parts: Iterable[Any]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, list | tuple):
            yield from _each(part)
        elif part is not None:
            yield text(part)


def tag(element: str, /, *inner: Any, **attributes: Any) -> Html:
    """An element. `class_` means `class`, `_` means `-`; attributes None and False are left out."""
    return Html(f"<{element}{_attributes(attributes)}>{join(*inner)}</{element}>")


def void(element: str, /, **attributes: Any) -> Html:
    """An element without content or closing tag."""
    return Html(f"<{element}{_attributes(attributes)}>")


def _attributes(attributes: dict[str, Any]) -> str:
    return "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{html.escape(printable(str(value)))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )


def table(caption: Any, heads: Iterable[Any], rows: Iterable[Any], *, label: str, **attributes: Any) -> Html:
    """A table in a box that scrolls if the table is wider than the page."""
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in heads]))
    whole = tag("table", tag("caption", tag("span", caption)), head, tag("tbody", list(rows)), **attributes)
    return box(whole, label=f"Table: {label}")


def box(inner: Any, *, label: str, class_: str = "scroll") -> Html:
    """A part of the page that scrolls by itself and can be focused by keyboard."""
    return tag("div", inner, class_=class_, role="region", aria_label=label, tabindex="0")


def row(first: Any, *cells: Any, class_: str | None = None) -> Html:
    """A table row whose first cell is a header."""
    return tag("tr", tag("th", first, scope="row"), [tag("td", cell) for cell in cells], class_=class_)


def section(name: str, title: str, *inner: Any) -> Html:
    """A part of the page with a heading."""
    head = tag("h2", title, id=f"{name}-head")
    return tag("section", head, *inner, id=name, aria_labelledby=f"{name}-head")
