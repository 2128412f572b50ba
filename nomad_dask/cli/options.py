"""Owns the options that several commands take: their help, their groups, and the values of those that are a choice."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..pure.near import hint, near

OWNERS = ("visible", "public", "user", "shared", "staging", "all", "admin")
SOURCES = ("archives", "documents")
LAYOUTS = ("wide", "nested", "tables")
ASKED, CUT, WHERE, LIMITS, OUTPUT = (
    "What to ask for",
    "How to cut it",
    "Where it runs",
    "Limits and retries",
    "Output",
)
"""Groups of options in the help."""
_WIDEST = 30
"""Characters of values that the help shows as one word."""
KINDS = ("mixed", "small", "large", "results")


def choice(values: tuple[str, ...], help: str, panel: str) -> Any:
    """An option that takes one of a few values: they are its completion, and a wrong one is told the near ones."""

    def checked(value: str) -> str:
        if value not in values:
            meant = hint(near(value, values, most=1))
            raise typer.BadParameter(f"{value!r} is none of {', '.join(values)}{meant}")
        return value

    def completed(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    shown = f"[{'|'.join(values)}]"
    if len(shown) > _WIDEST:
        help, shown = f"{help.removesuffix('.')}: {', '.join(values)}.", "NAME"
    how: dict[str, Any] = {"callback": checked, "autocompletion": completed, "rich_help_panel": panel}
    return typer.Option(help=help, metavar=shown, **how)


def flag(name: str, help: str, panel: str) -> Any:
    """An option without a value."""
    return typer.Option(name, help=help, metavar="", rich_help_panel=panel)


def _option(help: str, panel: str, *names: str, **how: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **how)


Dataset = Annotated[str, typer.Argument(help="Folder or url of the dataset.", metavar="PATH")]
Query = Annotated[str, _option("NOMAD's search expression, as JSON text or @file.json.", ASKED)]
RequiredTree = Annotated[
    str, _option("Which parts of each archive: JSON text or @file.json; '*' is all.", ASKED)
]
SampledTree = Annotated[
    str | None,
    _option("Tell the costs too, of these parts of each archive (as for harvest).", ASKED, "--required"),
]
SourceOption = Annotated[
    str,
    choice(SOURCES, "Where from; documents: the search documents, of which --required lists names.", ASKED),
]
Owner = Annotated[str, choice(OWNERS, "Whose entries.", ASKED)]
Url = Annotated[str | None, _option("The api's base, ending in /api/v1. Default: the public server.", ASKED)]
After = Annotated[str, _option("Only entries whose id is greater than this.", ASKED)]
ResultsMax = Annotated[int | None, _option("At most so many entries. Default: all.", ASKED)]
LayoutOption = Annotated[
    str,
    choice(LAYOUTS, "wide: a column per leaf; nested: one per required path; tables: a table per path.", CUT),
]
PartitionSize = Annotated[int | None, _option("Entries in each part.", CUT)]
Npartitions = Annotated[int | None, _option("How many parts.", CUT)]
Workers = Annotated[
    int | None, _option("Local worker processes. Default: one per core, four at most.", WHERE)
]
Scheduler = Annotated[
    str | None,
    _option(
        "Use a running Dask cluster: tcp://host:8786, or tls://... (certificates in Dask's own settings).",
        WHERE,
    ),
]
RetryFailures = Annotated[bool, flag("--retry-failures", "Ask again for entries that failed.", LIMITS)]
Json = Annotated[bool, flag("--json", "Print JSON, for programs.", OUTPUT)]
Rate = Annotated[float, _option("Requests a second over all workers; 0: no limit.", LIMITS)]
Concurrency = Annotated[int, _option("Requests under way at once over all workers.", LIMITS)]
BatchSizeOption = Annotated[int | None, _option("Entries in one request. Default: found as it goes.", LIMITS)]
Retry = Annotated[int, _option("Tries of a failing request after the first.", LIMITS)]
SleepTime = Annotated[float, _option("Seconds of the longest planned wait between two tries.", LIMITS)]
Timeout = Annotated[float, _option("Seconds for one request.", LIMITS)]
EventsOption = Annotated[
    bool, flag("--json", "Print events on stdout, for programs: a JSON object a line.", OUTPUT)
]
