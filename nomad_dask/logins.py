"""Owns how workers get a login: through a plugin's memory, never inside a task, a key or a graph (SPEC 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .edges.auth import Credentials, Login, credentials_of, remember

if TYPE_CHECKING:
    from distributed import Client, WorkerPlugin


def lend_login(client: Client, login: Login | None) -> None:
    """Give a cluster's workers, and those that join later, a login that this process has.

    The environment's is lent too: the workers of a running cluster may have another environment.
    """
    if login is not None:
        client.register_plugin(_plugin(login, credentials_of(login)))


def _plugin(login: Login, credentials: Credentials) -> WorkerPlugin:
    from distributed import WorkerPlugin

    class LoginPlugin(WorkerPlugin):
        """Keeps one login in a worker's memory."""

        name = f"nomad-dask login {login.name}"

        def setup(self, worker: object) -> None:
            remember(login, credentials)

    return LoginPlugin()
