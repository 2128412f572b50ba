"""HTTP requests with retries; the only module that imports aiohttp.

The process has one session, and one limiter per server and limits, for all threads (see `client.event_loop`).
`client.retry` decides about retries.
"""

from __future__ import annotations

import asyncio
import codecs
import io
import logging
import random
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from nomad_dask._core import native
from nomad_dask.client.answers import (
    Answer,
    AnswerError,
    Parse,
    RowMode,
    Take,
    Token,
    error_words,
    json_object,
    read_answer,
    retry_after,
    token,
)
from nomad_dask.client.auth import Tokens, secrets_of
from nomad_dask.client.event_loop import process
from nomad_dask.client.retry import (
    TOO_LARGE,
    BrokenAnswer,
    GiveUp,
    Halve,
    Outcome,
    Refusal,
    StatusAnswer,
    Wait,
    decide,
    limited,
    reason,
    specificity,
    timed_out,
)
from nomad_dask.client.server import Login, Server
from nomad_dask.common.memory import collector_paused, memory_limit
from nomad_dask.errors import A_PAGE, AnswerTooLargeError, RefusedError, ServerError, unreachable
from nomad_dask.limits.limiter import Limiter, LimiterKey
from nomad_dask.text import one_line
from nomad_dask.text.humanize import size

logger = logging.getLogger("nomad_dask")
_CHECK: Take | None = native.rows if native is not None else None
"""Reads rows without decoding them, where there is a compiled core."""


TOKEN = "auth/token"
SMALL_ANSWER = 100_000_000  # maximum bytes of a listing; one of 10,000 ids has less than 1 MB
_MAX_ERROR_BYTES = 2**16  # bytes that are read of an error answer
_MEMORY_FRACTION = 8  # an answer may have 1/8 of the memory: decoded it is four to six times as large


@dataclass
class RequestStats:
    """Numbers of requests of a job so far; stored in receipts."""

    requests: int = 0
    retries: int = 0
    n_bytes: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    levels: list[int] = field(
        default_factory=list
    )  # limit of requests in flight of the job, each time it changed

    def at_level(self, level: int) -> None:
        """Record the limit at which a request is sent."""
        if self.levels[-1:] != [level]:
            self.levels.append(level)


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Options of one request."""

    entries: int = 1  # number of entries requested by id; the caller can halve more than one
    suspect: bool = False  # True if the entries are part of a failed batch
    known: bool = True  # False if the server never answered: a failed connection is an UnreachableError
    data: bool = False  # True for archives and documents, whose rows are decoded separately
    packed: bool = False  # leave the rows of a large answer undecoded, in `Answer.rows`
    turn: asyncio.Event | None = None  # a large answer before this event is discarded and requested again
    quote_errors: bool = True  # False if error answers may contain secrets

    @property
    def row_mode(self) -> RowMode:
        """How to decode the rows."""
        return "packed" if self.packed else "separate" if self.data else "together"


DEFAULT_OPTIONS = RequestOptions()


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    arguments: dict[str, Any] = field(repr=False)  # further arguments of aiohttp
    parse: Parse
    options: RequestOptions
    secrets: tuple[str, ...] = field(default=(), repr=False)  # texts that no error may contain


@dataclass(frozen=True, slots=True)
class _Fault:
    outcome: Outcome
    message: str
    cause: Exception | None = None

    @property
    def status(self) -> int | None:
        return self.outcome.code if isinstance(self.outcome, StatusAnswer) else None

    def without(self, request: _Request) -> _Fault:
        """Remove the secrets of a request."""
        message = self.message
        for secret in sorted(request.secrets, key=len, reverse=True):
            message = message.replace(secret, "***")
        if not request.options.quote_errors and self.outcome not in _SAFE_TO_QUOTE:
            message = ""
        return _Fault(self.outcome, message, None if request.secrets else self.cause)


_REFUSED, _UNDECODABLE = BrokenAnswer("refused"), BrokenAnswer("undecodable")
_SAFE_TO_QUOTE = (StatusAnswer(401), BrokenAnswer("malformed"))
"""Faults whose message has no secrets, also of a token request."""


class Client:
    """Client of one server, with retries and statistics.

    Cheap to create: sessions and limiters belong to the process.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.stats = RequestStats()

    @property
    def in_flight(self) -> int:
        """This process's share of `max_concurrency`. Use on the loop's thread."""
        return _limiter(self.server).share

    async def post(
        self, path: str, body: Any, parse: Parse, options: RequestOptions = DEFAULT_OPTIONS
    ) -> Answer:
        """POST `body` and return the parsed 200 answer, with retries as `client.retry` decides.

        An AnswerError of `parse` is retried like a truncated answer. Raises RefusedError for an invalid
        request, UnreachableError if no server answers at the url, AnswerTooLargeError, or ServerError if all
        tries fail.
        """
        arguments = {"data": orjson.dumps(body), "headers": {"Content-Type": "application/json"}}
        request = _Request("POST", f"{self.server.url}/{path}", arguments, parse, options)
        return await self._send(request, self.server.login)

    async def get(self, path: str) -> Answer:
        """GET a JSON object; otherwise like `post`."""
        request = _Request("GET", f"{self.server.url}/{path}", {}, json_object, DEFAULT_OPTIONS)
        return await self._send(request, self.server.login)

    async def _send(self, request: _Request, login: Login | None) -> Answer:
        """Send a request until it succeeds or is given up."""
        unauthorized, renewed = request, False
        if login is not None:
            request = await self._authorize(unauthorized, login)
        limiter, options, path = _limiter(self.server), request.options, urlsplit(request.url).path
        attempt, worst = 0, None
        while True:
            attempt += 1
            async with limiter.turn():
                self.stats.at_level(limiter.level)
                result = await self._try(request)
            if result is None:
                assert options.turn is not None
                await options.turn.wait()
                attempt -= 1
                continue
            if isinstance(result, Answer):
                limiter.served(result.n_bytes if options.data else 0)
                return result
            fault = result.without(request)
            if fault.status is not None and not limited(fault.outcome):
                limiter.served(0)
            if timed_out(fault.outcome):
                limiter.timed_out()
            worst = max(fault, worst or fault, key=lambda one: specificity(one.outcome, one.message))
            unanswered = fault.outcome == _REFUSED or (fault.outcome == _UNDECODABLE and attempt > 1)
            if unanswered and not options.known:
                raise unreachable(self.server.url, fault.message) from fault.cause
            suspect, policy = options.suspect, self.server.policy
            entries, jitter = options.entries, random.random()
            match decide(fault.outcome, attempt, policy, entries=entries, suspect=suspect, jitter=jitter):
                case Wait(seconds, everyone):
                    self.stats.retries += 1
                    logger.info("%s: %s; retry %d in %.1f s", path, fault.message, attempt, seconds)
                    if everyone:
                        limiter.refused(seconds)
                    await asyncio.sleep(seconds)
                case Refusal():
                    if login is not None and fault.status == 401:
                        can_renew = _tokens().forget(self.server.url, login, request.secrets[0])
                        if can_renew and not renewed:
                            request, renewed = await self._authorize(unauthorized, login), True
                            attempt, worst = 0, None
                            continue
                    logger.info("%s: refused: %s", path, fault.message)
                    raise RefusedError(fault.status or 0, request.url, fault.message) from fault.cause
                case Halve() | GiveUp():
                    logger.info("%s: %s; given up after %d tries", path, fault.message, attempt)
                    if fault.outcome == _REFUSED:
                        raise unreachable(self.server.url, fault.message) from fault.cause
                    if fault.outcome == TOO_LARGE:
                        bound = fault.message
                        raise AnswerTooLargeError(bound, request.url, attempts=attempt) from fault.cause
                    why, status = reason(worst.outcome, worst.message), worst.status
                    raise ServerError(why, request.url, status=status, attempts=attempt) from worst.cause

    async def _authorize(self, request: _Request, login: Login) -> _Request:
        """Add an access token, which is the first of the request's secrets."""
        access_token = await _tokens().get(self.server.url, login, self._request_token)
        headers = request.arguments.get("headers", {}) | {"Authorization": f"Bearer {access_token}"}
        return replace(
            request,
            arguments=request.arguments | {"headers": headers},
            secrets=(access_token, *secrets_of(login, self.server.url)),
        )

    async def _request_token(self, method: str, fields: dict[str, str]) -> Token:
        """Request an access token. Error messages do not quote the answer, which may contain secrets."""
        arguments = {"data" if method == "POST" else "params": fields}
        secrets = secrets_of(self.server.login, self.server.url) if self.server.login else ()
        options = RequestOptions(known=False, quote_errors=False)
        request = _Request(method, f"{self.server.url}/{TOKEN}", arguments, token, options, secrets)
        answer: Token = (await self._send(request, None)).data
        return answer

    async def _try(self, request: _Request) -> Answer | _Fault | None:
        """Send a request once; None if the answer is large and must wait for its turn."""
        options = request.options
        limit = min(self.server.max_answer_bytes, memory_limit() // _MEMORY_FRACTION)
        limit = limit if options.data else min(limit, SMALL_ANSWER)
        self.stats.requests += 1
        began = time.monotonic()
        try:
            # Redirects are not followed: they could send the login, or the query, to another host.
            async with (
                _session().request(
                    request.method,
                    request.url,
                    **request.arguments,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=self.server.limits.timeout, connect=30),
                ) as response,
                AsyncExitStack() as large,
            ):
                chunks = response.content.iter_any()
                encoding = response.headers.get("Content-Encoding", "")
                if response.status == 200:
                    body = await read_body(
                        chunks, encoding, limit, before_large=lambda: _begin_large(options.turn, large)
                    )
                else:
                    body = await read_beginning(chunks, encoding, _MAX_ERROR_BYTES)
                self.stats.statuses[str(response.status)] += 1
                self.stats.n_bytes += len(body)
                if response.status != 200:
                    after = retry_after(response.headers.get("Retry-After"), time.time())
                    moved = response.headers.get("Location")
                    place = one_line(moved.partition("?")[0], max_length=200) if moved else ""
                    message = f"moved to {place}; use that url" if moved else error_words(body)
                    return _Fault(StatusAnswer(response.status, after), message)
                if body[:100].lstrip()[:1] == b"<":
                    raise ValueError(f"{A_PAGE}, {error_words(body[:_MAX_ERROR_BYTES])!r}")
                body = body.removeprefix(codecs.BOM_UTF8)
                with collector_paused():
                    answer = read_answer(body, options.row_mode, check=_CHECK)
                answer.data = request.parse(answer.data)
                if answer.damaged and options.entries == 1:
                    raise ValueError("an entry is invalid JSON")
                answer.n_bytes, answer.seconds = len(body), time.monotonic() - began
                answer.date = response.headers.get("Date", "")
                return answer
        except _NotYetError:
            return None
        except TooLargeError as error:
            self.stats.statuses[TOO_LARGE.kind] += 1
            self.stats.n_bytes += error.n_bytes
            return _Fault(TOO_LARGE, self._bound(limit))
        except Exception as error:
            kind = next((kind for kinds, kind in _FAULTS if isinstance(error, kinds)), None)
            if kind is None:
                raise
            self.stats.statuses[kind] += 1
            has_message = kind in ("refused", "undecodable", "malformed")
            # aiohttp says `ssl:default` of plain http too.
            message = str(error).replace(" ssl:default", "") if has_message else ""
            if isinstance(error, aiohttp.ClientResponseError):
                message = f"invalid HTTP ({error.message})"
            return _Fault(BrokenAnswer(kind), one_line(message, max_length=400), error)

    def _bound(self, limit: int) -> str:
        if limit == self.server.max_answer_bytes:
            return f"{size(limit)} (max_answer_bytes)"
        if limit == SMALL_ANSWER:
            return f"{size(limit)}, the maximum size of a listing"
        return f"{size(limit)}, an eighth of the memory of this process"


class _NotYetError(Exception):
    """A large answer before its turn."""


async def _begin_large(turn: asyncio.Event | None, held: AsyncExitStack) -> None:
    """Take the lock for large answers, one per process, until the answer is decoded.

    Of the answers of one download only the next one for the consumer continues (its `turn`); the others would
    wait in memory. They are aborted, because waiting here would use up a concurrent request.
    """
    if turn is not None and not turn.is_set():
        raise _NotYetError
    await held.enter_async_context(process().get_or_create("large answer", asyncio.Lock))


def _session() -> aiohttp.ClientSession:
    # Only gzip: NOMAD's proxies support it, and it needs no other package.
    return process().get_or_create(
        "session",
        lambda: aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        ),
    )


def _limiter(server: Server) -> Limiter:
    key = LimiterKey(urlsplit(server.url).netloc, server.limits)
    return process().get_or_create(("limiter", key), lambda: Limiter(key))


def _tokens() -> Tokens:
    return process().get_or_create("tokens", Tokens)


def forget(server: Server) -> None:
    """Drop the tokens and rates of a server when another one answers at its url.

    Call on the loop's thread only.
    """
    _tokens().forget_server(server.url)
    for limiter in process().all(Limiter):
        if limiter.key.host == urlsplit(server.url).netloc:
            limiter.restart()


LARGE = 64_000_000  # size in bytes above which `read` awaits `before_large`
BEGINNING = 4_000_000
"""Bytes in which the JSON object must begin; some proxies send blanks while the server works."""
_PIECE = 2**18  # maximum bytes per decompression call
_YIELD_AFTER = 2**24  # bytes after which other tasks of the event loop run


class TooLargeError(Exception):
    """A body is larger than its limit; `n_bytes` of it were read."""

    def __init__(self, n_bytes: int) -> None:
        super().__init__(n_bytes)
        self.n_bytes = n_bytes


class CutOffError(Exception):
    """A compressed body is truncated."""


async def read_body(
    chunks: AsyncIterable[bytes],
    encoding: str,
    limit: int,
    *,
    before_large: Callable[[], Awaitable[None]] | None = None,
) -> bytes:
    """Read and decompress a body. `before_large` is awaited once, when it grows beyond `LARGE`.

    Raises TooLargeError above `limit` bytes, CutOffError, and ValueError for an unknown or invalid encoding,
    or for a large body that does not begin like a JSON object: reading it up to the limit would take seconds.
    """
    buffer = io.BytesIO()  # grows in place and returns its bytes without a copy
    checked = False
    async for piece in inflated(chunks, encoding):
        if buffer.tell() + len(piece) > limit:
            raise TooLargeError(buffer.tell() + len(piece))
        buffer.write(piece)
        if not checked and buffer.tell() > BEGINNING:
            checked = True
            if buffer.getvalue().removeprefix(codecs.BOM_UTF8).lstrip()[:1] != b"{":
                raise ValueError(f"no JSON object begins in its first {size(BEGINNING)}")
        if before_large is not None and buffer.tell() > LARGE:
            await before_large()
            before_large = None
    return buffer.getvalue()


async def read_beginning(chunks: AsyncIterable[bytes], encoding: str, limit: int) -> bytes:
    """Read the first `limit` bytes of a body, decompressed as far as possible."""
    buffer = b""
    with suppress(CutOffError, ValueError):
        async for piece in inflated(chunks, encoding):
            buffer += piece[: limit - len(buffer)]
            if len(buffer) == limit:
                break
    return buffer


async def inflated(chunks: AsyncIterable[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Decompress a body in pieces of at most `_PIECE` bytes; uncompressed chunks are passed on unchanged."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        async for chunk in chunks:
            yield chunk
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"its encoding is {encoding[:40]!r}; only gzip was requested")
    unpack, since_pause = None, 0
    async for chunk in chunks:
        rest, more = chunk, bool(chunk)
        while more:
            if unpack is None or unpack.eof:
                unpack = zlib.decompressobj(_window(encoding, rest))
            try:
                piece = unpack.decompress(rest, _PIECE)
            except zlib.error as error:
                raise ValueError(f"its {encoding} encoding is invalid ({error})") from error
            if piece:
                yield piece
            rest = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
            more = bool(rest) or (len(piece) == _PIECE and not unpack.eof)
            since_pause += len(piece)
            if since_pause > _YIELD_AFTER:
                since_pause = 0
                await asyncio.sleep(0)
    if unpack is not None and not unpack.eof:
        raise CutOffError


def _window(encoding: str, begin: bytes) -> int:
    """`wbits` argument of zlib; some servers send `deflate` without the two-byte header."""
    if encoding != "deflate":
        return 16 + zlib.MAX_WBITS
    return zlib.MAX_WBITS if begin[0] & 0x0F == 8 else -zlib.MAX_WBITS


_FAULTS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (TimeoutError, "timeout"),
    (CutOffError, "truncated"),
    (aiohttp.InvalidURL, "refused"),
    ((AnswerError, aiohttp.ClientResponseError), "malformed"),
    (ValueError, "undecodable"),  # from the decoder
    (aiohttp.ClientConnectorError, "refused"),
    (aiohttp.ClientPayloadError, "truncated"),
    ((aiohttp.ClientError, OSError), "reset"),
)
"""Kinds of faults (`retry.BrokenAnswer`) by exception; the first that fits counts."""
