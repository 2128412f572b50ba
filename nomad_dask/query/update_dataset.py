"""update_dataset: bring a stored dataset up to date with its server."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nomad_dask.dataset.report import Report
from nomad_dask.dataset.store import Store
from nomad_dask.errors import UserError
from nomad_dask.progress.display import harvest_progress
from nomad_dask.query.archive_query import ArchiveQuery

if TYPE_CHECKING:
    from distributed import Client as DaskClient


def update_dataset(
    path: str | os.PathLike[str],
    *,
    prune: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    client: DaskClient | None = None,
    progress: Callable[[Report], None] | bool | None = None,
    **connection: Any,
) -> Report:
    """Update a dataset in place: add entries that are new on the server, and replace reprocessed ones.

    The cost is the listing of the changed entries (10,000 per request), and their archives; nothing else is
    read. Query, plan and schema of the dataset do not change: a value outside the schema is in `_more`.
    Entries that failed before are retried only with `retry_failures`; an entry that fails now has no row,
    and is in `failures.parquet`. An update that was interrupted continues when it is called again.

    Parameters
    ----------
    path : str or path-like
        Folder or fsspec URL of the dataset.
    prune : bool, default False
        Also drop entries that were withdrawn or no longer match the query, and add entries that became
        visible without a new time (such as after an embargo). This lists the ids of all entries.
    workers : int, optional
        Number of local worker processes.
    scheduler : str, optional
        Address of a running Dask scheduler.
    client : distributed.Client, optional
        Client of a running Dask cluster.
    progress : callable or bool, optional
        Called with the report after each segment. False shows no progress.
    connection
        Arguments of `ArchiveQuery` for the connection: `username`, `password`, `access_token`, `allow_http`,
        `retry`, `sleep_time`, `timeout`, `max_concurrency`, `max_requests_per_second`, `max_answer_bytes`.

    Returns
    -------
    Report
        Its `update` has the numbers of this update; the manifest keeps the history.

    Raises
    ------
    DatasetError
        There is no dataset at `path`, or it is limited by `results_max`, or was made with another login.
    UnfinishedError
        The server or the workers kept failing. Finished parts are kept.

    Examples
    --------
    >>> report = update_dataset("titania")
    >>> report.update.added, report.update.changed
    (0, 0)
    """
    from nomad_dask.cluster.clusters import Cluster, check_client
    from nomad_dask.harvest.update import update

    store = Store.at(path)
    if wrong := sorted(connection.keys() - _CONNECTION):
        raise UserError(
            f"update_dataset takes no {wrong[0]!r}: the query is in the dataset; "
            f"it takes {', '.join(_CONNECTION)}"
        )
    check_client(client)
    if client is None:
        store.check_shared()
    manifest = store.stored()
    cluster = Cluster(workers, scheduler)
    cluster.check()
    server = ArchiveQuery(**manifest.query_arguments(), **connection)._server
    manifest.must_match(manifest.identity() | {"logged_in": server.login is not None}, store.url)
    with harvest_progress(f"Update of {os.fspath(path)}", tell=progress) as tell:
        return update(store, manifest, server, prune=prune, cluster=client or cluster, progress=tell)


_CONNECTION = (
    *("username", "password", "access_token", "allow_http", "retry", "sleep_time", "timeout"),
    *("max_concurrency", "max_requests_per_second", "max_answer_bytes"),
)
