"""Owns the waiting that limits ask for: one gate per server and limits, for all threads of the process.

A gate lives by leases (`pure.leases`): of a bucket of its own, or, where a cluster's tasks run, of the one that all of
the job's processes share. How to ask that one is told from above (`share_limits`), so that no Dask is needed here.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from ..pure.leases import SILENCE, Ask, Bucket, Lease
from ..pure.limits import Limits

_AHEAD = 0.1
"""Seconds of its own requests that a gate asks turns for in advance, so that a fast line does not wait for answers."""
_LATE = 0.5
_KEPT = 0.25
"""Seconds after its moment for which a turn may still be taken."""
_RETRIED = 0.5
"""Seconds until a sharer that did not answer is asked again."""
_PATIENCE = 60.0
"""Seconds that a process goes by its own share, after nobody was there who shares."""


@dataclass(frozen=True, slots=True)
class Key:
    """Which limits: those of one server. Processes with the same key share one bucket."""

    host: str
    limits: Limits


class NobodySharesError(Exception):
    """The job's limits cannot be shared request by request; `n` processes go by equal parts of them."""

    def __init__(self, n: int) -> None:
        super().__init__(f"{n} processes go by equal parts of the limits")
        self.n = n


Sharer = Callable[[Key, Ask], Awaitable[Lease]]
"""Asks whoever keeps the bucket that a job's processes share. Raises NobodySharesError."""

_find: Callable[[], Sharer | None] = lambda: None  # noqa: E731


def share_limits(find: Callable[[], Sharer | None]) -> None:
    """From now on this process asks the sharer that `find` finds, for as long as it finds one."""
    global _find
    _find = find


class Gate:
    """Lets requests through, in order, as the limits allow. To be used on the loop's thread only."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._under_way = 0
        self._own = Bucket(key.limits)
        self._lease = Lease(
            (),
            key.limits.max_requests_per_second is not None,
            0,
            0.0,
            0.0,
            0.0,
            1,
            key.limits.max_concurrency,
        )
        self._source: object = self._own
        self._turns: deque[float] = deque()
        self._held_until = self._alone_until = self._not_before = float("-inf")
        self._peak = self._told = self._served = self._refused = self._late = self._n_bytes = self._busy = 0
        self._back_off = 0.0
        self._answered = time.monotonic()
        self._speed = _Speed()
        self._sharers = 1
        self._due: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits until one request may go, and counts it as under way for as long as the block runs."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._go_on()
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._under_way -= 1
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            self._go_on()
            raise
        try:
            yield
        finally:
            self._under_way -= 1
            self._go_on()

    def served(self, n_bytes: int) -> None:
        """The server took a request, whatever came of it; so many bytes of data came."""
        self._served += 1
        self._n_bytes += n_bytes

    def late(self) -> None:
        """A request timed out."""
        self._late += 1

    def refused(self, seconds: float) -> None:
        """The server took a request for one too many: nobody, in no process, goes for so long."""
        self._refused += 1
        self._back_off = max(self._back_off, seconds, 1e-3)
        self._held_until = max(self._held_until, time.monotonic() + seconds)
        self._go_on()

    @property
    def share(self) -> int:
        """Requests that this process may have under way when all that share the limits want as many."""
        return -(-self.key.limits.max_concurrency // self._sharers)

    @property
    def level(self) -> int:
        """Requests that all who share the limits may have under way together now."""
        return self._lease.level

    @property
    def _demand(self) -> int:
        return self._under_way + len(self._waiting)

    def _go_on(self) -> None:
        """Start what may start, ask for what is missing, and come back when the next thing is due."""
        now = time.monotonic()
        self._let_through(now)
        self._peak = max(self._peak, self._demand)
        while self._asking is None and self._needs(now):
            sharer = _find() if now >= self._alone_until else None
            ask = self._ask(now)
            if sharer is not None:
                self._asking = asyncio.get_running_loop().create_task(self._ask_sharer(sharer, ask, now))
            else:
                self._take(self._own.ask("", now, ask), self._own, ask.held)
                self._let_through(now)
        self._wake(now)

    def _let_through(self, now: float) -> None:
        while self._turns and self._turns[0] < now - _KEPT:
            self._turns.popleft()
        while self._under_way < self._lease.permits and now >= self._held_until:
            while self._waiting and self._waiting[0].cancelled():
                self._waiting.popleft()
            if not self._waiting:
                return
            if self._lease.paced:
                if not self._turns or self._turns[0] > now:
                    return
                self._turns.popleft()
            self._waiting.popleft().set_result(None)
            self._under_way += 1
            self._busy = max(self._busy, self._under_way)
            self._speed.count(now)

    def _needs(self, now: float) -> bool:
        if now < self._not_before:
            return False
        if self._back_off or (self._due is not None and now >= self._due):
            return True
        if self._waiting and self._under_way >= self._lease.permits and self._demand > self._told:
            return True
        wanted = self._turns_wanted(now)
        missing = wanted - len(self._turns)
        return missing > 0 and (not self._turns or 2 * missing >= wanted)

    def _turns_wanted(self, now: float) -> int:
        """Turns for requests that have a permit, and for those of the next moment."""
        if not self._lease.paced:
            return 0
        free = min(len(self._waiting), max(0, self._lease.permits - self._under_way))
        if self._source is self._own:
            return free
        return free + int(_AHEAD * self._speed.at(now))

    def _ask(self, now: float) -> Ask:
        """What to tell, which is not told again."""
        if not self._demand and not self._peak:
            self._lease = replace(self._lease, permits=0)
        turns = max(self._turns_wanted(now), min(len(self._waiting), 1)) - len(self._turns)
        ask = Ask(
            turns=max(0, turns) if self._lease.paced else 0,
            wanted=self._peak,
            held=max(self._lease.permits, self._under_way),
            served=self._served,
            refused=self._refused,
            late=self._late,
            n_bytes=self._n_bytes,
            busy=self._busy,
            back_off=self._back_off,
        )
        self._told, self._peak = self._peak, self._demand
        self._served = self._refused = self._late = self._n_bytes = 0
        self._busy = self._under_way
        self._back_off = 0.0
        return ask

    async def _ask_sharer(self, sharer: Sharer, ask: Ask, sent: float) -> None:
        try:
            lease = await sharer(self.key, ask)
        except NobodySharesError as error:
            self._be_alone(error.n)
        except (Exception, asyncio.CancelledError):
            # The scheduler does not answer, or the worker's loop ends. The lease goes on for a while; what was to be told is told again.
            self._served += ask.served
            self._refused += ask.refused
            self._late += ask.late
            self._n_bytes += ask.n_bytes
            self._back_off = max(self._back_off, ask.back_off)
            self._not_before = time.monotonic() + _RETRIED
            if time.monotonic() > self._answered + SILENCE / 2:
                self._be_alone(self._sharers)
        else:
            self._answered = sent
            self._take(lease, sharer, ask.held)
        self._asking = None
        self._go_on()

    def _be_alone(self, n: int) -> None:
        self._own, self._sharers = Bucket(self.key.limits.share(n)), n
        self._alone_until = time.monotonic() + _PATIENCE
        self._due = time.monotonic()

    def _take(self, lease: Lease, source: object, held: int) -> None:
        """Go by a new lease."""
        now = time.monotonic()
        later = lease.stopped - self._lease.stopped if source is self._source else 0.0
        self._turns = deque(turn + later for turn in self._turns) if lease.paced else deque()
        self._turns.extend(now + wait for wait in lease.waits)
        self._held_until = max(self._held_until, now + lease.hold)
        self._lease, self._source = lease, source
        if source is not self._own or now >= self._alone_until:
            self._sharers = lease.holders
        gives_back = max(lease.permits, self._under_way) < held
        self._due = now + (0 if gives_back else lease.again) if self._demand or lease.permits else None

    def _wake(self, now: float) -> None:
        """Set the timer for the next turn, the end of a hold, or the next ask."""
        times = []
        if self._waiting and self._under_way < self._lease.permits:
            if not self._lease.paced:
                times.append(self._held_until)
            elif self._turns:
                times.append(max(self._turns[0], self._held_until))
        if self._asking is None and (self._due is not None or now < self._not_before):
            times.append(max(self._due or now, self._not_before))
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, min(times) - now), self._go_on) if times else None


class _Speed:
    """Requests a second, of late."""

    def __init__(self) -> None:
        self._speed, self._last = 0.0, float("-inf")

    def at(self, now: float) -> float:
        return self._speed * math.exp((self._last - now) / _LATE)

    def count(self, now: float) -> None:
        self._speed, self._last = self.at(now) + 1 / _LATE, now
