"""The server: its url, limits, retry policy and login."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from types import NoneType
from typing import Any
from urllib.parse import urlsplit

from nomad_dask.client.retry import Policy
from nomad_dask.errors import UserError
from nomad_dask.limits import Limits
from nomad_dask.text import one_line, shown

PUBLIC = "https://nomad-lab.eu/prod/v1/api/v1"  # the public NOMAD server
URL_VARIABLE, ALLOW_HTTP = "NOMAD_CLIENT_URL", "NOMAD_DASK_ALLOW_HTTP"
MAX_ANSWER_BYTES = 1_000_000_000
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"[\w.-]+|\[?[0-9a-fA-F.]*:[0-9a-fA-F.:]*:[0-9a-fA-F.:]*\]?")


@dataclass(frozen=True, slots=True)
class Login:
    """A reference to a login, without secrets (see `client.auth`)."""

    name: str  # identifies the secrets of one process for one server
    user: str = ""
    """The username, or that it is a token: another process with this login in its environment may use it."""

    def __repr__(self) -> str:
        return f"<login {self.user} ***>"

    def __dask_tokenize__(self) -> tuple[str, str]:
        """The same user has the same keys in every process."""
        return "login", self.user


@dataclass(frozen=True, slots=True)
class Server:
    """A server and the settings of its client. Immutable and picklable; has no session."""

    url: str
    limits: Limits = Limits()
    policy: Policy = Policy()
    login: Login | None = None
    max_answer_bytes: int = MAX_ANSWER_BYTES
    """Maximum size of an uncompressed answer; also limited to an eighth of the memory of the process."""
    allow_http: tuple[str, ...] = ()  # hosts to which the login may be sent over plain http

    def __post_init__(self) -> None:
        _check_url(self.url)
        if self.login is not None:
            _check_safe(self.url, self.allow_http)
        object.__setattr__(self, "url", _api_base(self.url))


def default_url() -> str | None:
    """Return the API base of `NOMAD_CLIENT_URL`, or None. Raises UserError if it is invalid."""
    url = environment_url()
    try:
        return url and Server(url).url
    except UserError as error:
        raise UserError(f"{URL_VARIABLE}: {error}") from error


def environment_url() -> str | None:
    """Url of the server in the environment, with or without a login."""
    return os.environ.get(URL_VARIABLE, "").strip() or None


def _check_url(url: Any) -> None:
    """Raise UserError, with advice, for a url that is not the base of an API."""
    if not isinstance(url, str):
        raise UserError(f"url must be a string, not {type(url).__name__}")
    if "@" in url:
        raise UserError("the url must not contain a login; use username and password, or access_token")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UserError(f"invalid url: {url!r}: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        given = one_line(url, max_length=200)
        if "://" in url:
            raise UserError(f"invalid url: '{given}'; expected one like https://host/prefix/api/v1")
        rest = re.sub(r"^(https?:)?/*", "", given)
        raise UserError(f"the url has no scheme: '{given}'; use https://{rest} or http://{rest}")
    if gui := re.search(r"/gui(/|$)", parts.path):
        base = url[: url.index(gui[0])]
        raise UserError(f"{url} is the web interface; the API base is {base}/api/v1")
    if behind := re.search(r"(?<=/)api/v\d+(?=/+[^/])", parts.path):
        base = url[: url.index(f"/{behind[0]}/")]
        raise UserError(f"{url} is an endpoint of the API; use the API base {base}/{behind[0]}")
    if parts.query:
        raise UserError(f"the url must not contain a query: {url!r}")


def _check_safe(url: str, allowed: Sequence[str]) -> None:
    """Raise UserError if a login would be sent unencrypted over a network, except to the `allowed` hosts."""
    name = unencrypted_host(url)
    if name is not None and name not in map(_host, allowed):
        raise UserError(
            f"a login is not sent over plain http to {name}; use https, or no login; "
            f"if you trust the network, allow plain http for this host: "
            f"allow_http={name!r}, --allow-http {name}, or {ALLOW_HTTP}={name}"
        )


def unencrypted_host(url: str) -> str | None:
    """Host of `url` if requests to it are unencrypted and leave this machine, else None."""
    parts = urlsplit(url)
    name = _host(parts.hostname or "")
    return None if parts.scheme == "https" or name in _LOOPBACK else name


def plain_http_hosts(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Hosts to which a login may be sent over plain http: the given ones, and those of the environment."""
    more = os.environ.get(ALLOW_HTTP, "").replace(",", " ").split()
    return (*_hosts("allow_http", given), *_hosts(ALLOW_HTTP, more))


def _hosts(name: str, value: Any) -> tuple[str, ...]:
    """One or several hosts as a tuple. Raises UserError for one with a scheme, port or path."""
    given = value or () if isinstance(value, list | tuple | set | frozenset | NoneType) else [value]
    for one in given:
        if not isinstance(one, str) or not _HOST.fullmatch(one.strip()):
            got = "" if "@" in str(one) else f" (got {shown(one)})"  # no passwords in messages
            raise UserError(f"{name} must be hosts such as '172.17.0.1', without scheme, port and path{got}")
    return tuple(map(_host, given))


def _host(name: str) -> str:
    name = name.strip().removeprefix("[").removesuffix("]").lower()
    try:
        return str(ip_address(name))
    except ValueError:
        return name


def _api_base(url: str) -> str:
    """The API base of a url: `/api/v1` is added if it is missing."""
    url = url.strip().rstrip("/")
    return url if re.search(r"/api/v\d+$", url) else f"{url.removesuffix('/api')}/api/v1"


def origin(url: str) -> str:
    """Scheme, host and port of a url, normalized and without the default port: `https://nomad-lab.eu`."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # an invalid url equals only itself
        return url
    name = _host(parts.hostname or "")
    netloc = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{netloc}" + ("" if port in (None, _PORTS.get(parts.scheme)) else f":{port}")


def same_server(one: str, other: str) -> bool:
    """True if two urls have the same scheme, host, port and API path.

    The path is compared because servers of different operators may share a host.
    """
    return (origin(one), _path(one)) == (origin(other), _path(other))


def _path(url: str) -> str:
    try:
        return urlsplit(_api_base(url)).path
    except ValueError:
        return ""
