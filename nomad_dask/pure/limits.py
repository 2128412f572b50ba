"""Owns what a job may use, and how many entries one request should ask for.

How the limits are kept: `pure.pace` and `pure.leases` (arithmetic), `edges.gate` (waiting), `limiter` (over workers).
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
