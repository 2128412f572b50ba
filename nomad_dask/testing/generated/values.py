"""What generated entries say: the values that stand in the place of the placeholders of their templates."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import orjson

from nomad_dask.testing.generated import elements
from nomad_dask.testing.generated.draws import mixed
from nomad_dask.testing.generated.ids import IdSpace, hashed_id
from nomad_dask.testing.generated.placeholders import MOST_ELEMENTS, Cut, cut, fall
from nomad_dask.testing.generated.population import Population
from nomad_dask.testing.generated.profiles import Profile
from nomad_dask.testing.generated.times import YEAR, time

Texts = tuple[bytes, ...]
KEPT = 1 << 15


class Values:
    """The values of the entries of one population as JSON, texts without their quotes.

    To fill in an entry of one calculation costs some 30 us the first time, and 4 us while its values are
    kept: those of the last `KEPT` are, with 1 kB for the entry and 0.3 kB for each calculation.
    """

    def __init__(self, population: Population, ids: IdSpace, profiles: Sequence[Profile]) -> None:
        self._population, self._ids, self._profiles = population, ids, profiles
        self._picked = lru_cache(maxsize=KEPT)(self._pick)

    def fill(self, i: int, rendered: bytes) -> bytes:
        """The rendered JSON with the values of entry i. Bytes that come again are cut apart once."""
        asked = cut(rendered)
        if len(asked.pieces) == 1:
            return rendered
        filled = asked.pieces.copy()
        filled[1::2] = self._picked(i, asked)
        return b"".join(filled)

    def _pick(self, i: int, asked: Cut) -> Texts:
        """The value for each placeholder."""
        entry = _Entry(self._population, self._ids, self._profiles, i)
        row = entry.energies(asked)
        for name in asked.groups:
            row += _GROUPS[name](entry)
        return asked.pick(row)


class _Entry:
    """What one entry says, by the groups of `placeholders.GROUPS`."""

    __slots__ = ("_draw", "_drawn", "_i", "_ids", "_number", "_place", "_population", "_profile", "_upload")

    def __init__(self, population: Population, ids: IdSpace, profiles: Sequence[Profile], i: int) -> None:
        self._population, self._ids, self._i = population, ids, i
        (self._number, _, _), self._upload, self._place = population.facts(i)
        self._profile = profiles[self._number]
        self._draw = population.hash(i, "values")
        self._drawn: tuple[elements.Element, ...] = ()

    @property
    def _elements(self) -> tuple[elements.Element, ...]:
        """As many different elements as the profile has, by symbol."""
        if not self._drawn:
            draw = self._population.hash(self._i, "elements")
            self._drawn = elements.drawn(len(self._profile.counts), draw)
        return self._drawn

    def energies(self, asked: Cut) -> list[bytes]:
        if not asked.energies and not asked.per_atom:
            return []
        energy = _energy(self._draw)
        each = energy / self._profile.n_atoms
        numbers = [energy * factor for factor in asked.energies]
        return _listed(numbers + [each * factor for factor in asked.per_atom])

    def upload(self) -> Texts:
        return self._upload.texts

    def entry(self) -> Texts:
        number = self._place - self._upload.start
        created = self._upload.created + 156 + 1072 * number
        processed = created + 120_000 + int(_part(self._draw, 48) * 3 * YEAR)
        entry_id = self._ids[self._i].encode()
        return entry_id, b"%05d" % number, hashed_id(self._draw), time(created), time(processed)

    def symbols(self) -> Texts:
        return _padded([element.symbol for element in self._elements])

    def formulas(self) -> Texts:
        profile, draw = self._profile, self._number
        for element in self._elements:
            draw = mixed(draw * 128 + element.number)
        return (
            hashed_id(draw),
            elements.iupac(self._elements, profile.counts),
            elements.hill(self._elements, profile.counts, profile.units),
        )

    def target(self) -> Texts:
        population = self._population
        j = population.target(self._i)
        if j is None:
            return hashed_id(population.hash(self._i, "targets")), self._upload.id
        return self._ids[j].encode(), population.facts(j).upload.id

    def cell(self) -> Texts:
        draw, profile = self._draw, self._profile
        edge, energy, last = _edge(draw), _energy(draw), profile.n_calculations - 1
        numbers = [
            (_part(draw, 40) - 0.2) * 2e-18,
            edge,
            edge**3,
            profile.n_atoms / edge**3,
            _part(draw, 44) * 1.2e-18,
            abs(energy * fall(last) - energy * fall(last - 1)) if last else 0.0,
        ]
        return tuple(_listed(numbers))

    def masses(self) -> Texts:
        profile = self._profile
        masses = [n * element.mass for n, element in zip(profile.counts, self._elements, strict=True)]
        mass = sum(masses)
        return (
            *_listed([mass * profile.units / _edge(self._draw) ** 3]),
            *_padded(_listed([element.number for element in self._elements])),
            *_padded(_listed([element.mass for element in self._elements])),
            *_padded(_listed([part / mass for part in masses])),
        )


_GROUPS: dict[str, Callable[[_Entry], Texts]] = {
    "upload": _Entry.upload,
    "entry": _Entry.entry,
    "elements": _Entry.symbols,
    "formulas": _Entry.formulas,
    "target": _Entry.target,
    "cell": _Entry.cell,
    "masses": _Entry.masses,
}


def _energy(draw: int) -> float:
    return float(-1e-18 * 10 ** (4 * (draw & 0xFFFFFFFF) / (1 << 32)))


def _edge(draw: int) -> float:
    """Of the cell, in m."""
    return (3.0 + 3.0 * _part(draw, 32)) * 1e-10


def _part(draw: int, shift: int) -> float:
    """A number of [0, 1) that belongs to the entry."""
    return (draw >> shift & 0xFFFF) / 65536


def _listed(numbers: list[float]) -> list[bytes]:
    """Numbers as JSON. All at once: one by one they would cost more than the rest together."""
    return orjson.dumps(numbers)[1:-1].split(b",")


def _padded(values: list[bytes]) -> Texts:
    """As many values as there can be elements, so that each has its place."""
    return (*values, *[b""] * (MOST_ELEMENTS - len(values)))
