"""Values of generated entries, for the placeholders of their templates."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import orjson

from nomad_dask.testing.generated import elements
from nomad_dask.testing.generated.draws import mixed
from nomad_dask.testing.generated.ids import IdSpace, hashed_id
from nomad_dask.testing.generated.placeholders import MOST_ELEMENTS, TemplateParts, cut, fall
from nomad_dask.testing.generated.population import Population
from nomad_dask.testing.generated.profiles import Profile
from nomad_dask.testing.generated.times import YEAR, time

Texts = tuple[bytes, ...]
KEPT = 1 << 15


class Values:
    """The values of the entries of a population as JSON; strings are without quotes.

    Filling a template of one calculation takes about 30 us the first time, and 4 us with cached values.
    The cache holds `KEPT` entries, with 1 kB for each entry and 0.3 kB for each calculation.
    """

    def __init__(self, population: Population, ids: IdSpace, profiles: Sequence[Profile]) -> None:
        self._population, self._ids, self._profiles = population, ids, profiles
        self._picked = lru_cache(maxsize=KEPT)(self._pick)

    def fill(self, i: int, rendered: bytes) -> bytes:
        """Return the rendered JSON with the values of entry i."""
        parts = cut(rendered)
        if len(parts.pieces) == 1:
            return rendered
        filled = parts.pieces.copy()
        filled[1::2] = self._picked(i, parts)
        return b"".join(filled)

    def _pick(self, i: int, parts: TemplateParts) -> Texts:
        """Return the value of each placeholder."""
        entry = _Entry(self._population, self._ids, self._profiles, i)
        row = entry.energies(parts)
        for name in parts.groups:
            row += _GROUPS[name](entry)
        return parts.pick(row)


class _Entry:
    """The values of one entry, by the groups of `placeholders.GROUPS`."""

    __slots__ = ("_draw", "_drawn", "_i", "_ids", "_number", "_place", "_population", "_profile", "_upload")

    def __init__(self, population: Population, ids: IdSpace, profiles: Sequence[Profile], i: int) -> None:
        self._population, self._ids, self._i = population, ids, i
        (self._number, _, _), self._upload, self._place = population.facts(i)
        self._profile = profiles[self._number]
        self._draw = population.hash(i, "values")
        self._drawn: tuple[elements.Element, ...] = ()

    @property
    def _elements(self) -> tuple[elements.Element, ...]:
        """The elements, as many as the profile has, sorted by symbol."""
        if not self._drawn:
            draw = self._population.hash(self._i, "elements")
            self._drawn = elements.drawn(len(self._profile.counts), draw)
        return self._drawn

    def energies(self, parts: TemplateParts) -> list[bytes]:
        if not parts.energies and not parts.per_atom:
            return []
        energy = _energy(self._draw)
        each = energy / self._profile.n_atoms
        numbers = [energy * factor for factor in parts.energies]
        return _listed(numbers + [each * factor for factor in parts.per_atom])

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
    """Return a number in [0, 1) for the entry."""
    return (draw >> shift & 0xFFFF) / 65536


def _listed(numbers: list[float]) -> list[bytes]:
    """Return numbers as JSON. All at once, because individual calls would be slow."""
    return orjson.dumps(numbers)[1:-1].split(b",")


def _padded(values: list[bytes]) -> Texts:
    """Pad a list of values to the maximum number of elements."""
    return (*values, *[b""] * (MOST_ELEMENTS - len(values)))
