"""Random choices that depend only on a seed and a position, so that they need not be stored."""

from collections.abc import Iterator
from random import Random

FULL, STEP = (1 << 64) - 1, 0x9E3779B97F4A7C15


def mixed(x: int) -> int:
    """Return a hash of 64 bits (the finalizer of splitmix64)."""
    x = ((x ^ (x & FULL) >> 30) * 0xBF58476D1CE4E5B9) & FULL
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & FULL
    return x ^ x >> 31


def strata(n: int, k: int, rng: Random) -> Iterator[int]:
    """Return k of n positions, one from each of k equal parts."""
    for j in range(k):
        low, high = j * n // k, (j + 1) * n // k
        yield low + rng.randrange(high - low)
