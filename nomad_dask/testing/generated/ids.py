"""Ids of generated entries: uniformly random, sorted, and computed on access."""

from array import array
from binascii import b2a_base64
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import lru_cache
from random import Random
from typing import Any

from nomad_dask.request.segments import ALPHABET
from nomad_dask.testing.corpus import Ids

_LETTERS, _BYTES = 28, 21
_BITS = 6 * _LETTERS
_MASK, _SPREAD = (1 << _BITS) - 1, int.from_bytes(b"generated id spread..") | 1
_TO_IDS = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", ALPHABET.encode()
)


def id_of(bits: int, n_bytes: int = _BYTES) -> bytes:
    """Return the id for a position in the id space: four letters for three bytes, in byte order."""
    return _letters(bits.to_bytes(n_bytes))


def _letters(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).translate(_TO_IDS)


def hashed_id(draw: int) -> bytes:
    """Return an id made from a hash; no entry has it."""
    return id_of(draw * _SPREAD & _MASK)


class IdSpace(Ids):
    """Uniformly random sorted ids. Access to one computes a part of about 256 ids."""

    def __init__(self, n: int, rng: Random) -> None:
        self._n, self._seed = n, rng.getrandbits(64)
        self._parts = max(1, n // 256)
        self._starts = array("q", self._counted(rng))
        self._part = lru_cache(maxsize=2048)(self._draw)

    def _counted(self, rng: Random) -> Iterator[int]:
        """Return the number of ids before each part, distributed like random ids."""
        before, left = 0, self._n
        for parts in range(self._parts, 0, -1):
            yield before
            share = 1 / parts
            drawn = round(rng.gauss(left * share, (left * share * (1 - share)) ** 0.5))
            count = left if parts == 1 else min(max(drawn, 0), left)
            before, left = before + count, left - count
        yield before

    def _draw(self, part: int) -> list[str]:
        low, high = (part << _BITS) // self._parts, ((part + 1) << _BITS) // self._parts
        rng = Random(self._seed + part)
        count = self._starts[part + 1] - self._starts[part]
        places = sorted(rng.randrange(low, high) for _ in range(count))
        # encoded at once: three bytes are always four letters
        text = _letters(b"".join([place.to_bytes(_BYTES) for place in places])).decode()
        return [text[k : k + _LETTERS] for k in range(0, len(text), _LETTERS)]

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(self._n))]
        if not -self._n <= i < self._n:
            raise IndexError(i)
        i %= self._n
        part = bisect_right(self._starts, i) - 1
        return self._part(part)[i - self._starts[part]]

    def __iter__(self) -> Iterator[str]:
        return (entry_id for part in range(self._parts) for entry_id in self._part(part))

    def find(self, entry_id: str) -> int | None:
        """Return the position of an id, or None. Computes one part."""
        if len(entry_id) != _LETTERS or not all(letter in ALPHABET for letter in entry_id):
            return None
        place = 0
        for letter in entry_id:
            place = place << 6 | ALPHABET.index(letter)
        part = place * self._parts >> _BITS
        for near in (part, part - 1, part + 1):
            if 0 <= near < self._parts:
                ids = self._part(near)
                at = bisect_left(ids, entry_id)
                if at < len(ids) and ids[at] == entry_id:
                    return self._starts[near] + at
        return None
