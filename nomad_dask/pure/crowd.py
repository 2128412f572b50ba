"""Owns how many requests should be under way at once, found by trial: as few as carry as much as more would.

A server answers faster and faster as more is asked at once, up to a point; from there on requests wait for one another, and
past it they begin to time out. Where that point lies shows only beside another number: so now and then a job tries a
quarter fewer, or a third more, for some answers, and compares the bytes a second with those before and after. Pure: times
come in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_LEAST_SECONDS, _LEAST_ANSWERS, _ROUNDS = 2.0, 20, 3
"""What one measurement takes: so many seconds, answers, and answers for each request under way."""
_FIRST, _LONGEST = 15.0, 240.0
"""Seconds between two trials: at first (a short job is over by then), and at the most, after trials that changed nothing."""
_AS_GOOD, _BETTER = 0.97, 1.04
"""Of the bytes a second: fewer requests that carry this are as good; more requests must carry this to be better."""
_BUSY, _MOSTLY = 0.8, 0.5
"""Of the level under way, in this part of the looks at least: what one process gives up and another has not taken up yet is
missing for a moment."""
_LATE = 0.2
"""Of the requests in one measurement, timed out: far too many were under way."""


@dataclass(slots=True)
class _Measured:
    """Bytes a second while a level held, from when its own requests began to be answered."""

    level: int
    until_its_own: int
    began: float | None = None
    answers: int = 0
    late: int = 0
    n_bytes: int = 0
    looks: int = 0
    idle: int = 0

    def add(self, now: float, answers: int, late: int, n_bytes: int, busy: int) -> float | None:
        """Count what came; the bytes a second when that is enough to tell."""
        self.looks += 1
        self.idle += busy < _BUSY * self.level
        if self.began is None:
            self.until_its_own -= answers + late
            if self.until_its_own <= 0:
                self.began = now
            return None
        self.answers += answers
        self.late += late
        self.n_bytes += n_bytes
        seconds = now - self.began
        if seconds < _LEAST_SECONDS or self.answers + self.late < max(_LEAST_ANSWERS, _ROUNDS * self.level):
            return None
        return self.n_bytes / seconds


@dataclass(slots=True)
class Crowd:
    """The number of requests under way that a job goes by, at most `most`, which it begins with.

    Judges only where as many were under way as might be: a job that waits for its own processor, or for its turns at a rate,
    learns nothing of the server, and keeps its number.
    """

    most: int
    level: int = field(init=False)
    _due: float | None = field(init=False, default=None)
    _interval: float = field(init=False, default=_FIRST)
    _downwards: bool = field(init=False, default=True)
    _steady: int = field(init=False)
    """The level outside of trials."""
    _before: float | None = field(init=False, default=None)
    _within: float | None = field(init=False, default=None)
    """Bytes a second before the trial that is under way, and in it."""
    _now: _Measured | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.level = self._steady = self.most

    def seen(self, now: float, *, answers: int, late: int, n_bytes: int, busy: int) -> None:
        """So many answers, and bytes of data, came since the last time, so many requests timed out, and so many were
        under way together."""
        if self._due is None:
            self._due = now + self._interval
        if self._now is None:
            self._now = _Measured(self.level, self.level)
        done = self._now
        speed = done.add(now, answers, late, n_bytes, busy)
        if speed is None:
            return
        self._now = None
        if done.late > _LATE * (done.answers + done.late) and self.level > 1:
            self._go_to(max(1, self.level // 2))
            self._wait(now, longer=True)
        elif done.idle <= _MOSTLY * done.looks:
            self._judge(now, speed)
        elif self._before is not None:
            self._go_to(self._steady)
            self._wait(now, longer=True)

    def _judge(self, now: float, speed: float) -> None:
        """Take a measurement as the next step of a trial: before, in, after."""
        assert self._due is not None
        if self._before is None:
            if now >= self._due:
                self._begin(now, speed)
        elif self._within is None:
            self._within, self.level = speed, self._steady
        else:
            ratio = self._within / max((self._before + speed) / 2, 1e-9)
            better = ratio >= (_AS_GOOD if self._downwards else _BETTER)
            self._go_to(self._other() if better else self._steady)
            self._downwards ^= not better
            self._wait(now, longer=not better)

    def _begin(self, now: float, speed: float) -> None:
        """Begin a trial, if there is anything to try."""
        other = self._other()
        if other == self._steady:
            self._wait(now, longer=True)
        else:
            self._before, self.level = speed, other

    def _other(self) -> int:
        """The level to try beside the steady one; where there is none on this side, one on the other."""
        for downwards in (self._downwards, not self._downwards):
            other = self._steady - -(-self._steady // 4) if downwards else -(-self._steady * 4 // 3)
            other = min(max(1, other), self.most)
            if other != self._steady:
                self._downwards = downwards
                return other
        return self._steady

    def _go_to(self, level: int) -> None:
        self.level = self._steady = level
        self._before = self._within = None

    def _wait(self, now: float, *, longer: bool) -> None:
        self._interval = min(2 * self._interval, _LONGEST) if longer else _LEAST_SECONDS
        self._due = now + self._interval
