"""A script of faults: its rules, the entries affected, and the request limit."""

from collections.abc import Iterable
from threading import Lock

from nomad_dask.testing.faults.actions import Action
from nomad_dask.testing.faults.rules import FaultRequest, Rule, draw, share
from nomad_dask.testing.faults.words import parse_words


class Faults:
    """A script of faults, with the counters of its rules. Thread-safe.

    The first rule that is due decides; later rules count the request too.

    Parameters
    ----------
    rules : iterable of Rule, optional
        The rules.
    seed : int, default 0
        Seed of all random choices.
    requests_per_second : float, optional
        Request limit, as a token bucket that holds the tokens of one second. Beyond it, the server answers
        503.
    latency : float, optional
        Seconds before every answer.
    slots : int, optional
        Number of requests that the server handles at the same time; the others wait.
    missing : iterable of str, optional
        Ids of entries without archive.
    missing_rate : float, default 0.0
        Fraction of entries without archive.
    poison : iterable of str, optional
        Ids of entries whose archives cause status 500 for the whole page.
    poison_rate : float, default 0.0
        Fraction of such entries.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> from nomad_dask.testing.faults import FaultRequest, Faults, Rule, Status
    >>> faults = Faults([Rule(Status(503), nth=(2,))])
    >>> faults.plan(FaultRequest(1, "entries/query")), faults.plan(FaultRequest(2, "entries/query"))
    (None, Status(code=503, html=False, retry_after=None))
    """

    def __init__(
        self,
        rules: Iterable[Rule] = (),
        *,
        seed: int = 0,
        requests_per_second: float | None = None,
        latency: float | None = None,
        slots: int | None = None,
        missing: Iterable[str] = (),
        missing_rate: float = 0.0,
        poison: Iterable[str] = (),
        poison_rate: float = 0.0,
    ) -> None:
        if requests_per_second is not None and requests_per_second <= 0:
            raise ValueError(f"requests_per_second must be positive, not {requests_per_second:g}")
        if latency is not None and latency < 0:
            raise ValueError(f"latency must not be negative (got {latency:g})")
        if slots is not None and slots < 1:
            raise ValueError(f"slots must be positive, not {slots}")
        self.rules = tuple(rules)
        self.seed = seed
        self.requests_per_second = requests_per_second
        self.latency = latency
        self.slots = slots
        self._hit = {
            "missing": (frozenset(missing), share("missing_rate", missing_rate)),
            "poison": (frozenset(poison), share("poison_rate", poison_rate)),
        }
        self._counts = [0] * len(self.rules)
        self._fired = [0] * len(self.rules)
        self._tokens = max(1.0, requests_per_second or 0.0)
        self._last: float | None = None
        self._lock = Lock()

    def plan(self, request: FaultRequest) -> Action | None:
        """Return the action for a request, or None. Counts the request, so call it once for each."""
        chosen = None
        concerned = [rule.concerns(request) for rule in self.rules]
        with self._lock:
            for k, rule in enumerate(self.rules):
                if not concerned[k]:
                    continue
                self._counts[k] += 1
                spent = rule.times is not None and self._fired[k] >= rule.times
                if chosen is None and not spent and rule.due(self._counts[k], f"{self.seed}/rule {k}"):
                    self._fired[k] += 1
                    chosen = rule.action
        return chosen

    def missing(self, entry_id: str) -> bool:
        """True if the entry has no readable archive. Depends only on the seed and the id."""
        return self._is_hit("missing", entry_id)

    def poison(self, entry_id: str) -> bool:
        """True if a page that contains the entry's archive is a 500. Depends only on the seed and the id."""
        return self._is_hit("poison", entry_id)

    def _is_hit(self, what: str, entry_id: str) -> bool:
        ids, rate = self._hit[what]
        return entry_id in ids or (rate > 0.0 and draw(f"{self.seed}/{what}", entry_id) < rate)

    def admit(self, now: float) -> bool:
        """True if a request at this time is within the limit. `now` is in seconds, of any monotonic clock."""
        rate = self.requests_per_second
        if rate is None:
            return True
        with self._lock:
            passed = max(0.0, now - self._last) if self._last is not None else 0.0
            self._last = now if self._last is None else max(now, self._last)
            self._tokens = min(max(1.0, rate), self._tokens + passed * rate)
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True

    @classmethod
    def of(cls, script: "Faults | str | None") -> "Faults | None":
        """Return a script from `Faults`, a string or None.

        ValueError for invalid text, TypeError for other types.
        """
        if script is None or isinstance(script, cls):
            return script
        if not isinstance(script, str):
            raise TypeError(f"faults must be Faults or a string, not {script!r}")
        return cls.parse(script)

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """Return the script that a text describes (see the package). ValueError names the invalid clause."""
        rules, settings = parse_words(text)
        return cls(rules, **settings)
