"""Simulated time: processes that wait for seconds or for one another, on one heap of events."""

from collections.abc import Generator
from heapq import heappop, heappush
from itertools import count
from typing import Any


class Signal:
    """Something that processes wait for; it happens once."""

    __slots__ = ("happened", "value", "waiting")

    def __init__(self) -> None:
        self.happened, self.value, self.waiting = False, None, list[Any]()


Steps = Generator[Any, Any, Any]
"""A process: it gives the seconds that pass, or the signal that it waits for."""


class Events:
    """Simulated time, and the processes that go on in it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[Any] = []
        self._order = count()

    def start(self, steps: Steps) -> Signal:
        """Begin a process now; its end is the signal that is returned, its value the signal's."""
        end = Signal()
        self._go_on(steps, end, None)
        return end

    def happen(self, signal: Signal, value: Any = None) -> None:
        """Those who wait go on, at this same time."""
        signal.happened, signal.value = True, value
        for steps, end in signal.waiting:
            heappush(self._heap, (self.now, next(self._order), steps, end, value))

    def run(self) -> None:
        """Until nothing happens any more."""
        while self._heap:
            self.now, _, steps, end, value = heappop(self._heap)
            self._go_on(steps, end, value)

    def _go_on(self, steps: Steps, end: Signal, value: Any) -> None:
        while True:
            try:
                what = steps.send(value)
            except StopIteration as stop:
                return self.happen(end, stop.value)
            if not isinstance(what, Signal):
                return heappush(self._heap, (self.now + what, next(self._order), steps, end, None))
            if not what.happened:
                return what.waiting.append((steps, end))
            value = what.value
