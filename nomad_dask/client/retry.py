"""Retry policy: from the outcome of a request, decide to wait, to halve the batch, or to give up.

Pure: no clock and no random numbers; the jitter is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """The server answered with a status other than 200."""

    code: int
    retry_after: float | None = None  # seconds, if the answer has them

    def __str__(self) -> str:
        return f"status {self.code}"


@dataclass(frozen=True, slots=True)
class BrokenAnswer:
    """The answer is missing, incomplete or invalid."""

    kind: str  # one of `_WORDS`; `refused` if there was no connection

    def __str__(self) -> str:
        return _WORDS[self.kind]


_WORDS = {
    "refused": "connection refused",
    "reset": "connection closed by the server",
    "truncated": "truncated answer",
    "limited": "",
    "timeout": "timeout",
    "undecodable": "invalid JSON",
    "malformed": "invalid answer",
    "status": "",
    "too large": "answer too large",
}
"""Kinds of faults, the most specific last: errors of an entry are more specific than those of the network."""

Outcome = StatusAnswer | BrokenAnswer
TOO_LARGE = BrokenAnswer("too large")


def specificity(outcome: Outcome, words: str) -> tuple[int, bool]:
    """Sort key of faults: after several tries, the error message names the most specific one."""
    kind = outcome.kind if isinstance(outcome, BrokenAnswer) else "limited" if limited(outcome) else "status"
    return list(_WORDS).index(kind), bool(words)


def reason(outcome: Outcome, words: str) -> str:
    """Describe a fault: what happened, and the server's message."""
    what = str(outcome)
    if not words or words.lower().startswith(what):
        return words or what
    return f"{what}: {words}"


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of retries. The names are those of `ArchiveQuery`."""

    retry: int = 4  # maximum number of retries of a request
    sleep_time: float = 4.0  # seconds: waits double from an eighth of this up to this
    max_wait: float = 120.0  # maximum seconds of a wait, also for `Retry-After`


@dataclass(frozen=True, slots=True)
class Wait:
    """Retry after `seconds`; with `everyone`, all requests wait (the server is at its limit)."""

    seconds: float
    everyone: bool = False


@dataclass(frozen=True, slots=True)
class Halve:
    """Retry with half of the entries: one entry, or the size of the batch, is the likely cause."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop retrying."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The request is invalid or not allowed; a retry cannot help."""


Decision = Wait | Halve | GiveUp | Refusal

_LIMIT_FACTOR = 4  # A limit is temporary: it allows this many times more retries than a fault
_TRIES_ALONE = 3  # tries of a single entry that is left of a halved batch


def retried(outcome: Outcome) -> bool:
    """True if a retry can help: 408, 425, 429, 5xx, timeouts, resets, truncated or invalid answers."""
    return isinstance(outcome, BrokenAnswer) or outcome.code in (408, 425, 429) or outcome.code >= 500


def limited(outcome: Outcome) -> bool:
    """True if the server asks for fewer requests (503 from NOMAD, 429 from others)."""
    return isinstance(outcome, StatusAnswer) and outcome.code in (429, 503)


def timed_out(outcome: Outcome) -> bool:
    """True for a timeout of this process, the server, or a proxy between them."""
    if isinstance(outcome, StatusAnswer):
        return outcome.code in (408, 504)
    return outcome.kind == "timeout"


def decide(
    outcome: Outcome,
    attempt: int,
    policy: Policy,
    *,
    entries: int = 1,
    suspect: bool = False,
    jitter: float = 1.0,
) -> Decision:
    """Decide what to do after try number `attempt` (from 1) of a request ended in `outcome`.

    `entries` is the number of entries requested by id: more than one can be halved. After a 500, a timeout or
    an invalid answer a batch is halved at its second try, because waiting does not repair an entry; a
    `suspect` batch, which is part of a halved one, at its first. A single suspect entry gets three tries,
    because it failed in larger batches too. Answers that are too large are not requested again. `jitter` in
    0..1 shortens the wait to between half and all of it.
    """
    if not retried(outcome):
        return Refusal()
    if outcome == TOO_LARGE:
        return Halve() if entries > 1 else GiveUp()
    if entries > 1 and attempt >= (1 if suspect else 2) and _is_entry_fault(outcome):
        return Halve()
    if suspect and attempt >= _TRIES_ALONE and _is_entry_fault(outcome):
        return GiveUp()
    if attempt > policy.retry * (_LIMIT_FACTOR if limited(outcome) else 1):
        return Halve() if entries > 1 else GiveUp()
    planned = min(policy.sleep_time, policy.sleep_time / 8 * 2 ** (attempt - 1)) * (0.5 + 0.5 * jitter)
    requested = (outcome.retry_after or 0.0) if isinstance(outcome, StatusAnswer) else 0.0
    return Wait(min(policy.max_wait, max(planned, requested)), everyone=limited(outcome))


def _is_entry_fault(outcome: Outcome) -> bool:
    if isinstance(outcome, StatusAnswer):
        return outcome.code == 500
    return outcome.kind in ("timeout", "undecodable", "malformed")
