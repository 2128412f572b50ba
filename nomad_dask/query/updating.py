"""Owns `update`: a stored dataset, brought to what its server has now (SPEC 9)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..display.showing import reports_shown
from ..edges.store import Store
from ..pure.errors import UserError
from ..pure.report import Report
from .archive_query import ArchiveQuery

if TYPE_CHECKING:
    from distributed import Client as DaskClient


def update(
    path: str | os.PathLike[str],
    *,
    prune: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    client: DaskClient | None = None,
    progress: Callable[[Report], None] | bool | None = None,
    **connection: Any,
) -> Report:
    """Get what is new or reprocessed on the server since the last time into the dataset at `path`, in place.

    Costs the listings of what moved (10,000 entries a request) and the archives of just these; nothing is read again
    that did not move. The query, the plan and the schema are the dataset's own: a value that the schema does not know
    goes to `_more`. Entries that failed before wait for `retry_failures`; one that fails now has no row, and is told.

    What the server lists no more stays; with `prune` it is dropped (all names are listed: a request for each part), and
    entries that became visible without any of their times moving, as when an embargo ends, are added.

    >>> report = update("titania")
    >>> report.update.added, report.update.changed
    (0, 0)

    Stopped in between, it is run again. The report's `update` says what came; the manifest keeps the history.

    Args:
        path: the dataset's folder or fsspec url.
        prune: drop what was withdrawn, or matches the query no more.
        workers, scheduler, client, progress: as in `ArchiveQuery.to_parquet`; `progress=False` shows nothing.
        connection: how to ask, as `ArchiveQuery` takes it: `username`, `password`, `access_token`, `retry`,
            `sleep_time`, `timeout`, `max_concurrency`, `max_requests_per_second`.

    Raises:
        DatasetError: no dataset is there; or one that is capped by `results_max`, or asked with another login.
        UnfinishedError: parts are left over, because the server or workers kept failing. What is done is kept.
    """
    from ..clusters import Cluster, check_client
    from ..updates import update

    store = Store.at(path)
    if wrong := sorted(connection.keys() - _CONNECTION):
        raise UserError(
            f"update takes no {wrong[0]!r}: the dataset knows what to ask; it takes {', '.join(_CONNECTION)}"
        )
    check_client(client)
    if client is None:
        store.check_shared()
    manifest = store.stored()
    cluster = Cluster(workers, scheduler)
    cluster.check()
    server = ArchiveQuery(**manifest.asked(), **connection)._server
    manifest.must_match(manifest.identity() | {"logged_in": server.login is not None}, store.url)
    with reports_shown(f"Update of {os.fspath(path)}", tell=progress) as tell:
        return update(store, manifest, server, prune=prune, cluster=client or cluster, progress=tell)


_CONNECTION = (
    *("username", "password", "access_token", "retry", "sleep_time", "timeout"),
    *("max_concurrency", "max_requests_per_second"),
)
