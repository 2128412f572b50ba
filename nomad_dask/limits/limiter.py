"""Limiter of requests: one per server and limits, for all threads of the process.

A limiter gets leases (`limits.token_bucket`) from its own bucket or, in the tasks of a cluster, from the
bucket that all processes of the job share. `share_limits` sets how to reach that one, so that this package
does not need Dask.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from nomad_dask.limits import Limits
from nomad_dask.limits.token_bucket import SILENCE, BucketRequest, Lease, TokenBucket

_AHEAD = 0.1  # seconds of requests with reserved turns, so that high rates do not wait for leases
_DECAY = 0.5  # time constant of the measured request rate, in seconds
_TURN_EXPIRY = 0.25  # seconds after its time for which a turn is still valid
_RETRY_INTERVAL = 0.5  # seconds between requests to a shared bucket that does not answer
_ALONE = 60.0  # seconds for which a process uses its own part of the limits after sharing failed


@dataclass(frozen=True, slots=True)
class LimiterKey:
    """Host and limits. Processes with the same key share one bucket."""

    host: str
    limits: Limits


class LimitsNotSharedError(Exception):
    """The limits of the job cannot be shared; each of its `n` processes uses an equal part."""

    def __init__(self, n: int) -> None:
        super().__init__(f"the limits cannot be shared; each of {n} processes uses an equal part")
        self.n = n


Sharer = Callable[[LimiterKey, BucketRequest], Awaitable[Lease]]
"""Asks the bucket that the processes of a job share for a lease. Raises LimitsNotSharedError."""

_find_sharer: Callable[[], Sharer | None] = lambda: None  # noqa: E731


def share_limits(find: Callable[[], Sharer | None]) -> None:
    """Make this process get its leases from the sharer that `find` returns, as long as it returns one."""
    global _find_sharer
    _find_sharer = find


class Limiter:
    """Admits requests in order, as the limits allow. Use on the event loop's thread only."""

    def __init__(self, key: LimiterKey) -> None:
        self.key = key
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._in_flight = 0
        self._own = TokenBucket(key.limits)
        self._lease = Lease(
            paced=key.limits.max_requests_per_second is not None, level=key.limits.max_concurrency
        )
        self._source: object = self._own
        self._turns: deque[float] = deque()
        self._held_until = self._own_until = self._not_before = float("-inf")
        self._peak = self._reported = 0
        self._report = BucketRequest()  # what to report with the next request for a lease
        self._answered = time.monotonic()
        self._rate = _RequestRate()
        self._sharers = 1
        self._due: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a request may be sent; it counts as in flight while the block runs."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._advance()
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._in_flight -= 1
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            self._advance()
            raise
        try:
            yield
        finally:
            self._in_flight -= 1
            self._advance()

    def served(self, n_bytes: int) -> None:
        """Record an answer other than a rate-limit refusal, and its bytes of data."""
        self._report.served += 1
        self._report.n_bytes += n_bytes

    def timed_out(self) -> None:
        """Record a timeout."""
        self._report.timeouts += 1

    def refused(self, seconds: float) -> None:
        """Record a rate-limit refusal: no process sends a request for `seconds`."""
        self._report.refused += 1
        self._report.back_off = max(self._report.back_off, seconds, 1e-3)
        self._held_until = max(self._held_until, time.monotonic() + seconds)
        self._advance()

    def restart(self) -> None:
        """Forget the rate, the level and the hold of the server. Requests in flight still count."""
        now = time.monotonic()
        limits = self.key.limits
        self._own = TokenBucket(limits.share(self._sharers) if now < self._own_until else limits)
        self._report = BucketRequest(busy=self._report.busy)
        self._held_until = float("-inf")
        self._turns.clear()
        self._due = now
        self._advance()

    @property
    def share(self) -> int:
        """Requests in flight for this process if the limits are divided equally."""
        return -(-self.key.limits.max_concurrency // self._sharers)

    @property
    def level(self) -> int:
        """Current maximum number of requests in flight of all processes that share the limits."""
        return self._lease.level

    @property
    def _demand(self) -> int:
        return self._in_flight + len(self._waiting)

    def _advance(self) -> None:
        """Admit requests, get leases, and schedule the next call."""
        now = time.monotonic()
        self._admit(now)
        self._peak = max(self._peak, self._demand)
        while self._asking is None and self._needs(now):
            sharer = _find_sharer() if now >= self._own_until else None
            request = self._next_request(now)
            if sharer is not None:
                self._asking = asyncio.get_running_loop().create_task(self._ask_sharer(sharer, request, now))
            else:
                self._apply(self._own.ask("", now, request), self._own, request.held)
                self._admit(now)
        self._wake(now)

    def _admit(self, now: float) -> None:
        while self._turns and self._turns[0] < now - _TURN_EXPIRY:
            self._turns.popleft()
        while self._in_flight < self._lease.permits and now >= self._held_until:
            while self._waiting and self._waiting[0].cancelled():
                self._waiting.popleft()
            if not self._waiting:
                return
            if self._lease.paced:
                if not self._turns or self._turns[0] > now:
                    return
                self._turns.popleft()
            self._waiting.popleft().set_result(None)
            self._in_flight += 1
            self._report.busy = max(self._report.busy, self._in_flight)
            self._rate.count(now)

    def _needs(self, now: float) -> bool:
        if now < self._not_before:
            return False
        if self._report.back_off or (self._due is not None and now >= self._due):
            return True
        if self._waiting and self._in_flight >= self._lease.permits and self._demand > self._reported:
            return True
        wanted = self._turns_wanted(now)
        missing = wanted - len(self._turns)
        return missing > 0 and (not self._turns or 2 * missing >= wanted)

    def _turns_wanted(self, now: float) -> int:
        """Turns for requests that have a permit, and for those expected within `_AHEAD`."""
        if not self._lease.paced:
            return 0
        free = min(len(self._waiting), max(0, self._lease.permits - self._in_flight))
        if self._source is self._own:
            return free
        return free + int(_AHEAD * self._rate.at(now))

    def _next_request(self, now: float) -> BucketRequest:
        """Build the next request and reset the counters that it reports."""
        if not self._demand and not self._peak:
            self._lease = replace(self._lease, permits=0)
        turns = max(self._turns_wanted(now), min(len(self._waiting), 1)) - len(self._turns)
        request, self._report = self._report, BucketRequest(busy=self._in_flight)
        request.turns = max(0, turns) if self._lease.paced else 0
        request.wanted = self._peak
        request.held = max(self._lease.permits, self._in_flight)
        self._reported, self._peak = self._peak, self._demand
        return request

    async def _ask_sharer(self, sharer: Sharer, request: BucketRequest, sent: float) -> None:
        try:
            lease = await sharer(self.key, request)
        except LimitsNotSharedError as error:
            self._use_own_part(error.n)
        except (Exception, asyncio.CancelledError):
            # The scheduler does not answer, or the worker's loop ends: keep the lease, report counts again.
            self._report.add(request)
            self._not_before = time.monotonic() + _RETRY_INTERVAL
            if time.monotonic() > self._answered + SILENCE / 2:
                self._use_own_part(self._sharers)
        else:
            self._answered = sent
            self._apply(lease, sharer, request.held)
        self._asking = None
        self._advance()

    def _use_own_part(self, n: int) -> None:
        self._own, self._sharers = TokenBucket(self.key.limits.share(n)), n
        self._own_until = time.monotonic() + _ALONE
        self._due = time.monotonic()

    def _apply(self, lease: Lease, source: object, held: int) -> None:
        now = time.monotonic()
        delay = lease.paused - self._lease.paused if source is self._source else 0.0
        self._turns = deque(turn + delay for turn in self._turns) if lease.paced else deque()
        self._turns.extend(now + wait for wait in lease.waits)
        self._held_until = max(self._held_until, now + lease.hold)
        self._lease, self._source = lease, source
        if source is not self._own or now >= self._own_until:
            self._sharers = lease.holders
        returns_permits = max(lease.permits, self._in_flight) < held
        self._due = now + (0 if returns_permits else lease.next_in) if self._demand or lease.permits else None

    def _wake(self, now: float) -> None:
        """Set the timer for the next turn, the end of a hold, or the next lease."""
        times = []
        if self._waiting and self._in_flight < self._lease.permits:
            if not self._lease.paced:
                times.append(self._held_until)
            elif self._turns:
                times.append(max(self._turns[0], self._held_until))
        if self._asking is None and (self._due is not None or now < self._not_before):
            times.append(max(self._due or now, self._not_before))
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, min(times) - now), self._advance) if times else None


class _RequestRate:
    def __init__(self) -> None:
        self._speed, self._last = 0.0, float("-inf")

    def at(self, now: float) -> float:
        return self._speed * math.exp((self._last - now) / _DECAY)

    def count(self, now: float) -> None:
        self._speed, self._last = self.at(now) + 1 / _DECAY, now
