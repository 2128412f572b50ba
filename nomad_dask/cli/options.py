"""Owns the options that several commands take, with their help."""

from __future__ import annotations

from typing import Annotated

import typer

Query = Annotated[str, typer.Option(help="NOMAD's search expression, as JSON text or @file.json.")]
RequiredTree = Annotated[
    str, typer.Option(help="Which parts of each archive: JSON text or @file.json; '*' is all.")
]
LayoutOption = Annotated[
    str,
    typer.Option(help="wide: a column per leaf; nested: one per required path; tables: a table per path."),
]
SourceOption = Annotated[
    str,
    typer.Option(help="archives; or documents: the search documents, of which --required lists the names."),
]
Url = Annotated[
    str | None, typer.Option(help="The api's base, ending in /api/v1. Default: the public server.")
]
Owner = Annotated[str, typer.Option(help="Whose entries: visible, public, user, shared, staging.")]
After = Annotated[str, typer.Option(help="Only entries whose id is greater than this.")]
ResultsMax = Annotated[int | None, typer.Option(help="At most so many entries. Default: all.")]
PartitionSize = Annotated[int | None, typer.Option(help="Entries in each part.")]
Npartitions = Annotated[int | None, typer.Option(help="How many parts.")]
Rate = Annotated[float, typer.Option(help="Requests a second over all workers; 0: no limit.")]
Concurrency = Annotated[int, typer.Option(help="Requests under way at once over all workers.")]
Retry = Annotated[int, typer.Option(help="Tries of a failing request after the first.")]
SleepTime = Annotated[float, typer.Option(help="Seconds of the longest planned wait between two tries.")]
Timeout = Annotated[float, typer.Option(help="Seconds for one request.")]
BatchSizeOption = Annotated[
    int | None, typer.Option(help="Entries in one request. Default: found as it goes.")
]
Workers = Annotated[
    int | None, typer.Option(help="Local worker processes. Default: one per core, four at most.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Use a running Dask cluster: tcp://host:8786, or tls://... (certificates in Dask's own settings)."
    ),
]
RetryFailures = Annotated[bool, typer.Option("--retry-failures", help="Ask again for entries that failed.")]
