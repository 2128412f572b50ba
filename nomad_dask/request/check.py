"""Checking `required` against the server's schema: paths that cannot exist, and paths that are only unusual.

A path cannot exist if all possible sections are known and lack it: `results.materal`. It may exist although
the schema does not know it:

- below `data`, JSON quantities, and references that name no known section;
- in a section that others inherit from, because the archive may have one that the schema does not list;
- with a name that begins with `x_` (specific to one program) or `m_` (of the archive itself).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nomad_dask.common import paths, types
from nomad_dask.errors import RequiredError
from nomad_dask.metainfo import browse
from nomad_dask.metainfo.definitions import ROOT, Definitions, Member, Quantity, plain_keys, sections_of
from nomad_dask.request.required import IN_PLACE, Required
from nomad_dask.text import hint

_METADATA, _RESULTS = "metadata", "results"
_MAX_NAMED = 3  # maximum number of paths in one message


@dataclass(frozen=True, slots=True)
class Unknown:
    """A path of a required tree, as written, that the schema does not know."""

    keys: tuple[str, ...]
    sure: bool  # True if the path cannot exist, False if it is only unusual

    @property
    def path(self) -> str:
        """Its keys joined by dots."""
        return paths.join(self.keys)


def unknown(required: Required, definitions: Definitions) -> tuple[Unknown, ...]:
    """The paths of a tree that the schema does not know, each up to its first unknown key."""
    if not isinstance(required.tree, dict):
        return ()
    if not required.documents:
        return tuple(_unknown(required.tree, (ROOT,), False, (), definitions))
    # The server itself rejects unknown top-level names of documents (422).
    found = []
    for key, below in required.tree.items():
        top = definitions.section()
        member = top.get(_RESULTS if key == _RESULTS else _METADATA) if top else None
        around = (ROOT,) if key == _RESULTS else sections_of(member) if member else ()
        found += list(_unknown({key: below}, around, key != _RESULTS or member is None, (), definitions))
    return tuple(found)


def refuse_unknown(required: Required, definitions: Definitions | None) -> None:
    """Raise RequiredError, with suggestions, for paths that cannot exist; never without a schema."""
    wrong = [one for one in unknown(required, definitions) if one.sure] if definitions else []
    if not wrong or definitions is None:
        return
    named = [f"no {one.path!r}{_hint(one, required, definitions)}" for one in wrong[:_MAX_NAMED]]
    more = f"; and {len(wrong) - _MAX_NAMED} more" if len(wrong) > _MAX_NAMED else ""
    raise RequiredError(
        f"required: the server's schema has {'; '.join(named)}{more} "
        "(`nomad-dask schema` and query.schema show the schema)"
    )


@dataclass(frozen=True, slots=True)
class EmptyPaths:
    """The required paths at which none of the examined archives has a value."""

    paths: tuple[str, ...]
    unsure: frozenset[str] = frozenset()  # paths below a string, perhaps a reference that was not followed
    n_examined: int = 0  # number of examined archives

    @classmethod
    def of(cls, required: Required) -> EmptyPaths:
        """All paths except those with a `*`, before any archive is examined."""
        return cls(tuple(path for path in required.paths if "*" not in paths.split(path)))

    def excluding(self, archives: Sequence[Mapping[str, Any]]) -> EmptyPaths:
        """The paths that remain after examining more archives."""
        keys = {path: plain_keys(path) for path in self.paths}
        empty = [path for path in self.paths if not any(_has(one, keys[path], False) for one in archives)]
        unsure = {path for path in empty if any(_has(one, keys[path], True) for one in archives)}
        return EmptyPaths(tuple(empty), self.unsure | unsure, self.n_examined + len(archives))


def empty_path_warnings(
    required: Required, empty: EmptyPaths, definitions: Definitions | None
) -> tuple[str, ...]:
    """Warnings for empty paths that the schema does not know, or for all without a schema."""
    if not empty.paths or not empty.n_examined:
        return ()
    n = f"any of {empty.n_examined} entries" if empty.n_examined > 1 else "the first entry"
    if definitions is None:
        unchecked = [path for path in empty.paths if path not in empty.unsure]
        return tuple(
            f"required: nothing is at {path!r} in {n}, and the server has no schema to check its spelling "
            "(for a reference to a base section, use the target's own path, such as run.calculation)"
            for path in unchecked[:_MAX_NAMED]
        )
    unknowns = unknown(required, definitions)
    suspects = [one for one in unknowns if any(paths.is_below(path, one.path) for path in empty.paths)]
    return tuple(
        f"required: nothing is at {one.path!r} in {n}, and the server's schema does not know it"
        f"{_hint(one, required, definitions)}"
        for one in suspects[:_MAX_NAMED]
    )


def why_empty(path: str, required: Required, definitions: Definitions | None) -> str:
    """The reason why there is no value at a path that the schema knows; empty for an unknown path."""
    names = [path, f"{_METADATA}.{path}"] if required.documents else [path]
    if definitions is None or not any(definitions.find(name) for name in names):
        return ""
    if required.reaches(paths.join(plain_keys(path))):
        return "; none of these entries has it"
    return f"; required does not ask for it, only for {', '.join(required.paths[:_MAX_NAMED])}"


def _unknown(
    level: Mapping[str, Any],
    around: Iterable[str],
    free: bool,
    above: tuple[str, ...],
    definitions: Definitions,
) -> Iterator[Unknown]:
    """The unknown paths of a level in the sections named `around`; `free` allows any name."""
    names = tuple(around)
    sections = [section for name in names if (section := definitions.section(name)) is not None]
    more = len(names) > 1 or any(name in definitions.inherited for name in names)
    for key, below in level.items():
        name = paths.without_slice(key)
        if name == "*" or name.startswith("m_") or (key == IN_PLACE and not above):
            continue
        members = [member for section in sections if (member := section.get(name)) is not None]
        if not members:
            yield Unknown((*above, key), not (free or more or name.startswith("x_")))
        elif isinstance(below, dict):
            inside = dict.fromkeys(name for member in members for name in sections_of(member))
            open_ = free or any(_is_free(member, definitions) for member in members)
            yield from _unknown(below, inside, open_, (*above, key), definitions)


def _is_free(member: Member, definitions: Definitions) -> bool:
    """True if a member may contain anything."""
    names = sections_of(member)
    if isinstance(member, Quantity) and not names:
        return member.is_reference or types.JSON in member.type
    sections = [definitions.section(name) for name in names]
    return any(section is None for section in sections) or not (sections[0] and sections[0].names)


def near_quantities(keys: tuple[str, ...], definitions: Definitions) -> tuple[str, ...]:
    """Suggestions for a wrong name of a search document."""
    if keys[0] == _RESULTS:
        return browse.suggest(definitions, keys)
    found = browse.suggest(definitions, (_METADATA, *keys)) or browse.suggest(definitions, keys)
    return tuple(path.removeprefix(f"{_METADATA}.") for path in found)


def _hint(one: Unknown, required: Required, definitions: Definitions) -> str:
    if required.documents:
        return hint(one.path, near_quantities(one.keys, definitions))
    suggestions, parent = browse.suggest(definitions, one.keys), browse.describe_parent(definitions, one.keys)
    return hint(one.path, suggestions, parent)


def _has(value: Any, keys: tuple[str, ...], below_string: bool) -> bool:
    if not keys:
        return value is not None
    if isinstance(value, list):
        return any(_has(item, keys, below_string) for item in value)
    if isinstance(value, Mapping):
        return keys[0] in value and _has(value[keys[0]], keys[1:], below_string)
    return isinstance(value, str) and below_string
