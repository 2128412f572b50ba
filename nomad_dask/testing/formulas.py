"""Chemical formulas in the orders of NOMAD's index."""

import re

from nomad_dask.testing.generated.elements import RANKS

_PART = re.compile(r"([A-Z][a-z]?)(\d*)")


def hill(text: str) -> str:
    """Return a formula with carbon first, then hydrogen, then the others by symbol.

    Other text is returned unchanged.
    """
    counts = _counts(text)
    if counts is None:
        return text
    first = [symbol for symbol in ("C", "H") if symbol in counts] if "C" in counts else []
    return _written(counts, [*first, *sorted(counts.keys() - set(first))])


def iupac(text: str) -> str:
    """Return a formula in the order of electronegativity. Unchanged if an element is unknown here."""
    counts = _counts(text)
    if counts is None or not counts.keys() <= RANKS.keys():
        return text
    return _written(counts, sorted(counts, key=RANKS.__getitem__))


def _counts(text: str) -> dict[str, int] | None:
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        return None
    counts: dict[str, int] = {}
    for symbol, number in _PART.findall(text):
        counts[symbol] = counts.get(symbol, 0) + int(number or 1)
    return counts


def _written(counts: dict[str, int], order: list[str]) -> str:
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in order)
