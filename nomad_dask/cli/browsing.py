"""Owns the command that looks around in the server's schema: `schema`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import ASKED, Json, Url
from .queries import query_of

if TYPE_CHECKING:
    from ..pure.browse import About


def schema(
    path: Annotated[
        str,
        typer.Argument(help="Where: run.calculation.energy. Default: the top of archives.", metavar="PATH"),
    ] = "",
    find: Annotated[
        str | None,
        typer.Option(help="Words to look for below PATH, in names and descriptions.", rich_help_panel=ASKED),
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show what archives may hold: sections and quantities with type, unit, description. One request.

    Sections in the plural are lists. References are walked through like sections. Into a pipe goes a line for each
    place, its cells between tabs: path, type, unit, description. Lines that begin with # are about the whole.
    """
    tree = query_of(url=url).schema
    here = tree[path] if path else tree
    if find is None:
        about, found, title = here.about, here.inside(), here.about.title
    else:
        places = here.find(find)
        about, found, title = None, tuple(places), places.title
    if json:
        facts = [one.to_json() for one in found]
        print(_json(about.to_json() | {"inside": facts} if about else {"found": facts}))
    elif sys.stdout.isatty():
        _table(title, about, found)
    else:
        _lines(title, about, found)


def _lines(title: str, about: About | None, found: Sequence[About]) -> None:
    print(f"# {title}")
    for fact in _facts(about):
        print(f"# {fact}")
    for one in found or ((about,) if about else ()):
        print("\t".join((one.path, one.kind, one.unit or "", one.description or "")))


def _table(title: str, about: About | None, found: Sequence[About]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(title, style="bold"))
    for fact in _facts(about):
        console.print(Text(fact))
    if not found:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    names = [one.name if about else one.path for one in found]
    fits = max(map(len, names)) <= console.width * 2 // 3
    table.add_column("name" if about else "path", overflow="fold", no_wrap=fits)
    table.add_column("type", overflow="fold")
    units = any(one.unit for one in found)
    if units:
        table.add_column("unit")
    table.add_column("description", ratio=1)
    for name, one in zip(names, found, strict=True):
        unit = (one.unit or "",) if units else ()
        table.add_row(*map(Text, (name, one.kind, *unit, one.summary)))
    console.print(table)


def _json(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _facts(about: About | None) -> list[str]:
    """What is said below the title: what the place is for, and how one asks for it."""
    if about is None:
        return []
    asked = f"--required '{_json(about.required)}'" if about.path else ""
    return [fact for fact in (about.description, asked) if fact]
