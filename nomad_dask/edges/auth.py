"""Owns logins: where the secrets are, and the tokens got with them (SPEC 11).

A secret lives in one process's memory, in its environment, or in its keyring. Everything else holds a `Login`, which is
only a name: it may be pickled, printed, and put into a task. A worker looks the name up on its own side.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from ..pure.errors import RefusedError, UserError

_USER, _PASSWORD, _TOKEN = (f"NOMAD_CLIENT_{name}" for name in ("USER", "PASSWORD", "ACCESS_TOKEN"))
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EARLY = 30.0
"""Seconds before its end at which a token is replaced; half of its life where that is shorter."""


@dataclass(frozen=True, slots=True)
class Login:
    """A login by name: the name tells where to look, and nothing more."""

    name: str
    """Of one process and one set of secrets for one server."""
    who: str = ""
    """The username, or that it is a token: what another process may look for in its own environment."""

    def __repr__(self) -> str:
        return f"<login {self.who} ***>"

    def __dask_tokenize__(self) -> tuple[str, str]:
        """The same visitor gives the same keys in every process."""
        return "login", self.who


@dataclass(frozen=True, slots=True)
class Credentials:
    """The secrets themselves, and the one server they are for. Not printed; never part of a task."""

    origin: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)

    @property
    def who(self) -> str:
        """Whose they are, as far as may be told."""
        return self.username or "with an access token"


_vault: dict[Login, Credentials] = {}


def login_of(
    url: str,
    username: str | None = None,
    password: str | None = None,
    access_token: str | None = None,
) -> Login | None:
    """The login at `url`'s server for what a user gave, else for the environment's, else None: an anonymous visitor.

    A username without a password is looked up in the keyring, where that is installed. Raises UserError for secrets
    that cannot be: empty ones, a password without a username.
    """
    if access_token is not None:
        given = Credentials(_origin(url), access_token=_clean(access_token, "access_token"))
    elif username is not None:
        password = _from_keyring(username) if password is None else password
        given = Credentials(_origin(url), _clean(username, "username"), password)
    elif password is not None:
        raise UserError("a password needs a username")
    else:
        found = _from_environment(url)
        if found is None:
            return None
        given = found
    known = next((login for login, credentials in _vault.items() if credentials == given), None)
    login = known or Login(uuid.uuid4().hex, given.who)
    remember(login, given)
    return login


def _clean(text: str, name: str) -> str:
    """A secret without the line end that a file gives it; UserError for one that cannot be one."""
    cleaned = text.strip() if isinstance(text, str) else ""
    if not cleaned or not cleaned.isprintable():
        raise UserError(f"{name} is empty, or holds control characters; leave it out to ask without a login")
    return cleaned


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def remember(login: Login, credentials: Credentials) -> None:
    """Keep secrets in this process's memory under a name."""
    _vault[login] = credentials


def forget(login: Login) -> None:
    """Drop secrets from this process's memory."""
    _vault.pop(login, None)


def credentials_of(login: Login, url: str) -> Credentials:
    """The secrets behind a name, in this process, for the server at `url` and no other. UserError where there are none.

    A process that does not know the name (a worker) takes its environment's, if they are the same person's.
    """
    found = _vault.get(login)
    if found is None:
        found = _from_environment(url)
        if found is None or found.who != login.who:
            raise UserError(
                f"this process does not have the login {login.who!r}; set {_USER} and {_PASSWORD}, or {_TOKEN}, "
                "in its environment"
            )
    if found.origin != _origin(url):
        raise UserError(f"the login {login.who!r} is for {found.origin}, and is not sent to {_origin(url)}")
    return found


def secrets_of(login: Login, url: str) -> tuple[str, ...]:
    """What must stand in no text: the password, as it is and as urls write it, and the given token."""
    credentials = credentials_of(login, url)
    plain = [s for s in (credentials.password, credentials.access_token) if s]
    return tuple({form for s in plain for form in (s, quote(s), quote_plus(s), quote(s, safe=""))})


def _from_environment(url: str) -> Credentials | None:
    token, username, password = (os.environ.get(name) for name in (_TOKEN, _USER, _PASSWORD))
    if token:
        return Credentials(_origin(url), access_token=_clean(token, _TOKEN))
    return Credentials(_origin(url), username, password or _from_keyring(username)) if username else None


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
        credentials = credentials_of(login, url)
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
            self._tokens.pop((url, login), None)
        return credentials_of(login, url).access_token is None


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
