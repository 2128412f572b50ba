"""Rules of faults: an action, and the requests that it applies to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from nomad_dask.testing.faults.actions import Action


@dataclass(frozen=True, slots=True)
class FaultRequest:
    """A request to the server: its number from 1, its path relative to the API's root, and its body."""

    n: int
    path: str
    body: Any = None


@dataclass(frozen=True, slots=True)
class Rule:
    """An action for some of the requests that match `path` and `match`.

    Parameters
    ----------
    action : Action
        The fault.
    rate : float, optional
        Fraction of the requests, chosen by the seed: the same numbers in each run, whatever their content.
    nth : sequence of int, optional
        Numbers of the requests, from 1.
    every : int, optional
        Each request whose number is a multiple of this.
    path : str, optional
        Only requests whose path ends with this.
    times : int, optional
        Maximum number of requests.
    match : callable, optional
        Only requests for whose body this returns True.

    Raises
    ------
    ValueError
        If more than one of `rate`, `nth` and `every` is given, or a value is out of range.

    Examples
    --------
    >>> from nomad_dask.testing.faults import Reset, Rule
    >>> rule = Rule(Reset(), nth=(3, 5), path="entries/query")
    >>> [count for count in range(1, 7) if rule.due(count, seed="0")]
    [3, 5]
    """

    action: Action
    rate: float | None = None
    nth: Sequence[int] = ()
    every: int | None = None
    path: str | None = None
    times: int | None = None
    match: Callable[[Any], bool] | None = None

    def __post_init__(self) -> None:
        if sum((self.rate is not None, bool(self.nth), self.every is not None)) > 1:
            raise ValueError("a rule takes only one of rate, nth and every")
        if self.rate is not None:
            share("rate", self.rate)
        for name, numbers in (("nth", self.nth), ("every", (self.every,)), ("times", (self.times,))):
            if any(number is not None and number < 1 for number in numbers):
                raise ValueError(f"{name} must be positive")

    def concerns(self, request: FaultRequest) -> bool:
        """True if the request matches `path` and `match`."""
        if self.path is not None and not request.path.strip("/").endswith(self.path.strip("/")):
            return False
        return self.match is None or self.match(request.body)

    def due(self, count: int, seed: str) -> bool:
        """True if the action applies to the matching request with this number."""
        if self.rate is not None:
            return draw(seed, str(count)) < self.rate
        if self.nth:
            return count in self.nth
        return self.every is None or count % self.every == 0


def draw(seed: str, what: str) -> float:
    """Return a number in [0, 1) that depends only on the seed and on `what`."""
    digest = blake2b(what.encode(), key=blake2b(seed.encode()).digest(), digest_size=7).digest()
    return int.from_bytes(digest) / (1 << 56)


def share(name: str, value: float) -> float:
    """Return the value. ValueError if it is not between 0 and 1."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be between 0 and 1, not {value:g}")
    return value
