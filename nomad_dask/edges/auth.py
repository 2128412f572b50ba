"""Owns logins: where the secrets are, and the tokens got with them (SPEC 11).

A secret lives in one process's memory, in its environment, or in its keyring. Everything else holds a `Login`, which is
only a name: it may be pickled, printed, and put into a task. A worker looks the name up on its own side.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..pure.errors import RefusedError, UserError

_USER, _PASSWORD, _TOKEN = (f"NOMAD_CLIENT_{name}" for name in ("USER", "PASSWORD", "ACCESS_TOKEN"))
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EARLY = 30.0
"""Seconds before its end at which a token is replaced; half of its life where that is shorter."""


@dataclass(frozen=True, slots=True)
class Login:
    """A login by name: the name tells where to look, and nothing more."""

    name: str

    def __repr__(self) -> str:
        return f"<login {self.name} ***>"


ENVIRONMENT = Login("of the environment")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The secrets themselves. Not printed; never part of a task."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)


_vault: dict[Login, Credentials] = {}


def login_of(
    username: str | None = None, password: str | None = None, access_token: str | None = None
) -> Login | None:
    """The login for what a user gave, else for the environment's, else None: an anonymous visitor.

    A username without a password is looked up in the keyring, where that is installed.
    """
    if access_token is not None:
        given = Credentials(access_token=access_token)
        known = [login for login, credentials in _vault.items() if credentials == given]
        login = known[0] if known else Login(f"token {len(_vault) + 1}")
    elif username is not None:
        login, given = Login(username), Credentials(username, password or _from_keyring(username))
    elif password is not None:
        raise UserError("a password needs a username")
    else:
        return ENVIRONMENT if _from_environment() is not None else None
    remember(login, given)
    return login


def remember(login: Login, credentials: Credentials) -> None:
    """Keep secrets in this process's memory under a name."""
    _vault[login] = credentials


def forget(login: Login) -> None:
    """Drop secrets from this process's memory."""
    _vault.pop(login, None)


def credentials_of(login: Login) -> Credentials:
    """The secrets behind a name, in this process. UserError where there are none."""
    found = _vault.get(login) or _from_environment()
    if found is None:
        raise UserError(
            f"this process does not have the login {login.name!r}; set {_USER} and {_PASSWORD}, or {_TOKEN}, "
            "in the environment of the workers"
        )
    return found


def _from_environment() -> Credentials | None:
    token, username, password = (os.environ.get(name) for name in (_TOKEN, _USER, _PASSWORD))
    if token:
        return Credentials(access_token=token)
    return Credentials(username, password or _from_keyring(username)) if username else None


def _from_keyring(username: str) -> str:
    try:
        import keyring
    except ImportError:
        keyring = None
    password = keyring.get_password("nomad-dask", username) if keyring else None
    if password is None:
        raise UserError(
            f"no password for {username!r}: give password=, or set {_USER} and {_PASSWORD}, "
            f"or keep one with `keyring set nomad-dask {username}`"
        )
    return str(password)


def check_safe(url: str) -> None:
    """UserError where a secret would cross a network in the clear."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise UserError(
            f"no login is sent over plain http to {parts.hostname}; use https, or ask without a login"
        )


Ask = Callable[[str, dict[str, str]], Awaitable[Any]]
"""Asks the server for a token: `POST` with a form, or `GET` with a query; the decoded answer."""


class Tokens:
    """One process's tokens for servers, each asked for once and replaced before its end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens: dict[tuple[str, Login], tuple[str, float]] = {}
        self._locks: dict[tuple[str, Login], asyncio.Lock] = {}

    async def get(self, url: str, login: Login, ask: Ask) -> str:
        """A token that is good for a while, from memory or from the server at `url`."""
        credentials = credentials_of(login)
        if credentials.access_token is not None:
            return credentials.access_token
        async with self._locks.setdefault((url, login), asyncio.Lock()):
            token, until = self._tokens.get((url, login), ("", 0.0))
            if self._clock() >= until:
                token, seconds = await _ask_for_token(credentials, ask)
                self._tokens[url, login] = token, self._clock() + max(seconds - _EARLY, seconds / 2)
        return token

    def forget(self, url: str, login: Login, token: str) -> bool:
        """Drop a token that the server did not take; whether another one can be had."""
        if self._tokens.get((url, login), ("", 0))[0] == token:
            del self._tokens[url, login]
        return credentials_of(login).access_token is None


async def _ask_for_token(credentials: Credentials, ask: Ask) -> tuple[str, float]:
    """A token and its seconds: by the standard password grant, or the older servers' GET (`nomad_api.md`)."""
    secrets = {"username": credentials.username or "", "password": credentials.password or ""}
    try:
        answer = await ask("POST", {"grant_type": "password", **secrets})
    except RefusedError as error:
        if error.status not in (404, 405, 422):
            raise
        answer = await ask("GET", secrets)
    return str(answer["access_token"]), float(answer.get("expires_in") or 300)
