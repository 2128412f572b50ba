"""Owns the server's schema on the client's side: asked for once in a process, and shared by all that describe data."""

from __future__ import annotations

import asyncio
import re
import time
import warnings
from dataclasses import dataclass, replace

from ..edges.loop import process, run
from ..edges.server import Server
from ..edges.transport import Client
from ..pure.errors import NomadDaskError, RefusedError, UserError
from ..pure.near import hint
from ..pure.required import Required
from ..pure.retry import Policy
from ..pure.sections import Definitions
from ..pure.unknown import Idle, doubts, near_quantities

PATH = "schemas/nomad.datamodel.datamodel.EntryArchive?property_subtypes=true"
_AGAIN = 600.0
"""Seconds after which a server that did not give its schema is asked for it again."""
_known: dict[str, tuple[Definitions | None, float]] = {}


async def definitions_of(client: Client) -> Definitions | None:
    """What the server says of sections and quantities; None where it serves no schema (the older servers).

    One request of about 1 MB for each server in the life of the process; no login is needed for it. A server that
    fails at this one question is done without its schema for a while, with a warning: types then come from a sample,
    and there are no units.
    """
    url = client.server.url
    async with process().kept("schemas", asyncio.Lock):
        found, until = _known.get(url, (None, 0.0))
        if time.monotonic() < until:
            return found
        try:
            _known[url] = await _asked(client), float("inf")
        except NomadDaskError as error:
            warnings.warn(f"going on without units, with types from a sample: {error}", stacklevel=2)
            _known[url] = None, time.monotonic() + _AGAIN
        return _known[url][0]


async def needed_definitions(client: Client) -> Definitions:
    """The same for one who asks for nothing else: a server that fails raises, and one without schema is a UserError."""
    url = client.server.url
    async with process().kept("schemas", asyncio.Lock):
        found, until = _known.get(url, (None, 0.0))
        if found is None and until < float("inf"):
            found = await _asked(client)
            _known[url] = found, float("inf")
    if found is None:
        raise UserError(
            f"{url} serves no schema, as NOMAD before 2.0 does not; to see what its entries hold, look at one: "
            "ArchiveQuery(url=...).download(1)[0].to_dict()"
        )
    return found


def known_definitions(server: Server) -> Definitions | None:
    """The server's schema where this process has it already; nothing is asked."""
    return _known.get(server.url, (None, 0.0))[0]


async def doubts_of(client: Client, required: Required, idle: Idle) -> tuple[str, ...]:
    """What is to be said of required paths at which archives have nothing (see `unknown.doubts`).

    The server is asked for its schema only where there is such a path.
    """
    return doubts(required, idle, await definitions_of(client)) if idle.paths else ()


async def explained(client: Client, error: RefusedError) -> RefusedError | None:
    """A refusal of a quantity that queries do not know, with the near ones of the server's schema; None of any other."""
    found = _NO_QUANTITY.search(error.words)
    definitions = await definitions_of(client) if found else None
    if found is None or definitions is None:
        return None
    meant = near_quantities(tuple(found[1].split(".")), definitions)
    return RefusedError(error.status, error.url, f"{error.words}{hint(meant)}")


_NO_QUANTITY = re.compile(r"(\S+) is not a doc quantity")


async def _asked(client: Client) -> Definitions | None:
    anonymous = Client(replace(client.server, login=None, policy=Policy(retry=1)))
    try:
        return Definitions((await anonymous.get(PATH)).data)
    except RefusedError as error:
        if error.status in (404, 405):
            return None
        if error.status not in (401, 403) or client.server.login is None:
            raise
    return Definitions((await client.get(PATH)).data)


@dataclass(frozen=True, slots=True)
class Served:
    """A server's schema, for whoever may need it later: nothing is asked before the call."""

    server: Server

    def __call__(self) -> Definitions | None:
        """The schema, from memory or from the server; None where it serves none."""
        return run(definitions_of(Client(self.server)))
