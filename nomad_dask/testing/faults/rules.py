"""When something goes wrong: an action, and which of the requests it is for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from nomad_dask.testing.faults.actions import Action


@dataclass(frozen=True, slots=True)
class FaultRequest:
    """A request as the server saw it: its running number from 1, its path below the API's root, its body."""

    n: int
    path: str
    body: Any = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What goes wrong and when: `rate`, `nth` or `every` of the requests that `path` and `match` let in."""

    action: Action
    rate: float | None = None
    """A share of them, chosen by the seed: the same numbers in each run, whatever the requests hold."""
    nth: Sequence[int] = ()
    """These of them, counted from 1."""
    every: int | None = None
    """The every-th of them, and each multiple."""
    path: str | None = None
    """Only requests whose path ends so."""
    times: int | None = None
    """At most so often."""
    match: Callable[[Any], bool] | None = None
    """Only requests whose body it says yes to."""

    def __post_init__(self) -> None:
        if sum((self.rate is not None, bool(self.nth), self.every is not None)) > 1:
            raise ValueError("a rule has one of rate, nth and every")
        if self.rate is not None:
            share("rate", self.rate)
        for name, numbers in (("nth", self.nth), ("every", (self.every,)), ("times", (self.times,))):
            if any(number is not None and number < 1 for number in numbers):
                raise ValueError(f"{name} counts from 1")

    def concerns(self, request: FaultRequest) -> bool:
        """Whether the request is one of those that this rule counts."""
        if self.path is not None and not request.path.strip("/").endswith(self.path.strip("/")):
            return False
        return self.match is None or self.match(request.body)

    def due(self, count: int, seed: str) -> bool:
        """Whether the count-th of its requests is one for the action."""
        if self.rate is not None:
            return draw(seed, str(count)) < self.rate
        if self.nth:
            return count in self.nth
        return self.every is None or count % self.every == 0


def draw(seed: str, what: str) -> float:
    """A number of [0, 1) that depends on the seed and on what is drawn for, and on nothing else."""
    digest = blake2b(what.encode(), key=blake2b(seed.encode()).digest(), digest_size=7).digest()
    return int.from_bytes(digest) / (1 << 56)


def share(name: str, value: float) -> float:
    """The value, if it is between 0 and 1; a `ValueError` names it otherwise."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is a share between 0 and 1, not {value:g}")
    return value
