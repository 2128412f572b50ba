"""Cost of work in this process: CPU seconds and wall time."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

ENOUGH, MOST = 5.0, 7
"""Work is repeated until it took this many seconds in total, or was done this often."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds."""

    cpu: float
    wall: float


def timed(work: Callable[[], T]) -> tuple[T, Cost]:
    """Do the work once. Returns its result and its cost."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    given = work()
    return given, Cost(time.process_time() - cpu, time.perf_counter() - wall)


def least(work: Callable[[], T]) -> tuple[T, Cost]:
    """Repeat short work, and return the minimum cost: other processes on the machine only add to it."""
    costs: list[Cost] = []
    while len(costs) < MOST and sum(cost.wall for cost in costs) < ENOUGH:
        given, cost = timed(work)
        costs.append(cost)
    return given, Cost(min(c.cpu for c in costs), min(c.wall for c in costs))
