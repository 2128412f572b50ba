"""Selection and naming of columns: `keys_to_filter`, and short names that stay unique."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeAlias

from nomad_dask.common import paths
from nomad_dask.common.paths import near_paths
from nomad_dask.errors import UserError
from nomad_dask.text import hint, shown

Reason: TypeAlias = Callable[[str], str]
"""Explains why a correct path has no values, such as `; no entry has it`; empty for a wrong path."""


def check_keys(keys_to_filter: Any) -> tuple[str, ...]:
    """The user's keys as a tuple, from a string, an iterable or None. Raises UserError for other values."""
    if not isinstance(keys_to_filter, str | Iterable | None):
        raise UserError(f"keys_to_filter must be a list of paths (got {shown(keys_to_filter)})")
    keys = (keys_to_filter,) if isinstance(keys_to_filter, str) else tuple(keys_to_filter or ())
    for key in keys:
        if not isinstance(key, str):
            raise UserError(f"keys_to_filter: {shown(key)} must be a string such as 'results.material'")
    return keys


def select(
    names: Sequence[str],
    keys: Sequence[str],
    *,
    taken: Collection[str] = (),
    reason: Reason = lambda path: "",
) -> dict[str, str]:
    """The names at or below the keys, in the order of `names`, each with its short name: the key is cut off.

    A name that equals its key is not shortened; of nested keys the longest is cut. Names that would collide
    with each other or with `taken` stay full. Raises UserError for a key without a match, unless `names` is
    empty.
    """
    if names:
        check_keys_match(keys, names, reason)
    keys_by_length = sorted(keys, key=len)
    found = {name: key for name in names for key in keys_by_length if paths.is_below(name, key)}
    short = [name[len(key) + 1 :] or name for name, key in found.items()]
    return dict(zip(found, distinct(short, list(found), taken=taken), strict=True))


def check_keys_match(keys: Iterable[str], names: Collection[str], reason: Reason) -> None:
    """Raise UserError for the first key without a match, with the reason or with similar names."""
    for key in keys:
        if not any(paths.is_below(name, key) for name in names):
            raise UserError(
                f"keys_to_filter: nothing lies at or below {shown(key)}{reason(key) or _hint(key, names)}"
            )


def _hint(key: str, names: Collection[str]) -> str:
    first_keys = sorted({paths.join(paths.split(name)[:1]) for name in names})
    there = f"there {'is' if len(first_keys) == 1 else 'are'} {', '.join(map(repr, first_keys[:8]))}"
    there += ", ..." * (len(first_keys) > 8)
    return hint(key, near_paths(key, names), there)


def distinct(short: Sequence[str], whole: Sequence[str], *, taken: Collection[str] = ()) -> list[str]:
    """A unique name for each item: the short name, the full name on a collision, or else a numbered name.

    Full names are unique. Only a full name that is in `taken` gets a number (`a_2`).
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
