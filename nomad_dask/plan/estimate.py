"""Estimates of the cost of a harvest: requests, bytes and minimum time."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from nomad_dask.limits import BatchSize
from nomad_dask.request.segments import Plan

_PAGE = 10_000
"""Entries per listing request."""
_TOLERATED = 0.05
"""Tolerated deviation of a range that counts as even (`segments.uneven`)."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Estimated cost of a plan, based on a sample of its entries."""

    sampled: int
    """Number of sampled entries."""
    bytes_per_entry: float
    """Bytes of all responses per entry, including those that are not used."""
    n_bytes: int
    """Bytes of JSON in all responses."""
    requests: int
    """Number of requests without retries. Extra requests of the sample are extrapolated to all entries."""
    least_seconds: float | None
    """Minimum time at the maximum request rate; None without a maximum. A slow server needs more time."""

    def to_json(self) -> dict[str, Any]:
        """The forecast as plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SampleCost:
    """The cost of downloading a sample of entries."""

    entries: int
    bytes_per_entry: float | None
    """Bytes of JSON per entry; None if no entry was downloaded."""
    read_per_entry: float
    """Bytes of all responses per entry, including those that are not used."""
    more_requests: float
    """Requests per entry in addition to one per batch."""


def forecast(
    plan: Plan, batch: BatchSize, sample: SampleCost, *, per_second: float | None, documents: bool
) -> Forecast | None:
    """Estimate the cost of a plan with this initial batch size; None if the sample has no entries.

    Assumes that the server is fast enough that batches do not become smaller. `per_second` is the maximum
    request rate; `documents` need no listing requests.
    """
    if not sample.bytes_per_entry:
        return None
    sizes = Counter(segment.size or 0 for segment in plan)
    lists = 0 if documents else sum(max(1, -(-size // _PAGE)) * n for size, n in sizes.items())
    batches = sum(_batches(size, batch, sample.bytes_per_entry) * n for size, n in sizes.items())
    requests = lists + batches + round(sample.more_requests * plan.total)
    least = requests / per_second if per_second else None
    n_bytes = round(sample.read_per_entry * plan.total)
    return Forecast(sample.entries, sample.read_per_entry, n_bytes, requests, least)


def _batches(entries: int, batch: BatchSize, bytes_per_entry: float) -> int:
    n = 0
    while entries > 0:
        requested = min(entries, batch.size)
        batch = batch.updated(requested, round(requested * bytes_per_entry), 0.0)
        entries -= requested
        n += 1
    return n


def uncertainty(plan: Plan) -> float:
    """Relative error of the planned size of a segment; 0 for an exact plan.

    Ids are hashes, so the size of a segment of n entries varies by up to twice the square root of n, and
    ranges that count as even can deviate by 5%.
    """
    if plan.exact or not plan.total:
        return 0.0
    return max(_TOLERATED, 2 * math.sqrt(len(plan) / plan.total))
