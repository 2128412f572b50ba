"""Owns ArchiveQuery: the query object of NOMAD's guide, which works alone, and opens onto plans, frames and datasets."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

import orjson

from ..edges.auth import login_of
from ..edges.loop import arun, run
from ..edges.pages import LARGEST_PAGE
from ..edges.server import Server
from ..edges.transport import Client
from ..pure import arguments
from ..pure.cards import facts_card
from ..pure.errors import UserError
from ..pure.layouts import WIDE
from ..pure.limits import Limits
from ..pure.manifest import Question, Source, identity, required_of
from ..pure.report import Failure
from ..pure.required import Required, sliced
from ..pure.retry import Policy
from ..pure.unknown import Idle
from ..sides.definitions import Served, doubts_of, needed_definitions
from ..sides.planner import Cut, count_matching
from .archive import Archive
from .browser import SchemaTree
from .bulk import Bulk
from .dataframes import DtypeBackend, entries_to_dataframe
from .downloads import Download, blocks_of
from .entrylist import EntryList, again_without_references, batch_of
from .messages import Messages

if TYPE_CHECKING:
    import pandas as pd

PUBLIC = "https://nomad-lab.eu/prod/v1/api/v1"
"""The public NOMAD server."""


class ArchiveQuery(Bulk):
    """A query over the NOMAD archive: which entries (`query`), and which parts of their archives (`required`).

    >>> query = ArchiveQuery(query={"results.material.elements": ["Ti"]}, required={"results": {"material": "*"}})
    >>> archives = query.download(10)
    >>> "Ti" in archives[0].results.material.elements
    True

    Constructing asks nothing. `count` and `plan` cost a few small requests; `fetch` lists entries, `download` gets
    their archives; `to_dask_dataframe` gives all of them as a lazy frame, `to_parquet` writes them as a dataset.

    Args:
        owner: whose entries: `visible` (public ones, and those that the login may see), `public`, `user`, `shared`,
            `staging`, `all`, `admin`.
        query: NOMAD's search expression; sent as it is.
        required: the tree of parts to send; None or `'*'`: the whole archive. Checked here (RequiredError). Of search
            documents it may be a list of names (`results.material.elements`, `results.material.*`).
        url: the api's base, such as `https://host/prefix/api/v1` (`/api/v1` is added where it is missing); None: the
            public server.
        after: list only entries whose id is greater than this (any string).
        results_max: at most so many entries; None: all.
        page_size: entries that one listing request of `fetch` asks for; the server gives 10,000 at most.
        username, password: a login; its token is asked from the server in `url`, and nowhere else. Without them
            the environment's (`NOMAD_CLIENT_USER`, `NOMAD_CLIENT_PASSWORD`, `NOMAD_CLIENT_ACCESS_TOKEN`) is used.
        retry: tries of a failing request after the first.
        sleep_time: seconds of the longest planned wait between two tries; waits double up to it.
        source: `archives`, or `documents`: the search documents, which hold what archives have under `metadata` (at their
            top) and `results`, a hundred times faster.
        access_token: a token that you already have, instead of a login.
        semaphore: nomad-lab's name for `max_concurrency`.
        from_api: accepted for scripts written for nomad-lab; the token is always asked from `url`.
        batch_size: entries in one archive request; None: found from the bytes and seconds that entries take.
        max_concurrency: requests under way at once, over the whole job.
        max_requests_per_second: over the whole job, retries included; None: no limit. NOMAD's public server allows
            about 30.
        timeout: seconds for one request.
        progress: messages and progress: on stderr, in a notebook below the cell; there computations of lazy frames show
            theirs as well.
    """

    @arguments.spelled
    def __init__(
        self,
        owner: str = "visible",
        query: dict[str, Any] | None = None,
        required: dict[str, Any] | list[str] | str | None = None,
        url: str | None = None,
        after: str | None = None,
        results_max: int | None = 1000,
        page_size: int = 100,
        username: str | None = None,
        password: str | None = None,
        retry: int = 4,
        sleep_time: float = 4.0,
        *,
        source: Source = "archives",
        access_token: str | None = None,
        semaphore: int | None = None,
        from_api: bool = True,
        batch_size: int | None = None,
        max_concurrency: int = 10,
        max_requests_per_second: float | None = 20.0,
        timeout: float = 300.0,
        progress: bool = True,
    ) -> None:
        max_concurrency = max_concurrency if semaphore is None else semaphore
        page_size = min(page_size, LARGEST_PAGE) if type(page_size) is int else page_size
        arguments.whole_number("page_size", page_size, 1, LARGEST_PAGE)
        arguments.whole_number("retry", retry, 0, 1_000)
        arguments.whole_number("max_concurrency", max_concurrency, 1, 10_000)
        if batch_size is not None:
            arguments.whole_number("batch_size", batch_size, 1, LARGEST_PAGE)
        if max_requests_per_second is not None:
            arguments.number("max_requests_per_second", max_requests_per_second, "or None")
        arguments.number("sleep_time", sleep_time, "in seconds", zero=True)
        arguments.number("timeout", timeout, "in seconds")
        arguments.text("owner", owner)
        arguments.text("after", after or "")
        self.owner, self.query, self.after = owner, arguments.as_json(query or {}), after or ""
        self.required = required_of(source, required)
        self.page_size, self.batch_size, self.progress = page_size, batch_size, progress
        if results_max == 0:
            warnings.warn("results_max=0 asks for no entry; for all of them leave it None", stacklevel=3)
        self._cut = Cut(results_max=results_max, after=self.after)
        server = Server(
            url or PUBLIC,
            Limits(max_requests_per_second, max_concurrency, timeout),
            Policy(retry, sleep_time),
        )
        self._server = replace(server, login=login_of(server.url, username, password, access_token))
        self._matching: int | None = None
        self.clear()

    @property
    def url(self) -> str:
        """The server's base url."""
        return self._server.url

    @property
    def results_max(self) -> int | None:
        """At most so many entries; None: all."""
        return self._cut.results_max

    def clear(self) -> None:
        """Forget what was fetched, downloaded and what failed, and begin again at `after`."""
        self._downloads: list[Download] = []
        self._list = EntryList(
            self._server,
            self._question(),
            after=self.after,
            results_max=self.results_max,
            page_size=self.page_size,
            batch=batch_of(self.batch_size),
            messages=Messages(self.progress),
        )

    @property
    def schema(self) -> SchemaTree:
        """What archives may hold, as the server defines it: a tree to walk, complete with Tab and search.

        ``query.schema.results.material`` shows what is in that section; ``query.schema.find("band gap")`` finds places
        by words; see `SchemaTree`. One request of about 1 MB for each server in the life of the process.

        Raises:
            UserError: the server has no schema to give (NOMAD before 2.0).
            ServerError, UnreachableError: it kept failing, or none is there.
        """
        return SchemaTree(run(needed_definitions(Client(self._server))))

    @property
    def failures(self) -> list[Failure]:
        """Entries that failed when they were last tried: `(entry_id, upload_id, status, reason, attempts)`."""
        return self._list.failures

    @property
    def missing(self) -> list[tuple[str, str]]:
        """Entries that were listed and have no archive: `(entry_id, upload_id)`."""
        return [(ref.entry_id, ref.upload_id) for ref in self._list.missing]

    def count(self) -> int:
        """How many entries match (after the cursor `after`), whatever `results_max` says. One small request.

        Raises:
            RefusedError: the server does not take the query, in its own words.
            UnreachableError, ServerError: none is there, or it kept failing.
        """
        self._matching = run(count_matching(Client(self._server), self._question(), self.after))
        return self._matching

    def entry_list(self) -> list[tuple[str, str]]:
        """What was fetched and not yet downloaded: `(entry_id, upload_id)`; those that failed stand at the end."""
        return [(ref.entry_id, ref.upload_id) for ref in self._list.refs()]

    def fetch(self, n: int = 0, *, number: int = 0) -> int:
        """List the next `n` entries (in whole pages), or all up to `results_max`; returns how many were added.

        `number` is nomad-lab's name for `n`.

        Raises:
            RefusedError: the server does not take the query, in its own words.
            UnreachableError, ServerError: none is there, or it kept failing; what was listed before is kept.
            ProtocolError: the listing repeats itself, or ends early.
        """
        return run(self._list.fetch(n or number))

    async def async_fetch(self, n: int = 0, *, number: int = 0) -> int:
        """`fetch`, for `await`."""
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
        """The archives of the next `n` entries of the list, or of all; fetches more where the list is too short.

        Entries that fail stay in the list, at its end, and are told in `failures`; they are tried again when nothing
        else is left. Entries without archive leave the list and are told in `missing`. An empty result means that
        there is nothing more to be had.

        Gives `Archive` objects (see there: attributes, references, units), or the plain JSON with `as_plain_dict`. The
        query keeps the same archives for `entries_to_dataframe`: copy JSON before you change it. Archives of large answers
        are kept as their text until they are walked over; with `as_plain_dict` they take four to six times the memory.
        `number` is `n`.

        Where the first archives that come have nothing at a required path, and the server's schema (asked for then,
        once) does not know it, a warning names the near ones.

        Raises what `fetch` raises; what a single entry's archive meets is in `failures`, and raises nothing.
        """
        found = run(self._list.download(n or number, decoded=as_plain_dict))
        if self._keep(found):
            self._tell(run(doubts_of(*self._idle())))
        return self._delivered(found, as_plain_dict)

    async def async_download(
        self, n: int = 0, *, as_plain_dict: bool = False, number: int = 0
    ) -> list[Archive] | list[dict[str, Any]]:
        """`download`, for `await`."""
        found = await arun(self._list.download(n or number, decoded=as_plain_dict))
        if self._keep(found):
            self._tell(await arun(doubts_of(*self._idle())))
        return self._delivered(found, as_plain_dict)

    def _keep(self, found: Download) -> bool:
        """Keep what came for the frames; whether it is the first that did."""
        first = len(found) > 0 and not any(map(len, self._downloads))
        self._downloads.append(found)
        return first

    def _idle(self) -> tuple[Client, Required, Idle]:
        return Client(self._server), self.required, self._list.idle

    def _tell(self, doubts: tuple[str, ...]) -> None:
        for words in doubts:
            warnings.warn(words, stacklevel=3)

    def _delivered(self, found: Download, as_plain_dict: bool) -> list[Archive] | list[dict[str, Any]]:
        if as_plain_dict:
            return found.plain()
        definitions = Served(self._server)
        cut = sliced(self.required)
        return [Archive(tree, *ref, definitions, cut) for ref, tree in found.lazily()]

    @arguments.spelled
    def entries_to_dataframe(
        self,
        keys_to_filter: str | Sequence[str] | None = None,
        from_query: bool = False,
        resolve_references: bool = True,
        query_selection: Literal["last", "all"] | Sequence[int] = "last",
        *,
        dtype_backend: DtypeBackend = "pyarrow",
    ) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """What was downloaded, as one wide frame, or (`from_query`) as a dict of frames by required path.

        Rows are entries, by `entry_id`; see `dataframes.entries_to_dataframe` for columns, keys and types. Asks the
        server nothing but its schema, once; except that `resolve_references=False`, which leaves references as their
        strings, downloads the same entries again without resolving them.

        Args:
            keys_to_filter: paths; only what lies at or below one of them stays, and it is cut off the names.
            from_query: one frame for each required path instead of a wide one.
            resolve_references: whether what `required` reaches through references stands in their place.
            query_selection: of which downloads: the `last` that brought something, `all`, or their numbers from 0.
            dtype_backend: `pyarrow`, `numpy_nullable` or `numpy`.

        Raises:
            UserError: before the first download; a key that matches nothing (with the reason, or near misses); a wrong
                option.
            EntriesFailedError: entries did not come again under `resolve_references=False`.
        """
        found = self._selected(query_selection)
        if not resolve_references and not self.required.documents:
            refs = [ref for download in found for ref in download.refs]
            found = [run(again_without_references(self._server, self._question(False), refs))]
        return entries_to_dataframe(
            partial(blocks_of, found),
            self.required,
            keys_to_filter=keys_to_filter,
            from_query=from_query,
            dtype_backend=dtype_backend,
            definitions=Served(self._server)(),
        )

    def _selected(self, which: str | Sequence[int]) -> list[Download]:
        downloads = self._downloads
        if not downloads:
            raise UserError(
                "nothing was downloaded yet, so there is nothing to make a frame of: call download() first"
            )
        if which == "last":
            return [found for found in downloads if len(found)][-1:]
        if which == "all":
            chosen: Sequence[int] = range(len(downloads))
        elif (
            isinstance(which, Sequence) and not isinstance(which, str) and all(type(n) is int for n in which)
        ):
            chosen = sorted(set(which))
        else:
            raise UserError(f"query_selection is 'last', 'all' or a list of download numbers, not {which!r}")
        if wrong := [n for n in chosen if not 0 <= n < len(downloads)]:
            raise UserError(f"there is no download {wrong[0]}: {len(downloads)} were made, numbered from 0")
        return [downloads[n] for n in chosen]

    def _question(self, resolve_references: bool = True, source: Source | None = None) -> Question:
        required = self.required if source is None else required_of(source, self.required.written)
        return Question(self.owner, self.query, required, resolve_references)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        """What the query asks for, by whom: the same in every process. What was fetched so far is not in it."""
        asked = identity(self.url, self._question(), WIDE, self.after, self.results_max, True)
        return "ArchiveQuery", orjson.dumps(asked, option=orjson.OPT_SORT_KEYS), self._server.login

    def _facts(self) -> dict[str, str]:
        """What the query asks for, how many match (if known), and how far it is. Never a secret."""
        to_do = len(self._list.refs())
        return {
            "server": self.url,
            "owner": self.owner,
            "query": str(self.query or "everything"),
            "required": ", ".join(self.required.paths) or "nothing",
            "entries": ("all" if self.results_max is None else f"at most {self.results_max}")
            + ("" if self._matching is None else f" of {self._matching} that match"),
            "so far": f"{self._list.fetched} fetched, {to_do} of them to download, {len(self.failures)} failed",
        }

    def __repr__(self) -> str:
        return f"<ArchiveQuery {'; '.join(f'{name}: {fact}' for name, fact in self._facts().items())}>"

    def _repr_html_(self) -> str:
        return facts_card("ArchiveQuery", self._facts())
