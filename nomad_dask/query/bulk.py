"""Owns what a query opens onto in bulk: its plan, lazy frames, and datasets (SPEC 4, 8, 9)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ..display.showing import reports_shown
from ..edges.loop import run
from ..edges.server import Server
from ..edges.store import Store
from ..edges.transport import Client
from ..pure import arguments, layouts
from ..pure.errors import UserError
from ..pure.flatten import OnNew
from ..pure.forecast import Forecast, forecast
from ..pure.frames import DtypeBackend
from ..pure.manifest import Question, Source, identity
from ..pure.report import Report
from ..pure.schema import GivenTypes, check_given
from ..pure.segments import Plan
from ..sides.partitions import OnFailure, Reading, check_options
from ..sides.planner import Cut, make_manifest, make_plan, prepare
from ..sides.worker import Job

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client as DaskClient

    from ..frame import LazyFrames

LayoutName = Literal["wide", "nested", "tables"]


class Bulk:
    """The part of a query object that cuts the entry list into segments, and hands these to Dask."""

    batch_size: int | None
    progress: bool
    _cut: Cut
    _server: Server

    def _question(self, resolve_references: bool = True, source: Source | None = None) -> Question:
        """What is asked; of another source with the same `required`."""
        raise NotImplementedError

    @arguments.spelled
    def plan(self, *, partition_size: int | None = None, npartitions: int | None = None) -> Plan:
        """The segments that this query would be cut into. A few small requests; no archive is asked for.

        `partition_size` is in entries; it or `npartitions` may be given, not both (UserError). Raises what
        `ArchiveQuery.count` raises.
        """
        cut = replace(self._cut, partition_size=partition_size, npartitions=npartitions)
        return run(make_plan(Client(self._server), self._question(), cut))

    def forecast(
        self,
        *,
        partition_size: int | None = None,
        npartitions: int | None = None,
        layout: LayoutName = "wide",
    ) -> tuple[Plan, Forecast | None]:
        """The plan that `to_parquet` would make, and what it would cost; None where no entry was there to tell by.

        A few small requests, and a sample of 256 entries (16 MB at most).
        """
        cut, question = self._cut_as(partition_size, npartitions), self._question()
        plan, sample = run(prepare(Client(self._server), question, cut, layouts.layout(layout)))
        return plan, forecast(
            plan,
            sample.batch_size(self.batch_size),
            sampled=sample.entries,
            bytes_per_entry=sample.bytes_per_entry,
            read_per_entry=sample.read_per_entry,
            more_requests=sample.more_requests,
            per_second=self._server.limits.max_requests_per_second,
            documents=question.source == "documents",
        )

    @arguments.spelled
    def to_delayed(
        self,
        *,
        partition_size: int | None = None,
        npartitions: int | None = None,
        layout: LayoutName = "wide",
        source: Source | None = None,
        resolve_references: bool = True,
        on_failure: OnFailure = "raise",
        on_new: OnNew = "more",
        schema: GivenTypes | None = None,
        dtype_backend: DtypeBackend = "pyarrow",
    ) -> list[Delayed]:
        """The query as lazy Dask partitions, one for each segment: the pandas frames of `to_dask_dataframe`.

        In the layout tables each is a dict of frames by required path. Costs and options are as there.
        """
        from ..frame import partitions

        cut, how = self._cut_as(partition_size, npartitions), (layout, source, resolve_references)
        return partitions(*self._reading(cut, *how, on_failure, on_new, schema, dtype_backend))

    @arguments.spelled
    def to_dask_dataframe(
        self,
        *,
        partition_size: int | None = None,
        npartitions: int | None = None,
        layout: LayoutName = "wide",
        from_query: bool = False,
        source: Source | None = None,
        resolve_references: bool = True,
        on_failure: OnFailure = "raise",
        on_new: OnNew = "more",
        schema: GivenTypes | None = None,
        dtype_backend: DtypeBackend = "pyarrow",
    ) -> LazyFrames:
        """The query as one lazy `dask.dataframe`, or as a dict of them (`from_query`).

        Lazy: a few small requests and a sample now; data moves on `.compute()`. One partition for each segment. The
        index is `entry_id`, divisions are known, so `.loc[id]` reads one partition. The first column is `upload_id`, the
        last `_more`: what a row held outside the schema, as JSON. `ddf[["a", "b"]]` asks the server for `a` and `b`
        only; `len(ddf)` and `ddf.index` for no archive.

        >>> query = ArchiveQuery(required={"results": {"material": "*"}})
        >>> frame = query.to_dask_dataframe(npartitions=4)
        >>> binary = frame[frame["results.material.n_elements"] == 2]
        >>> binary["results.material.chemical_formula_reduced"].compute().dtype
        string[pyarrow]

        - `layout="wide"`: one row per entry, one column per leaf: `run.0.calculation.3.energy.total.value`.
        - `layout="nested"`: one row per entry, one column per required path: its subtree as Arrow structs and lists.
        - `layout="tables"`, or `from_query=True`: `{required path: frame}`, one row per occurrence of the path; the
          numbers of the repeating sections on the way are integer columns named after them. Frames that are
          computed together share one download; one alone asks for its own path only.

        Entries without archive are rows of nulls (in tables, no rows).

        Args:
            partition_size: entries in a partition; it or `npartitions` may be given, not both.
            npartitions: how many partitions.
            layout: see above.
            from_query: the guide's name for `layout="tables"`.
            source: `archives` or `documents`, where it is not the query's own.
            resolve_references: whether what `required` reaches through references stands in their place.
            on_failure: `raise` EntriesFailedError in a partition in which entries failed, naming them; or `null`: they
                are rows of nulls.
            on_new: what becomes of values outside the schema: `more`, or `raise` (UnknownValueError).
            schema: types that go before the server's and the sample's: `{column: type}` or an Arrow schema; may name
                columns that the sample did not see. In nested `{required path: Arrow type}`, in tables by the whole
                name of the quantity without numbers.
            dtype_backend: `pyarrow` keeps all types; `numpy_nullable` has lists as objects; `numpy` also makes integers
                floats, exact up to 2**53.

        Raises:
            UserError: a wrong option.
            ServerError, UnreachableError: the server kept failing, or none is there.
        """
        from ..frame import lazy_frames

        chosen = _layout_of(layout, from_query)
        cut, how = self._cut_as(partition_size, npartitions), (chosen, source, resolve_references)
        reading, plan = self._reading(cut, *how, on_failure, on_new, schema, dtype_backend)
        return lazy_frames(reading, plan, spoken=self.progress)

    @arguments.spelled
    def to_parquet(
        self,
        path: str | os.PathLike[str],
        *,
        partition_size: int | None = None,
        npartitions: int | None = None,
        layout: LayoutName = "wide",
        from_query: bool = False,
        source: Source | None = None,
        resolve_references: bool = True,
        on_new: OnNew = "more",
        schema: GivenTypes | None = None,
        workers: int | None = None,
        scheduler: str | None = None,
        client: DaskClient | None = None,
        retry_failures: bool = False,
        progress: Callable[[Report], None] | bool | None = None,
    ) -> Report:
        """Harvest the query into a Parquet dataset at `path` (a folder or any fsspec url), one part per segment.

        Call it again after a crash: finished segments are kept, and the stored plan goes on; a different query on
        the same folder is refused (DatasetError). `retry_failures` asks for failed entries again.

        Layouts, `source` and the other options are as in `to_dask_dataframe`; of tables there is a folder for each
        required path below `path/data`. Runs on `workers` local processes, on the cluster at `scheduler`, or on
        `client`. Read the data with `nomad_dask.open_dataset(path)`, or `path/data` with any reader of Parquet.

        `progress` is called with the report after each segment. Without it a notebook and a terminal show how far the
        harvest is, and a script without a terminal nothing; nor does anything with `progress=False`, here or of the query.

        >>> query = ArchiveQuery(required={"results": {"material": "*"}}, results_max=50, progress=False)
        >>> report = query.to_parquet("fifty")
        >>> report.rows, report.failed, report.complete
        (50, 0, True)

        Returns the report: rows, entries without archive, failed ones, bytes, requests, and whether it is complete.

        Raises:
            DatasetError: another query's dataset is there.
            UnfinishedError: the server or workers kept failing; what is done is kept, so call it again.
            StorageError: `path` cannot be written.
        """
        from ..clusters import Cluster, check_client
        from ..harvest import harvest

        store, question = Store.at(path), self._question(resolve_references, source)
        chosen, cut = (
            layouts.layout(_layout_of(layout, from_query)),
            self._cut_as(partition_size, npartitions),
        )
        _check_schema(schema, question, chosen)
        cluster = Cluster(workers, scheduler)
        check_client(client)
        if client is None:
            store.check_shared()
        cluster.check()
        with reports_shown(f"Harvest into {os.fspath(path)}", tell=progress, spoken=self.progress) as tell:
            manifest = store.manifest()
            if manifest is None:
                store.check_writable()
                how = {"on_new": on_new, "batch_size": self.batch_size, "given": schema}
                asked = make_manifest(Client(self._server), question, cut, chosen=chosen, **how)  # type: ignore[arg-type]
                manifest = store.create(run(asked))
            logged_in = self._server.login is not None
            same = identity(self._server.url, question, chosen, cut.after, cut.results_max, logged_in)
            manifest.must_match(same, store.url)
            if (partition_size or npartitions) and len(manifest.plan) != cut.segments(
                manifest.plan.total, None
            ):
                warnings.warn(
                    f"going on with the stored plan of {len(manifest.plan)} segments, whatever size is asked for now",
                    stacklevel=2,
                )
            return harvest(
                store,
                manifest,
                self._server,
                cluster=client or cluster,
                retry_failures=retry_failures,
                progress=tell,
            )

    def _cut_as(self, partition_size: int | None, npartitions: int | None) -> Cut:
        return replace(self._cut, partition_size=partition_size, npartitions=npartitions)

    def _reading(
        self,
        cut: Cut,
        layout: LayoutName,
        source: Source | None,
        resolve_references: bool,
        on_failure: OnFailure,
        on_new: OnNew,
        schema: GivenTypes | None,
        dtype_backend: DtypeBackend,
    ) -> tuple[Reading, Plan]:
        """What partitions of lazy frames read, and the segments. Options are checked before anything is asked."""
        chosen, question = layouts.layout(layout), self._question(resolve_references, source)
        check_options(on_failure, dtype_backend)
        _check_schema(schema, question, chosen)
        plan, sample = run(prepare(Client(self._server), question, cut, chosen, schema))
        batch = sample.batch_size(self.batch_size)
        job = Job(self._server, sample.question, sample.schema, chosen, batch, on_new)
        return Reading(job, on_failure, dtype_backend), plan


def _check_schema(schema: GivenTypes | None, question: Question, chosen: layouts.Layout) -> None:
    if schema is not None:
        # Nested columns are named by required paths, which that layout checks itself.
        check_given(schema, None if chosen is layouts.NESTED else question.required)


def _layout_of(name: LayoutName, from_query: bool) -> LayoutName:
    if from_query and name == "nested":
        raise UserError("from_query=True is the layout 'tables'; leave layout='nested' or from_query out")
    return "tables" if from_query else name
