"""Owns the commands that ask the server small questions: `count`, `plan`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from .options import (
    OUTPUT,
    After,
    Json,
    LayoutOption,
    Npartitions,
    Owner,
    PartitionSize,
    Query,
    Rate,
    ResultsMax,
    SampledTree,
    SourceOption,
    Url,
    flag,
)
from .queries import query_of


def count(query: Query = "{}", url: Url = None, owner: Owner = "visible", after: After = "") -> None:
    """Print how many entries match."""
    print(query_of(query=query, url=url, owner=owner, after=after).count())


def plan(
    query: Query = "{}",
    required: SampledTree = None,
    source: SourceOption = "archives",
    url: Url = None,
    owner: Owner = "visible",
    after: After = "",
    results_max: ResultsMax = None,
    layout: LayoutOption = "wide",
    partition_size: PartitionSize = None,
    npartitions: Npartitions = None,
    max_requests_per_second: Rate = 20.0,
    whole: Annotated[bool, flag("--all", "List all segments.", OUTPUT)] = False,
    json: Json = False,
) -> None:
    """Show the segments that a harvest would have. A few small requests.

    With --required also 256 entries are read (16 MB at most): to tell bytes, requests and the least time, and to cut
    as the harvest would.

    Into a pipe go all segments, a line each: number, from (exclusive), up to, entries. Lines that begin with # are about
    the whole.
    """
    asked = query_of(
        query=query,
        url=url,
        owner=owner,
        after=after,
        results_max=results_max,
        source=source,
        max_requests_per_second=max_requests_per_second,
        **({} if required is None else {"required": required}),
    )
    how: dict[str, Any] = {"partition_size": partition_size, "npartitions": npartitions}
    if required is None:
        found, costs = asked.plan(**how), None
    else:
        found, costs = asked.forecast(**how | {"layout": layout})
    from . import plan_table

    if json:
        import orjson

        print(orjson.dumps(found.to_json() | {"forecast": costs and costs.to_json()}).decode())
        return
    said = plan_table.facts(found, costs, max_requests_per_second)
    if not sys.stdout.isatty():
        print("\n".join(plan_table.lines(found, said)))
        return
    from rich.console import Console

    Console(highlight=False).print(plan_table.table(found, said, whole=whole))
