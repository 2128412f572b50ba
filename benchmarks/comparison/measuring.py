"""What every contender's process does around its job: takes its order, keeps the clock, prints one line of
JSON.

Nothing but Python's own library: it runs in the environments of the peers too.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Order:
    """What is to be done: these parts of the archives of the first so many entries, as a table."""

    job: str
    url: str
    """The api's base."""
    required: dict[str, Any]
    entries: int
    batch: int
    """Entries in a request, for those that do not find it themselves."""
    out: str
    """An empty folder."""
    upto: str = ""
    """The id of the last entry wanted, for those that cannot be told a number; nothing: all."""


class Clock:
    """Times the job alone: `with clock:` is put around it, when all is imported and clusters are up."""

    def __init__(self) -> None:
        self.workers: Callable[[], float] = lambda: 0.0
        """CPU seconds of processes that are still alive after the job."""
        self.facts: dict[str, Any] = {}
        """What else is to be told of the run."""

    def __enter__(self) -> "Clock":
        self.facts["started"] = time.time()
        self._cpu, self._time = self._used(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.facts["seconds"] = time.perf_counter() - self._time
        self.facts["cpu"] = self._used() - self._cpu

    def _used(self) -> float:
        own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime + self.workers()


Job = Callable[[Order, Clock], int]
"""Does an order inside the clock; how many entries are in the table."""


def main(jobs: dict[str, Job]) -> None:
    """Do the order that is the argument, as JSON."""
    order, clock = Order(**json.loads(sys.argv[1])), Clock()
    said, sys.stdout = sys.stdout, sys.stderr  # contenders print what they like
    entries = jobs[order.job](order, clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"entries": entries, "peak": peak, **clock.facts}), file=said, flush=True)
