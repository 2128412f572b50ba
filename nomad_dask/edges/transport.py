"""Owns HTTP: the only module that says `import aiohttp`.

One session, and one gate per server and limits, for the whole process, whatever the number of threads that ask
(see `loop`). What to do about a fault is decided in `pure.retry`; here it is done.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from ..pure.errors import A_PAGE, RefusedError, ServerError, unreachable
from ..pure.retry import (
    Broken,
    GiveUp,
    Halve,
    Outcome,
    Refused,
    Status,
    Wait,
    decide,
    limited,
    parse_retry_after,
    timed_out,
)
from ..pure.rows import Rows, undecoded
from ..pure.words import decoded, server_words
from .auth import Tokens, secrets_of
from .gate import Gate, Key
from .loop import process
from .quiet import collector_paused
from .server import Server


@dataclass(frozen=True, slots=True)
class Answer:
    """One decoded answer, and what it cost."""

    data: Any
    n_bytes: int
    """Of the body, uncompressed."""
    seconds: float
    """From sending to the last byte of the try that succeeded."""
    date: str = ""
    """When, by the server's clock (its header `Date`)."""
    rows: Rows | None = None
    """Of a large answer that was asked for packed; `data` has none then."""


TOKEN = "auth/token"
Check = Callable[[Any], bool]
"""Whether a decoded answer has the shape that was asked for."""


def _is_object(data: Any) -> bool:
    return isinstance(data, dict)


def _is_token(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("access_token"), str)


@dataclass
class Tally:
    """What a job has asked of the server so far; plain numbers, added up by the receipts."""

    requests: int = 0
    retries: int = 0
    n_bytes: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    levels: list[int] = field(default_factory=list)
    """How many requests the whole job had under way at the most when this one asked, each time that it changed."""

    def at_level(self, level: int) -> None:
        """A request leaves at this level."""
        if self.levels[-1:] != [level]:
            self.levels.append(level)


class Client:
    """Asks one server, with retries, and keeps the tally. Cheap: sessions and limits are the process's."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.tally = Tally()

    @property
    def in_flight(self) -> int:
        """Requests worth having under way: this process's part of the limits. For the loop's thread."""
        return _gate(self.server).share

    async def post(
        self,
        path: str,
        body: Any,
        expected: Check,
        *,
        entries: int = 1,
        known: bool = True,
        suspect: bool = False,
        packed: bool = False,
        data: bool = False,
    ) -> Answer:
        """The decoded 200 answer to `body`; retried as `pure.retry` decides.

        `expected`: says whether an answer has the right shape; another one is as good as cut off.
        `entries`: how many entries the body asks for by name (more than one may be halved by the caller).
        `known`: whether this server has ever answered; one that has not, and gives no such answer, is a wrong url.
        `suspect`: whether the entries are part of a batch that failed.
        `packed`: leave the rows of a large answer undecoded, in `Answer.rows`.
        `data`: whether the answer is what the job is for, and no list of names.

        Raises RefusedError (the question is wrong), UnreachableError (nothing there), ServerError (kept failing).
        """
        send = {"data": orjson.dumps(body), "headers": {"Content-Type": "application/json"}}
        return await self._logged_in(
            "POST",
            path,
            send,
            expected,
            entries=entries,
            known=known,
            suspect=suspect,
            packed=packed,
            data=data,
        )

    async def get(self, path: str) -> Answer:
        """The decoded 200 answer to a GET; otherwise like `post`."""
        return await self._logged_in("GET", path, {}, _is_object)

    async def _logged_in(
        self, method: str, path: str, send: dict[str, Any], expected: Check, **how: Any
    ) -> Answer:
        """One question, with the login's token where there is a login; a token that is not taken is replaced once."""
        login, tokens = self.server.login, _tokens()
        if login is None:
            return await self._asked(method, path, send, expected, **how)
        for last in (False, True):
            token = await tokens.get(self.server.url, login, self._ask_for_token)
            headers = send.get("headers", {}) | {"Authorization": f"Bearer {token}"}
            hide = (token, *secrets_of(login, self.server.url))
            try:
                return await self._asked(
                    method, path, send | {"headers": headers}, expected, hide=hide, **how
                )
            except RefusedError as error:
                if error.status != 401 or not tokens.forget(self.server.url, login, token) or last:
                    raise
        raise AssertionError("unreachable")

    async def _ask_for_token(self, method: str, fields: dict[str, str]) -> Any:
        send = {"data" if method == "POST" else "params": fields}
        hide = secrets_of(self.server.login, self.server.url) if self.server.login else ()
        return (await self._asked(method, TOKEN, send, _is_token, known=False, hide=hide)).data

    async def _asked(
        self,
        method: str,
        path: str,
        send: dict[str, Any],
        expected: Check,
        *,
        entries: int = 1,
        known: bool = True,
        suspect: bool = False,
        packed: bool = False,
        data: bool = False,
        hide: tuple[str, ...] = (),
    ) -> Answer:
        """One question with its retries. `hide`: secrets that it carries, which no error may repeat.

        Errors of such a question are chained to nothing: the library's own hold its headers and its url.
        """
        url = f"{self.server.url}/{path}"
        gate, policy = _gate(self.server), self.server.policy
        attempt = 0
        while True:
            attempt += 1
            async with gate.turn():
                self.tally.at_level(gate.level)
                result = await self._try(method, url, send, expected, packed)
            if isinstance(result, Answer):
                gate.served(result.n_bytes if data else 0)
                return result
            outcome, words, cause = result
            if isinstance(outcome, Status) and not limited(outcome):
                gate.served(0)
            if timed_out(outcome):
                gate.late()
            if hide:
                words, cause = _without(words, hide), None
            if path == TOKEN and outcome != Status(401):
                words = ""  # such an answer may hold anything of a login
            if not known and (
                outcome == Broken("refused") or (outcome == Broken("undecodable") and attempt > 1)
            ):
                raise unreachable(self.server.url, words) from cause
            match decide(outcome, attempt, policy, entries=entries, suspect=suspect, jitter=random.random()):
                case Wait(seconds, everyone):
                    self.tally.retries += 1
                    if everyone:
                        gate.refused(seconds)
                    await asyncio.sleep(seconds)
                case Refused():
                    raise RefusedError(
                        outcome.code if isinstance(outcome, Status) else 0, url, words
                    ) from cause
                case Halve() | GiveUp():
                    if outcome == Broken("refused"):
                        raise unreachable(self.server.url, words) from cause
                    code = outcome.code if isinstance(outcome, Status) else None
                    reason = f"{outcome}: {words}" if words else str(outcome)
                    raise ServerError(reason, url, status=code, attempts=attempt) from cause

    async def _try(
        self, method: str, url: str, send: dict[str, Any], expected: Check, packed: bool
    ) -> Answer | tuple[Outcome, str, Exception | None]:
        """One request: its answer, or what went wrong with the words to say so."""
        session = _session()
        self.tally.requests += 1
        began = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=self.server.limits.timeout, connect=30)
        try:
            # A redirect is never followed: it could carry a login, or a query, to another host.
            async with session.request(
                method, url, **send, allow_redirects=False, timeout=timeout
            ) as response:
                body = await response.read()
                self.tally.statuses[str(response.status)] += 1
                self.tally.n_bytes += len(body)
                if response.status != 200:
                    after = parse_retry_after(response.headers.get("Retry-After"), time.time())
                    moved = response.headers.get("Location")
                    place = moved.partition("?")[0] if moved else ""
                    words = f"moved to {place}; use that url" if moved else server_words(body)
                    return Status(response.status, after), words, None
                if body.lstrip()[:1] == b"<":
                    raise ValueError(f"{A_PAGE}, {server_words(body)!r}")
                with collector_paused():
                    data, rows = undecoded(body) if packed else (decoded(body), None)
                if not expected(data):
                    raise ValueError(f"an answer of another shape: {server_words(body)}")
                took = time.monotonic() - began
                return Answer(data, len(body), took, response.headers.get("Date", ""), rows)
        except Exception as error:
            outcome = _outcome(error)
            self.tally.statuses[outcome.kind] += 1
            return outcome, str(error) if outcome.kind in ("refused", "undecodable") else "", error


def _outcome(error: Exception) -> Broken:
    """What a failed request's exception says happened; exceptions that are none of the network's go on."""
    match error:
        case TimeoutError():
            return Broken("timeout")
        case aiohttp.InvalidURL():
            return Broken("refused")
        case ValueError():  # of the decoder, or of a check
            return Broken("undecodable")
        case aiohttp.ClientConnectorError():
            return Broken("refused")
        case aiohttp.ClientPayloadError():
            return Broken("truncated")
        case aiohttp.ClientError() | OSError():
            return Broken("reset")
    raise error


def _without(words: str, secrets: tuple[str, ...]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        words = words.replace(secret, "***")
    return words


def _session() -> aiohttp.ClientSession:
    return process().kept("session", _new_session)


def _new_session() -> aiohttp.ClientSession:
    # Kept to gzip: it is what NOMAD's proxies offer, and needs no further package.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
        headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _gate(server: Server) -> Gate:
    key = Key(urlsplit(server.url).netloc, server.limits)
    return process().kept(("gate", key), lambda: Gate(key))


def _tokens() -> Tokens:
    return process().kept("tokens", Tokens)
