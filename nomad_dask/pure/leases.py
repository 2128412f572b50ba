"""Owns how one job's limits are dealt out to many processes: turns in one line, permits for a time.

A turn is a moment at which one request may leave; each is given out once, so that all that leave keep the rate
together, whoever asks. A permit is the right to have one request under way; a holder keeps its permits from request
to request, and gives some up when others want them. Pure: times come in, on the clock of whoever keeps the bucket;
what goes out is in seconds from then on.
"""

from __future__ import annotations

from dataclasses import dataclass

from .crowd import Crowd
from .limits import Limits
from .pace import Pace

SILENCE = 30.0
"""Seconds after which the permits of a holder that was not heard of go to others."""
_TERM = 1.0
"""Seconds that a permit stays where it is although others wait who have none."""
_OFTEN, _PER_HOLDER = 0.25, 0.01
"""Seconds between two asks of one holder: a quarter, and no more than 100 asks a second over all."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a holder tells: what it needs, and what came of its requests since it last told."""

    turns: int = 0
    wanted: int = 0
    """Requests that it would have under way at once."""
    held: int = 0
    """Permits that it goes by now, or requests under way, whichever are more."""
    served: int = 0
    refused: int = 0
    """Requests that the server answered, and that it refused because they were too many."""
    late: int = 0
    """Requests that timed out."""
    n_bytes: int = 0
    """Of the data that was answered, without lists of names."""
    busy: int = 0
    """Requests that were under way together at the most."""
    back_off: float = 0.0
    """Seconds in which nobody should ask the server."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a holder gets. All times are seconds from the moment of the answer."""

    waits: tuple[float, ...]
    """When each of the turns is that were asked for."""
    paced: bool
    """Whether requests need turns at all."""
    permits: int
    """From now on so many requests under way, and no more until the next lease."""
    stopped: float
    """Seconds that the line has been stopped so far: turns given out before move back by what this has grown."""
    hold: float
    """Nobody goes before this."""
    again: float
    """Ask again within this."""
    holders: int
    """How many share the limits."""
    level: int
    """Requests that all of them together may have under way now (`crowd`)."""


@dataclass(slots=True)
class _Holder:
    heard: float
    wanted: int = 0
    held: int = 0
    busy: int = 0
    favoured: float = float("-inf")
    """When it last got one of the permits that do not go round."""


class Bucket:
    """The limits of one job at one server, and who holds what of them.

    Promises, for whatever order of asks: turns are at least 1/rate apart; the permits of all holders that were heard of
    lately are `max_concurrency` together at most, or what `crowd` has found to do as well; what one does not want others get, within one round of asks.
    """

    def __init__(self, limits: Limits) -> None:
        self.pace = Pace(limits.max_requests_per_second)
        self.crowd = Crowd(limits.max_concurrency)
        self._holders: dict[str, _Holder] = {}

    def ask(self, holder: str, now: float, ask: Ask) -> Lease:
        """Hear what a holder tells, and give it its lease."""
        for name in [name for name, other in self._holders.items() if other.heard < now - SILENCE]:
            del self._holders[name]
        me = self._holders.setdefault(holder, _Holder(now))
        again = max(_OFTEN, _PER_HOLDER * len(self._holders))
        self.pace.seen(now, ask.served, ask.refused, settle=2 * again)
        if ask.back_off:
            self.pace.hold(now, ask.back_off)
        me.heard, me.wanted, me.held = now, max(0, ask.wanted), ask.held
        me.busy = ask.busy
        busy = sum(other.busy for other in self._holders.values())
        self.crowd.seen(now, answers=ask.served, late=ask.late, n_bytes=ask.n_bytes, busy=busy)
        permits = self._permits(me, now)
        me.held = max(me.held, permits)
        paced = self.pace.rate is not None
        return Lease(
            waits=tuple(self.pace.reserve(now) for _ in range(ask.turns)) if paced else (),
            paced=paced,
            permits=permits,
            stopped=self.pace.stopped,
            hold=self.pace.held(now),
            again=again,
            holders=len(self._holders),
            level=self.crowd.level,
        )

    def forget(self, holder: str) -> None:
        """The holder is dead, and so are its requests: its permits go to others."""
        self._holders.pop(holder, None)

    def heard(self) -> float:
        """When a holder was last heard of; minus infinity when there is none."""
        return max((holder.heard for holder in self._holders.values()), default=float("-inf"))

    def _permits(self, me: _Holder, now: float) -> int:
        """A fair share of what is wanted; of that, what others do not hold. They learn of theirs when they ask."""
        free = self.crowd.level - sum(other.held for other in self._holders.values() if other is not me)
        return max(0, min(self._share(me, now), free))

    def _share(self, me: _Holder, now: float) -> int:
        level, left = _level([holder.wanted for holder in self._holders.values()], self.crowd.level)
        if me.wanted <= level:
            return me.wanted
        wanting = [holder for holder in self._holders.values() if holder.wanted > level]
        wanting.sort(key=lambda holder: (holder.favoured < now - _TERM, holder.favoured))
        if me not in wanting[:left]:
            return level
        if me.favoured < now - _TERM:
            me.favoured = now
        return level + 1


def _level(wants: list[int], most: int) -> tuple[int, int]:
    """The share that all can have who want as much, and how many are left over, less than there are to want one."""
    left = most
    for done, want in enumerate(sorted(wants)):
        level = left // (len(wants) - done)
        if want > level:
            return level, left - level * (len(wants) - done)
        left -= want
    return most, 0
