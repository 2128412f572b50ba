"""Owns what a harvest will cost, as far as that can be told before it: requests, bytes, the least time under the limits."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from .limits import BatchSize
from .segments import Plan

_PAGE = 10_000
"""Entries that one listing request gives."""
_TOLERATED = 0.05
"""How uneven a range may be and still count as even (`segments.uneven`)."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What all segments of a plan will ask for, going by a sample of its entries. Estimates."""

    sampled: int
    """Entries that were looked at."""
    bytes_per_entry: float
    """Of all answers, those included that are of no use."""
    n_bytes: int
    """Of JSON in all answers."""
    requests: int
    """Without retries. What the sample took beyond its batches, for entries that had to be asked for by themselves or once
    more, is counted for all entries."""
    least_seconds: float | None
    """What the rate of requests alone makes of it; None where there is no limit. A server that is slow needs longer."""

    def to_json(self) -> dict[str, Any]:
        """The forecast as plain JSON."""
        return asdict(self)


def forecast(
    plan: Plan,
    batch: BatchSize,
    *,
    sampled: int,
    bytes_per_entry: float | None,
    read_per_entry: float,
    more_requests: float,
    per_second: float | None,
    documents: bool,
) -> Forecast | None:
    """The forecast of a plan whose segments begin with this batch size; None where the sample found no entry.

    `bytes_per_entry` is what comes of an entry; `read_per_entry` what all answers have, and `more_requests` the requests
    beyond one for each batch. The batches are those of a server that is quick enough not to make them smaller.
    """
    if not bytes_per_entry:
        return None
    sizes = Counter(segment.size or 0 for segment in plan)
    lists = 0 if documents else sum(max(1, -(-size // _PAGE)) * n for size, n in sizes.items())
    batches = sum(_batches(size, batch, bytes_per_entry) * n for size, n in sizes.items())
    requests = lists + batches + round(more_requests * plan.total)
    least = requests / per_second if per_second else None
    return Forecast(sampled, read_per_entry, round(read_per_entry * plan.total), requests, least)


def _batches(entries: int, batch: BatchSize, bytes_per_entry: float) -> int:
    """How many batches a segment's entries come in."""
    n = 0
    while entries > 0:
        asked = min(entries, batch.size)
        batch = batch.seen(asked, round(asked * bytes_per_entry), 0.0)
        entries -= asked
        n += 1
    return n


def uncertainty(plan: Plan) -> float:
    """By what share the size of a segment is likely to differ from the plan's; 0 in an exact plan.

    Ids are hashes: a segment of n entries is off by chance by up to twice the square root of n, and ranges that the plan
    took as even may be uneven by 5%.
    """
    if plan.exact or not plan.total:
        return 0.0
    return max(_TOLERATED, 2 * (len(plan) / plan.total) ** 0.5)
