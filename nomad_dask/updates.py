"""Owns updates: a dataset brought to what the server has now, in place and with a history (SPEC 9).

An update lists what moved since the last one (`pure.history`), finds by it the segments concerned, and has only these
done: their tasks read the entries that moved, and nothing else (`sides.updating`). With `prune` every segment is done,
each listing its names: what is listed no more is dropped, and what is listed and not there is added, though none of its
times moved (an embargo that ended).

The manifest has the run before its first part is written, and its end after the last: a run that was stopped is seen,
and the next one goes on. What moved since a segment was written is asked for then, so nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .clusters import Cluster
from .edges.loop import run as wait_for
from .edges.pages import server_time
from .edges.server import Server
from .edges.store import Store
from .edges.transport import Client
from .harvest import Progress, carry_out
from .pure.errors import DatasetError, RefusedError
from .pure.history import TIMES, Run, known_until, last_finished, looking_back, moved_since
from .pure.manifest import Manifest
from .pure.report import Receipt, Report
from .sides.planner import count_matching, versions
from .sides.updating import Update, segments_with_news, since_when

if TYPE_CHECKING:
    from distributed import Client as DaskClient


def update(
    store: Store,
    manifest: Manifest,
    server: Server,
    *,
    prune: bool = False,
    cluster: Cluster | DaskClient | None = None,
    progress: Progress | None = None,
) -> Report:
    """Bring a dataset to what the server has now. Segments without a receipt are read whole.

    Raises DatasetError where the dataset is the first of many, or the server cannot tell what moved; UnfinishedError
    when segments are left over, with what was done kept.
    """
    client = Client(server)
    _refuse_capped(client, store, manifest)
    receipts = store.receipts(manifest.id)
    this = _begun(client, manifest, prune)
    numbers = _concerned(client, manifest, receipts, this)
    tasks = [
        Update(
            store,
            manifest.id,
            server,
            number,
            run=this,
            since=since_when(manifest, receipts.get(number)),
            whole=number not in receipts,
        )
        for number in numbers
    ]
    store.open_for_writing(manifest)
    store.rewrite(replace(manifest, history=(*manifest.history, this)))
    carry_out(store, manifest, server, tasks, receipts, cluster=cluster, progress=progress)
    ended = _ended(this, receipts)
    store.rewrite(replace(manifest, history=(*manifest.history, ended)))
    report = Report.of(manifest.plan, receipts.values(), ended)
    if progress and not tasks:
        progress(report)
    return report


def _begun(client: Client, manifest: Manifest, prune: bool) -> Run:
    runs = manifest.history
    done = last_finished(runs)
    return Run(
        number=len(runs) + 1,
        since=looking_back(known_until(runs, manifest.created)),
        begun=wait_for(server_time(client)),
        after=done.number if done else 0,
        prune=prune,
        versions=versions(),
    )


def _ended(run: Run, receipts: Mapping[int, Receipt]) -> Run:
    written = [receipt for receipt in receipts.values() if receipt.run > run.after]
    return replace(
        run,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        added=sum(receipt.added for receipt in written),
        changed=sum(receipt.changed for receipt in written),
        pruned=sum(receipt.pruned for receipt in written),
        failed=sum(len(receipt.failures) for receipt in receipts.values()),
    )


def _concerned(
    client: Client, manifest: Manifest, receipts: Mapping[int, Receipt], run: Run
) -> Sequence[int]:
    """Segments with something new, and those that have no receipt; all of them where names are to be compared."""
    everything = range(len(manifest.plan))
    try:
        if run.prune:
            asked = replace(manifest.question, query=moved_since(manifest.question.query, run.since))
            wait_for(count_matching(client, asked, manifest.after))
            return everything
        found = wait_for(segments_with_news(client, manifest, receipts))
    except RefusedError as error:
        if error.status != 422:
            raise
        raise DatasetError(
            f"{client.server.url} cannot tell what moved: it refuses a search for {', '.join(TIMES)} ({error.words}); "
            "harvest into another folder instead"
        ) from error
    return sorted(found | set(everything) - receipts.keys())


def _refuse_capped(client: Client, store: Store, manifest: Manifest) -> None:
    """What is the first so many of more cannot be told apart from what came later."""
    most, plan = manifest.results_max, manifest.plan
    if most is None:
        return
    open_ended = plan.matched is not None and plan.matched <= most
    if open_ended and wait_for(count_matching(client, manifest.question, manifest.after)) <= most:
        return
    raise DatasetError(
        f"{store.url} holds the first {most} entries of more (results_max), and these cannot be updated; harvest "
        "without results_max, or into another folder"
    )
