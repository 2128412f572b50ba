"""Uploads of generated entries: of very different sizes, each with an author and with times."""

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
    """What the entries of an upload share."""

    id: bytes
    state: State
    main_author: str
    coauthors: tuple[str, ...]
    start: int
    """The place of its first entry in the row of all uploads."""
    size: int
    created: int
    """Milliseconds since the first of all uploads could be."""
    texts: tuple[bytes, ...]
    """What placeholders of the group `upload` stand for; nothing for a coauthor that is not there."""


def public_upload(number: int, draw: int) -> About:
    """Whose it is: most are of one author, a few of two."""
    author = ("cy", "cy", "bo", "ada")[draw & 3]
    return "public", author, ("bo",) if author == "cy" and draw >> 2 & 7 == 0 else ()


def private_upload(number: int, draw: int) -> About:
    """Each way of being private in turn."""
    return _PRIVATE[number % len(_PRIVATE)]


class Uploads:
    """Uploads of very different sizes for n entries, over which their ranks are scattered."""

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
        """A few uploads hold a good part of all entries, most of them a handful."""
        at, most = 0, max(2, self._n // 6)
        while at < self._n:
            yield at
            at += min(most, int((1 - rng.random()) ** -1.25))
        yield self._n

    def place(self, rank: int) -> int:
        """The place of the entry of this rank in the row of all uploads."""
        return (rank * self._factor + self._shift) % self._n

    def rank(self, place: int) -> int:
        """The inverse of `place`."""
        return (place - self._shift) * self._back % self._n

    def at(self, place: int) -> Upload:
        """The upload at a place."""
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
