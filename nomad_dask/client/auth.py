"""Logins, and the access tokens obtained with them.

Secrets are in the memory of one process, in its environment, or in its keyring. All other code has a `Login`,
which is only a name: it can be pickled, printed, and sent with a task. Workers look the name up themselves.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

from nomad_dask.client.answers import Token
from nomad_dask.client.server import (
    PUBLIC,
    URL_VARIABLE,
    Login,
    environment_url,
    origin,
    same_server,
    unencrypted_host,
)
from nomad_dask.errors import RefusedError, UserError

_USER, _PASSWORD, _TOKEN = (f"NOMAD_CLIENT_{name}" for name in ("USER", "PASSWORD", "ACCESS_TOKEN"))
_RENEW_EARLY = 30.0  # seconds before expiry at which a token is replaced; at most half of its lifetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """Secrets and the server they are for. Never printed, never part of a task."""

    origin: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)

    @property
    def user(self) -> str:
        """The username, or that it is a token."""
        return self.username or "with an access token"


_vault: dict[Login, Credentials] = {}


def login_of(
    url: str, username: str | None = None, password: str | None = None, access_token: str | None = None
) -> Login | None:
    """Login at `url` with the given secrets, else those of the environment, else None (no login).

    The login of the environment is only for the server of `environment_url`; for others it is ignored, with a
    warning. The password of a username without one is looked up in the keyring, if that is installed. Raises
    UserError for invalid secrets: empty ones, or a password without a username.
    """
    if access_token is not None:
        given = Credentials(origin(url), access_token=_clean(access_token, "access_token"))
    elif username is not None:
        password = _from_keyring(username) if password is None else password
        given = Credentials(origin(url), _clean(username, "username"), password)
    elif password is not None:
        raise UserError("password requires username")
    elif (found := _from_environment(url)) is not None:
        given = found
    else:
        _warn_unused_login(url)
        return None
    known = next((login for login, credentials in _vault.items() if credentials == given), None)
    login = known or Login(uuid.uuid4().hex, given.user)
    remember(login, given)
    return login


def _clean(text: str, name: str) -> str:
    """Strip a secret; raise UserError if it is empty or has control characters."""
    cleaned = text.strip() if isinstance(text, str) else ""
    if not cleaned or not cleaned.isprintable():
        raise UserError(
            f"{name} is empty or has control characters; omit it to make requests without a login"
        )
    return cleaned


def remember(login: Login, credentials: Credentials) -> None:
    """Keep secrets in the memory of this process."""
    _vault[login] = credentials


def forget(login: Login) -> None:
    """Remove secrets from the memory of this process."""
    _vault.pop(login, None)


def credentials_of(login: Login, url: str) -> Credentials:
    """Secrets of a login in this process, for the server at `url` only.

    A process that does not have them (a worker) uses those of its environment, if they are of the same user.
    Raises UserError if there are none, or if they are for another server.
    """
    found = _vault.get(login)
    if found is None:
        found = _from_environment(url)
        if found is None or found.user != login.user:
            raise UserError(
                f"this process does not have the login {login.user!r}; set {_USER} and {_PASSWORD}, "
                f"or {_TOKEN}, in its environment, and {URL_VARIABLE}={url}"
            )
    if found.origin != origin(url):
        raise UserError(f"the login {login.user!r} is for {found.origin}, and is not sent to {origin(url)}")
    return found


def secrets_of(login: Login, url: str) -> tuple[str, ...]:
    """Texts that no message may contain: the password, also as quoted in urls, and the access token."""
    credentials = credentials_of(login, url)
    secrets = [s for s in (credentials.password, credentials.access_token) if s]
    return tuple({form for s in secrets for form in (s, quote(s), quote_plus(s), quote(s, safe=""))})


def _from_environment(url: str) -> Credentials | None:
    """Secrets of the environment, if they are for the server at `url`."""
    token, username, password = (os.environ.get(name) for name in (_TOKEN, _USER, _PASSWORD))
    if not same_server(url, environment_url() or PUBLIC):
        return None
    if token:
        return Credentials(origin(url), access_token=_clean(token, _TOKEN))
    return Credentials(origin(url), username, password or _from_keyring(username)) if username else None


_warned: set[str] = set()  # the warnings that this process has issued


def _warn_once(words: str, above: int) -> None:
    """Issue a warning once; `above` is the number of functions between the caller and the user."""
    if words not in _warned:
        _warned.add(words)
        warnings.warn(words, stacklevel=2 + above)


def _warn_unused_login(url: str) -> None:
    if not (os.environ.get(_TOKEN) or os.environ.get(_USER)):
        return
    configured = environment_url()
    if configured is None:
        server = f"the public server, because {URL_VARIABLE} is not set"
    else:
        server = f"the server of {URL_VARIABLE}" if "@" in configured else f"{configured} ({URL_VARIABLE})"
    _warn_once(
        f"continuing without a login at {url}: the one in the environment is for {server}; if it is for this "
        f"server, set {URL_VARIABLE}={url}, or use username and password, or access_token",
        above=4,
    )


def _from_keyring(username: str) -> str:
    try:
        import keyring
    except ImportError:
        keyring = None
    password = keyring.get_password("nomad-dask", username) if keyring else None
    if password is None:
        raise UserError(
            f"no password for {username!r}: use password=, set {_USER} and {_PASSWORD}, "
            f"or store it with `keyring set nomad-dask {username}`"
        )
    return str(password)


def warn_plain_http(url: str) -> None:
    """Warn once if the login at `url` is sent unencrypted over a network."""
    name = unencrypted_host(url)
    if name is not None:
        _warn_once(
            f"the login is sent over plain http to {name} (allow_http); others on the network can read it",
            above=3,
        )


RequestToken = Callable[[str, dict[str, str]], Awaitable[Token]]
"""Requests a token: `POST` with a form, or `GET` with a query."""


class Tokens:
    """Access tokens of the process, requested when needed and replaced before they expire."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens: dict[tuple[str, Login], tuple[str, float]] = {}
        self._locks: dict[tuple[str, Login], asyncio.Lock] = {}

    async def get(self, url: str, login: Login, request: RequestToken) -> str:
        """Get a valid token, from memory or from the server at `url`."""
        credentials = credentials_of(login, url)
        if credentials.access_token is not None:
            return credentials.access_token
        async with self._locks.setdefault((url, login), asyncio.Lock()):
            token, until = self._tokens.get((url, login), ("", 0.0))
            if self._clock() >= until:
                found = await _request_token(credentials, request)
                token, lead = found.text, min(_RENEW_EARLY, found.seconds / 2)
                self._tokens[url, login] = token, self._clock() + found.seconds - lead
        return token

    def forget(self, url: str, login: Login, token: str) -> bool:
        """Drop a token that the server rejected; return True if a new one can be requested."""
        if self._tokens.get((url, login), ("", 0))[0] == token:
            self._tokens.pop((url, login), None)
        return credentials_of(login, url).access_token is None

    def forget_server(self, url: str) -> None:
        """Drop all tokens of the server at `url`."""
        for key in [key for key in self._tokens if key[0] == url]:
            del self._tokens[key]


async def _request_token(credentials: Credentials, request: RequestToken) -> Token:
    """Request a token: with a password grant, or the GET of older servers."""
    secrets = {"username": credentials.username or "", "password": credentials.password or ""}
    try:
        return await request("POST", {"grant_type": "password", **secrets})
    except RefusedError as error:
        if error.status not in (404, 405, 422):
            raise
        return await request("GET", secrets)
