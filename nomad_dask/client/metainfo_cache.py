"""Cache of the server's schema: one download per server and process."""

from __future__ import annotations

import asyncio
import re
import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

from nomad_dask.client import answers
from nomad_dask.client.answers import Answer
from nomad_dask.client.event_loop import process, run
from nomad_dask.client.retry import Policy
from nomad_dask.client.search import NAMES, check_include
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client, forget
from nomad_dask.errors import NomadDaskError, RefusedError, UserError
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request import QuerySpec
from nomad_dask.request.check import EmptyPaths, empty_path_warnings, near_quantities
from nomad_dask.request.include import include_of, widen, with_sent_names
from nomad_dask.request.required import Required
from nomad_dask.text import hint

PATH = "schemas/nomad.datamodel.datamodel.EntryArchive?property_subtypes=true"
INFO = "info"
_RETRY_AFTER = 600.0  # seconds after a failed download before the schema is requested again


@dataclass(frozen=True, slots=True)
class _CachedSchema:
    """Fingerprint and schema of the server at a url."""

    fingerprint: str | None  # hash of its `info`; None if it sent none
    definitions: Definitions | None
    until: float = float("inf")

    def is_valid(self, fingerprint: str | None) -> bool:
        """True if this is the fingerprint of the same server; without one, it may be another server."""
        same = fingerprint == self.fingerprint and (fingerprint is not None or self.definitions is None)
        return same and time.monotonic() < self.until


_cache: dict[str, _CachedSchema] = {}


async def definitions_of(client: Client) -> Definitions | None:
    """Get the server's schema; None if it has none (older servers).

    One download of about 1 MB per server and process, and a small request for `info` per call, which detects
    another server at the same url; both need no login. If the download fails, warns and returns None for some
    time: types then come from a sample, and there are no units.
    """
    url = client.server.url
    async with _download_lock(url):
        known, fingerprint = await _lookup(client)
        if known is None:
            try:
                known = _cache[url] = _CachedSchema(fingerprint, await _download(client))
            except NomadDaskError as error:
                if fingerprint is None and url in _cache:
                    return _cache[url].definitions  # all requests fail: it may be the same server
                warnings.warn(f"continuing without units, with types from a sample: {error}", stacklevel=2)
                known = _cache[url] = _CachedSchema(fingerprint, None, time.monotonic() + _RETRY_AFTER)
    return known.definitions


async def require_definitions(client: Client) -> Definitions:
    """Like `definitions_of`, but raises if the download fails, and UserError if the server has no schema."""
    url = client.server.url
    async with _download_lock(url):
        known, fingerprint = await _lookup(client)
        if known is None or known.until < float("inf"):
            known = _cache[url] = _CachedSchema(fingerprint, await _download(client))
    if known.definitions is None:
        raise UserError(
            f"{url} serves no schema (NOMAD before 2.0); to see the content of its entries, download one: "
            "ArchiveQuery(url=...).download(1)[0].to_dict()"
        )
    return known.definitions


def cached_definitions(server: Server) -> Definitions | None:
    """The server's schema if it is in the cache. Sends no request."""
    known = _cache.get(server.url)
    return known.definitions if known else None


def _download_lock(url: str) -> asyncio.Lock:
    return process().get_or_create(("schema", url), asyncio.Lock)


async def _lookup(client: Client) -> tuple[_CachedSchema | None, str | None]:
    """Return the cached schema if it is valid, and the fingerprint of the server."""
    url = client.server.url
    try:
        fingerprint = answers.server_fingerprint((await _get_anonymously(client, INFO)).data)
    except NomadDaskError:
        fingerprint = None
    known = _cache.get(url)
    if known is None or known.is_valid(fingerprint):
        return known, fingerprint
    if None not in (fingerprint, known.fingerprint) and fingerprint != known.fingerprint:
        del _cache[url]
        forget(client.server)
    return None, fingerprint


async def with_accepted_names(client: Client, spec: QuerySpec, *, known: bool = False) -> QuerySpec:
    """Adapt a spec for search documents to names that the server accepts; return one for archives unchanged.

    Downloads the schema, and sends a request without entries for each rejected name and one more; none if
    there are only patterns. Names that are not quantities are replaced by the section around them
    (`include.widen`). Raises RefusedError, with similar names, for an unknown one.
    """
    if spec.source != "documents" or include_of(spec.required) is None:
        return spec
    definitions = await definitions_of(client)
    if spec.required.sent is None:
        spec = replace(spec, required=with_sent_names(spec.required, definitions))
    while checked := [name for name in include_of(spec.required) or () if "*" not in name]:
        if set(checked) == set(NAMES):
            break
        try:
            await check_include(client, spec.owner, checked)
            break
        except RefusedError as error:
            refused = _NO_QUANTITY.search(error.words)
            wider = refused and widen(spec.required, refused[1], definitions, known=known)
            if not wider:
                raise await with_similar_names(client, error) or error from error
            spec = replace(spec, required=wider)
    return spec


async def empty_path_messages(client: Client, required: Required, empty_paths: EmptyPaths) -> tuple[str, ...]:
    """Messages about required paths that are empty in all archives (see `request.check.empty_path_warnings`).

    Needs the schema only if there are such paths.
    """
    if not empty_paths.paths:
        return ()
    return empty_path_warnings(required, empty_paths, await definitions_of(client))


async def with_similar_names(client: Client, error: RefusedError) -> RefusedError | None:
    """Add similar names from the schema to the refusal of an unknown quantity; None for other refusals."""
    found = _NO_QUANTITY.search(error.words)
    definitions = await definitions_of(client) if found else None
    if found is None or definitions is None:
        return None
    similar = near_quantities(tuple(found[1].split(".")), definitions)
    return RefusedError(error.status, error.url, f"{error.words}{hint(found[1], similar)}")


_NO_QUANTITY = re.compile(r"(\S+) is not a doc quantity")


async def _download(client: Client) -> Definitions | None:
    try:
        found = Definitions((await _get_anonymously(client, PATH)).data)
        archive = found.section()
        return found if archive and archive.names else None  # an empty schema counts as none
    except RefusedError as error:
        if error.status in (404, 405):
            return None
        raise


async def _get_anonymously(client: Client, path: str) -> Answer:
    """GET without the login, which most servers do not need here; with it if the server requires it."""
    anonymous = Client(replace(client.server, login=None, policy=Policy(retry=1)))
    try:
        return await anonymous.get(path)
    except RefusedError as error:
        if error.status not in (401, 403) or client.server.login is None:
            raise
    return await client.get(path)


class ServerDefinitions:
    """The schema for the archives of one download: downloaded at the first call, then kept."""

    __slots__ = ("_found", "_server")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._found: tuple[Definitions | None] | None = None

    def __call__(self) -> Definitions | None:
        """Return the schema; None if the server has none."""
        if self._found is None:
            self._found = (run(definitions_of(Client(self._server))),)
        return self._found[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return ServerDefinitions, (self._server,)
