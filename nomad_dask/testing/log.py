"""The request log of the embedded archive."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request and its answer."""

    n: int
    """Number of the request since the start of the server, from 1."""
    method: str
    path: str
    """Relative to the API's root, without the query string."""
    body: Any
    """The JSON of the body; its text if it is not JSON; None for a login."""
    user: str | None
    status: int
    """0 if the connection was closed without an answer."""
    sent: int
    """Bytes of the body that were sent."""
    fault: Any
    """The action of the fault script, or "limit"."""
    authorization: bool
    """True if the request had an Authorization header."""


class Log:
    """The last `keep` requests to a server, and counters of all requests since `clear`. Thread-safe."""

    def __init__(self, keep: int | None = None) -> None:
        self._requests: deque[LoggedRequest] = deque(maxlen=keep)
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """Remove all requests and reset the counters."""
        with self._lock:
            self._requests.clear()
            self._paths: dict[str, int] = {}
            self.bytes = 0
            """Bytes of bodies sent."""

    def add(self, request: LoggedRequest) -> None:
        """Add a request."""
        with self._lock:
            self._requests.append(request)
            self._paths[request.path] = self._paths.get(request.path, 0) + 1
            self.bytes += request.sent

    def count(self, path: str | None = None, status: int | None = None) -> int:
        """Return the number of requests to a path, or of the kept requests with a status."""
        if status is not None:
            return sum(request.status == status and path in (None, request.path) for request in self)
        with self._lock:
            return sum(self._paths.values()) if path is None else self._paths.get(path, 0)

    def __iter__(self) -> Iterator[LoggedRequest]:
        with self._lock:
            return iter(list(self._requests))

    def __len__(self) -> int:
        return len(self._requests)

    def __getitem__(self, k: int) -> LoggedRequest:
        return self._requests[k]
