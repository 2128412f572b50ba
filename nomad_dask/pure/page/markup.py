"""Owns how HTML is put together: what comes from outside is escaped here, and nowhere else is a `<` written around it.

`Html` is text that is markup already; `tag` and `join` escape all that is not.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any


class Html(str):
    """Markup."""

    __slots__ = ()


def text(value: Any) -> Html:
    """What stands for a value in HTML, as it is where it is markup."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def join(*parts: Any) -> Html:
    """Parts one after the other; None is nothing, and a list is its items."""
    return Html("".join(_each(parts)))


def _each(parts: Iterable[Any]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, list | tuple):
            yield from _each(part)
        elif part is not None:
            yield text(part)


def tag(element: str, /, *inner: Any, **attributes: Any) -> Html:
    """An element. `class_` is `class`, `_` stands for `-`; an attribute that is None or False is left out."""
    return Html(f"<{element}{_attributes(attributes)}>{join(*inner)}</{element}>")


def void(element: str, /, **attributes: Any) -> Html:
    """An element that holds nothing."""
    return Html(f"<{element}{_attributes(attributes)}>")


def _attributes(attributes: dict[str, Any]) -> str:
    return "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )


def table(caption: Any, heads: Iterable[Any], rows: Iterable[Any], *, label: str, **attributes: Any) -> Html:
    """A table that scrolls in a box of its own where it is wider than the page."""
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in heads]))
    whole = tag("table", tag("caption", tag("span", caption)), head, tag("tbody", list(rows)), **attributes)
    return box(whole, label=f"Table: {label}")


def box(inner: Any, *, label: str, class_: str = "scroll") -> Html:
    """A part of the page that scrolls by itself, also by keyboard."""
    return tag("div", inner, class_=class_, role="region", aria_label=label, tabindex="0")


def row(first: Any, *cells: Any, class_: str | None = None) -> Html:
    """A row of a table, its first cell the head."""
    return tag("tr", tag("th", first, scope="row"), [tag("td", cell) for cell in cells], class_=class_)


def section(name: str, title: str, *inner: Any) -> Html:
    """A part of the page under a heading of its own."""
    return tag(
        "section", tag("h2", title, id=f"{name}-head"), *inner, id=name, aria_labelledby=f"{name}-head"
    )
