"""Uploads of generated entries: sizes, authors and times."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from math import gcd
from random import Random
from typing import NamedTuple

from nomad_dask.testing.corpus import State
from nomad_dask.testing.generated.draws import STEP, mixed
from nomad_dask.testing.generated.ids import id_of
from nomad_dask.testing.generated.times import YEAR, time

_PEOPLE = {
    "ada": ("Ada Łukasiewicz-öz", "928535fc-aa8f-5a38-a457-73b1b2b2100c"),
    "bo": ("Bo Nakamura", "4775b63e-5bf6-5592-957f-aef8e90729b3"),
    "cy": ("Cy Public", "31e2734c-8178-5296-92d3-0753640093df"),
}
_PRIVATE: tuple[tuple[State, str, tuple[str, ...]], ...] = (
    ("staging", "ada", ()),
    ("embargo", "bo", ()),
    ("shared", "bo", ("ada",)),
    ("embargo", "ada", ()),
    ("staging", "bo", ()),
)
About = tuple[State, str, tuple[str, ...]]
"""State, author, coauthors."""


class Upload(NamedTuple):
    """The properties that the entries of an upload share."""

    id: bytes
    state: State
    main_author: str
    coauthors: tuple[str, ...]
    start: int
    """Position of its first entry in the sequence of the entries of all uploads."""
    size: int
    created: int
    """Milliseconds since the earliest possible upload."""
    texts: tuple[bytes, ...]
    """Values of the placeholders of the group `upload`. Empty for a missing coauthor."""


def public_upload(number: int, draw: int) -> About:
    """Return state, author and coauthors. Most uploads have one author, a few have two."""
    author = ("cy", "cy", "bo", "ada")[draw & 3]
    return "public", author, ("bo",) if author == "cy" and draw >> 2 & 7 == 0 else ()


def private_upload(number: int, draw: int) -> About:
    """Return state, author and coauthors: each kind of private upload in turn."""
    return _PRIVATE[number % len(_PRIVATE)]


class Uploads:
    """Uploads of very different sizes for n entries, whose ranks are scattered over them."""

    def __init__(self, n: int, rng: Random, about: Callable[[int, int], About]) -> None:
        self._n, self._salt, self._about = n, rng.getrandbits(64), about
        self.starts = array("q", self._cut(rng))
        self.upload = lru_cache(maxsize=1 << 14)(self._make)
        self._factor = max(1, int(n * 0.6180339887498949))
        while gcd(self._factor, n) > 1:
            self._factor += 1
        self._back = pow(self._factor, -1, n) if n > 1 else 1
        self._shift = rng.randrange(n) if n else 0

    def _cut(self, rng: Random) -> Iterator[int]:
        """Yield the starts of uploads: a few hold a large part of all entries, most only a handful."""
        start, limit = 0, max(2, self._n // 6)
        while start < self._n:
            yield start
            start += min(limit, int((1 - rng.random()) ** -1.25))
        yield self._n

    def place(self, rank: int) -> int:
        """Return the position of the entry with this rank in the sequence of the entries of all uploads."""
        return (rank * self._factor + self._shift) % self._n

    def rank(self, place: int) -> int:
        """Return the inverse of `place`."""
        return (place - self._shift) * self._back % self._n

    def at(self, place: int) -> Upload:
        """Return the upload at a position."""
        return self.upload(bisect_right(self.starts, place) - 1)

    def _make(self, number: int) -> Upload:
        draw = mixed(number * STEP + self._salt)
        state, author, coauthors = self._about(number, draw >> 3)
        created = (draw >> 8) % (11 * YEAR)
        upload_id = id_of(draw << 80 | mixed(draw + 1) << 16, 18)[:22]
        name = f"{('Upload', 'Датасет', '结构 – α/β')[draw % 3]} {number}"
        times = time(created), time(created + 3 * 86_400_000)
        people = (*_PEOPLE[author], *(_PEOPLE[coauthors[0]] if coauthors else ("", "")))
        texts = (upload_id, name.encode(), *times, *(text.encode() for text in people))
        start = self.starts[number]
        return Upload(
            upload_id, state, author, coauthors, start, self.starts[number + 1] - start, created, texts
        )
