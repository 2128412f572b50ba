"""What a piece of work costs in this process: seconds of CPU and by the clock."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

ENOUGH, MOST = 5.0, 7
"""Work is done again until it took so many seconds in all, or was done so often."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds."""

    cpu: float
    wall: float


def timed(work: Callable[[], T]) -> tuple[T, Cost]:
    """Do it once; what it gave, and its cost."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    given = work()
    return given, Cost(time.process_time() - cpu, time.perf_counter() - wall)


def least(work: Callable[[], T]) -> tuple[T, Cost]:
    """Do it several times where it is short; the least costs, as what others do on the machine only adds to them."""
    costs: list[Cost] = []
    while len(costs) < MOST and sum(cost.wall for cost in costs) < ENOUGH:
        given, cost = timed(work)
        costs.append(cost)
    return given, Cost(min(c.cpu for c in costs), min(c.wall for c in costs))
