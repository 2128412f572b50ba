"""A script of faults at work: which rule is due, which ids are hit, and the limit of requests."""

from collections.abc import Iterable
from threading import Lock

from nomad_dask.testing.faults.actions import Action
from nomad_dask.testing.faults.rules import FaultRequest, Rule, draw, share
from nomad_dask.testing.faults.words import parse_words


class Faults:
    """One script of faults: its rules, the ids that are hit, and the counters of how often. Thread-safe.

    The first rule that is due decides; the later ones count the request all the same. `latency` (seconds
    before every answer) and `slots` (how many requests it works on at once; the others wait) are for the server to keep. `requests_per_second` is a bucket of tokens that holds one
    second's worth and starts full; the server answers 503 where `admit` says no.
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
            raise ValueError(f"requests_per_second is above 0, not {requests_per_second:g}")
        if latency is not None and latency < 0:
            raise ValueError(f"latency is not negative: {latency:g}")
        if slots is not None and slots < 1:
            raise ValueError(f"slots is 1 at least: {slots}")
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
        """What goes wrong with this request; None: nothing. Counts it, so ask once for each request."""
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
        """Whether the entry has no readable archive: always the same ones for a seed."""
        return self._is_hit("missing", entry_id)

    def poison(self, entry_id: str) -> bool:
        """Whether a page with the entry's archive in it is a 500: always the same ones for a seed."""
        return self._is_hit("poison", entry_id)

    def _is_hit(self, what: str, entry_id: str) -> bool:
        ids, rate = self._hit[what]
        return entry_id in ids or (rate > 0.0 and draw(f"{self.seed}/{what}", entry_id) < rate)

    def admit(self, now: float) -> bool:
        """Whether a request at this time (seconds of any clock that does not go back) is within the limit."""
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
        """The script itself, or what its words describe. Raises ValueError for wrong words, TypeError for anything else."""
        if script is None or isinstance(script, cls):
            return script
        if not isinstance(script, str):
            raise TypeError(f"faults are Faults(...), or their words as a text, not {script!r}")
        return cls.parse(script)

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """The script that the text describes (see the package); a `ValueError` says which clause is wrong."""
        rules, settings = parse_words(text)
        return cls(rules, **settings)
