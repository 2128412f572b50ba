"""Owns the pace of requests: when the next one may go, how refusals slow it down, and how it recovers.

Pure: times come in, on one clock of any origin.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_CUT = 0.9
"""Of what the server took; a server that counts what was not used gets something to count."""
_GROWTH, _FASTER = 1.01, 1.03
"""A second. Slow: each time that it finds the server's limit again costs a refusal or two. Faster, when none has come
for as long as there would have been one at the limit."""
_WINDOW = 5.0
"""Seconds: what the server took is judged by these."""
_SELDOM, _SOON, _MANY = 20.0, 3.0, 0.2
"""Seconds from one cut to the next: when few are refused, so that growth makes up for faults that come at any rate
(the first few cuts, when little is known yet, come sooner); and when this share is, and more than two."""
_SAVED = 1.0
"""Seconds of standing still that servers make up for."""
_SLOWEST = 0.5


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was answered until `time`, since the one before; and how long the line had stood still by then."""

    time: float
    served: int
    refused: int
    stood_still: float


class Pace:
    """A leaky bucket without burst: requests leave evenly spaced, at most `rate` a second (None: no limit).

    `reserve(now)` gives the seconds to wait before this request may go; every call takes a place in the line. A hold
    stops the line: places that are given out already move back by as much, which `stopped` adds up. Where the server
    refuses all the same, the rate falls to a little less than it took, and grows again by 1% a second,
    later by 3%.
    """

    def __init__(self, rate: float | None) -> None:
        self.most, self.rate = rate, rate
        self.stopped = 0.0
        """Seconds that the line has been stopped, or will have been after the present hold."""
        self._next = self._until = self._grown = self._cut = self._trouble = float("-inf")
        self._cuts = 0
        self._refused: float | None = None
        self._seen: deque[_Seen] = deque()

    def reserve(self, now: float) -> float:
        """Take the next place in the line; seconds from `now` until its turn."""
        self._adapt(now, settle=1.0)
        if not self.rate:
            return max(0.0, self._until - now)
        turn = max(self._next, now)
        self._next = turn + 1 / self.rate
        return turn - now

    def hold(self, now: float, seconds: float) -> None:
        """Nobody goes before `now + seconds` (a limit was hit)."""
        held = max(self._until, now)
        longer = now + seconds - held
        if longer > 0:
            self._until = held + longer
            self._next = max(self._next, held) + longer
            self.stopped += longer

    def held(self, now: float) -> float:
        """Seconds until the present hold ends."""
        return max(0.0, self._until - now)

    def seen(self, now: float, served: int, refused: int, *, settle: float = 1.0) -> None:
        """So many requests were answered since the last time, and so many refused because they were too many.

        The rate falls `settle` seconds after a refusal, when everyone has told what was answered meanwhile.
        """
        if served or refused:
            if self._seen and self._seen[-1].time < now - _WINDOW:
                self._seen.clear()
            self._seen.append(_Seen(now, served, refused, self._stood_still(now)))
        if refused:
            self._trouble = now
        if refused and self._refused is None and now >= self._cut + self._patience(now):
            self._refused = now
        self._adapt(now, settle)

    def _adapt(self, now: float, settle: float) -> None:
        if self._refused is not None and now >= self._refused + settle:
            self._slow_down(now)
        elif self.rate is not None:
            growth = _GROWTH if now < self._trouble + _SELDOM else _FASTER
            self.rate *= growth ** min(1.0, max(0.0, now - self._grown))
            self.rate = self.rate if self.most is None else min(self.rate, self.most)
        self._grown = now

    def _patience(self, now: float) -> float:
        late = [s for s in self._seen if s.time >= now - _SOON]
        refused = sum(s.refused for s in late)
        many = refused > max(2, _MANY * (refused + sum(s.served for s in late)))
        return _SOON if many else min(_SELDOM, 4 * 2.0**self._cuts)

    def _slow_down(self, now: float) -> None:
        self._refused, self._cut, self._cuts = None, now, min(self._cuts + 1, 10)
        while len(self._seen) > 1 and self._seen[0].time < now - _WINDOW:
            self._seen.popleft()
        first, *rest = self._seen
        stood = self._stood_still(now) - first.stood_still
        spent = now - first.time - max(0.0, stood - _SAVED)
        young = spent < 1.0
        if young:
            spent, rest = 1.0, [first, *rest]
        served, refused = sum(s.served for s in rest), sum(s.refused for s in rest)
        if not served:
            return  # the server is down, which says nothing of its limit
        if young:
            served += refused  # too little is known to go down to what was served; more refusals will tell
        if self.rate is not None and (served if young else served + refused) < 0.8 * self.rate * (
            now - first.time - stood
        ):
            self.rate *= _CUT  # fewer were sent than the rate allows: it need not be too high
        else:
            self.rate = min(_CUT * served / spent, self.rate or float("inf"))
        self.rate = max(self.rate, min(_SLOWEST, self.most or _SLOWEST))

    def _stood_still(self, now: float) -> float:
        return self.stopped - self.held(now)
