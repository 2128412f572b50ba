"""Owns every decision about trying again: what happened, and how often, in; wait, halve or give up, out.

Pure: no clock and no dice; the jitter comes in as a number. Rules: SPEC 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Status:
    """The server answered with a status other than 200."""

    code: int
    retry_after: float | None = None
    """Seconds, where the answer names them."""

    def __str__(self) -> str:
        return f"status {self.code}"


@dataclass(frozen=True, slots=True)
class Broken:
    """No whole answer came."""

    kind: str
    """`timeout`, `reset`, `truncated`, `undecodable` or `refused` (nothing listens)."""

    def __str__(self) -> str:
        return _WORDS.get(self.kind, self.kind)


_WORDS = {
    "timeout": "no answer in time",
    "reset": "a connection that was cut",
    "truncated": "an answer that was cut off",
    "undecodable": "an answer that is no JSON",
    "refused": "nothing that listens there",
}

Outcome = Status | Broken


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a job is. The names are the guide's (`archive_query_howto.txt`)."""

    retry: int = 4
    """Tries after the first, for each request."""
    sleep_time: float = 4.0
    """Seconds: waits double from an eighth of this and end at this."""
    longest: float = 120.0
    """Seconds: no wait is longer, whatever `Retry-After` says."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after `seconds`; with `everyone`, no other request goes out before either (a limit was hit)."""

    seconds: float
    everyone: bool = False


@dataclass(frozen=True, slots=True)
class Halve:
    """Ask again with half of the entries: the fault is likely to be one entry's, or the size's."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No more tries."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The question is wrong (or not allowed): asking again cannot help."""


Decision = Wait | Halve | GiveUp | Refused

_LIMITED = frozenset({429, 503})
_RETRIED = frozenset({408, 425, 429})
_PATIENCE = 4
"""A limit says "later", not "never": so many times more tries than a fault gets."""
_ALONE = 3
"""Tries of the one entry that is left of a batch that was halved again and again."""


def retried(outcome: Outcome) -> bool:
    """Whether asking again can help: 408, 425, 429, 5xx, timeouts, resets, truncated or undecodable bodies."""
    return isinstance(outcome, Broken) or outcome.code in _RETRIED or outcome.code >= 500


def limited(outcome: Outcome) -> bool:
    """Whether the server asks for fewer requests (NOMAD says 503, others 429)."""
    return isinstance(outcome, Status) and outcome.code in _LIMITED


def timed_out(outcome: Outcome) -> bool:
    """Whether nobody waited any longer: this process, the server, or a proxy between them."""
    return outcome == Broken("timeout") or (isinstance(outcome, Status) and outcome.code in (408, 504))


def decide(
    outcome: Outcome,
    attempt: int,
    policy: Policy,
    *,
    entries: int = 1,
    suspect: bool = False,
    jitter: float = 1.0,
) -> Decision:
    """What to do after the `attempt`-th try (from 1) of one request ended in `outcome`.

    `entries` is how many the request asked for by name: more than one can be halved. A 500 or a timeout of such
    a batch is halved after its second try, since waiting does not mend an entry; of a `suspect` one, which is part
    of a batch that was halved, after its first. An entry that stands alone at the end of that has failed in larger
    company as well: three tries suffice. `jitter` in 0..1 shortens the wait to between half and all of it.
    """
    if not retried(outcome):
        return Refused()
    if entries > 1 and attempt >= (1 if suspect else 2) and _of_the_batch(outcome):
        return Halve()
    if suspect and attempt >= _ALONE and _of_the_batch(outcome):
        return GiveUp()
    if attempt > policy.retry * (_PATIENCE if limited(outcome) else 1):
        return Halve() if entries > 1 else GiveUp()
    planned = min(policy.sleep_time, policy.sleep_time / 8 * 2 ** (attempt - 1)) * (0.5 + 0.5 * jitter)
    asked = (outcome.retry_after or 0.0) if isinstance(outcome, Status) else 0.0
    return Wait(min(policy.longest, max(planned, asked)), everyone=limited(outcome))


def _of_the_batch(outcome: Outcome) -> bool:
    return outcome == Broken("timeout") or (isinstance(outcome, Status) and outcome.code == 500)


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date compared with `now` (Unix seconds)."""
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return None
