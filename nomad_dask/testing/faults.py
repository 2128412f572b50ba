"""How the embedded archive is told to misbehave: what goes wrong, and with which requests. No I/O, no clock.

A rule joins an action with a time. Without one it holds for every request that its `path` and `match` let in:

    Rule(Status(503, html=True), rate=0.1)                     one request in ten, chosen by the seed
    Rule(Reset(), nth=(3, 5))                                  the 3rd and the 5th
    Rule(Truncate(0.3), every=10, path="entries/archive/query")
    Rule(Stall(60), times=1)                                   the first, and no other
    Rule(Drop(2), match=lambda body: body.get("owner") == "visible")

    faults = Faults([Rule(Status(503), rate=0.05), Rule(Reset(), nth=(7,))], seed=1, missing_rate=0.002)
    faults.plan(FaultRequest(1, "entries/query", {"owner": "visible"}))     an action, or None

The server asks `plan` once for each request, `admit` for the rate limit, and `missing` and `poison` for each
entry of an archive answer. Actions that have an `edit` change a right answer into a wrong one; the others
spoil the way in which it is sent. The same script in words, for the command line (clauses end at `;`):

    status=503,html,retry_after=2,rate=0.1; reset,nth=3+5; truncate=0.3,every=10,path=entries/archive/query
    stall=60,times=1; delay=0.5,rate=0.2; reorder; repeat-cursor; inflate-total=10; unasked=ID+ID; end-early
    drop=2; latency=0.2; limit=20; missing=0.002; poison=ID1+ID2; seed=4
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import blake2b
from threading import Lock
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FaultRequest:
    """A request as the server saw it: its running number from 1, its path below the API's root, its body."""

    n: int
    path: str
    body: Any = None


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this status code; as nginx's HTML with `html`, with a `Retry-After` header in seconds."""

    code: int
    html: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """Announce the whole body, send this share of it, and close."""

    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Stall:
    """Begin the body, then send nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Delay:
    """Answer rightly, so many seconds late."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reorder:
    """The rows of a page in reverse order."""

    def edit(self, answer: Json) -> Json:
        """The answer with its rows reversed."""
        return {**answer, "data": _rows(answer)[::-1]}


@dataclass(frozen=True, slots=True)
class RepeatCursor:
    """The next cursor is the one that was just used (on a first page: the page's first id)."""

    def edit(self, answer: Json) -> Json:
        """The answer with a cursor that leads nowhere new."""
        page, rows = answer.get("pagination", {}), _rows(answer)
        cursor = page.get("page_after_value") or (rows[0].get("entry_id") if rows else None)
        return {**answer, "pagination": {**page, "next_page_after_value": cursor}} if cursor else dict(answer)


@dataclass(frozen=True, slots=True)
class InflateTotal:
    """`total` is n too high."""

    n: int

    def edit(self, answer: Json) -> Json:
        """The answer with n added to its total."""
        page = answer.get("pagination", {})
        return {**answer, "pagination": {**page, "total": page.get("total", 0) + self.n}}


@dataclass(frozen=True, slots=True)
class Unasked:
    """Rows of entries that nobody asked for, after the others."""

    ids: tuple[str, ...]

    def edit(self, answer: Json) -> Json:
        """The answer with one more row for each id, otherwise like its first row."""
        rows = _rows(answer)
        like = rows[0] if rows else {"upload_id": "A" * 22}
        return {**answer, "data": [*rows, *({**like, "entry_id": entry_id} for entry_id in self.ids)]}


@dataclass(frozen=True, slots=True)
class EndEarly:
    """No next cursor, although more would follow."""

    def edit(self, answer: Json) -> Json:
        """The answer without `next_page_after_value`."""
        page = {k: v for k, v in answer.get("pagination", {}).items() if k != "next_page_after_value"}
        return {**answer, "pagination": page}


@dataclass(frozen=True, slots=True)
class Drop:
    """The last n rows of the page are left out; cursor and total stay."""

    n: int = 1

    def edit(self, answer: Json) -> Json:
        """The answer with n rows fewer."""
        rows = _rows(answer)
        return {**answer, "data": rows[: max(0, len(rows) - self.n)]}


Spoil = Status | Reset | Truncate | Stall | Delay
Edit = Reorder | RepeatCursor | InflateTotal | Unasked | EndEarly | Drop
Action = Spoil | Edit


def _rows(answer: Json) -> list[Json]:
    rows = answer.get("data")
    return list(rows) if isinstance(rows, list) else []


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
            _share("rate", self.rate)
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
            return _draw(seed, str(count)) < self.rate
        if self.nth:
            return count in self.nth
        return self.every is None or count % self.every == 0


def _draw(seed: str, what: str) -> float:
    """A number of [0, 1) that depends on the seed and on what is drawn for, and on nothing else."""
    digest = blake2b(what.encode(), key=blake2b(seed.encode()).digest(), digest_size=7).digest()
    return int.from_bytes(digest) / (1 << 56)


def _share(name: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is a share between 0 and 1, not {value:g}")
    return value


class Faults:
    """One script of faults: its rules, the ids that are hit, and the counters of how often. Thread-safe.

    The first rule that is due decides; the later ones count the request all the same. `latency` (seconds
    before every answer) is for the server to wait. `requests_per_second` is a bucket of tokens that holds one
    second's worth and starts full; the server answers 503 where `admit` says no.
    """

    def __init__(
        self,
        rules: Iterable[Rule] = (),
        *,
        seed: int = 0,
        requests_per_second: float | None = None,
        latency: float | None = None,
        missing: Iterable[str] = (),
        missing_rate: float = 0.0,
        poison: Iterable[str] = (),
        poison_rate: float = 0.0,
    ) -> None:
        if requests_per_second is not None and requests_per_second <= 0:
            raise ValueError(f"requests_per_second is above 0, not {requests_per_second:g}")
        if latency is not None and latency < 0:
            raise ValueError(f"latency is not negative: {latency:g}")
        self.rules = tuple(rules)
        self.seed = seed
        self.requests_per_second = requests_per_second
        self.latency = latency
        self._hit = {
            "missing": (frozenset(missing), _share("missing_rate", missing_rate)),
            "poison": (frozenset(poison), _share("poison_rate", poison_rate)),
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
        return entry_id in ids or (rate > 0.0 and _draw(f"{self.seed}/{what}", entry_id) < rate)

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
    def parse(cls, text: str) -> "Faults":
        """The script that the text describes (see the module); a `ValueError` says which clause is wrong."""
        rules: list[Rule] = []
        options: Json = {}
        for clause in filter(None, (part.strip() for part in text.split(";"))):
            try:
                head, *rest = (_pair(item) for item in clause.split(","))
                if head[0] in _SETTINGS:
                    if rest:
                        raise ValueError(f"{head[0]} takes nothing after a comma")
                    options.update(_SETTINGS[head[0]](_needed(*head)))
                else:
                    rules.append(_rule(head, rest))
            except ValueError as exc:
                raise ValueError(f"faults: {exc}, in {clause!r}") from exc
        return cls(rules, **options)


def _pair(item: str) -> tuple[str, str | None]:
    name, equals, value = item.partition("=")
    return name.strip(), value.strip() if equals else None


def _needed(name: str, value: str | None) -> str:
    if not value:
        raise ValueError(f"{name} needs a value, as in {name}=...")
    return value


def _number(name: str, kind: type = float) -> Callable[[str], Any]:
    """A reader of numbers, whose error names what the number is for."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError(
                f"{name} is {'a whole number' if kind is int else 'a number'}, not {text!r}"
            ) from None
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} is not negative and not infinite: {text}")
        return value

    return read


def _entries(name: str) -> Callable[[str], Json]:
    """A reader of `0.002`, `ID1+ID2`, or both joined: a number is a rate, anything else an id."""

    def read(text: str) -> Json:
        ids, rate = [], 0.0
        for word in text.split("+"):
            try:
                rate = _share(name, float(word if len(word) != 28 else "an id"))
            except ValueError as exc:
                if "share" in str(exc):
                    raise
                ids.append(word)
        return {name: tuple(ids), f"{name}_rate": rate}

    return read


_SETTINGS: dict[str, Callable[[str], Json]] = {
    "latency": lambda text: {"latency": _number("latency")(text)},
    "limit": lambda text: {"requests_per_second": _number("limit")(text)},
    "seed": lambda text: {"seed": _number("seed", int)(text)},
    "missing": _entries("missing"),
    "poison": _entries("poison"),
}

_ACTIONS: dict[str, tuple[Callable[..., Action], Callable[[str], Any] | None, bool]] = {
    "status": (Status, _number("status", int), True),
    "reset": (Reset, None, False),
    "truncate": (Truncate, lambda text: _share("truncate", _number("truncate")(text)), False),
    "stall": (Stall, _number("stall"), True),
    "delay": (Delay, _number("delay"), True),
    "reorder": (Reorder, None, False),
    "repeat-cursor": (RepeatCursor, None, False),
    "inflate-total": (InflateTotal, _number("inflate-total", int), True),
    "unasked": (Unasked, lambda text: tuple(text.split("+")), True),
    "end-early": (EndEarly, None, False),
    "drop": (Drop, _number("drop", int), False),
}
"""The word of each action, how its value is read (None: it has none), and whether it needs one."""

_WHEN: dict[str, Callable[[str], Any]] = {
    "rate": _number("rate"),
    "nth": lambda text: tuple(_number("nth", int)(word) for word in text.split("+")),
    "every": _number("every", int),
    "path": str,
    "times": _number("times", int),
}


def _rule(head: tuple[str, str | None], rest: list[tuple[str, str | None]]) -> Rule:
    """One clause as a rule."""
    name, value = head
    if name not in _ACTIONS:
        raise ValueError(_unknown("fault", name, [*_ACTIONS, *_SETTINGS]))
    make, read, needs = _ACTIONS[name]
    if read is None and value is not None:
        raise ValueError(f"{name} takes no value")
    arguments = [read(_needed(name, value))] if read and (needs or value is not None) else []
    if name == "status" and not 300 <= arguments[0] <= 599:
        raise ValueError(f"status is between 300 and 599, not {arguments[0]}")
    extra: Json = {}
    when: Json = {}
    for key, text in rest:
        if name == "status" and key == "html":
            if text is not None:
                raise ValueError("html takes no value")
            extra["html"] = True
        elif name == "status" and key == "retry_after":
            extra["retry_after"] = _number(key)(_needed(key, text))
        elif key in _WHEN:
            when[key] = _WHEN[key](_needed(key, text))
        else:
            raise ValueError(
                _unknown("option", key, [*_WHEN, *(("html", "retry_after") if name == "status" else ())])
            )
    return Rule(make(*arguments, **extra), **when)


def _unknown(what: str, word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, 1)
    return f"unknown {what} {word!r} " + (
        f"(did you mean {near[0]}?)" if near else f"(known: {', '.join(known)})"
    )
