"""Owns how workers get a login: through a plugin's memory, never inside a task, a key or a graph (SPEC 11)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .edges.auth import Credentials, Login, credentials_of, forget, remember
from .edges.server import Server

if TYPE_CHECKING:
    from distributed import Client, WorkerPlugin


@contextmanager
def lent_login(client: Client, server: Server) -> Iterator[Login | None]:
    """A cluster's workers, and those that join later, have this process's login for as long as the block runs.

    Under a name of this job alone, so that two people on one cluster do not get each other's. The environment's login
    is lent too: the workers of a running cluster may have another environment.
    """
    login = server.login
    if login is None:
        yield None
        return
    lent = Login(f"lent {uuid.uuid4().hex}", login.who)
    name = f"nomad-dask login {lent.name}"
    client.register_plugin(_plugin(lent, credentials_of(login, server.url)), name=name)
    try:
        yield lent
    finally:
        client.unregister_worker_plugin(name)


def lend_to_default(server: Server) -> None:
    """Where a Dask client is in use, its workers have the login of a lazy frame from now on, until the client closes.

    A frame is computed long after it was made, by whatever client there is then; under no client the login is looked
    up in this process.
    """
    from distributed.client import default_client

    if server.login is None:
        return
    try:
        client = default_client()
    except ValueError:
        return
    name = f"nomad-dask login {server.login.name} of {client.id}"
    with _lending:
        if (client.id, name) not in _lent:
            client.register_plugin(_plugin(server.login, credentials_of(server.login, server.url)), name=name)
            _lent.add((client.id, name))


_lent: set[tuple[str, str]] = set()
_lending = threading.Lock()


def _plugin(login: Login, credentials: Credentials) -> WorkerPlugin:
    from distributed import WorkerPlugin

    class LoginPlugin(WorkerPlugin):
        """Keeps one login in a worker's memory, until it is taken away."""

        def setup(self, worker: object) -> None:
            remember(login, credentials)

        def teardown(self, worker: object) -> None:
            forget(login)

    return LoginPlugin()
