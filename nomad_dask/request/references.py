"""References in archives: those that `required` follows, and resolving those that the server does not.

The server resolves references in place. Archives requested without that (because the page contains a
reference to another installation) have the targets at the paths that the references name, or in
`m_ref_archives` if they belong to another entry: `resolve` puts them in place.

The server resolves references by their declared type. Two kinds are returned without the required parts, and
look like missing values:

- If the type is a base section (`workflow2.tasks.outputs.section`), only quantities of that base section are
  returned: often `{}`, whatever the target is.
- A local reference without a target is left out, together with the list that contains it.

If an archive may contain such a reference (`has_unresolved`), it is requested as its string (`Link.probe`)
and put back (`restore`). If it has a target, the required parts are requested from there, by the target's
own path (`group_names`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import zip_longest
from typing import Any, NamedTuple

from nomad_dask.common import paths
from nomad_dask.common.json_rules import MAX_LEVELS
from nomad_dask.metainfo.definitions import ROOT, Definitions, Quantity, sections_of
from nomad_dask.request.required import IN_PLACE, REF_ARCHIVES, Link, Node, Required, RequiredLeaf

ELSEWHERE = re.compile(
    r"(?:^|/)(?:uploads/(?P<upload>[^/#]+)|upload)/archive/(?P<entry>[^/#]+)#?(?P<path>/.*)?$"
)

Tree = dict[str, Any]
_NUMBER = re.compile(r"[0-9]{1,9}")

_MAX_NODES = 2**18
"""Maximum number of sections and lists in a resolved archive: each reference could double it."""


def resolve(
    archive: dict[str, Any], required: Required, *, within: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The required parts of an archive, with targets in place of the references that `required` follows.

    Local references are looked up in `within`, the whole archive, or by default in `archive` itself. A
    reference stays a string if its target is missing, would be nested deeper than `MAX_LEVELS`, or would make
    the archive too large. Targets are not repeated at their own paths unless these are required.
    """
    resolver = _Resolver(archive.get(REF_ARCHIVES) or {})
    whole = archive if within is None else within
    resolved: dict[str, Any] = resolver.part(archive, whole, required.root, frozenset())
    return resolved


def merge(answers: Iterable[Any]) -> Any:
    """Merge the archives for several trees (`required.split`): dicts by key, lists by position.

    A section or list takes precedence over a reference's string, and any value over null.
    """
    return reduce(_merge_two, answers, None)


def _merge_two(one: Any, other: Any) -> Any:
    if type(one) is dict and type(other) is dict:
        joined = dict(one)
        for key, value in other.items():
            joined[key] = _merge_two(joined[key], value) if key in joined else value
        return joined
    if type(one) is list and type(other) is list:
        return [_merge_two(a, b) for a, b in zip_longest(one, other)]
    return one if _fullness(one) >= _fullness(other) else other


def _fullness(value: Any) -> int:
    return 0 if value is None else 2 if type(value) in (dict, list) else 1


class _Resolver:
    def __init__(self, others: dict[str, Any]) -> None:
        self._others = others
        self._left = _MAX_NODES
        self._nesting: dict[int, int] = {}

    def part(
        self, value: Any, archive: Tree, required: Node, followed: frozenset[tuple[int, str]], level: int = 1
    ) -> Any:
        """The required part of a value of `archive` at nesting `level`; `followed` references led to it."""
        if isinstance(required, RequiredLeaf) and not required.resolved:
            return value
        if type(value) is dict:
            # Only `include-resolved` can be cyclic: other trees end at their leaves.
            followed = followed if isinstance(required, RequiredLeaf) else frozenset()
            self._left -= 1
            part = {}
            for key, item in value.items():
                child = required.child(key)
                if child is not None:
                    part[key] = self.part(item, archive, child, followed, level + 1)
            return part
        if type(value) is list:
            self._left -= 1
            return [self.part(item, archive, required, followed, level + 1) for item in value]
        if type(value) is str:
            return self._follow(value, archive, required, followed, level)
        return value

    def _follow(
        self, reference: str, archive: Tree, required: Node, followed: frozenset[tuple[int, str]], level: int
    ) -> Any:
        step = (id(archive), reference)
        target, owner = self._target(reference, archive)
        if target is None or step in followed or self._left <= 0:
            return reference
        if id(target) not in self._nesting:  # many references may lead to one target
            self._nesting[id(target)] = levels(target)
        if level + self._nesting[id(target)] - 1 > MAX_LEVELS:
            return reference
        part = self.part(target, owner, required, followed | {step}, level)
        return part if type(part) is dict else reference

    def _target(self, reference: str, archive: Tree) -> tuple[Any, Tree]:
        """The target of a reference, None if there is none, and the archive that it belongs to."""
        upload, entry, keys = _parsed(reference)
        if upload is not None:
            archive = self._others.get(f"../uploads/{upload}/archive/{entry}") or {}
        elif entry is not None:
            found = (other for key, other in self._others.items() if key.endswith(f"/archive/{entry}"))
            archive = next(found, {})
        return (at(archive, keys) if keys else None), archive


def _parsed(reference: str) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Upload and entry that a reference names, if any, and the keys of its path; none if it is invalid."""
    remote = ELSEWHERE.search(reference)
    upload, entry, path = remote.group("upload", "entry", "path") if remote else (None, None, reference)
    path = (path or "").removeprefix("#")
    return upload, entry, tuple(path.strip("/").split("/")) if path.startswith("/") else ()


def levels(value: Any) -> int:
    """The nesting of dicts and lists in a JSON value."""
    found, level = 0, [value]
    while level := [item for item in level if type(item) in (dict, list)]:
        found += 1
        level = [below for item in level for below in (item.values() if type(item) is dict else item)]
    return found


def _step(value: Any, key: str) -> Any:
    if type(value) is dict:
        return value.get(key)
    if type(value) is list and _NUMBER.fullmatch(key) and int(key) < len(value):
        return value[int(key)]
    return None


def refers_elsewhere(archive: Any) -> bool:
    """True if a string in an archive is a reference (a url) to another installation."""
    if isinstance(archive, str):
        return archive.startswith(("http://", "https://")) and "/archive/" in archive and "#/" in archive
    if isinstance(archive, dict):
        return any(map(refers_elsewhere, archive.values()))
    return isinstance(archive, list) and any(map(refers_elsewhere, archive))


def links_of(required: Required, definitions: Definitions | None) -> tuple[Link, ...]:
    """The references that a tree follows, according to the schema, in order of depth."""
    if definitions is None or required.documents or not isinstance(required.tree, dict):
        return ()
    found = dict.fromkeys(_links(required.tree, (ROOT,), (), definitions))
    return tuple(sorted(found, key=lambda link: len(link.written)))


def _links(
    level: Mapping[str, Any], around: Iterable[str], above: tuple[str, ...], definitions: Definitions
) -> Iterator[Link]:
    sections = [section for name in around if (section := definitions.section(name)) is not None]
    for key, below in level.items():
        if not isinstance(below, dict) or key in ("*", IN_PLACE):
            continue
        name = paths.without_slice(key)
        members = [member for section in sections if (member := section.get(name)) is not None]
        targets = [m.refers_to for m in members if isinstance(m, Quantity) and m.is_reference and m.refers_to]
        if targets:
            is_open = any(_lacks(target, below, definitions) for target in targets)
            yield Link(paths.join((*above, key)), is_open)
        inside = dict.fromkeys(name for member in members for name in sections_of(member))
        yield from _links(below, inside, (*above, key), definitions)


def _lacks(target: str, tree: Mapping[str, Any], definitions: Definitions) -> bool:
    """True if a reference's type is a base section without some of the requested members."""
    section = definitions.section(target)
    if section is None or target not in definitions.inherited:
        return False
    return not {paths.without_slice(key) for key in tree} <= {*section.names}


def may_follow(tree: Any) -> bool:
    """True if a tree could follow a reference: one is at its second level at the earliest."""
    sections = tree.values() if isinstance(tree, dict) else ()
    below = (child for section in sections if isinstance(section, dict) for child in section.values())
    return any(isinstance(child, dict) and child for child in below)


def has_unresolved(archive: Any, links: Sequence[Link]) -> bool:
    """True if an archive may contain one of the references without the required parts of its target."""
    return any(True for link in links for _ in _unresolved_in(archive, link))


def may_have_unresolved(archive: Any, tree: Any) -> bool:
    """`has_unresolved` without a schema: True if something below the first level is empty or missing."""
    return any(
        _has_gap(section, below)
        for key, below in (tree.items() if isinstance(tree, dict) else ())
        if isinstance(below, dict)
        for section in _sections(archive.get(paths.without_slice(key)))
    )


def _has_gap(section: Tree, tree: Mapping[str, Any]) -> bool:
    for key, below in tree.items():
        if isinstance(below, dict) and below:
            value = section.get(paths.without_slice(key))
            if value is None or value == {} or (type(value) is list and {} in value):
                return True
            if any(_has_gap(item, below) for item in _sections(value)):
                return True
    return False


def _sections(value: Any) -> Iterator[Tree]:
    if type(value) is dict:
        yield value
    elif type(value) is list:
        yield from (item for item in value if type(item) is dict)


def _unresolved_in(value: Any, link: Link, depth: int = 0) -> Iterator[Tree]:
    """The sections that may contain the reference unresolved."""
    key = link.keys[depth]
    for section in _sections(value):
        below = section.get(key)
        if depth + 1 < len(link.keys):
            if below is not None:
                yield from _unresolved_in(below, link, depth + 1)
        elif below is None or (link.is_open and (below == {} or (type(below) is list and {} in below))):
            yield section


class Slot(NamedTuple):
    """A reference that was put back as its string, and may have a target."""

    holder: Any  # A section or a list
    key: Any
    reference: str


def restore(archive: Any, probe: Any, link: Link, depth: int = 0) -> Iterator[Slot]:
    """Put the strings of a probe into an archive where the reference is unresolved.

    Yields those that may have a target. A single reference that the server could have resolved but left
    out has no target.
    """
    key = link.keys[depth]
    if type(archive) is list and type(probe) is list and len(archive) == len(probe):
        for one, other in zip(archive, probe, strict=True):
            yield from restore(one, other, link, depth)
        return
    if type(archive) is not dict or type(probe) is not dict or key not in probe:
        return
    found, probed = archive.get(key), probe[key]
    if depth + 1 < len(link.keys):
        yield from restore(found, probed, link, depth + 1)
    elif type(probed) is str and (found is None or (link.is_open and found == {})):
        archive[key] = probed
        if link.is_open:
            yield Slot(archive, key, probed)
    elif type(probed) is list and all(type(one) is str for one in probed):
        same_size = found if type(found) is list and len(found) == len(probed) else None
        if found is None or (link.is_open and same_size is not None):
            items = [
                reference if same_size is None or same_size[n] == {} else same_size[n]
                for n, reference in enumerate(probed)
            ]
            archive[key] = items
            yield from (Slot(items, n, text) for n, text in enumerate(probed) if items[n] is text)


class Target(NamedTuple):
    """The target of a reference."""

    entry_id: str
    keys: tuple[str, ...]  # the path, including list indexes

    @property
    def names(self) -> tuple[str, ...]:
        """The keys without list indexes."""
        return tuple(key for key in self.keys if not key.isdecimal())


def target_of(reference: str, entry_id: str) -> Target | None:
    """The target of a reference in an archive; None if it is not one, or to another installation."""
    if reference.startswith(("http://", "https://")):
        return None
    _, entry, keys = _parsed(reference)
    valid = all(key and key != "*" and not set("[]") & set(key) for key in keys)
    return Target(entry or entry_id, keys) if keys and valid and not keys[0].isdecimal() else None


def group_names(targets: Iterable[Target]) -> list[list[tuple[str, ...]]]:
    """The names of targets, grouped so that one tree can request each group: no target inside another."""
    groups: list[list[tuple[str, ...]]] = []
    for names in sorted({target.names for target in targets}):
        group = next((g for g in groups if not any(names[: len(o)] == o for o in g)), None)
        if group is None:
            groups.append([names])
        else:
            group.append(names)
    return groups


def tree_of(group: Iterable[Sequence[str]], below: Any) -> Tree:
    """The tree that requests the same parts of each target."""
    tree: Tree = {}
    for names in group:
        level = tree
        for name in names[:-1]:
            level = level.setdefault(name, {})
        level[names[-1]] = below
    return tree


def at(archive: Any, keys: Iterable[str]) -> Any:
    """The value at a target's path; None if there is none."""
    return reduce(_step, keys, archive)
