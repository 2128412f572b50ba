"""Owns the arithmetic of limits: when the next request may go, and how many entries it should ask for.

Pure: times come in. The waiting is done by `edges.transport`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    """What a whole job may use (SPEC 10): all threads and all workers together, retries included."""

    max_requests_per_second: float | None = 20.0
    """None: no limit."""
    max_concurrency: int = 10
    """Requests under way at once."""
    timeout: float = 300.0
    """Seconds for one request, whole; requests can take minutes (`nomad_api.md`)."""

    def share(self, n: int) -> Limits:
        """An equal share for each of `n` processes; each may have at least one request under way."""
        rate = self.max_requests_per_second
        return replace(
            self,
            max_requests_per_second=rate and rate / max(1, n),
            max_concurrency=max(1, self.max_concurrency // max(1, n)),
        )


class Pace:
    """A leaky bucket: requests leave evenly spaced, `rate` a second, after a burst of at most `burst`.

    `reserve(now)` gives the seconds to wait before this request may go; every call takes a place in the line.
    """

    def __init__(self, rate: float | None, burst: float = 1.0) -> None:
        self.rate, self.burst = rate, burst
        self._next = float("-inf")

    def reserve(self, now: float) -> float:
        """Take the next place in the line; seconds from `now` until its turn."""
        if not self.rate:
            return max(0.0, self._next - now)
        turn = max(self._next, now - (self.burst - 1) / self.rate)
        self._next = turn + 1 / self.rate
        return max(0.0, turn - now)

    def hold(self, until: float) -> None:
        """Nobody goes before `until` (a limit was hit)."""
        self._next = max(self._next, until)


@dataclass(frozen=True, slots=True)
class BatchSize:
    """How many entries the next archive request should ask for, from the bytes and seconds of those before.

    A value: `seen` gives the next one. Grows at most fourfold a step, shrinks at once.
    """

    size: int = 64
    fixed: bool = False
    ceiling: int = 5_000
    target_bytes: float = 8e6
    """One request's body, uncompressed: large enough that fixed costs vanish, small enough to hold several."""
    target_seconds: float = 10.0
    """Proxies cut at 60 s or more (`nomad_api.md`)."""

    def seen(self, entries: int, n_bytes: int, seconds: float) -> BatchSize:
        """The next size after `entries` came as `n_bytes` in `seconds`."""
        if self.fixed or entries < 1:
            return self
        fits = min(
            self.target_bytes * entries / max(n_bytes, 1),
            self.target_seconds * entries / max(seconds, 1e-3),
            4 * max(self.size, entries),
            self.ceiling,
        )
        return replace(self, size=max(1, int(fits)))
