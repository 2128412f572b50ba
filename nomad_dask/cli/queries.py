"""Owns how a command's options become a query object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from .jobs import tree_of

if TYPE_CHECKING:
    from ..query.archive_query import ArchiveQuery


def query_of(**options: Any) -> ArchiveQuery:
    """The query object of command-line options; trees may be JSON text, `@file.json`, or already JSON."""
    from ..query.archive_query import ArchiveQuery

    for name in ("query", "required"):
        if name in options:
            options[name] = tree_of(options[name], f"--{name}")
    options.setdefault("results_max", None)
    return ArchiveQuery(**_unlimited(options), progress=False)


def connection_of(context: typer.Context) -> dict[str, Any]:
    """How a command's requests are made, of its options."""
    names = ("max_requests_per_second", "max_concurrency", "retry", "sleep_time", "timeout")
    return _unlimited({name: context.params[name] for name in names})


def _unlimited(options: dict[str, Any]) -> dict[str, Any]:
    """The options, where 0 requests a second stand for no limit."""
    return {k: None if k == "max_requests_per_second" and v == 0 else v for k, v in options.items()}
