"""Owns which server is asked: its url, made the api's base, and how it is to be treated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..pure.errors import UserError
from ..pure.limits import Limits
from ..pure.retry import Policy
from .auth import Login, check_safe


@dataclass(frozen=True, slots=True)
class Server:
    """Which server, and how to treat it. A value: it pickles, and holds no session."""

    url: str
    limits: Limits = Limits()
    policy: Policy = Policy()
    login: Login | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.url, str):
            raise UserError(f"url must be a text, not {type(self.url).__name__}")
        if "@" in self.url:
            raise UserError("the url may hold no login; give username and password, or a token, apart")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            meant = f"https://{self.url}" if "://" not in self.url else "https://host/prefix/api/v1"
            raise UserError(f"no url of a server: {self.url!r}; expected one like {meant}")
        if gui := re.search(r"/gui(/|$)", parts.path):
            raise UserError(
                f"{self.url} is the pages for people; the api is at {self.url[: self.url.index(gui[0])]}/api/v1"
            )
        if behind := re.search(r"(?<=/)api/v\d+(?=/+[^/])", parts.path):
            base = self.url[: self.url.index(f"/{behind[0]}/")]
            raise UserError(f"{self.url} is a place in the api; give its base: {base}/{behind[0]}")
        if parts.query:
            raise UserError(f"the url may hold no query: {self.url!r}")
        if self.login is not None:
            check_safe(self.url)
        object.__setattr__(self, "url", _base(self.url.rstrip("/")))


def _base(url: str) -> str:
    """The api's base: `/api/v1` is added where a host, or a path before it, is all that was given."""
    if re.search(r"/api/v\d+$", url):
        return url
    return f"{url.removesuffix('/api')}/api/v1"
