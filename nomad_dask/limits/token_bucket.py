"""Token bucket that shares the limits of one job between processes; controllers of rate and concurrency.

A turn is a moment at which one request may be sent; each is assigned once, so that all processes together
keep the rate. A permit allows one request in flight; a process keeps its permits between requests, and
returns some when others need them. Pure: times are arguments, on the clock of the process that keeps the
bucket; results are in seconds from then.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from nomad_dask.limits import Limits

SILENCE = 30.0  # seconds without a request from a holder after which its permits expire
_TERM = 1.0  # minimum seconds that a holder keeps one of the permits that are fewer than the holders
_INTERVAL, _INTERVAL_PER_HOLDER = 0.25, 0.01
"""Seconds between two requests of one holder: at least 0.25, and at most 100 requests per second in total."""


@dataclass(slots=True)
class BucketRequest:
    """Request of a holder: what it needs, and the outcome of its requests since the last one."""

    turns: int = 0
    wanted: int = 0  # requests that it wants to have in flight
    held: int = 0  # permits that it holds, or requests in flight, whichever is more
    served: int = 0
    refused: int = 0  # requests that the server answered, and that it refused because of its limit
    timeouts: int = 0  # requests that timed out
    n_bytes: int = 0  # bytes of data received, without listings
    busy: int = 0  # peak number of requests in flight
    back_off: float = 0.0  # seconds for which no process should send requests

    def add(self, other: BucketRequest) -> None:
        """Add the outcomes of a report that did not arrive."""
        self.served += other.served
        self.refused += other.refused
        self.timeouts += other.timeouts
        self.n_bytes += other.n_bytes
        self.back_off = max(self.back_off, other.back_off)


@dataclass(frozen=True, slots=True)
class Lease:
    """Answer to a holder. All times are seconds from now."""

    waits: tuple[float, ...] = ()  # seconds until each requested turn
    paced: bool = True  # True if requests need turns
    permits: int = 0  # maximum number of requests in flight until the next lease
    paused: float = 0.0  # total seconds of pauses: turns of earlier leases move back by the increase
    hold: float = 0.0  # seconds before which no request may be sent
    next_in: float = 0.0  # seconds until the next request for a lease is due
    holders: int = 1  # number of holders that share the limits
    level: int = 1  # maximum number of requests in flight of all holders together


@dataclass(slots=True)
class _Holder:
    seen: float
    wanted: int = 0
    held: int = 0
    busy: int = 0
    favoured: float = float("-inf")  # when it last got one of the permits that are fewer than the holders


class TokenBucket:
    """The limits of one job at one server, and the permits of each holder.

    Guarantees, for any order of requests: turns are at least 1/rate apart; the holders seen within `SILENCE`
    have at most `max_concurrency` permits in total, or the lower level of `concurrency`; unused permits pass
    to other holders within one round of requests.
    """

    def __init__(self, limits: Limits) -> None:
        self.rate = RateController(limits.max_requests_per_second)
        self.concurrency = ConcurrencyController(limits.max_concurrency)
        self._holders: dict[str, _Holder] = {}

    def ask(self, name: str, now: float, request: BucketRequest) -> Lease:
        """Record the report of a holder and return its lease."""
        for silent in [key for key, other in self._holders.items() if other.seen < now - SILENCE]:
            del self._holders[silent]
        holder = self._holders.setdefault(name, _Holder(now))
        next_in = max(_INTERVAL, _INTERVAL_PER_HOLDER * len(self._holders))
        self.rate.record(now, request.served, request.refused, settle=2 * next_in)
        if request.back_off:
            self.rate.hold(now, request.back_off)
        holder.seen, holder.wanted, holder.held = now, max(0, request.wanted), request.held
        holder.busy = request.busy
        busy = sum(other.busy for other in self._holders.values())
        self.concurrency.record(
            now, answers=request.served, timeouts=request.timeouts, n_bytes=request.n_bytes, busy=busy
        )
        # A fair share, minus the permits that others hold until they next ask.
        others = sum(other.held for other in self._holders.values()) - holder.held
        permits = max(0, min(self._share(holder, now), self.concurrency.level - others))
        holder.held = max(holder.held, permits)
        paced = self.rate.rate is not None
        return Lease(
            waits=tuple(self.rate.reserve(now) for _ in range(request.turns)) if paced else (),
            paced=paced,
            permits=permits,
            paused=self.rate.paused,
            hold=self.rate.hold_left(now),
            next_in=next_in,
            holders=len(self._holders),
            level=self.concurrency.level,
        )

    def forget(self, name: str) -> None:
        """Remove a dead holder and free its permits."""
        self._holders.pop(name, None)

    def last_seen(self) -> float:
        """When a holder last asked; minus infinity if there is none."""
        return max((other.seen for other in self._holders.values()), default=float("-inf"))

    def _share(self, holder: _Holder, now: float) -> int:
        level, left = _level([other.wanted for other in self._holders.values()], self.concurrency.level)
        if holder.wanted <= level:
            return holder.wanted
        wanting = [other for other in self._holders.values() if other.wanted > level]
        wanting.sort(key=lambda other: (other.favoured < now - _TERM, other.favoured))
        if holder not in wanting[:left]:
            return level
        if holder.favoured < now - _TERM:
            holder.favoured = now
        return level + 1


def _level(wants: list[int], limit: int) -> tuple[int, int]:
    """The permits that each holder can have if it wants them, and the remainder, less than one per holder."""
    left = limit
    for i, want in enumerate(sorted(wants)):
        level = left // (len(wants) - i)
        if want > level:
            return level, left - level * (len(wants) - i)
        left -= want
    return limit, 0


_CUT = 0.9
"""Factor of a cut, applied to the rate that the server served; servers that save unused capacity recover
below it."""
_GROWTH, _FAST_GROWTH = 1.01, 1.03
"""Growth per second: slow, because each return to the server's limit costs a refusal or two; fast after
`_RARE_CUTS` seconds without a refusal."""
_WINDOW = 5.0  # seconds of answers from which the served rate is calculated
_RARE_CUTS, _FREQUENT_CUTS, _MANY_REFUSED = 20.0, 3.0, 0.2
"""Minimum seconds between cuts: with few refusals, so that growth compensates for faults that do not depend
on the rate (the first cuts come sooner), and when more than two and this share of the answers are
refusals."""
_SAVED = 1.0  # seconds of a pause whose capacity servers save
_MIN_RATE = 0.5


@dataclass(frozen=True, slots=True)
class _AnswerCount:
    """Answers between the previous count and `time`, and the seconds of pauses so far."""

    time: float
    served: int
    refused: int
    paused: float


class RateController:
    """A leaky bucket without burst: requests are evenly spaced, at most `rate` per second (None: no limit).

    `reserve(now)` returns the seconds to wait before a request; each call reserves one turn. `hold` pauses
    all requests: turns already reserved move back by that time, and `paused` is the sum of these delays. When
    the server refuses requests, the rate is cut to slightly less than the served rate; it then grows by 1%,
    later by 3% per second.
    """

    def __init__(self, rate: float | None) -> None:
        self.limit, self.rate = rate, rate
        self.paused = 0.0  # total seconds of pauses, including the rest of the current hold
        self._next = self._until = self._grown = self._cut = self._last_refusal = float("-inf")
        self._cuts = 0
        self._refused_at: float | None = None
        self._counts: deque[_AnswerCount] = deque()

    def reserve(self, now: float) -> float:
        """Reserve the next turn; return the seconds from `now` until then."""
        self._update(now, settle=1.0)
        if not self.rate:
            return max(0.0, self._until - now)
        turn = max(self._next, now)
        self._next = turn + 1 / self.rate
        return turn - now

    def hold(self, now: float, seconds: float) -> None:
        """Send no request before `now + seconds`."""
        end = max(self._until, now)
        longer = now + seconds - end
        if longer > 0:
            self._until = end + longer
            self._next = max(self._next, end) + longer
            self.paused += longer

    def hold_left(self, now: float) -> float:
        """Seconds until the current hold ends."""
        return max(0.0, self._until - now)

    def record(self, now: float, served: int, refused: int, *, settle: float = 1.0) -> None:
        """Record the requests served, and refused by a rate limit, since the last call.

        The rate is cut `settle` seconds after a refusal, when all processes have reported their answers.
        """
        if served or refused:
            if self._counts and self._counts[-1].time < now - _WINDOW:
                self._counts.clear()
            self._counts.append(_AnswerCount(now, served, refused, self._paused_until(now)))
        if refused:
            self._last_refusal = now
        if refused and self._refused_at is None and now >= self._cut + self._interval(now):
            self._refused_at = now
        self._update(now, settle)

    def _update(self, now: float, settle: float) -> None:
        if self._refused_at is not None and now >= self._refused_at + settle:
            self._slow_down(now)
        elif self.rate is not None:
            growth = _GROWTH if now < self._last_refusal + _RARE_CUTS else _FAST_GROWTH
            self.rate *= growth ** min(1.0, max(0.0, now - self._grown))
            self.rate = self.rate if self.limit is None else min(self.rate, self.limit)
        self._grown = now

    def _interval(self, now: float) -> float:
        recent = [s for s in self._counts if s.time >= now - _FREQUENT_CUTS]
        refused = sum(s.refused for s in recent)
        many = refused > max(2, _MANY_REFUSED * (refused + sum(s.served for s in recent)))
        return _FREQUENT_CUTS if many else min(_RARE_CUTS, 4 * 2.0**self._cuts)

    def _slow_down(self, now: float) -> None:
        self._refused_at, self._cut, self._cuts = None, now, min(self._cuts + 1, 10)
        while len(self._counts) > 1 and self._counts[0].time < now - _WINDOW:
            self._counts.popleft()
        first, *rest = self._counts
        paused = self._paused_until(now) - first.paused
        spent = now - first.time - max(0.0, paused - _SAVED)
        short = spent < 1.0
        if short:
            spent, rest = 1.0, [first, *rest]
        served, refused = sum(s.served for s in rest), sum(s.refused for s in rest)
        if not served:
            return  # the server is down; its limit is unknown
        if short:
            served += refused  # too little data to cut to the served rate; more refusals will follow
        sent, active = served if short else served + refused, now - first.time - paused
        if self.rate is not None and sent < 0.8 * self.rate * active:
            self.rate *= _CUT  # fewer requests were sent than allowed, so the rate may not be the cause
        else:
            self.rate = min(_CUT * served / spent, self.rate or float("inf"))
        self.rate = max(self.rate, min(_MIN_RATE, self.limit or _MIN_RATE))

    def _paused_until(self, now: float) -> float:
        return self.paused - self.hold_left(now)


_MIN_SECONDS, _MIN_ANSWERS, _MIN_ROUNDS = 2.0, 20, 3
"""Minimum length of a measurement: seconds, answers, and answers per concurrent request."""
_FIRST_INTERVAL, _MAX_INTERVAL = 15.0, 240.0
"""Seconds between trials: initially (longer than a short job), and after many trials without a change."""
_FEWER_RATIO, _MORE_RATIO = 0.97, 1.04
"""Throughput, relative to before, at which fewer and more concurrent requests are accepted."""
_BUSY, _MAX_IDLE = 0.8, 0.5
"""A sample is idle if less than `_BUSY` of the level is in flight; a measurement counts if at most
`_MAX_IDLE` of its samples are idle. Permits that move from one process to another are unused for a moment."""
_MAX_TIMEOUTS = 0.2  # share of timeouts in a measurement above which the level is halved


@dataclass(slots=True)
class _Measurement:
    """Throughput at one level, measured after the requests sent at the previous level are answered."""

    level: int
    pending: int
    began: float | None = None
    answers: int = 0
    timeouts: int = 0
    n_bytes: int = 0
    samples: int = 0
    idle: int = 0

    def add(self, now: float, answers: int, timeouts: int, n_bytes: int, busy: int) -> float | None:
        """Add a sample; return the bytes per second when the measurement is complete."""
        self.samples += 1
        self.idle += busy < _BUSY * self.level
        if self.began is None:
            self.pending -= answers + timeouts
            if self.pending <= 0:
                self.began = now
            return None
        self.answers += answers
        self.timeouts += timeouts
        self.n_bytes += n_bytes
        seconds = now - self.began
        enough = self.answers + self.timeouts >= max(_MIN_ANSWERS, _MIN_ROUNDS * self.level)
        return self.n_bytes / seconds if enough and seconds >= _MIN_SECONDS else None


class ConcurrencyController:
    """Number of concurrent requests of a job: starts at `limit`, never exceeds it.

    The throughput of a server grows with the number of concurrent requests up to a point; beyond it requests
    queue, and then time out. To find that point a job runs a trial from time to time: a quarter fewer
    requests, or a third more, and compares the bytes per second with those before and after. Only
    measurements in which the level was used count: if the job itself, or its rate limit, is the bottleneck,
    the level does not change.
    """

    def __init__(self, limit: int) -> None:
        self.limit = self.level = limit
        self._steady = limit  # the level outside trials
        self._due: float | None = None
        self._interval = _FIRST_INTERVAL
        self._downwards = True
        self._before: float | None = None  # bytes per second before the current trial
        self._within: float | None = None  # and during it
        self._current: _Measurement | None = None

    def record(self, now: float, *, answers: int, timeouts: int, n_bytes: int, busy: int) -> None:
        """Record answers, timeouts and bytes of data since the last call; `busy`: peak requests in flight."""
        if self._due is None:
            self._due = now + self._interval
        if self._current is None:
            self._current = _Measurement(self.level, self.level)
        measured = self._current
        speed = measured.add(now, answers, timeouts, n_bytes, busy)
        if speed is None:
            return
        self._current = None
        if measured.timeouts > _MAX_TIMEOUTS * (measured.answers + measured.timeouts) and self.level > 1:
            self._set_level(max(1, self.level // 2))
            self._schedule(now, longer=True)
        elif measured.idle <= _MAX_IDLE * measured.samples:
            self._judge(now, speed)
        elif self._before is not None:
            self._set_level(self._steady)
            self._schedule(now, longer=True)

    def _judge(self, now: float, speed: float) -> None:
        """Use a measurement as the next step of a trial: before, during, after."""
        assert self._due is not None
        if self._before is None:
            if now < self._due:
                return
            other = self._trial_level()
            if other == self._steady:
                self._schedule(now, longer=True)
            else:
                self._before, self.level = speed, other
        elif self._within is None:
            self._within, self.level = speed, self._steady
        else:
            ratio = self._within / max((self._before + speed) / 2, 1e-9)
            better = ratio >= (_FEWER_RATIO if self._downwards else _MORE_RATIO)
            self._set_level(self._trial_level() if better else self._steady)
            self._downwards ^= not better
            self._schedule(now, longer=not better)

    def _trial_level(self) -> int:
        """The level to try: in the current direction, or else in the other one."""
        for downwards in (self._downwards, not self._downwards):
            other = self._steady - -(-self._steady // 4) if downwards else -(-self._steady * 4 // 3)
            other = min(max(1, other), self.limit)
            if other != self._steady:
                self._downwards = downwards
                return other
        return self._steady

    def _set_level(self, level: int) -> None:
        self.level = self._steady = level
        self._before = self._within = None

    def _schedule(self, now: float, *, longer: bool) -> None:
        self._interval = min(2 * self._interval, _MAX_INTERVAL) if longer else _MIN_SECONDS
        self._due = now + self._interval
