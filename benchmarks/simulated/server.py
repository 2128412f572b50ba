"""What a simulated request meets: the limits of the job, the server's processes, the line, and faults."""

from collections import deque
from dataclasses import dataclass
from heapq import heapreplace
from random import Random

from nomad_dask.client.retry import BrokenAnswer, Outcome, StatusAnswer, limited
from nomad_dask.limits import Limits
from nomad_dask.limits.token_bucket import RateController
from simulated.events import Events, Signal, Steps

_TOLD = 0.25
"""Seconds between two reports of what was served, as the gates of processes tell it."""
_GATEWAY = 60.0
"""Seconds after which a proxy gives up on the server: a 504."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What the server, and the way to it, cost a request; seconds."""

    latency: float = 0.1
    per_request: float = 0.05
    per_entry: float = 0.0015
    per_id: float = 0.06 / 1000
    processes: int = 10
    """Requests that it works on at the same time, each at full speed."""
    most_at_once: int | None = 10
    most_per_second: float | None = 30.0
    """Beyond either it answers 503."""
    bandwidth: float = 100e6
    """Bytes of JSON a second that the line carries."""
    fault_rate: float = 0.0
    """Share of requests that end in one of `FAULTS`."""


FAULTS: tuple[Outcome, ...] = (
    StatusAnswer(500),
    StatusAnswer(502),
    StatusAnswer(503),
    StatusAnswer(504),
    BrokenAnswer("reset"),
    BrokenAnswer("truncated"),
)


class Gate:
    """The limits of the job, kept over all workers together."""

    def __init__(self, events: Events, limits: Limits) -> None:
        self._events, self._free = events, limits.max_concurrency
        self._pace = RateController(limits.max_requests_per_second)
        self._waiting: deque[Signal] = deque()
        self._answers = [0, 0]
        self._told = 0.0

    def enter(self) -> Steps:
        if self._free:
            self._free -= 1
        else:
            self._waiting.append(Signal())
            yield self._waiting[-1]
        wait = self._pace.reserve(self._events.now)
        while wait > 0:
            yield wait
            wait = self._pace.hold_left(self._events.now)

    def leave(self, outcome: Outcome | None) -> None:
        now, refused = self._events.now, outcome is not None and limited(outcome)
        self._answers[refused] += 1
        if refused or now > self._told + _TOLD:
            self._pace.record(now, *self._answers)
            self._answers, self._told = [0, 0], now
        if self._waiting:
            self._events.happen(self._waiting.popleft())
        else:
            self._free += 1

    def hold(self, seconds: float) -> None:
        self._pace.hold(self._events.now, seconds)


class Server:
    """Answers in order of arrival, with so many processes, over one line."""

    def __init__(self, events: Events, model: Installation, dice: Random) -> None:
        self._events, self._model, self._dice = events, model, dice
        self.busy = 0.0
        """Seconds of work of all processes."""
        self.refused = 0
        self._free = [0.0] * model.processes
        self._line = 0.0
        self._under_way = 0
        self._tokens, self._last = model.most_per_second or 0.0, 0.0

    def answer(self, work: float, n_bytes: float) -> Steps:
        """One request; what is wrong with its answer, or None."""
        self._under_way += 1
        yield self._model.latency
        outcome = StatusAnswer(503) if self._too_many() else self._fault()
        if outcome is None or outcome == StatusAnswer(500) or isinstance(outcome, BrokenAnswer):
            yield self._worked(self._model.per_request + work)
        elif outcome == StatusAnswer(504):
            yield _GATEWAY
        if outcome is None or isinstance(outcome, BrokenAnswer):
            self._line = max(self._line, self._events.now) + n_bytes / self._model.bandwidth
            yield self._line - self._events.now
        self._under_way -= 1
        return outcome

    def _worked(self, seconds: float) -> float:
        begins = max(self._events.now, self._free[0])
        heapreplace(self._free, begins + seconds)
        self.busy += seconds
        return begins + seconds - self._events.now

    def _fault(self) -> Outcome | None:
        rate = self._model.fault_rate
        return self._dice.choice(FAULTS) if rate and self._dice.random() < rate else None

    def _too_many(self) -> bool:
        """A bucket of tokens, of one second's worth; and the limit of requests under way."""
        rate, most = self._model.most_per_second, self._model.most_at_once
        if rate:
            self._tokens = min(rate, self._tokens + (self._events.now - self._last) * rate)
            self._last = self._events.now
        refused = (most is not None and self._under_way > most) or (rate is not None and self._tokens < 1)
        self._tokens -= 0 if refused else 1
        self.refused += refused
        return refused
