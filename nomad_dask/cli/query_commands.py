"""Commands that query the server: `schema`, `count`, `plan`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nomad_dask.cli.options import OUTPUT, QUERY, Json, Shared, flag, json_value, option, takes
from nomad_dask.plan.estimate import Forecast, uncertainty
from nomad_dask.request.api_body import is_body, read_body
from nomad_dask.request.no_match import no_match_message
from nomad_dask.request.segments import Plan
from nomad_dask.text import humanize, json_text, one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nomad_dask.metainfo.browse import About
    from nomad_dask.query.archive_query import ArchiveQuery


@takes("url", "allow_http")
def schema(
    path: Annotated[
        str,
        typer.Argument(
            help="A path, such as run.calculation.energy. Default: the top level of archives.", metavar="PATH"
        ),
    ] = "",
    find: Annotated[
        str | None, option("Words to search for in names and descriptions below PATH.", QUERY)
    ] = None,
    *,
    json: Json = False,
    **server: Any,
) -> None:
    """Show the schema of archives: sections and quantities with type, unit and description. One request.

    Types in the plural are lists of sections. References are followed like sections. On a pipe, the output
    has a line for each path, with tabs between path, type, unit and description. Lines that start with # are
    about the whole.
    """
    tree = query_of(**server).schema
    here = tree[path] if path else tree
    if find is None:
        about, rows, title = here.about, here.inside(), here.about.title
    else:
        places = here.find(find)
        about, rows, title = None, tuple(places), places.title
    if json:
        facts = [row.to_json() for row in rows]
        print(json_text(about.to_json() | {"inside": facts} if about else {"found": facts}))
    elif sys.stdout.isatty():
        _table(title, about, rows)
    else:
        _lines(title, about, rows)


def _lines(title: str, about: About | None, rows: Sequence[About]) -> None:
    for fact in (title, *_facts(about)):
        print(f"# {one_line(fact)}")
    for row in rows or ((about,) if about else ()):
        print("\t".join(map(one_line, (row.path, row.kind, row.unit or "", row.description or ""))))


def _table(title: str, about: About | None, rows: Sequence[About]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(one_line(title), style="bold"))
    for fact in _facts(about):
        console.print(Text(one_line(fact)))
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    names = [one_line(row.name if about else row.path) for row in rows]
    fits = max(map(len, names)) <= console.width * 2 // 3
    table.add_column("name" if about else "path", overflow="fold", no_wrap=fits)
    table.add_column("type", overflow="fold")
    units = any(row.unit for row in rows)
    if units:
        table.add_column("unit")
    table.add_column("description", ratio=1)
    for name, row in zip(names, rows, strict=True):
        unit = (row.unit or "",) if units else ()
        table.add_row(*map(Text, map(one_line, (name, row.kind, *unit, row.summary))))
    console.print(table)


def _facts(about: About | None) -> list[str]:
    """Lines below the title: the description, and the option that requests the path."""
    if about is None:
        return []
    option = f"--required '{json_text(about.required)}'" if about.path else ""
    return [fact for fact in (about.description, option) if fact]


@takes("query", "url", "allow_http", "owner", "after")
def count(**options: Any) -> None:
    """Print the number of matching entries."""
    query = query_of(**options)
    n = query.count()
    print(n)
    if not n:
        warnings.warn(no_match_message(query.owner, query.query, query.after))


@takes(
    *("query", "source", "url", "allow_http", "owner", "after", "results_max", "layout"),
    *("partition_size", "npartitions", "max_columns", "max_requests_per_second"),
)
def plan(
    *,
    required: Annotated[
        str | None,
        option("Estimate the costs for these parts of each archive (as for harvest).", QUERY, "--required"),
    ] = None,
    show_all: Annotated[bool, flag("--all", "List all segments.", OUTPUT)] = False,
    json: Json = False,
    **options: Any,
) -> None:
    """Show the segments of a harvest. A few small requests.

    With --required, a sample of 256 entries (at most 16 MB) is read to estimate bytes, requests and the
    minimum time, and to plan the same segments as the harvest.

    On a pipe, the output has a line for each segment: number, from (exclusive), up to, entries. Lines that
    start with # are about the whole.
    """
    layout, options = options.pop("layout"), query_options(required=required, **options)
    cut = {name: options.pop(name) for name in ("partition_size", "npartitions")}
    query = query_of(**options)
    if options["required"] is None:
        segments, costs = query.plan(**cut), None
    else:
        segments, costs = query.forecast(layout=layout, **cut)
    if json:
        print(json_text(segments.to_json() | {"forecast": costs and costs.to_json()}))
        return
    facts = _plan_facts(segments, costs, options["max_requests_per_second"])
    if not sys.stdout.isatty():
        print("\n".join(_plan_lines(segments, facts)))
        return
    from rich.console import Console

    Console(highlight=False).print(_plan_table(segments, facts, show_all=show_all))


def query_of(**options: Any) -> ArchiveQuery:
    """The query of command-line options. Trees may be JSON text, `@file.json` or JSON values."""
    from nomad_dask.query.archive_query import ArchiveQuery

    options = {"results_max": None} | query_options(**options)
    return ArchiveQuery(**options, progress=False)


def query_options(**options: Any) -> dict[str, Any]:
    """The options with JSON values; those of an API body in place of the query, unless they are given."""
    for name in ("query", "required"):
        if name in options:
            options[name] = json_value(options[name], f"--{name}")
    if not is_body(options.get("query")):
        return options
    body = read_body(options["query"])
    if body.note:
        warnings.warn(body.note)
    found: dict[str, Any] = {"query": body.query}
    if options.get("required") in (None, "*"):
        found |= {"required": body.required, "source": body.source}
    if options.get("owner") == Shared.owner:
        found["owner"] = body.owner
    return options | {name: value for name, value in found.items() if name in options}


_ENDS = 5
"""Segments shown at each end of a long plan."""


def _plan_facts(plan: Plan, forecast: Forecast | None, per_second: float | None) -> list[tuple[str, str]]:
    """Names and values that describe the whole plan."""
    facts = [("Entries", _entries(plan)), ("Segments", _segments(plan))]
    if plan.left_out:
        facts.append(
            ("Columns", f"{humanize.count(plan.left_out)} beyond the limit: their values go to _more")
        )
    if forecast is None:
        return [*facts, ("Costs", "unknown: give --required, which also affects the segments of a harvest")]
    facts += [
        (
            "Data",
            f"about {humanize.size(forecast.n_bytes)} of JSON: "
            f"{humanize.size(forecast.bytes_per_entry)} per entry in a sample of {forecast.sampled:,}",
        ),
        ("Requests", f"about {forecast.requests:,}, if all entries are like the sample; more for retries"),
    ]
    if forecast.least_seconds is not None and per_second:
        facts.append(
            (
                "Time",
                f"at least {humanize.duration(forecast.least_seconds)}, "
                f"at {humanize.number(per_second)} requests per second; longer if the server is slower",
            )
        )
    return facts


def _plan_lines(plan: Plan, facts: list[tuple[str, str]]) -> Iterator[str]:
    """Facts, each after a `#`; then a line for each segment: number, from (exclusive), up to, entries."""
    yield f"# {plan}"
    for name, text in facts:
        yield f"# {name.lower()}: {text}"
    for number in range(len(plan)):
        yield "{:>6}  {:<28}  {:<28}  {}".format(*_row(plan, number))


def _plan_table(plan: Plan, facts: list[tuple[str, str]], *, show_all: bool) -> RenderableType:
    """The facts and the segments as a table; without `show_all` only the first and last segments."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, text in facts:
        grid.add_row(name, Text(text))
    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for name in ("Segment", "Entries"):
        rows.add_column(name, justify="right", no_wrap=True)
    for name in ("From (exclusive)", "Up to"):
        rows.add_column(name, overflow="ellipsis")
    left_out = 0 if show_all else max(0, len(plan) - 2 * _ENDS)
    for number in range(len(plan)):
        if left_out <= 1 or not _ENDS <= number < len(plan) - _ENDS:
            index, after, upto, size = _row(plan, number)
            rows.add_row(index, _about(plan, size), Text(after), Text(upto))
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
    return str(plan.cap) if plan.cap else f"{plan.total:,}"


def _segments(plan: Plan) -> str:
    sizes = [segment.size for segment in plan if segment.size is not None]
    if not sizes:
        return f"{len(plan):,}"
    low, high = min(sizes), max(sizes)
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    if plan.exact:
        return f"{len(plan):,}, of {each} entries (exact)"
    return (
        f"{len(plan):,}, of about {each} entries (estimated from counts of ranges: a segment may be off by "
        f"{100 * uncertainty(plan):.0f}%, the total is exact)"
    )
