"""Owns what a query brings into memory, step by step: the list of entries, their archives, a frame of these (SPEC 3, 5)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from ..edges.loop import arun, run
from ..edges.server import Server
from ..edges.transport import Client
from ..pure import arguments
from ..pure.manifest import Question
from ..pure.report import Failure
from ..pure.required import Required, sliced
from ..pure.unknown import Idle
from ..sides.definitions import Served, doubts_of
from ..sides.planner import Cut
from .archive import Archive
from .dataframes import DtypeBackend, entries_to_dataframe
from .downloads import Download, blocks_of, selected
from .entrylist import EntryList, again_without_references, batch_of
from .messages import Messages

if TYPE_CHECKING:
    import pandas as pd


class Stepwise:
    """The part of a query object that lists entries, downloads their archives and makes frames of what came."""

    after: str
    batch_size: int | None
    page_size: int
    progress: bool
    required: Required
    _cut: Cut
    _server: Server

    def _question(self, resolve_references: bool = True) -> Question:
        """What is asked."""
        raise NotImplementedError

    def clear(self) -> None:
        """Forget what was fetched, downloaded and what failed, and begin again at `after`."""
        self._downloads: list[Download] = []
        self._list = EntryList(
            self._server,
            self._question(),
            after=self.after,
            results_max=self._cut.results_max,
            page_size=self.page_size,
            batch=batch_of(self.batch_size),
            messages=Messages(self.progress),
        )

    @property
    def failures(self) -> list[Failure]:
        """Entries that failed when they were last tried: `(entry_id, upload_id, status, reason, attempts)`."""
        return self._list.failures

    @property
    def missing(self) -> list[tuple[str, str]]:
        """Entries that were listed and have no archive: `(entry_id, upload_id)`."""
        return [(ref.entry_id, ref.upload_id) for ref in self._list.missing]

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
        found = selected(self._downloads, query_selection)
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
