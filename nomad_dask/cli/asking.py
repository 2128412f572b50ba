"""Owns the commands that ask the server small questions: `count`, `plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import After, Npartitions, Owner, PartitionSize, Query, ResultsMax, Url
from .queries import query_of


def count(query: Query = "{}", url: Url = None, owner: Owner = "visible", after: After = "") -> None:
    """Print how many entries match."""
    print(query_of(query=query, url=url, owner=owner, after=after).count())


def plan(
    query: Query = "{}",
    url: Url = None,
    owner: Owner = "visible",
    after: After = "",
    results_max: ResultsMax = None,
    partition_size: PartitionSize = None,
    npartitions: Npartitions = None,
    json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Print the segments that a harvest would have. A few small requests; no archive is asked for."""
    asked = query_of(query=query, url=url, owner=owner, after=after, results_max=results_max)
    planned = asked.plan(partition_size=partition_size, npartitions=npartitions)
    if json:
        import orjson

        print(orjson.dumps(planned.to_json()).decode())
        return
    print(planned)
    for number, segment in enumerate(planned):
        print(f"{number:>6}  {segment.after or 'start':<28}  {segment.upto or 'end':<28}  {segment.size}")
