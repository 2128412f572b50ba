"""Owns ArchiveQuery: the query object of NOMAD's guide, which works alone, and opens onto plans, frames and datasets.

Here is what it asks and of whom; `stepwise` has what it brings into memory, `bulk` what it hands to Dask.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import orjson

from ..edges.auth import login_of
from ..edges.loop import run
from ..edges.pages import LARGEST_PAGE
from ..edges.server import Server
from ..edges.transport import Client
from ..pure import arguments
from ..pure.cards import facts_card
from ..pure.layouts import WIDE
from ..pure.limits import Limits
from ..pure.manifest import Question, Source, identity, required_of
from ..pure.retry import Policy
from ..sides.definitions import needed_definitions
from ..sides.planner import Cut, count_matching
from .browser import SchemaTree
from .bulk import Bulk
from .stepwise import Stepwise

PUBLIC = "https://nomad-lab.eu/prod/v1/api/v1"
"""The public NOMAD server."""


class ArchiveQuery(Stepwise, Bulk):
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
        arguments.owner(owner)
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

    def count(self) -> int:
        """How many entries match (after the cursor `after`), whatever `results_max` says. One small request.

        Raises:
            RefusedError: the server does not take the query, in its own words.
            UnreachableError, ServerError: none is there, or it kept failing.
        """
        self._matching = run(count_matching(Client(self._server), self._question(), self.after))
        return self._matching

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
