"""Chemical elements and formulas of generated materials."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nomad_dask.testing.generated.draws import STEP, mixed


class Element(NamedTuple):
    """A chemical element. Sorts by symbol."""

    symbol: bytes
    number: int
    mass: float
    """In kg."""
    rank: int
    """In a IUPAC formula."""
    parts: tuple[bytes, ...]
    """The text in a formula, by number of atoms."""


MOST_ATOMS = 12
"""Maximum number of atoms of one element in a formula."""
_TABLE = (
    "Cs 55 132.905 2",
    "K 19 39.098 2",
    "Na 11 22.990 4",
    "Li 3 6.941 4",
    "Ba 56 137.327 3",
    "Sr 38 87.62 3",
    "Ca 20 40.078 3",
    "La 57 138.905 2",
    "Y 39 88.906 1",
    "Mg 12 24.305 4",
    "Zr 40 91.224 2",
    "Ti 22 47.867 8",
    "V 23 50.942 2",
    "W 74 183.84 2",
    "Mo 42 95.96 3",
    "Cr 24 51.996 2",
    "Mn 25 54.938 3",
    "Fe 26 55.845 5",
    "Co 27 58.933 3",
    "Ni 28 58.693 4",
    "Rh 45 102.906 2",
    "Pd 46 106.42 2",
    "Pt 78 195.084 2",
    "Cu 29 63.546 5",
    "Ag 47 107.868 3",
    "Au 79 196.967 3",
    "Zn 30 65.38 4",
    "Cd 48 112.411 1",
    "Al 13 26.982 5",
    "Ga 31 69.723 4",
    "In 49 114.818 2",
    "Si 14 28.086 7",
    "Ge 32 72.64 3",
    "Sn 50 118.71 2",
    "Pb 82 207.2 1",
    "B 5 10.811 3",
    "P 15 30.974 2",
    "As 33 74.922 3",
    "Sb 51 121.76 1",
    "Te 52 127.6 1",
    "Se 34 78.96 2",
    "C 6 12.011 8",
    "S 16 32.065 4",
    "N 7 14.007 6",
    "H 1 1.008 8",
    "I 53 126.904 1",
    "Br 35 79.904 1",
    "Cl 17 35.453 3",
    "F 9 18.998 3",
    "O 8 15.999 18",
)
"""Symbol, number, mass in u, and frequency, in the order of IUPAC formulas."""
RANKS = {row.split()[0]: rank for rank, row in enumerate(_TABLE)}
"""Position in the order of IUPAC formulas, by symbol."""


def _parts(symbol: str) -> tuple[bytes, ...]:
    return tuple(f"{symbol}{n if n > 1 else ''}".encode() for n in range(MOST_ATOMS + 1))


_DRAWN = tuple(
    Element(symbol.encode(), int(number), float(mass) * 1.66053906660e-27, rank, _parts(symbol))
    for rank, (symbol, number, mass, times) in enumerate(row.split() for row in _TABLE)
    for _ in range(int(times))
)


def drawn(n: int, draw: int) -> tuple[Element, ...]:
    """Return n different elements, sorted by symbol."""
    elements: list[Element] = []
    while True:
        element = _DRAWN[draw % len(_DRAWN)]
        if element not in elements:
            elements.append(element)
        if len(elements) == n:
            return tuple(sorted(elements))
        draw = mixed(draw + STEP)


def iupac(elements: Iterable[Element], counts: Iterable[int]) -> bytes:
    """Return the formula in IUPAC order."""
    parts = [(element.rank, element.parts[n]) for element, n in zip(elements, counts, strict=True)]
    return b"".join([part for _, part in sorted(parts)])


def hill(elements: Sequence[Element], counts: Iterable[int], units: int) -> bytes:
    """Return the formula in Hill order: carbon first, then hydrogen, then the others by symbol."""
    parts = [element.parts[n * units] for element, n in zip(elements, counts, strict=True)]
    symbols = [element.symbol for element in elements]
    if b"C" in symbols:
        first = [symbols.index(symbol) for symbol in (b"C", b"H") if symbol in symbols]
        parts = [parts[k] for k in first] + [part for k, part in enumerate(parts) if k not in first]
    return b"".join(parts)
