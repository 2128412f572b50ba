"""ArchiveQuery: query the NOMAD archive and get archives, dataframes or a Parquet dataset."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

import orjson

from nomad_dask.archive.archive import Archive
from nomad_dask.client.auth import login_of, warn_plain_http
from nomad_dask.client.event_loop import arun, iterate, run
from nomad_dask.client.metainfo_cache import ServerDefinitions, empty_path_messages, require_definitions
from nomad_dask.client.retry import Policy
from nomad_dask.client.search import LARGEST_PAGE
from nomad_dask.client.server import MAX_ANSWER_BYTES, PUBLIC, Server, default_url, plain_http_hosts
from nomad_dask.client.transport import Client
from nomad_dask.common import validate
from nomad_dask.dataset.manifest import identity
from nomad_dask.dataset.report import Report
from nomad_dask.dataset.store import Store
from nomad_dask.frame.partition import OnFailure, PartitionReader
from nomad_dask.layouts import LayoutName
from nomad_dask.layouts.column_limit import MOST_COLUMNS
from nomad_dask.layouts.layouts import ONLY, WIDE
from nomad_dask.layouts.schema import GivenTypes
from nomad_dask.layouts.to_pandas import DtypeBackend
from nomad_dask.layouts.units import GivenUnits, UnitChoice
from nomad_dask.layouts.wide import OnNew
from nomad_dask.limits import Limits
from nomad_dask.plan.estimate import Forecast, forecast
from nomad_dask.plan.planner import PartitionSpec, TableOptions, count_matching, make_plan, prepare
from nomad_dask.progress.display import harvest_progress, say
from nomad_dask.query import ways_out
from nomad_dask.query.dataframes import FrameOptions, entries_to_dataframe
from nomad_dask.query.downloads import (
    Download,
    EntriesByReference,
    EntryList,
    ListOptions,
    RecordedDownloads,
    blocks_of,
    download_unresolved,
    selected,
    texts_of,
)
from nomad_dask.query.options import GUIDE_MAX, LazyOptions, OutputOptions, ReadOptions, bulk_max
from nomad_dask.query.schema_tree import SchemaTree
from nomad_dask.request import Failure, QuerySpec, Source, required_of
from nomad_dask.request.api_body import read_body, refuse_body
from nomad_dask.request.no_match import no_match_message
from nomad_dask.request.required import sliced
from nomad_dask.request.segments import Plan
from nomad_dask.text import one_line, shown
from nomad_dask.text.html import facts_card

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd
    import pyarrow as pa
    from dask.delayed import Delayed
    from distributed import Client as DaskClient

    from nomad_dask.frame.lazy import LazyFrames


class ArchiveQuery:
    """A query over the NOMAD archive.

    `query` selects entries; `required` selects the parts of their archives to download. Creating a query
    sends no request. `count` and `plan` send a few small requests, `fetch` lists entries, `download` returns
    their archives, `to_dask_dataframe` returns a lazy dataframe of all entries, and `to_parquet` writes them
    to a dataset.

    Parameters
    ----------
    owner : str, default "visible"
        Whose entries to search: `visible` (public entries and those the login may see), `public`, `user`,
        `shared`, `staging`, `all` or `admin`.
    query : dict, optional
        NOMAD search expression, sent unchanged. The default matches every entry.
    required : dict, list of str or "*", optional
        Tree of the archive parts to download. The default is the whole archive. With ``source="documents"``
        it can be a list of names such as `results.material.elements` or `results.material.*`.
    url : str, optional
        Base URL of the API, such as `https://host/prefix/api/v1`; a missing `/api/v1` is added. The default
        is the value of `NOMAD_CLIENT_URL`, or else the public server.
    after : str, optional
        List only entries with an id greater than this string.
    results_max : int, optional, default 1000
        Maximum number of entries; None means no maximum. The default applies to `fetch` and `download`;
        `plan` and the `to_*` methods take all entries unless a maximum is given.
    page_size : int, default 100
        Entries per listing request of `fetch`; at most 10,000.
    username, password : str, optional
        Login. The token is requested only from the server at `url`. The default is the login in the
        environment (`NOMAD_CLIENT_USER` and `NOMAD_CLIENT_PASSWORD`, or `NOMAD_CLIENT_ACCESS_TOKEN`), which
        is sent only to the server in `NOMAD_CLIENT_URL` (the public server if unset). A warning is issued if
        `url` is another server.
    retry : int, default 4
        Number of retries of a failed request.
    sleep_time : float, default 4.0
        Maximum delay between retries, in seconds. Delays double up to this value.
    source : {"archives", "documents"}, default "archives"
        `documents` reads search documents, which contain the `metadata` section (at their top level) and the
        `results` section of the archives. This is about a hundred times faster.
    access_token : str, optional
        Access token to use instead of a login.
    allow_http : str or sequence of str
        Hosts that may receive the login over plain HTTP, such as `172.17.0.1` in a private network. Hosts in
        `NOMAD_DASK_ALLOW_HTTP` are added. Loopback addresses are always allowed.
    semaphore : int, optional
        nomad-lab's name for `max_concurrency`.
    from_api : bool
        Accepted for compatibility with nomad-lab and ignored: tokens always come from `url`.
    batch_size : int, optional
        Entries per archive request. By default it adapts to the size and response time of the entries.
    max_concurrency : int, default 10
        Maximum number of concurrent requests of the whole job.
    max_requests_per_second : float, optional, default 20.0
        Maximum request rate of the whole job, including retries; None or 0 means no limit. The public NOMAD
        server allows about 30.
    timeout : float, default 300.0
        Timeout of a request in seconds.
    max_answer_bytes : int
        Maximum size of a decompressed response, and so of an archive. It is never more than an eighth of the
        available memory. A larger batch is requested in parts; a larger archive is a failed entry.
    max_columns : int, optional
        Maximum number of columns of a dataframe or dataset (of each table with ``layout="tables"``, of nested
        fields with ``layout="nested"``); None means no maximum. If the entries have more, columns that
        `required` or the server's schema name come first, then the most common ones. Other values are stored
        in `_more`, with a warning.
    progress : bool, default True
        Show messages and progress on stderr, or below the cell in a notebook. In a notebook this includes
        computations of lazy dataframes.

    Raises
    ------
    UserError
        A parameter is invalid.
    RequiredError
        The `required` tree is malformed.

    Examples
    --------
    >>> query = ArchiveQuery(
    ...     query={"results.material.elements": ["Ti"]}, required={"results": {"material": "*"}}
    ... )
    >>> archives = query.download(10)
    >>> "Ti" in archives[0].results.material.elements
    True
    """

    @validate.check_keywords
    def __init__(
        self,
        owner: validate.Owner = "visible",
        query: dict[str, Any] | None = None,
        required: dict[str, Any] | list[str] | str | None = None,
        url: str | None = None,
        after: str | None = None,
        results_max: int | None = GUIDE_MAX,
        page_size: int = 100,
        username: str | None = None,
        password: str | None = None,
        retry: int = 4,
        sleep_time: float = 4.0,
        *,
        source: Source = "archives",
        access_token: str | None = None,
        allow_http: str | Sequence[str] = (),
        semaphore: int | None = None,
        from_api: bool = True,
        batch_size: int | None = None,
        max_concurrency: int = 10,
        max_requests_per_second: float | None = 20.0,
        timeout: float = 300.0,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        max_columns: int | None = MOST_COLUMNS,
        progress: bool = True,
    ) -> None:
        max_concurrency = max_concurrency if semaphore is None else semaphore
        page_size = min(page_size, LARGEST_PAGE) if type(page_size) is int else page_size
        validate.integer("page_size", page_size, 1, LARGEST_PAGE)
        validate.integer("retry", retry, 0, 1_000)
        validate.integer("max_concurrency", max_concurrency, 1, 10_000)
        if batch_size is not None:
            validate.integer("batch_size", batch_size, 1, LARGEST_PAGE)
        if max_requests_per_second is not None:
            validate.number("max_requests_per_second", max_requests_per_second, "0: no limit", zero=True)
        validate.number("sleep_time", sleep_time, "in seconds", zero=True)
        validate.number("timeout", timeout, "in seconds")
        validate.integer("max_answer_bytes", max_answer_bytes, 1_000, 10**12)
        if max_columns is not None:
            validate.integer("max_columns", max_columns, 1, 10_000_000)
        refuse_body(owner, None)
        refuse_body(query, required)
        validate.owner(owner)
        validate.string("after", after or "")
        self.owner, self.query, self.after = owner, validate.as_json(query or {}), after or ""
        self.required = required_of(source, required)
        self.page_size, self.batch_size, self.progress = page_size, batch_size, progress
        self.max_columns = max_columns
        if results_max == 0:
            warnings.warn("results_max=0 returns no entries; use None for all entries", stacklevel=3)
        self._results_max = results_max
        self._cut = PartitionSpec(results_max=bulk_max(results_max), after=self.after)
        server = Server(
            url or default_url() or PUBLIC,
            Limits(max_requests_per_second or None, max_concurrency, timeout),
            Policy(retry, sleep_time),
            max_answer_bytes=max_answer_bytes,
            allow_http=plain_http_hosts(allow_http),
        )
        self._server = replace(server, login=login_of(server.url, username, password, access_token))
        if self._server.login is not None:
            warn_plain_http(self._server.url)
        self._matching: int | None = None
        self.clear()

    @classmethod
    def from_api(cls, body: Mapping[str, Any] | str, **options: Any) -> Self:
        """Make a query from the body of an API request, as NOMAD's web page shows it under "API".

        Uses `owner` (default, as in the API: `public`), `query`, and `required`. A message names what is left
        out, such as `pagination` and `aggregations`. If `required` names what to include in search documents
        (``{"include": [...]}``), the query has ``source="documents"``. Sends no request.

        Parameters
        ----------
        body : dict or str
            The body, or its JSON text.
        options
            Other arguments of `ArchiveQuery`, which have precedence over the body.

        Returns
        -------
        ArchiveQuery

        Raises
        ------
        UserError
            The body or an option is invalid.

        Examples
        --------
        >>> query = ArchiveQuery.from_api(
        ...     {"query": {"results.material.elements:any": ["Ti", "Zr"]}, "pagination": {"page_size": 20}},
        ...     required={"results": {"material": "*"}},
        ...     progress=False,
        ... )
        >>> query.count() > 0
        True
        """
        found = read_body(body)
        query = cls(**(found.arguments() | options))
        if found.note and query.progress:
            say(found.note)
        return query

    @property
    def url(self) -> str:
        """Base URL of the server's API."""
        return self._server.url

    @property
    def results_max(self) -> int | None:
        """Maximum number of entries, or None; if not given, that of `fetch` and `download`."""
        return self._results_max

    @property
    def schema(self) -> SchemaTree:
        """The server's schema, as a tree to browse, complete with Tab and search.

        ``query.schema.results.material`` shows the contents of a section; ``query.schema.find("band gap")``
        searches names and descriptions. See `SchemaTree`. The schema (about 1 MB) is downloaded once per
        process and server; each access sends a small request that checks whether the server's schema has
        changed.

        Returns
        -------
        SchemaTree

        Raises
        ------
        UserError
            The server does not publish its schema (NOMAD before 2.0).
        ServerError, UnreachableError
            The server keeps failing or cannot be reached.
        """
        return SchemaTree(run(require_definitions(Client(self._server))))

    def count(self) -> int:
        """Count the entries that match the query and come after `after`; `results_max` is ignored.

        Sends one small request.

        Returns
        -------
        int

        Raises
        ------
        RefusedError
            The server rejects the query. The message contains the server's explanation.
        UnreachableError, ServerError
            The server cannot be reached or keeps failing.
        """
        self._matching = run(count_matching(Client(self._server), self._question(), self.after))
        return self._matching

    def clear(self) -> None:
        """Discard the entry list, downloads and failures, and restart from `after`."""
        self._downloads: list[Download] = []
        self._list = EntryList(
            self._server,
            self._question(),
            ListOptions(self.after, self._results_max, self.page_size, self.batch_size),
            show_progress=self.progress,
        )

    @property
    def failures(self) -> list[Failure]:
        """Entries whose last download failed: `(entry_id, upload_id, status, reason, attempts)`."""
        return self._list.failures

    @property
    def missing(self) -> list[tuple[str, str]]:
        """Listed entries that have no archive: `(entry_id, upload_id)`."""
        return [(ref.entry_id, ref.upload_id) for ref in self._list.missing]

    def entry_list(self) -> list[tuple[str, str]]:
        """List the fetched entries that are not downloaded yet; entries that failed come last.

        Returns
        -------
        list of (entry_id, upload_id)
        """
        return [(ref.entry_id, ref.upload_id) for ref in self._list.refs()]

    def fetch(self, n: int = 0, *, number: int = 0) -> int:
        """Fetch the ids of the next entries and add them to the entry list.

        Parameters
        ----------
        n : int, default 0
            Number of entries, rounded up to whole pages. 0 fetches all entries up to `results_max`.
        number : int
            nomad-lab's name for `n`.

        Returns
        -------
        int
            Number of entries added.

        Raises
        ------
        RefusedError
            The server rejects the query. The message contains the server's explanation.
        UnreachableError, ServerError
            The server cannot be reached or keeps failing. Entries listed before are kept.
        ProtocolError
            The listing repeats entries or ends early.
        """
        return run(self._list.fetch(n or number))

    async def async_fetch(self, n: int = 0, *, number: int = 0) -> int:
        """Asynchronous version of `fetch`."""
        return await arun(self._list.fetch(n or number))

    @overload
    def download(
        self, n: int = 0, *, as_plain_dict: Literal[False] = False, number: int = 0
    ) -> list[Archive]: ...

    @overload
    def download(
        self, n: int = 0, *, as_plain_dict: Literal[True], number: int = 0
    ) -> list[dict[str, Any]]: ...

    def download(
        self, n: int = 0, *, as_plain_dict: bool = False, number: int = 0
    ) -> list[Archive] | list[dict[str, Any]]:
        """Download the archives of the next entries; fetch more entries if the list is too short.

        Entries that fail move to the end of the list and appear in `failures`; they are retried when no other
        entries are left. Entries without an archive leave the list and appear in `missing`. An empty result
        means that no more archives are available.

        A warning names similar paths if the first archives have no value at a required path and the server's
        schema (requested once, only in this case) does not contain it.

        Parameters
        ----------
        n : int, default 0
            Number of entries. 0 downloads all entries in the list, or all up to `results_max` if none were
            fetched.
        as_plain_dict : bool, default False
            Return plain JSON instead of `Archive` objects. It takes four to six times the memory. The query
            keeps the same objects for `entries_to_dataframe`: copy them before modifying them.
        number : int
            nomad-lab's name for `n`.

        Returns
        -------
        list of Archive, or list of dict with `as_plain_dict`

        Raises
        ------
        RefusedError, UnreachableError, ServerError, ProtocolError
            As in `fetch`. Errors of single entries are listed in `failures` instead.
        """
        found = run(self._list.download(n or number, decoded=as_plain_dict))
        if self._keep(found):
            self._warn(run(self._doubts()))
        return self._converted(found, as_plain_dict)

    @overload
    async def async_download(
        self, n: int = 0, *, as_plain_dict: Literal[False] = False, number: int = 0
    ) -> list[Archive]: ...

    @overload
    async def async_download(
        self, n: int = 0, *, as_plain_dict: Literal[True], number: int = 0
    ) -> list[dict[str, Any]]: ...

    async def async_download(
        self, n: int = 0, *, as_plain_dict: bool = False, number: int = 0
    ) -> list[Archive] | list[dict[str, Any]]:
        """Asynchronous version of `download`."""
        found = await arun(self._list.download(n or number, decoded=as_plain_dict))
        if self._keep(found):
            self._warn(await arun(self._doubts()))
        return self._converted(found, as_plain_dict)

    @overload
    def entries_to_dataframe(
        self,
        keys_to_filter: str | Sequence[str] | None = None,
        from_query: Literal[False] = False,
        resolve_references: bool = True,
        query_selection: Literal["last", "all"] | Sequence[int] = "last",
        *,
        units: GivenUnits | None = None,
        dtype_backend: DtypeBackend = "pyarrow",
    ) -> pd.DataFrame: ...

    @overload
    def entries_to_dataframe(
        self,
        keys_to_filter: str | Sequence[str] | None = None,
        *,
        from_query: Literal[True],
        resolve_references: bool = True,
        query_selection: Literal["last", "all"] | Sequence[int] = "last",
        units: GivenUnits | None = None,
        dtype_backend: DtypeBackend = "pyarrow",
    ) -> dict[str, pd.DataFrame]: ...

    @overload
    def entries_to_dataframe(
        self,
        keys_to_filter: str | Sequence[str] | None = None,
        from_query: bool = False,
        resolve_references: bool = True,
        query_selection: Literal["last", "all"] | Sequence[int] = "last",
        *,
        units: GivenUnits | None = None,
        dtype_backend: DtypeBackend = "pyarrow",
    ) -> pd.DataFrame | dict[str, pd.DataFrame]: ...

    @validate.check_keywords
    def entries_to_dataframe(
        self,
        keys_to_filter: str | Sequence[str] | None = None,
        from_query: bool = False,
        resolve_references: bool = True,
        query_selection: Literal["last", "all"] | Sequence[int] = "last",
        *,
        units: GivenUnits | None = None,
        dtype_backend: DtypeBackend = "pyarrow",
    ) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """Convert downloaded archives to a dataframe, or to one dataframe per required path.

        Requests only the server's schema, except that ``resolve_references=False`` downloads the entries
        again.

        Parameters
        ----------
        keys_to_filter : str or sequence of str, optional
            Paths. Keep only columns at or below one of them, and remove the path from their names.
        from_query : bool, default False
            Return one dataframe per required path instead of one with a row per entry. Each row is an
            occurrence of the path; the index is `entry_id` and one integer level per repeating section.
        resolve_references : bool, default True
            Replace references that `required` follows with the sections they refer to. False keeps the
            strings.
        query_selection : {"last", "all"} or sequence of int, default "last"
            Downloads to convert: the last one that returned archives, all, or a list of their numbers, from
            0.
        units : "SI", "atomistic" or dict, optional
            As in `to_dask_dataframe`.
        dtype_backend : {"pyarrow", "numpy_nullable", "numpy"}, default "pyarrow"
            `pyarrow` preserves all types; `numpy_nullable` stores lists as objects; `numpy` also converts
            integers with nulls to floats, which are exact up to 2**53.

        Returns
        -------
        pandas.DataFrame, or dict of pandas.DataFrame with `from_query`
            One row per entry, indexed by `entry_id`; columns are sorted by name.

        Raises
        ------
        UserError
            Nothing was downloaded yet, a key matches nothing, or an option is invalid.
        EntriesFailedError
            With ``resolve_references=False``, entries could not be downloaded again.
        """
        found = selected(self._downloads, query_selection)
        if not resolve_references and not self.required.documents:
            refs = [ref for download in found for ref in download.refs]
            found = [run(download_unresolved(self._server, self._question(False), refs))]
        options = FrameOptions(
            keys_to_filter=keys_to_filter,
            from_query=from_query,
            units=UnitChoice.of(units, self.required),
            dtype_backend=dtype_backend,
            definitions=ServerDefinitions(self._server)(),
            max_columns=self.max_columns,
        )
        blocks, texts = partial(blocks_of, found), partial(texts_of, found)
        return entries_to_dataframe(blocks, self.required, options, texts=texts)

    @validate.check_keywords
    def plan(self, *, partition_size: int | None = None, npartitions: int | None = None) -> Plan:
        """Plan the segments, one per partition, that this query is divided into.

        Sends a few small requests and downloads no archives.

        Parameters
        ----------
        partition_size : int, optional
            Entries per segment.
        npartitions : int, optional
            Number of segments. Give either this or `partition_size`.

        Returns
        -------
        Plan

        Raises
        ------
        UserError
            Both `partition_size` and `npartitions` are given, or one is invalid.
        RefusedError, UnreachableError, ServerError
            As in `count`.
        """
        cut = replace(self._cut, partition_size=partition_size, npartitions=npartitions)
        return self._planned(run(make_plan(Client(self._server), self._question(), cut)))

    @validate.check_keywords
    def forecast(
        self,
        *,
        partition_size: int | None = None,
        npartitions: int | None = None,
        layout: LayoutName = "wide",
    ) -> tuple[Plan, Forecast | None]:
        """Plan a harvest and estimate its requests, bytes and time.

        Sends a few small requests and downloads a sample of up to 256 entries (16 MB).

        Parameters
        ----------
        partition_size, npartitions : int, optional
            As in `plan`.
        layout : {"wide", "nested", "tables"}, default "wide"
            As in `to_dask_dataframe`.

        Returns
        -------
        (Plan, Forecast or None)
            The forecast is None if no entry could be sampled.

        Raises
        ------
        UserError, RefusedError, UnreachableError, ServerError
            As in `plan`.
        """
        question, cut, options = self._request(
            OutputOptions(partition_size=partition_size, npartitions=npartitions, layout=layout)
        )
        plan, sample = run(prepare(Client(self._server), question, cut, options))
        return self._planned(plan), forecast(
            plan,
            sample.batch_size(self.batch_size),
            sample.cost,
            per_second=self._server.limits.max_requests_per_second,
            documents=question.source == "documents",
        )

    @validate.check_keywords
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
        units: GivenUnits | None = None,
        dtype_backend: DtypeBackend = "pyarrow",
    ) -> list[Delayed]:
        """Return the query as lazy Dask partitions, one per segment.

        Parameters and cost are those of `to_dask_dataframe`.

        Returns
        -------
        list of dask.delayed.Delayed
            Each computes to a pandas dataframe; with ``layout="tables"`` to a dict of dataframes by required
            path.

        Raises
        ------
        UserError, RefusedError, UnreachableError, ServerError
            As in `to_dask_dataframe`.
        """
        from nomad_dask.frame.lazy import partitions

        options = OutputOptions(
            partition_size=partition_size,
            npartitions=npartitions,
            layout=layout,
            source=source,
            resolve_references=resolve_references,
            on_failure=on_failure,
            on_new=on_new,
            schema=schema,
            units=units,
            dtype_backend=dtype_backend,
        )
        return partitions(*self._reader(options))

    @overload
    def to_dask_dataframe(
        self,
        *,
        layout: Literal["wide", "nested"] = "wide",
        from_query: Literal[False] = False,
        **options: Unpack[LazyOptions],
    ) -> dd.DataFrame: ...

    @overload
    def to_dask_dataframe(
        self, *, layout: Literal["tables"], from_query: bool = False, **options: Unpack[LazyOptions]
    ) -> dict[str, dd.DataFrame]: ...

    @overload
    def to_dask_dataframe(
        self,
        *,
        layout: Literal["wide", "tables"] = "wide",
        from_query: Literal[True],
        **options: Unpack[LazyOptions],
    ) -> dict[str, dd.DataFrame]: ...

    @overload
    def to_dask_dataframe(
        self, *, layout: LayoutName = "wide", from_query: bool = False, **options: Unpack[LazyOptions]
    ) -> LazyFrames: ...

    @validate.check_keywords
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
        units: GivenUnits | None = None,
        dtype_backend: DtypeBackend = "pyarrow",
    ) -> LazyFrames:
        """Return the query as a lazy Dask dataframe, or as a dict of dataframes with ``layout="tables"``.

        Sends a few small requests and downloads a sample of up to 256 entries (16 MB) now; data is downloaded
        by `.compute()`. There is one partition per segment. The index is `entry_id` and divisions are known,
        so `.loc[id]` reads one partition. The first column is `upload_id`; the last, `_more`, contains values
        outside the schema as JSON. `ddf[["a", "b"]]` requests only `a` and `b`; `len(ddf)` and `ddf.index`
        download no archives.

        Parameters
        ----------
        partition_size : int, optional
            Entries per partition.
        npartitions : int, optional
            Number of partitions. Give either this or `partition_size`.
        layout : {"wide", "nested", "tables"}, default "wide"
            - `wide`: one row per entry and one column per leaf, such as
              `run.0.calculation.3.energy.total.value`.
            - `nested`: one row per entry and one column per required path, which contains Arrow structs and
              lists.
            - `tables`: one dataframe per required path, with one row per occurrence of the path. Indices of
              repeating sections are integer columns named after the sections. Dataframes that are computed
              together share one download; one that is computed alone requests only its own path.
        from_query : bool, default False
            NOMAD's name for ``layout="tables"``.
        source : {"archives", "documents"}, optional
            Overrides the `source` of the query.
        resolve_references : bool, default True
            Replace references that `required` follows with the sections they refer to. False keeps the
            strings.
        on_failure : {"raise", "null"}, default "raise"
            If entries of a partition fail, raise EntriesFailedError, or return rows of nulls for them.
        on_new : {"more", "raise"}, default "more"
            Store values outside the schema in `_more`, or raise UnknownValueError.
        schema : dict or pyarrow.Schema, optional
            Types that override those of the server and the sample, such as `{column: type}`. It may name
            columns that the sample does not have. Keys are required paths with ``layout="nested"``, and full
            names of quantities without indices with ``layout="tables"``.
        units : "SI", "atomistic" or dict, optional
            Units of numbers, which become floats: a preset, or units by dimension (`[energy]`) and by path
            without indices. ``"atomistic"`` is eV, angstrom, eV/angstrom, GPa, fs, K and elementary charges.
            The default is what the server sends (``"SI"``). `_more` is not converted.
        dtype_backend : {"pyarrow", "numpy_nullable", "numpy"}, default "pyarrow"
            `pyarrow` preserves all types; `numpy_nullable` stores lists as objects; `numpy` also converts
            integers to floats, which are exact up to 2**53.

        Returns
        -------
        dask.dataframe.DataFrame, or dict of them by required path with ``layout="tables"``
            Entries without an archive are rows of nulls; with ``layout="tables"`` they have no rows.

        Raises
        ------
        UserError
            An option is invalid.
        RefusedError
            The server rejects the query.
        ServerError, UnreachableError
            The server keeps failing or cannot be reached.

        Examples
        --------
        >>> query = ArchiveQuery(required={"results": {"material": "*"}})
        >>> frame = query.to_dask_dataframe(npartitions=4)
        >>> binary = frame[frame["results.material.chemical_formula_anonymous"] == "AB"]
        >>> binary["results.material.chemical_formula_reduced"].compute().dtype
        string[pyarrow]
        """
        from nomad_dask.frame.expr import frame_of

        options = OutputOptions(
            partition_size=partition_size,
            npartitions=npartitions,
            layout=layout,
            from_query=from_query,
            source=source,
            resolve_references=resolve_references,
            on_failure=on_failure,
            on_new=on_new,
            schema=schema,
            units=units,
            dtype_backend=dtype_backend,
        )
        reader, plan = self._reader(options)
        return frame_of(reader, plan, show_progress=self.progress)

    @validate.check_keywords
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
        units: GivenUnits | None = None,
        workers: int | None = None,
        scheduler: str | None = None,
        client: DaskClient | None = None,
        retry_failures: bool = False,
        progress: Callable[[Report], None] | bool | None = None,
    ) -> Report:
        """Harvest the query into a Parquet dataset, one file per segment.

        To resume a stopped harvest, call it again: finished segments are kept and the stored plan continues.
        Read the data with `nomad_dask.open_dataset(path)`, or `path/data` with any Parquet reader. With
        ``layout="tables"``, `path/data` has one folder per required path.

        Parameters
        ----------
        path : str or path-like
            Folder or fsspec URL of the dataset.
        partition_size, npartitions, layout, from_query, source, resolve_references, on_new, schema, units
            As in `to_dask_dataframe`.
        workers : int, optional
            Number of local worker processes. The default is the number of cores, at most 4.
        scheduler : str, optional
            Address of a running Dask scheduler to use instead.
        client : distributed.Client, optional
            Dask client to use instead.
        retry_failures : bool, default False
            Download entries again that failed in an earlier run.
        progress : callable or bool, optional
            A function that is called with the report after each segment. By default progress is shown in
            notebooks and terminals; False, here or in the query, shows nothing.

        Returns
        -------
        Report
            Number of rows, entries without archive, failures, bytes and requests, and whether the dataset is
            complete.

        Raises
        ------
        UserError
            An option is invalid.
        DatasetError
            `path` contains the dataset of another query.
        UnfinishedError
            The server or workers keep failing. Finished segments are kept; call it again to continue.
        StorageError
            `path` cannot be written.

        Examples
        --------
        >>> query = ArchiveQuery(required={"results": {"material": "*"}}, results_max=50, progress=False)
        >>> report = query.to_parquet("fifty")
        >>> report.rows, report.failed, report.complete
        (50, 0, True)
        """
        from nomad_dask.cluster.clusters import Cluster, check_client
        from nomad_dask.harvest.run import harvest, make_manifest

        store = Store.at(path)
        output = OutputOptions(
            partition_size=partition_size,
            npartitions=npartitions,
            layout=layout,
            from_query=from_query,
            source=source,
            resolve_references=resolve_references,
            on_new=on_new,
            schema=schema,
            units=units,
        )
        question, cut, options = self._request(output)
        cluster = Cluster(workers, scheduler)
        check_client(client)
        if client is None:
            store.check_shared()
        cluster.check()
        with harvest_progress(
            f"Harvest into {os.fspath(path)}", tell=progress, show_progress=self.progress
        ) as tell:
            manifest = store.manifest()
            if manifest is None:
                store.files.check()
                manifest = store.create(run(make_manifest(Client(self._server), question, cut, options)))
            logged_in = self._server.login is not None
            same = identity(
                *(self._server.url, question, options.layout, cut.after, cut.results_max),
                *(logged_in, options.units),
            )
            manifest.must_match(same, store.url)
            if (partition_size or npartitions) and len(manifest.plan) != cut.segments(
                manifest.plan.total, None
            ):
                warnings.warn(
                    f"using the stored plan of {len(manifest.plan)} segments; partition_size and npartitions "
                    "are ignored",
                    stacklevel=2,
                )
            self._planned(manifest.plan)
            return harvest(
                store,
                manifest,
                self._server,
                cluster=client or cluster,
                retry_failures=retry_failures,
                progress=tell,
            )

    def to_batches(self, **options: Unpack[ReadOptions]) -> pa.RecordBatchReader:
        """Return the query as a stream of Arrow record batches, in the order of entry ids.

        Sends a few small requests and downloads a sample now; each segment is downloaded when its batches are
        taken. Memory is bounded by one segment (`partition_size`), whatever the size of the result. DuckDB,
        Polars and pyarrow read the stream; no Dask is used. Errors are raised where the stream is read.

        Parameters
        ----------
        options
            Options of `to_dask_dataframe`, except ``layout="tables"``: `partition_size`, `npartitions`,
            `layout`, `source`, `resolve_references`, `on_failure`, `on_new`, `schema`, `units`.

        Returns
        -------
        pyarrow.RecordBatchReader
            `entry_id` is a column.

        Raises
        ------
        UserError, RefusedError, ServerError, UnreachableError
            As in `to_dask_dataframe`.

        Examples
        --------
        >>> query = ArchiveQuery(required={"results": {"material": "*"}}, results_max=50, progress=False)
        >>> sum(batch.num_rows for batch in query.to_batches(partition_size=20))
        50
        """
        return ways_out.record_batches(*self._single("to_batches", options))

    def to_arrow(self, **options: Unpack[ReadOptions]) -> Any:
        """Download the query as an Arrow table, or as a dict of tables with ``layout="tables"``.

        Reads everything into memory, in this process and without Dask; for large results use `to_batches` or
        `to_parquet`. Entries are sorted by id.

        Parameters
        ----------
        options
            Options of `to_dask_dataframe`: `partition_size`, `npartitions`, `layout`, `from_query`, `source`,
            `resolve_references`, `on_failure`, `on_new`, `schema`, `units`.

        Returns
        -------
        pyarrow.Table, or dict of them by required path with ``layout="tables"``
            `entry_id` is a column; fields have the unit and description in their metadata.

        Raises
        ------
        UserError, RefusedError, ServerError, UnreachableError
            As in `to_dask_dataframe`.
        EntriesFailedError
            Entries failed, with ``on_failure="raise"`` (the default).
        """
        return _one_or_all(self._tables("to_arrow", options)[1])

    @overload
    def to_pandas(
        self,
        *,
        layout: Literal["wide", "nested"] = "wide",
        from_query: Literal[False] = False,
        **options: Unpack[LazyOptions],
    ) -> pd.DataFrame: ...

    @overload
    def to_pandas(self, **options: Unpack[ReadOptions]) -> pd.DataFrame | dict[str, pd.DataFrame]: ...

    def to_pandas(self, **options: Unpack[ReadOptions]) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """Download the query as a pandas dataframe, or as a dict of them with ``layout="tables"``.

        The result is that of `to_dask_dataframe().compute()`, read in this process and without Dask. For what
        was downloaded with `download`, use `entries_to_dataframe`.

        Parameters
        ----------
        options
            Options of `to_dask_dataframe`, such as `layout` and `dtype_backend`.

        Returns
        -------
        pandas.DataFrame, or dict of them by required path with ``layout="tables"``
            Indexed by `entry_id`, sorted.

        Raises
        ------
        UserError, RefusedError, ServerError, UnreachableError, EntriesFailedError
            As in `to_arrow`.

        Examples
        --------
        >>> query = ArchiveQuery(required={"results": {"material": "*"}}, results_max=50, progress=False)
        >>> len(query.to_pandas())
        50
        """
        reader, tables = self._tables("to_pandas", options)
        return _one_or_all(ways_out.pandas_frames(reader, tables))

    def to_polars(self, **options: Unpack[ReadOptions]) -> Any:
        """Download the query as a Polars dataframe, or as a dict of them with ``layout="tables"``.

        Needs the package `polars`. Options, cost and errors are those of `to_arrow`.

        Returns
        -------
        polars.DataFrame, or dict of them by required path with ``layout="tables"``
            `entry_id` is a column.
        """
        ways_out.import_polars()
        return _one_or_all(ways_out.polars_frames(self._tables("to_polars", options)[1]))

    def to_csv(self, path: str | os.PathLike[str], **options: Unpack[ReadOptions]) -> int:
        """Write the query to a CSV file, segment by segment, with bounded memory.

        The file appears when it is complete. CSV has no types and units: prefer `to_parquet`, which can also
        be resumed. Lists and structs are written as JSON text.

        Parameters
        ----------
        path : str or path-like
            A local file, which is replaced.
        options
            As in `to_batches`.

        Returns
        -------
        int
            Number of rows.

        Raises
        ------
        UserError, RefusedError, ServerError, UnreachableError, EntriesFailedError
            As in `to_arrow`.
        StorageError
            The file cannot be written.
        """
        ways_out.local_file(path)
        reader, plan = self._single("to_csv", options)
        return ways_out.write_csv(path, reader, plan, show_progress=self.progress)

    def __len__(self) -> int:
        """Count the entries: those that match, up to a given `results_max`. Sends one small request."""
        limit = self._cut.results_max
        return self.count() if limit is None else min(self.count(), limit)

    def __bool__(self) -> bool:
        return True

    @property
    def _entries_dict(self) -> RecordedDownloads:
        """nomad-lab's name for what was downloaded, to which published scripts append it once more."""
        return RecordedDownloads(self._downloads)

    def __iter__(self) -> Iterator[Archive]:
        """Iterate over the archives of all entries, up to a given `results_max`, without keeping them.

        Archives are downloaded while the loop runs, in the order of answers. Entries without an archive are
        skipped. After all others, failed entries raise EntriesFailedError, which names them.
        """
        options = ListOptions(self.after, self._cut.results_max, self.page_size, self.batch_size)
        entries = EntryList(self._server, self._question(), options, show_progress=False)
        definitions, cut = ServerDefinitions(self._server), sliced(self.required)
        others = EntriesByReference(self._server, self.owner)
        for archives in iterate(entries.stream()):
            for ref, tree in archives:
                yield Archive(tree, *ref, definitions, cut, self.required, others)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(ways_out.not_there(name, dir(type(self))), name=name, obj=self)

    def _single(self, method: str, options: ReadOptions) -> tuple[PartitionReader, Plan]:
        """The reader and the plan of a method that makes one table."""
        output = OutputOptions.of(method, options)
        ways_out.single_table("tables" if output.from_query else output.layout, method)
        return self._reader(output)

    def _tables(self, method: str, options: ReadOptions) -> tuple[PartitionReader, ways_out.Tables]:
        """The reader, and all rows as Arrow tables."""
        reader, plan = self._reader(OutputOptions.of(method, options))
        return reader, ways_out.arrow_tables(reader, plan, show_progress=self.progress)

    def _keep(self, found: Download) -> bool:
        """Keep a download for `entries_to_dataframe`; True for the first one with archives."""
        first = len(found) > 0 and not any(map(len, self._downloads))
        self._downloads.append(found)
        return first

    async def _doubts(self) -> tuple[str, ...]:
        """Warnings about required paths that no archive has."""
        return await empty_path_messages(Client(self._server), self.required, self._list.empty_paths)

    def _warn(self, messages: tuple[str, ...]) -> None:
        for message in messages:
            warnings.warn(message, stacklevel=3)

    def _converted(self, found: Download, as_plain_dict: bool) -> list[Archive] | list[dict[str, Any]]:
        if as_plain_dict:
            return found.plain()
        definitions = ServerDefinitions(self._server)
        cut, others = sliced(self.required), EntriesByReference(self._server, self.owner)
        return [Archive(tree, *ref, definitions, cut, self.required, others) for ref, tree in found.lazily()]

    def _request(self, output: OutputOptions) -> tuple[QuerySpec, PartitionSpec, TableOptions]:
        question = self._question(output.resolve_references, output.source)
        cut = replace(self._cut, partition_size=output.partition_size, npartitions=output.npartitions)
        return question, cut, output.tables(question, self.max_columns, self.batch_size)

    def _reader(self, output: OutputOptions) -> tuple[PartitionReader, Plan]:
        """The reader of all partitions, and the plan."""
        question, cut, options = self._request(output)
        plan, sample = run(prepare(Client(self._server), question, cut, options))
        reader = PartitionReader(
            **sample.table_spec(options).table_fields(),
            server=self._server,
            on_failure=options.on_failure,
            dtype_backend=options.dtype_backend,
        )
        return reader, self._planned(plan)

    def _planned(self, plan: Plan) -> Plan:
        """The plan; a message says if its maximum excludes entries, or if nothing matches."""
        if plan.cap is not None and self.progress:
            say(str(plan.cap))
        if plan.matched == 0:
            warnings.warn(no_match_message(self.owner, self.query, self.after), stacklevel=4)
        return plan

    def _question(self, resolve_references: bool = True, source: Source | None = None) -> QuerySpec:
        required = self.required if source is None else required_of(source, self.required.written)
        return QuerySpec(self.owner, self.query, required, resolve_references)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        """The query and its login, the same in every process. Fetched entries are not included."""
        request = identity(self.url, self._question(), WIDE, self.after, self._cut.results_max, True)
        text = orjson.dumps(request | {"fetch": self._results_max}, option=orjson.OPT_SORT_KEYS)
        return "ArchiveQuery", text, self._server.login

    def _facts(self) -> dict[str, str]:
        """Facts shown in the repr, without secrets."""
        to_do = len(self._list.refs())
        limit = self._cut.results_max
        entries = "all" if limit is None else f"at most {limit}"
        entries += "" if self._matching is None else f" of {self._matching} that match"
        if self._results_max != limit:
            entries += f" (fetch and download: at most {self._results_max})"
        return {
            "server": self.url,
            "owner": self.owner,
            "query": shown(self.query) if self.query else "everything",
            "required": _first(self.required.paths) or "nothing",
            "entries": entries,
            "so far": f"{self._list.fetched} fetched, {to_do} to download, {len(self.failures)} failed",
        }

    def __repr__(self) -> str:
        return f"<ArchiveQuery {'; '.join(f'{name}: {fact}' for name, fact in self._facts().items())}>"

    def _repr_html_(self) -> str:
        return facts_card("ArchiveQuery", self._facts())


def _one_or_all(by_key: Mapping[str, Any]) -> Any:
    """The one table or dataframe, or the dict of the layout `tables`."""
    return by_key[ONLY] if ONLY in by_key else dict(by_key)


def _first(names: Sequence[str], limit: int = 20) -> str:
    """The first names, joined by commas, and the number of the others."""
    more = f", and {len(names) - limit:,} more" if len(names) > limit else ""
    return one_line(", ".join(names[:limit]), max_length=1_000) + more
