"""Owns the choice and the naming of columns: `keys_to_filter`, and names cut short without two becoming one (SPEC 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeAlias

from nomad_dask.pure import paths
from nomad_dask.pure.errors import UserError
from nomad_dask.pure.near import hint, near_paths

Why: TypeAlias = Callable[[str], str]
"""Says why nothing is at a path that is right: `; no entry has it`; nothing for one that is not."""


def keys_of(keys_to_filter: Any) -> tuple[str, ...]:
    """The keys that a user gives, one as a plain text; none for None and an empty list. Raises UserError."""
    if not isinstance(keys_to_filter, str | Iterable | None):
        raise UserError(f"keys_to_filter is a list of paths, not {keys_to_filter!r}")
    keys = (keys_to_filter,) if isinstance(keys_to_filter, str) else tuple(keys_to_filter or ())
    for key in keys:
        if not isinstance(key, str):
            raise UserError(f"keys_to_filter: {key!r} is no path; use texts such as 'results.material'")
    return keys


def select(
    names: Sequence[str], keys: Sequence[str], *, taken: Collection[str] = (), why: Why = lambda path: ""
) -> dict[str, str]:
    """The names at or below the keys, in the order of `names`, each with what is left once its key is cut off.

    A key that is a whole name leaves it whole; under nested keys the longest is cut. Names that would collide, with
    one another or with `taken`, stay whole. Raises UserError for a key that matches nothing, unless there is no name.
    """
    if names:
        refuse_idle(keys, names, why)
    longest_last = sorted(keys, key=len)
    found = {name: key for name in names for key in longest_last if paths.below(name, key)}
    short = [name[len(key) + 1 :] or name for name, key in found.items()]
    return dict(zip(found, distinct(short, list(found), taken=taken), strict=True))


def refuse_idle(keys: Iterable[str], names: Collection[str], why: Why) -> None:
    """Raise UserError for the first key that matches no name, with the reason if there is one, or near misses."""
    for key in keys:
        if not any(paths.below(name, key) for name in names):
            raise UserError(
                f"keys_to_filter: nothing lies at or below {key!r}{why(key) or _hint(key, names)}"
            )


def _hint(key: str, names: Collection[str]) -> str:
    tops = sorted({paths.join(paths.split(name)[:1]) for name in names})
    there = f"there {'is' if len(tops) == 1 else 'are'} {', '.join(map(repr, tops[:8]))}{', ...' * (len(tops) > 8)}"
    return hint(near_paths(key, names), there)


def distinct(short: Sequence[str], whole: Sequence[str], *, taken: Collection[str] = ()) -> list[str]:
    """A name for each item: the short one, the whole one where the short would collide, a counted one at last.

    Whole names are distinct from one another. Counting (`a_2`) is left for a whole name that is itself `taken`.
    """
    names = list(short)
    while True:
        counts = Counter(names)
        clash = [
            i for i, name in enumerate(names) if (counts[name] > 1 or name in taken) and name != whole[i]
        ]
        if not clash:
            break
        for i in clash:
            names[i] = whole[i]
    used = {*taken}
    for i, name in enumerate(names):
        number = 1
        while names[i] in used or (number > 1 and names[i] in counts):
            number += 1
            names[i] = f"{name}_{number}"
        used.add(names[i])
    return names
