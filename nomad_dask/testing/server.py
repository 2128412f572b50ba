"""The HTTP server of the embedded archive: routes, logins, request log, compression and faults."""

import asyncio
import json
import re
import socket
import struct
import time
import traceback
import zlib
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from nomad_dask.testing.answers import Answers
from nomad_dask.testing.corpus import Corpus, Json
from nomad_dask.testing.faults import (
    Change,
    Delay,
    FaultRequest,
    Faults,
    Garble,
    Reset,
    Rewrite,
    Say,
    Stall,
    Status,
    Truncate,
)
from nomad_dask.testing.log import Log, LoggedRequest
from nomad_dask.testing.refused import Refused, invalid, unexpected
from nomad_dask.testing.users import Users

PREFIX = "/api/v1/"
SCHEMA = "schemas/nomad.datamodel.datamodel.EntryArchive"
MAX_BODY = 64 * 1024 * 1024
_ONE = re.compile(r"entries/(?P<entry>[^/]+)/archive|uploads/(?P<upload>[^/]+)/archive/(?P<of_upload>[^/]+)")
"""The paths of the whole archive of one entry."""


@dataclass(slots=True)
class _Reply:
    """An answer before it is sent."""

    status: int
    body: bytes
    content_type: str = "application/json"
    retry_after: float | None = None


class EmbeddedServer:
    """An embedded archive, with its request log, fault script and users.

    `app()` is the aiohttp application.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        faults: Faults | None = None,
        gzip: bool = False,
        version: str = "2.0",
        token_seconds: float = 3600,
        keep_log: int | None = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.users = Users(corpus.users, token_seconds=token_seconds)
        self.log = Log(keep_log)
        self.faults: Faults | None = faults
        self._corpus = corpus
        self._answers = Answers(corpus, version=version)
        self._old = version.startswith("1.")
        self._version = version
        self._gzip = gzip
        self._clock = clock
        self._n = 0
        self._slots: dict[int, asyncio.Semaphore] = {}

    def app(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._n += 1
        n, faults = self._n, self.faults
        path = request.path.removeprefix(PREFIX)
        data = await request.read()  # before `faults.plan`, whose rules may match the body
        body = _as_json(data)
        action: Any = faults.plan(FaultRequest(n, path, body)) if faults else None
        if faults and faults.latency:
            async with self._slot(faults.slots):
                await asyncio.sleep(faults.latency)
        if isinstance(action, Delay):
            await asyncio.sleep(action.seconds)
        user: str | None = None
        if faults and not faults.admit(self._clock()):
            action, reply = "limit", _html(503)
        elif isinstance(action, Status):
            reply = _failed(action)
        elif isinstance(action, Reset):
            reply = _Reply(0, b"")
        elif isinstance(action, Say):
            reply = _Reply(action.status, action.body if isinstance(action.body, bytes) else b"")
        else:
            user, reply = self._answer(request, path, data, body, getattr(action, "edit", None))
            if isinstance(action, Garble):
                hole = int(len(reply.body) * action.share)
                reply.body = reply.body[:hole] + bytes(16) + reply.body[hole + 16 :]
            elif isinstance(action, Change):
                reply.body = _text(action.change(orjson.loads(reply.body)))
            elif isinstance(action, Rewrite):
                reply.body = action.change(reply.body)
        headers = await self._pack(request, reply)
        if isinstance(action, Say):
            headers = {"Content-Type": reply.content_type, **action.headers}
        sent = _share(reply.body, action)
        # Logged before it is sent, so that a client that has the answer finds it in the log.
        self.log.add(
            LoggedRequest(
                n,
                request.method,
                path,
                _logged_body(path, data, body),
                user,
                reply.status,
                sent,
                action,
                "Authorization" in request.headers,
            )
        )
        return await self._send(request, reply, headers, sent, action)

    def _slot(self, slots: int | None) -> AbstractAsyncContextManager[Any]:
        """Return a context manager that waits for one of the server's slots."""
        if slots is None:
            return nullcontext()
        return self._slots.setdefault(slots, asyncio.Semaphore(slots))

    def _answer(
        self, request: web.Request, path: str, data: bytes, body: Any, edit: Callable[[Json], Json] | None
    ) -> tuple[str | None, _Reply]:
        user = None
        try:
            if not request.path.startswith(PREFIX):
                raise Refused(404, "Not Found")
            user = self.users.who(request.headers.get("Authorization"))
            self._answers.refresh()
            answer = self._route(request, path, data, body, user)
        except Refused as refused:
            return user, _Reply(refused.status, orjson.dumps({"detail": refused.detail}))
        except Exception as exc:
            detail = unexpected(type(exc).__name__, str(exc), traceback.format_exc()).detail
            return user, _Reply(500, orjson.dumps({"detail": detail}))
        if isinstance(answer, bytes):
            return user, _Reply(200, answer)
        page = isinstance(answer.get("data"), list)
        return user, _Reply(200, orjson.dumps(edit(_plain(answer)) if edit and page else answer))

    def _route(
        self, request: web.Request, path: str, data: bytes, body: Any, user: str | None
    ) -> Json | bytes:
        method = request.method
        if path in ("entries/query", "entries/archive/query"):
            _only(method, "POST")
            if body is None:
                _explain(data)
            if path == "entries/query":
                return self._answers.entries(body, user)
            faults = self.faults or _NO_FAULTS
            return self._answers.archives(body, user, faults.missing, faults.poison)
        if one := _ONE.fullmatch(path):
            _only(method, "GET")
            faults = self.faults or _NO_FAULTS
            entry_id = one["entry"] or one["of_upload"]
            return self._answers.archive(entry_id, one["upload"], user, faults.missing, faults.poison)
        if path == "auth/token":
            _only(method, "POST", "GET" if self._old else "POST")
            return self._token(request, data, body)
        if path == "info":
            _only(method, "GET")
            return _info(self._corpus.info, self._version)
        if path == SCHEMA and not self._old and self._corpus.schema_json is not None:
            _only(method, "GET")
            return self._corpus.schema_json
        raise Refused(404, "Not Found")

    def _token(self, request: web.Request, data: bytes, body: Any) -> Json:
        given = dict(request.query) if request.method == "GET" else body
        if not isinstance(given, dict):
            given = dict(_form(data))
        needed = ("username", "password") if self._old else ("grant_type", "username", "password")
        where = "query" if request.method == "GET" else "body"
        absent = [
            {"type": "missing", "loc": [where, name], "msg": "Field required", "input": None}
            for name in needed
            if not given.get(name)
        ]
        if absent:
            raise Refused(422, absent)
        if not self._old and given["grant_type"] != "password":
            message, context = "String should match pattern '^password$'", {"pattern": "^password$"}
            raise invalid(
                "string_pattern_mismatch", ["body", "grant_type"], message, given["grant_type"], ctx=context
            )
        return self.users.login(given["username"], given["password"])

    async def _pack(self, request: web.Request, reply: _Reply) -> dict[str, str]:
        """Return the headers of the reply, and compress its body if the client accepts it."""
        headers = {"Content-Type": reply.content_type}
        if reply.retry_after is not None:
            headers["Retry-After"] = f"{reply.retry_after:g}"
        if self._gzip and "gzip" in request.headers.get("Accept-Encoding", "") and len(reply.body) > 20:
            # zlib releases the GIL, so the event loop is not blocked
            reply.body = await asyncio.get_running_loop().run_in_executor(None, _gzip, reply.body)
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return headers

    async def _send(
        self, request: web.Request, reply: _Reply, headers: dict[str, str], sent: int, action: Any
    ) -> web.StreamResponse:
        """Send the reply, disturbed by the fault if there is one."""
        if isinstance(action, Reset):
            _abort(request)
            return web.Response()
        if isinstance(action, Say) and not isinstance(action.body, bytes):
            return await _send_pieces(request, reply, headers, action.body())
        if not isinstance(action, (Truncate, Stall)):
            return web.Response(status=reply.status, body=reply.body, headers=headers)
        length = {"Content-Length": str(len(reply.body))}
        response = web.StreamResponse(status=reply.status, headers=headers | length)
        await response.prepare(request)
        if isinstance(action, Stall):
            half = len(reply.body) // 2
            await response.write(reply.body[:half])
            await asyncio.sleep(action.seconds)
            await response.write(reply.body[half:])
            return response
        await response.write(reply.body[:sent])
        if request.transport is not None:
            request.transport.close()
        return response


async def _send_pieces(
    request: web.Request, reply: _Reply, headers: dict[str, str], pieces: Iterable[bytes]
) -> web.StreamResponse:
    """Send pieces until there are no more or the client closes the connection."""
    response = web.StreamResponse(status=reply.status, headers=headers)
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    return response


_NO_FAULTS = Faults()


def _logged_body(path: str, data: bytes, body: Any) -> Any:
    """Return the body for the log; None for a login."""
    if path.startswith("auth/"):
        return None
    return data.decode("utf-8", "replace") if body is None and data else body


def _share(body: bytes, action: Any) -> int:
    """Return the number of bytes of a body to send."""
    return int(len(body) * action.share) if isinstance(action, Truncate) else len(body)


def _text(answer: Any) -> bytes:
    """Return any value as JSON, including integers beyond 64 bits."""
    try:
        return orjson.dumps(answer)
    except orjson.JSONEncodeError:
        return json.dumps(answer, ensure_ascii=False).encode()


def _plain(answer: Json) -> Json:
    """Return the answer with rows that can be edited."""
    rows = [
        orjson.loads(orjson.dumps(row)) if isinstance(row, orjson.Fragment) else row for row in answer["data"]
    ]
    return {**answer, "data": rows}


def _abort(request: web.Request) -> None:
    """Close the connection with a reset."""
    if request.transport is not None:
        now = struct.pack("ii", 1, 0)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        request.transport.abort()


def _only(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise Refused(405, "Method Not Allowed")


def _as_json(data: bytes) -> Any:
    try:
        return orjson.loads(data) if data else None
    except orjson.JSONDecodeError:
        return None


def _explain(data: bytes) -> None:
    """Raise the 422 for a body that is not JSON, with the message of Python's `json`."""
    if not data:
        raise invalid("missing", ["body"], "Field required", None)
    try:
        json.loads(data)
    except json.JSONDecodeError as exc:
        context = {"error": exc.msg}
        raise invalid("json_invalid", ["body", exc.pos], "JSON decode error", {}, ctx=context) from None
    except UnicodeDecodeError:
        raise Refused(400, "There was an error parsing the body") from None


def _form(data: bytes) -> list[tuple[str, str]]:
    return parse_qsl(data.decode("utf-8", "replace"))


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def _info(info: Json, version: str) -> Json:
    """Return the `info` of the corpus, with another version if it does not match `version`."""
    of_line = str(info.get("version", "")).startswith(f"{version}.")
    return info if of_line else {**info, "version": version if version.count(".") > 1 else f"{version}.0"}


def _failed(status: Status) -> _Reply:
    reply = (
        _html(status.code)
        if status.html
        else _Reply(status.code, b'{"detail":"Injected by the fault script"}')
    )
    reply.retry_after = status.retry_after
    return reply


_REASONS = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Temporarily Unavailable"}
_REASONS |= {429: "Too Many Requests", 504: "Gateway Time-out"}


def _html(code: int) -> _Reply:
    """Return an error page of nginx."""
    title = f"{code} {_REASONS.get(code, 'Error')}"
    body = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    return _Reply(code, f"{body}<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n".encode(), "text/html")
