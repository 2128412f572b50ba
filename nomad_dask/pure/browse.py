"""Owns what a server's schema shows to one who looks around in it: what is said of a place, what is inside, searches.

A place is named by the keys that lead to it, as `required` has them: `run[-1]`, `calculation`, `energy`. References are
walked through like sections. Nothing is read before it is asked for, so that sections within themselves do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from textwrap import shorten
from typing import Any, Literal, TypeAlias

from nomad_dask.pure import paths
from nomad_dask.pure.near import near
from nomad_dask.pure.sections import Definitions, SubSection, plain_keys, sections_of

Keys: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class About:
    """What a schema says of one place."""

    path: str
    """As one writes it in `required`, keys joined by dots; empty for the archive itself."""
    what: Literal["section", "quantity", "reference"]
    type: str
    """Of a quantity the Arrow type of its columns; else the name of the section that is there, or is referred to."""
    repeats: bool = False
    """Whether there is a list of sections, or of references."""
    unit: str | None = None
    """As the server spells it: `joule`."""
    description: str | None = None
    sections: tuple[str, ...] = ()
    """Whole names of the sections that a walk finds there, the declared one first, more specific ones after it."""
    choices: tuple[str, ...] = ()
    """The words that an enum's values are."""
    only_in: tuple[str, ...] = ()
    """Names of the more specific sections that have it, where the declared one around it has not."""

    @property
    def name(self) -> str:
        """The last key."""
        return paths.split(self.path)[-1]

    @property
    def kind(self) -> str:
        """What it is, in a few words: `double`, `section Material`, `sections Run` (a list), `reference to Calculation`."""
        if self.what == "quantity":
            return self.type
        return f"{self.what}{'s' * self.repeats}{' to' * (self.what == 'reference')} {self.type}"

    @property
    def summary(self) -> str:
        """The first sentence of the description, and which sections have it where not all do."""
        first = _SENTENCE.match(self.description or "")[0].rstrip(".")  # type: ignore[index]
        more = f", and {len(self.only_in) - 2} more" if len(self.only_in) > 2 else ""
        only = f"in {', '.join(self.only_in[:2])}{more}" if self.only_in else ""
        return f"({only}) {first}".rstrip() if only else first

    @property
    def title(self) -> str:
        """The path, what it is, its unit, the words that it may be."""
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
        """The tree that asks for it and all below it."""
        tree: Any = "*"
        for key in reversed(paths.split(self.path) if self.path else ()):
            tree = {key: tree}
        return tree

    def to_json(self) -> dict[str, Any]:
        """Its facts, less those that say nothing, and the tree that asks for it."""
        facts = {key: value for key, value in asdict(self).items() if value or key == "path"}
        return facts | {"required": self.required}


_SENTENCE = re.compile(r"(?:(?!(?<!i\.e)(?<!e\.g)\. ).)*")
"""Up to the first full stop that ends one."""


def about(definitions: Definitions, keys: Keys) -> About | None:
    """What is said of a place; None where no section knows it."""
    path = paths.join(keys) if keys else ""
    if not keys:
        root = definitions.section()
        return About("", "section", "EntryArchive", description=_line(root.description) if root else None)
    reached = definitions.members(_plain(keys))
    found = definitions.find(path)
    if found is None:
        return None
    sections = tuple(dict.fromkeys(name for member in reached for name in sections_of(member)))
    repeats = any(isinstance(member, SubSection) and member.repeats for member in reached)
    if isinstance(found, SubSection):
        said = found.description or _described(definitions, found.sections[0])
        return About(path, "section", _short(found.sections[0]), repeats, None, _line(said), sections)
    said = _line(found.description)
    if found.is_reference and found.nomad_type != "QuantityReference":
        target = _short(sections[0]) if sections else "a section"
        return About(path, "reference", target, bool(found.shape), None, said, sections)
    return About(path, "quantity", found.type, False, found.unit, said, sections, found.choices)


def inside(definitions: Definitions, keys: Keys) -> tuple[About, ...]:
    """What may be inside a place, references followed: what the declared section has, then what only others have."""
    holders: dict[str, list[str]] = {}
    sections = list(definitions.within(_plain(keys)))
    for section in sections:
        for name in section.names:
            holders.setdefault(name, []).append(section.name)
    return tuple(
        replace(
            found, only_in=() if where[0] == sections[0].name else tuple(dict.fromkeys(map(_short, where)))
        )
        for name, where in holders.items()
        if (found := about(definitions, (*keys, name))) is not None
    )


def search(definitions: Definitions, words: str, keys: Keys = ()) -> tuple[About, ...]:
    """Places below one that have all the words in their names or descriptions, the likeliest first.

    Costs a walk over all that is below: some 5,000 places in NOMAD's whole schema, a tenth of a second. References are
    not walked through.
    """
    wanted = words.casefold().split()
    best = sorted(
        (score, rare, depth, place)
        for rare, depth, place in _ranked(definitions, keys)
        if (score := _score(definitions, place, wanted)) is not None
    )
    found = (about(definitions, place) for _, _, _, place in best)
    return tuple(one for one in found if one is not None)


def places(definitions: Definitions, keys: Keys = ()) -> tuple[Keys, ...]:
    """All places below one, the nearest first, those last that only more specific sections have.

    References are not walked through, and no section is entered again within itself.
    """
    return tuple(place for _, _, place in sorted(_ranked(definitions, keys)))


def _ranked(definitions: Definitions, keys: Keys) -> Iterator[tuple[bool, int, Keys]]:
    """The places below one: whether only more specific sections have it, how deep it is, its keys."""
    level: list[tuple[Keys, frozenset[str], bool]] = [(keys, frozenset(), False)]
    while level:
        below = []
        for here, above, special in level:
            sections = [s for s in definitions.within(_plain(here)) if s.name not in above]
            inner = above | {section.name for section in sections}
            for name in dict.fromkeys(name for section in sections for name in section.names):
                place, rare = (*here, name), special or sections[0].get(name) is None
                yield rare, len(place), place
                if any(isinstance(member, SubSection) for member in definitions.members(_plain(place))):
                    below.append((place, inner, rare))
        level = below


def meant(definitions: Definitions, keys: Keys) -> tuple[str, ...]:
    """Up to three paths that a wrong one may have meant.

    It is mended where it goes wrong, or found to be the end of another, or some place has a name like its last.
    """
    good = _right(definitions, keys)
    if good == len(keys):
        return ()
    if not any(section.names for section in definitions.within(_plain(keys[:good]))):
        return ()
    mended = _mended(definitions, keys)
    every, rest = places(definitions), keys[good:]
    found = [*mended[:2], *(place for place in every if place[-len(rest) :] == rest), *mended[2:]]
    if not found:
        below = [place for place in every if place[:good] == keys[:good]]
        names = near(keys[-1], {place[-1] for place in below}, most=1)
        found = [place for place in below if place[-1] in names]
    return tuple(dict.fromkeys(map(paths.join, found)))[:3]


def _mended(definitions: Definitions, keys: Keys) -> list[Keys]:
    """A path with near names where it goes wrong, as far as that leads."""
    good = _right(definitions, keys)
    if good == len(keys):
        return [keys]
    name, bracket, part = keys[good].partition("[")
    siblings = {name for section in definitions.within(_plain(keys[:good])) for name in section.names}
    whole = [(*keys[:good], found + bracket + part, *keys[good + 1 :]) for found in near(name, siblings)]
    return [path for one in whole for path in _mended(definitions, one) or [one[: good + 1]]]


def there(definitions: Definitions, keys: Keys) -> str:
    """What there is where a wrong path goes wrong, in words."""
    good = keys[: _right(definitions, keys)]
    place = paths.join(good) if good else "the archive"
    names = [one.name for one in inside(definitions, good)]
    if names:
        return f"{place} has {', '.join(names[:8])}{', ...' * (len(names) > 8)}"
    found = about(definitions, good)
    return f"{place} is {found.kind}, with nothing below that the schema knows" if found else ""


def _right(definitions: Definitions, keys: Keys) -> int:
    """How many of the keys, from the first on, lead to what the schema knows."""
    return next(n for n in range(len(keys) + 1) if n == len(keys) or not _known(definitions, keys[: n + 1]))


def _score(definitions: Definitions, place: Keys, wanted: list[str]) -> int | None:
    """How likely a place is what the words look for, 0 the likeliest; None where they are not all there."""
    last, path = place[-1].casefold(), ".".join(place).casefold()
    if set(wanted) in (_pieces(place[-1:]), _pieces(place[-2:])):
        return 0
    in_last = [word in last for word in wanted]
    if all(in_last):
        return 1
    if any(in_last) and all(word in path for word in wanted):
        return 2
    members = definitions.members(_plain(place))
    text = " ".join(member.description or "" for member in members).casefold()
    told = [word in text for word in wanted]
    found = all(here or word in path for here, word in zip(told, wanted, strict=True))
    return 3 if found and (any(told) or any(in_last)) else None


def _pieces(keys: Keys) -> set[str]:
    return set("_".join(keys).casefold().split("_"))


def _known(definitions: Definitions, keys: Keys) -> bool:
    return bool(definitions.members(_plain(keys)))


def _plain(keys: Keys) -> Keys:
    return plain_keys(paths.join(keys)) if keys else ()


def _described(definitions: Definitions, name: str) -> str | None:
    section = definitions.section(name)
    return section.description if section else None


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _line(text: str | None) -> str | None:
    return " ".join(text.split()) or None if text else None
