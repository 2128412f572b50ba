"""Limits of a job, and the number of entries per archive request.

`token_bucket` calculates how to keep the limits, `limiter` waits, and `cluster.shared_limits` shares them
between workers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MOST_COLUMNS = 50_000  # default maximum of columns of a table; the widest real entries have about 11,000


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a whole job: all threads and workers together, retries included."""

    max_requests_per_second: float | None = 20.0  # None: no limit
    max_concurrency: int = 10  # maximum number of requests in flight
    timeout: float = 300.0  # seconds for one whole request; requests can take minutes

    def share(self, n: int) -> Limits:
        """Return an equal share for each of `n` processes, with at least one request in flight each."""
        rate = self.max_requests_per_second
        return replace(
            self,
            max_requests_per_second=rate and rate / max(1, n),
            max_concurrency=max(1, self.max_concurrency // max(1, n)),
        )


@dataclass(frozen=True, slots=True)
class BatchSize:
    """Number of entries in the next archive request, based on the size and duration of previous answers.

    Immutable: `updated` returns the next size. It grows at most fourfold per step and shrinks at once.
    """

    size: int = 64
    fixed: bool = False
    ceiling: int = 5_000
    target_bytes: float = 8e6  # target size of an answer: fixed costs are negligible, several fit in memory
    target_seconds: float = 10.0  # target duration of a request; proxies cut off at 60 s or more

    def updated(self, entries: int, n_bytes: int, seconds: float) -> BatchSize:
        """Return the next size after `entries` arrived as `n_bytes` in `seconds`."""
        if self.fixed or entries < 1:
            return self
        size = min(
            self.target_bytes * entries / max(n_bytes, 1),
            self.target_seconds * entries / max(seconds, 1e-3),
            4 * max(self.size, entries),
            self.ceiling,
        )
        return replace(self, size=max(1, int(size)))
