"""Owns near misses: what a mistyped name or path may have meant, and the words that say so."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from nomad_dask.pure import paths

_NUMBERS = re.compile(r"\.\d+(?=\.|$)")
_ENOUGH = 5_000
"""Paths compared letter by letter; past these a mistake's message would be long in coming."""


def near(name: str, candidates: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """Up to `most` of the candidates that a mistyped `name` may have meant, the nearest first; capitals are alike."""
    alike: dict[str, list[str]] = {}
    for candidate in sorted(set(candidates)):
        alike.setdefault(candidate.casefold(), []).append(candidate)
    found = difflib.get_close_matches(name.casefold(), alike, n=most, cutoff=0.6)
    return tuple(candidate for folded in found for candidate in alike[folded])[:most]


def near_paths(path: str, names: Iterable[str]) -> tuple[str, ...]:
    """Up to three paths that exist and that `path` may have meant: first those that end like it, then those spelled alike.

    Of paths that differ in numbers only, the first stands for all.
    """
    depth = len(paths.split(path))
    ends: dict[str, str] = {}
    alike: dict[str, str] = {}
    tail = "." + path
    for name in names:
        if name.endswith(tail) or tail + "." in name:
            ends.setdefault(_unnumbered(name), name[: name.index(tail) + len(tail)])
        if len(alike) < _ENOUGH:
            for stem in _stems(name, depth):
                alike.setdefault(_unnumbered(stem), stem)
    return tuple(dict.fromkeys([*ends.values(), *near(path, alike.values())]))[:3]


def hint(meant: Iterable[str], otherwise: str = "") -> str:
    """How a message ends that says what is wrong: `; did you mean 'a' or 'b'?`, or `otherwise` where nothing is near."""
    names = " or ".join(map(repr, meant))
    said = f"did you mean {names}?" if names else otherwise
    return f"; {said}" if said else ""


def _stems(name: str, depth: int) -> Iterable[str]:
    """The paths above (and at) a name that are about as deep as the path: numbers may have been left out of it."""
    keys = paths.split(name)
    numbers = sum(key.isdecimal() for key in keys)
    return (paths.join(keys[:n]) for n in range(max(1, depth - 1), min(len(keys), depth + 1 + numbers) + 1))


def _unnumbered(name: str) -> str:
    return _NUMBERS.sub("", name)
