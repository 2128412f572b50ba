"""Discrete event simulation: processes that wait for a time or for each other, on a heap of events."""

from collections.abc import Generator
from heapq import heappop, heappush
from itertools import count
from typing import Any


class Signal:
    """An event that processes wait for. Happens once."""

    __slots__ = ("happened", "value", "waiting")

    def __init__(self) -> None:
        self.happened, self.value, self.waiting = False, None, list[Any]()


Steps = Generator[Any, Any, Any]
"""A process: a generator of the seconds or the signals to wait for."""


class Events:
    """The simulated time and its processes."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[Any] = []
        self._order = count()

    def start(self, steps: Steps) -> Signal:
        """Start a process. Returns a signal of its end, with its value."""
        end = Signal()
        self._go_on(steps, end, None)
        return end

    def happen(self, signal: Signal, value: Any = None) -> None:
        """Resume the waiting processes at the current time."""
        signal.happened, signal.value = True, value
        for steps, end in signal.waiting:
            heappush(self._heap, (self.now, next(self._order), steps, end, value))

    def run(self) -> None:
        """Run until no events are left."""
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
