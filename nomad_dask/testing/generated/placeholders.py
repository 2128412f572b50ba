"""Placeholders of templates, and how rendered JSON is split at them.

A placeholder in a string is `<name>`; a placeholder for a number is a number that does not occur otherwise
(`slot`), so that a template has the types of a real archive.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter

TOKEN = re.compile(rb"<([a-z_]+\d*)>|7\.77(\d{4})7e-301")
TOTAL, PER_ATOM, FREE = 0, 100, 200
"""First slots of the energies, one slot for each calculation."""
ATOMIC_NUMBER, MASS, MASS_FRACTION = 300, 310, 320
"""First slots of values of elements, one slot for each element."""
FERMI, EDGE, VOLUME, ATOMIC_DENSITY, MASS_DENSITY, GAP, DIFFERENCE = range(330, 337)
MOST_ELEMENTS = 5

Key = str | int
"""The name of a placeholder in a string, or the number of a slot."""
GROUPS: dict[str, tuple[Key, ...]] = {
    "upload": (
        *("upload_id", "upload_name", "upload_time", "publish_time"),
        *("author_name", "author_id", "coauthor_name", "coauthor_id"),
    ),
    "entry": ("entry_id", "serial", "entry_hash", "entry_time", "processing_time"),
    "elements": tuple(f"s{k}" for k in range(MOST_ELEMENTS)),
    "formulas": ("material_id", "iupac", "hill"),
    "target": ("target_entry", "target_upload"),
    "cell": (FERMI, EDGE, VOLUME, ATOMIC_DENSITY, GAP, DIFFERENCE),
    "masses": (
        MASS_DENSITY,
        *(first + k for first in (ATOMIC_NUMBER, MASS, MASS_FRACTION) for k in range(MOST_ELEMENTS)),
    ),
}
"""Values that are computed together, in order. All others are energies."""


def slot(k: int) -> float:
    """Return the placeholder for number k, which is written `7.77kkkk7e-301`."""
    return float(f"7.77{k:04d}7e-301")


@dataclass(frozen=True, slots=True, eq=False)
class TemplateParts:
    """A rendered template, split at its placeholders. Compared by identity, for fast lookup in a dict."""

    pieces: list[bytes]
    """The text between placeholders, alternating with empty items for the values."""
    energies: list[float]
    """The factor of the entry's energy, for each energy in the template."""
    per_atom: list[float]
    """The factor of the entry's energy per atom, likewise."""
    groups: tuple[str, ...]
    """The other `GROUPS` in the template."""
    pick: Callable[[list[bytes]], tuple[bytes, ...]]
    """Selects the value of each placeholder from the list of energies, energies per atom, and groups."""


@lru_cache(maxsize=4096)
def cut(rendered: bytes) -> TemplateParts:
    """Split rendered JSON at its placeholders. Cached."""
    parts = TOKEN.split(rendered)
    keys: list[Key] = [
        name.decode() if name else int(slot) for name, slot in zip(parts[1::3], parts[2::3], strict=True)
    ]
    pieces = [b""] * (2 * len(keys) + 1)
    pieces[::2] = parts[::3]
    numbers = sorted({key for key in keys if isinstance(key, int) and key < ATOMIC_NUMBER})
    whole = [key for key in numbers if not PER_ATOM <= key < FREE]
    per_atom = [key for key in numbers if PER_ATOM <= key < FREE]
    groups = tuple(name for name, members in GROUPS.items() if not set(members).isdisjoint(keys))
    row = [*whole, *per_atom, *(key for name in groups for key in GROUPS[name])]
    place = {key: k for k, key in enumerate(row)}
    return TemplateParts(
        pieces,
        [fall(key) if key < PER_ATOM else 1.0001 * fall(key - FREE) for key in whole],
        [fall(key - PER_ATOM) for key in per_atom],
        groups,
        _picker([place[key] for key in keys]),
    )


def _picker(places: list[int]) -> Callable[[list[bytes]], tuple[bytes, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple(row[place] for place in places)


def fall(k: int) -> float:
    """Return the factor of the energy of a calculation: energies decrease from one to the next."""
    return float(1 + 1e-3 * (1 - 0.8**k))
