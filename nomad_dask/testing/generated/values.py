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
"""Entries whose values are kept, about 1 kB each."""


class Values:
    """The values of the entries of one population as JSON, texts without their quotes.

    The first time an entry is filled in costs some 15 us, the next ones a third: what does not depend on the
    template is kept for the entries that were asked for last.
    """

    def __init__(self, population: Population, ids: IdSpace, profiles: Sequence[Profile]) -> None:
        self._population, self._ids, self._profiles = population, ids, profiles
        self._elements = lru_cache(maxsize=KEPT)(self._draw_elements)
        groups: dict[str, Callable[[int], Texts]] = {
            "entry": self._entry,
            "elements": self._symbols,
            "formulas": self._formulas,
            "target": self._target,
            "cell": self._cell,
            "masses": self._masses,
        }
        self._groups: dict[str, Callable[[int], Texts]] = {
            "upload": self._upload,
            **{name: lru_cache(maxsize=KEPT)(made) for name, made in groups.items()},
        }

    def fill(self, i: int, rendered: bytes) -> bytes:
        """The rendered JSON with the values of entry i. Bytes that come again are cut apart once."""
        asked = cut(rendered)
        if len(asked.pieces) == 1:
            return rendered
        row = self._energies(i, asked)
        for name in asked.groups:
            row += self._groups[name](i)
        filled = asked.pieces.copy()
        filled[1::2] = asked.pick(row)
        return b"".join(filled)

    def _energies(self, i: int, asked: Cut) -> list[bytes]:
        if not asked.energies and not asked.per_atom:
            return []
        energy = _energy(self._draw(i))
        numbers = [energy * factor for factor in asked.energies]
        if asked.per_atom:
            each = energy / self._profile(i).n_atoms
            numbers += [each * factor for factor in asked.per_atom]
        return _listed(numbers)

    def _draw(self, i: int) -> int:
        return self._population.hash(i, "values")

    def _profile(self, i: int) -> Profile:
        return self._profiles[self._population.facts(i).shape[0]]

    def _upload(self, i: int) -> Texts:
        return self._population.facts(i).upload.texts

    def _entry(self, i: int) -> Texts:
        _, upload, place = self._population.facts(i)
        number, draw = place - upload.start, self._draw(i)
        created = upload.created + 156 + 1072 * number
        processed = created + 120_000 + int(_part(draw, 48) * 3 * YEAR)
        return (
            self._ids[i].encode(),
            b"%05d" % number,
            hashed_id(draw),
            time(created),
            time(processed),
        )

    def _draw_elements(self, i: int) -> tuple[elements.Element, ...]:
        """As many different elements as the profile has, by symbol."""
        return elements.drawn(len(self._profile(i).counts), self._population.hash(i, "elements"))

    def _symbols(self, i: int) -> Texts:
        return _padded([element.symbol for element in self._elements(i)])

    def _formulas(self, i: int) -> Texts:
        drawn, profile = self._elements(i), self._profile(i)
        draw = self._population.facts(i).shape[0]
        for element in drawn:
            draw = mixed(draw * 128 + element.number)
        counts = profile.counts
        return (
            hashed_id(draw),
            elements.iupac(drawn, counts),
            elements.hill(drawn, counts, profile.units),
        )

    def _target(self, i: int) -> Texts:
        j = self._population.target(i)
        if j is None:
            absent = hashed_id(self._population.hash(i, "targets"))
            return absent, self._population.facts(i).upload.id
        return self._ids[j].encode(), self._population.facts(j).upload.id

    def _cell(self, i: int) -> Texts:
        draw, profile = self._draw(i), self._profile(i)
        edge, energy, last = _edge(draw), _energy(draw), profile.n_calculations - 1
        return tuple(
            _listed(
                [
                    (_part(draw, 40) - 0.2) * 2e-18,
                    edge,
                    edge**3,
                    profile.n_atoms / edge**3,
                    _part(draw, 44) * 1.2e-18,
                    abs(energy * fall(last) - energy * fall(last - 1)) if last else 0.0,
                ]
            )
        )

    def _masses(self, i: int) -> Texts:
        drawn, profile = self._elements(i), self._profile(i)
        masses = [n * element.mass for n, element in zip(profile.counts, drawn, strict=True)]
        mass = sum(masses)
        return (
            *_listed([mass * profile.units / _edge(self._draw(i)) ** 3]),
            *_padded(_listed([element.number for element in drawn])),
            *_padded(_listed([element.mass for element in drawn])),
            *_padded(_listed([part / mass for part in masses])),
        )


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
