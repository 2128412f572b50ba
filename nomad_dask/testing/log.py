"""What the embedded archive remembers of the requests it has seen."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that the server has seen, and what it answered."""

    n: int
    """Counted from 1, never again from 1 in the life of the server."""
    method: str
    path: str
    """Below the API's root, without the query string."""
    body: Any
    """As JSON; the text of what is no JSON; None for a login."""
    user: str | None
    status: int
    """0: the connection was cut before an answer."""
    sent: int
    """Bytes of the body that were handed to the network."""
    fault: Any
    """The action of the fault script, or "limit"."""
    authorization: bool
    """Whether the request carried an Authorization header."""


class Log:
    """The requests that a server has seen, the last `keep` of them; the counters are of all since `clear`.

    The server adds to it from its thread, others read from theirs.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._seen: deque[Seen] = deque(maxlen=keep)
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """Forgets what was seen."""
        with self._lock:
            self._seen.clear()
            self._paths: dict[str, int] = {}
            self.bytes = 0
            """Bytes of bodies sent."""

    def add(self, seen: Seen) -> None:
        """Notes a request."""
        with self._lock:
            self._seen.append(seen)
            self._paths[seen.path] = self._paths.get(seen.path, 0) + 1
            self.bytes += seen.sent

    def count(self, path: str | None = None, status: int | None = None) -> int:
        """How many requests there were, to a path, with a status (of those that are kept)."""
        if status is not None:
            return sum(seen.status == status and path in (None, seen.path) for seen in self)
        with self._lock:
            return sum(self._paths.values()) if path is None else self._paths.get(path, 0)

    def __iter__(self) -> Iterator[Seen]:
        with self._lock:
            return iter(list(self._seen))

    def __len__(self) -> int:
        return len(self._seen)

    def __getitem__(self, k: int) -> Seen:
        return self._seen[k]
