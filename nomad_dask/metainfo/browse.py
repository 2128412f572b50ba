"""Browsing a server's schema: descriptions of paths, members of sections, search, suggestions.

A path is a tuple of keys as in `required`: `run[-1]`, `calculation`, `energy`. References are followed like
sections. Definitions are read on access, so recursive sections are no problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from textwrap import shorten
from typing import Any, Literal, TypeAlias

from nomad_dask.common import paths
from nomad_dask.common.json_rules import MAX_LEVELS
from nomad_dask.metainfo.definitions import Definitions, SubSection, sections_of, without_indexes
from nomad_dask.text import near, one_line

Keys: TypeAlias = tuple[str, ...]
MAX_PATHS = 50_000
"""Ten times the number in NOMAD's schema. Sections nested in each other could have any number of paths."""
_MAX_TRIED = 100


@dataclass(frozen=True, slots=True)
class About:
    """The description of a path in a schema."""

    path: str
    """Keys joined by dots, as in `required`; empty for the archive itself."""
    what: Literal["section", "quantity", "reference"]
    type: str
    """The Arrow type of a quantity; the name of a section, or of the section that a reference leads to."""
    repeats: bool = False
    """True for a list of sections or references."""
    unit: str | None = None
    """As written by the server: `joule`."""
    description: str | None = None
    sections: tuple[str, ...] = ()
    """Qualified names of the possible sections: the declared one, then the more specific ones."""
    choices: tuple[str, ...] = ()
    """The values of an enum."""
    only_in: tuple[str, ...] = ()
    """Names of the more specific sections that have it, if the declared one does not."""

    @property
    def name(self) -> str:
        """The last key."""
        return paths.split(self.path)[-1]

    @property
    def kind(self) -> str:
        """In short: `double`, `section Material`, `sections Run` (a list), `reference to Calculation`."""
        if self.what == "quantity":
            return self.type
        return f"{self.what}{'s' * self.repeats}{' to' * (self.what == 'reference')} {self.type}"

    @property
    def summary(self) -> str:
        """The first sentence of the description, after the sections that have it if not all do."""
        first = _SENTENCE.match(self.description or "")[0].rstrip(".")  # type: ignore[index]
        more = f", and {len(self.only_in) - 2} more" if len(self.only_in) > 2 else ""
        only = f"in {', '.join(self.only_in[:2])}{more}" if self.only_in else ""
        return f"({only}) {first}".rstrip() if only else first

    @property
    def title(self) -> str:
        """The path with its kind, unit and enum values."""
        facts = [self.kind]
        if self.unit:
            facts.append(f"in {self.unit}")
        if self.choices:
            facts.append(shorten(f"one of {', '.join(self.choices)}", 300, placeholder=" ..."))
        if len(self.sections) > 1:
            facts.append(f"or one of {len(self.sections) - 1} more specific")
        return f"{self.path or 'the archive'}: {', '.join(facts)}"

    @property
    def required(self) -> Any:
        """The `required` tree that requests it and everything below."""
        tree: Any = "*"
        for key in reversed(paths.split(self.path) if self.path else ()):
            tree = {key: tree}
        return tree

    def to_json(self) -> dict[str, Any]:
        """Its non-empty attributes, and the `required` tree that requests it."""
        facts = {key: value for key, value in asdict(self).items() if value or key == "path"}
        return facts | {"required": self.required}


_SENTENCE = re.compile(r"(?:(?!(?<!i\.e)(?<!e\.g)\. ).)*")
"""Matches up to the first full stop that ends a sentence."""


def about(definitions: Definitions, keys: Keys) -> About | None:
    """The description of a path; None if the schema does not know it."""
    path = paths.join(keys) if keys else ""
    if not keys:
        root = definitions.section()
        return About("", "section", "EntryArchive", description=_line(root.description) if root else None)
    reached = definitions.members(without_indexes(keys))
    found = definitions.find(path)
    if found is None:
        return None
    sections = tuple(dict.fromkeys(name for member in reached for name in sections_of(member)))
    repeats = any(isinstance(member, SubSection) and member.repeats for member in reached)
    if isinstance(found, SubSection):
        section = definitions.section(found.sections[0])
        text = found.description or (section.description if section else None)
        return About(path, "section", _short(found.sections[0]), repeats, None, _line(text), sections)
    description = _line(found.description)
    if found.is_reference and found.nomad_type != "QuantityReference":
        target = _short(sections[0]) if sections else "a section"
        return About(path, "reference", target, bool(found.shape), None, description, sections)
    return About(path, "quantity", found.type, False, found.unit, description, sections, found.choices)


def inside(definitions: Definitions, keys: Keys) -> tuple[About, ...]:
    """The members of a path: those of the declared section, then those of only the more specific ones."""
    holders: dict[str, list[str]] = {}
    sections = list(definitions.within(without_indexes(keys)))
    for section in sections:
        for name in section.names:
            holders.setdefault(name, []).append(section.name)
    members = []
    for name, owners in holders.items():
        found = about(definitions, (*keys, name))
        if found is not None:
            is_special = owners[0] != sections[0].name
            members.append(replace(found, only_in=tuple(dict.fromkeys(map(_short, owners))) * is_special))
    return tuple(members)


def search(definitions: Definitions, words: str, keys: Keys = ()) -> tuple[About, ...]:
    """Paths below `keys` that have all the words in their names or descriptions, the best matches first.

    Walks over everything below: about 5,000 paths and 0.1 s for NOMAD's whole schema. References are not
    followed.
    """
    query = words.casefold().split()
    matches = sorted(
        (score, rare, depth, path)
        for rare, depth, path in islice(_ranked(definitions, keys), MAX_PATHS)
        if (score := _score(definitions, path, query)) is not None
    )
    found = (about(definitions, path) for _, _, _, path in matches)
    return tuple(one for one in found if one is not None)


def paths_below(definitions: Definitions, keys: Keys = ()) -> tuple[Keys, ...]:
    """All paths below `keys`, by depth; those that only more specific sections have come last.

    References are not followed, and recursive sections are entered once.
    """
    return tuple(path for _, _, path in sorted(islice(_ranked(definitions, keys), MAX_PATHS)))


def _ranked(definitions: Definitions, keys: Keys) -> Iterator[tuple[bool, int, Keys]]:
    """The paths below `keys` by depth, as (only in more specific sections, depth, path)."""
    level: list[tuple[Keys, frozenset[str], bool]] = [(keys, frozenset(), False)]
    for _ in range(MAX_LEVELS):
        below = []
        for parent, above, special in level:
            sections = [s for s in definitions.within(without_indexes(parent)) if s.name not in above]
            inner = above | {section.name for section in sections}
            for name in dict.fromkeys(name for section in sections for name in section.names):
                path, rare = (*parent, name), special or sections[0].get(name) is None
                yield rare, len(path), path
                if any(
                    isinstance(member, SubSection) for member in definitions.members(without_indexes(path))
                ):
                    below.append((path, inner, rare))
        level = below


def suggest(definitions: Definitions, keys: Keys) -> tuple[str, ...]:
    """Up to three existing paths for a wrong one.

    Candidates are the path with its wrong keys corrected, paths that end with them, and paths with a similar
    last key.
    """
    good = _n_known(definitions, keys)
    if good == len(keys):
        return ()
    if not any(section.names for section in definitions.within(without_indexes(keys[:good]))):
        return ()
    corrected = [*islice(_corrected(definitions, keys), 5)]
    every, rest = paths_below(definitions), keys[good:]
    found = [*corrected[:2], *(path for path in every if path[-len(rest) :] == rest), *corrected[2:]]
    if not found:
        below = [path for path in every if path[:good] == keys[:good]]
        names = near(keys[-1], {path[-1] for path in below}, limit=1)
        found = [path for path in below if path[-1] in names]
    return tuple(dict.fromkeys(map(paths.join, found)))[:3]


def _corrected(definitions: Definitions, keys: Keys) -> Iterator[Keys]:
    """Paths with similar names in place of unknown ones; tries at most `_MAX_TRIED`."""
    stack = [keys]
    for _ in range(_MAX_TRIED):
        if not stack:
            return
        path = stack.pop()
        good = _n_known(definitions, path)
        if good == len(path):
            yield path
            continue
        name, bracket, part = path[good].partition("[")
        siblings = definitions.known(without_indexes(path[:good]))
        found = [(*path[:good], one + bracket + part, *path[good + 1 :]) for one in near(name, siblings)]
        if found:
            stack += reversed(found)
        elif path is not keys:
            yield path[:good]


def describe_parent(definitions: Definitions, keys: Keys) -> str:
    """The known part of a wrong path and its members, for an error message."""
    good = keys[: _n_known(definitions, keys)]
    parent = paths.join(good) if good else "the archive"
    names = [one.name for one in inside(definitions, good)]
    if names:
        return one_line(f"{parent} has {', '.join(names[:8])}{', ...' * (len(names) > 8)}")
    found = about(definitions, good)
    return one_line(f"{parent} is {found.kind}, and the schema has nothing below it") if found else ""


def _n_known(definitions: Definitions, keys: Keys) -> int:
    """The number of leading keys that the schema knows."""
    good = 0
    while good < len(keys) and definitions.members(without_indexes(keys[: good + 1])):
        good += 1
    return good


def _score(definitions: Definitions, keys: Keys, words: list[str]) -> int | None:
    """How well a path matches the words, 0 the best; None if it lacks one of them."""
    last, path = keys[-1].casefold(), ".".join(keys).casefold()
    if set(words) in (_words_of(keys[-1:]), _words_of(keys[-2:])):
        return 0
    in_last = [word in last for word in words]
    if all(in_last):
        return 1
    if any(in_last) and all(word in path for word in words):
        return 2
    members = definitions.members(without_indexes(keys))
    text = " ".join(member.description or "" for member in members).casefold()
    in_text = [word in text for word in words]
    found = all(here or word in path for here, word in zip(in_text, words, strict=True))
    return 3 if found and (any(in_text) or any(in_last)) else None


def _words_of(keys: Keys) -> set[str]:
    return set("_".join(keys).casefold().split("_"))


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _line(text: str | None) -> str | None:
    return " ".join(text.split()) or None if text else None
