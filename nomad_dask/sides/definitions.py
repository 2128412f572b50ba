"""Owns the server's schema on the client's side: asked for once in a process, and shared by all that describe data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from ..edges.loop import run
from ..edges.transport import Client, Server
from ..pure.errors import RefusedError, ServerError
from ..pure.sections import Definitions

PATH = "schemas/nomad.datamodel.datamodel.EntryArchive?property_subtypes=true"
_known: dict[str, Definitions | None] = {}


async def definitions_of(client: Client) -> Definitions | None:
    """What the server says of sections and quantities; None where it serves no schema (the older servers).

    One request of about 1 MB for each server in the life of the process. A server that fails at this one question is
    done without its schema for now, with a warning: types then come from a sample, and there are no units.
    """
    url = client.server.url
    if url not in _known:
        try:
            _known[url] = Definitions((await client.get(PATH)).data)
        except RefusedError as error:
            if error.status not in (404, 405):
                raise
            _known[url] = None
        except ServerError as error:
            warnings.warn(f"going on without units, with types from a sample: {error}", stacklevel=2)
            return None
    return _known[url]


@dataclass(frozen=True, slots=True)
class Served:
    """A server's schema, for whoever may need it later: nothing is asked before the call."""

    server: Server

    def __call__(self) -> Definitions | None:
        """The schema, from memory or from the server; None where it serves none."""
        return run(definitions_of(Client(self.server)))
