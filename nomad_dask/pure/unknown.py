"""Owns what of a required tree the server's schema does not know: what is surely wrong, and what is only unusual (SPEC 6).

A name is surely wrong where the sections that may stand are all known and no other can: `results.materal`. It may be right
where a server's archives can hold more than its schema says:

- below `data`, JSON and references that name no known section anything may stand;
- where more specific sections may stand in the declared one's place, there may be others than the schema lists;
- names that begin with `x_` are those of one program's files, and `m_` those of the archive itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nomad_dask.pure import browse, paths, types
from nomad_dask.pure.errors import RequiredError
from nomad_dask.pure.near import hint
from nomad_dask.pure.required import IN_PLACE, Required
from nomad_dask.pure.sections import ROOT, Definitions, Member, Quantity, plain_keys, sections_of

_METADATA, _RESULTS = "metadata", "results"
_MOST = 3
"""Paths that one message names."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A path of a required tree, as written, that the schema does not know."""

    keys: tuple[str, ...]
    sure: bool
    """Whether nothing can be there; else it is only unusual."""

    @property
    def path(self) -> str:
        """Its keys joined by dots."""
        return paths.join(self.keys)


def unknown(required: Required, definitions: Definitions) -> tuple[Unknown, ...]:
    """The paths of a tree that the schema does not know, each as far as its first unknown key."""
    if not isinstance(required.tree, dict):
        return ()
    if not required.documents:
        return tuple(_unknown(required.tree, (ROOT,), False, (), definitions))
    # What a document has at its top is decided by the server, which refuses names that it does not know (422).
    found = []
    for key, below in required.tree.items():
        top = definitions.section()
        member = top.get(_RESULTS if key == _RESULTS else _METADATA) if top else None
        around = (ROOT,) if key == _RESULTS else sections_of(member) if member else ()
        found += list(_unknown({key: below}, around, key != _RESULTS or member is None, (), definitions))
    return tuple(found)


def refuse_unknown(required: Required, definitions: Definitions | None) -> None:
    """RequiredError, with near misses, for paths where nothing can be. Without a schema nothing is refused."""
    wrong = [one for one in unknown(required, definitions) if one.sure] if definitions else []
    if not wrong or definitions is None:
        return
    told = [f"no {one.path!r}{_hint(one, required, definitions)}" for one in wrong[:_MOST]]
    more = f"; and {len(wrong) - _MOST} more" if len(wrong) > _MOST else ""
    raise RequiredError(
        f"required: the server's schema has {'; '.join(told)}{more} (`nomad-dask schema` and query.schema show what it has)"
    )


@dataclass(frozen=True, slots=True)
class Idle:
    """The required paths at which the archives that were looked at have nothing."""

    paths: tuple[str, ...]
    unsure: frozenset[str] = frozenset()
    """Those of them that lay below a text, which may be a reference that was not followed."""
    looked_at: int = 0
    """How many archives these are."""

    @classmethod
    def of(cls, required: Required) -> Idle:
        """Before any was looked at: all paths, but for those with a `*`."""
        return cls(tuple(path for path in required.paths if "*" not in paths.split(path)))

    def less(self, archives: Sequence[Mapping[str, Any]]) -> Idle:
        """Once these were looked at, too. Costs a walk along each path that is idle still."""
        keys = {path: plain_keys(path) for path in self.paths}
        idle = [path for path in self.paths if not any(_lies(one, keys[path], False) for one in archives)]
        unsure = {path for path in idle if any(_lies(one, keys[path], True) for one in archives)}
        return Idle(tuple(idle), self.unsure | unsure, self.looked_at + len(archives))


def doubts(required: Required, idle: Idle, definitions: Definitions | None) -> tuple[str, ...]:
    """What is to be said of idle paths which the schema, if there is one, does not know."""
    if not idle.paths or not idle.looked_at:
        return ()
    n = f"any of {idle.looked_at} entries" if idle.looked_at > 1 else "the first entry"
    if definitions is None:
        return tuple(
            f"required: nothing is at {path!r} in {n}, and the server has no schema that would tell whether it is spelled right"
            for path in [path for path in idle.paths if path not in idle.unsure][:_MOST]
        )
    strange = [
        one
        for one in unknown(required, definitions)
        if any(paths.below(path, one.path) for path in idle.paths)
    ]
    return tuple(
        f"required: nothing is at {one.path!r} in {n}, and the server's schema does not know it"
        f"{_hint(one, required, definitions)}"
        for one in strange[:_MOST]
    )


def why_idle(path: str, required: Required, definitions: Definitions | None) -> str:
    """Why nothing came at a path that the schema knows; empty for one that it does not."""
    known = definitions is not None and any(
        definitions.find(name) for name in (path, *([f"{_METADATA}.{path}"] if required.documents else []))
    )
    if not known:
        return ""
    if required.reaches(paths.join(plain_keys(path))):
        return "; none of these entries has it"
    return f"; required does not ask for it, only for {', '.join(required.paths[:_MOST])}"


def _unknown(
    level: Mapping[str, Any],
    around: Iterable[str],
    free: bool,
    above: tuple[str, ...],
    definitions: Definitions,
) -> Iterator[Unknown]:
    """Of a level of the tree in the sections of these names. In a `free` place anything may stand."""
    names = tuple(around)
    sections = [section for name in names if (section := definitions.section(name)) is not None]
    more = len(names) > 1 or any(name in definitions.inherited for name in names)
    for key, below in level.items():
        name = key.partition("[")[0]
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
    """Whether anything may stand below a place."""
    names = sections_of(member)
    if isinstance(member, Quantity) and not names:
        return member.is_reference or types.JSON in member.type
    sections = [definitions.section(name) for name in names]
    return any(section is None for section in sections) or not (sections[0] and sections[0].names)


def near_quantities(keys: tuple[str, ...], definitions: Definitions) -> tuple[str, ...]:
    """What a wrong name of a search document may have meant."""
    if keys[0] == _RESULTS:
        return browse.meant(definitions, keys)
    meant = browse.meant(definitions, (_METADATA, *keys)) or browse.meant(definitions, keys)
    return tuple(path.removeprefix(f"{_METADATA}.") for path in meant)


def _hint(one: Unknown, required: Required, definitions: Definitions) -> str:
    if required.documents:
        return hint(near_quantities(one.keys, definitions))
    return hint(browse.meant(definitions, one.keys), browse.there(definitions, one.keys))


def _lies(value: Any, keys: tuple[str, ...], below_text: bool) -> bool:
    """Whether a JSON value has something at a place; or, `below_text`, may have."""
    if not keys:
        return value is not None
    if isinstance(value, list):
        return any(_lies(item, keys, below_text) for item in value)
    if isinstance(value, Mapping):
        return keys[0] in value and _lies(value[keys[0]], keys[1:], below_text)
    return isinstance(value, str) and below_text
