"""Owns references in plain JSON: putting targets in their place, joining partial answers (SPEC 6).

The server resolves references in place on request; this is for the answers got without that (the page holds
a reference to another installation). There the targets are placed at the archive's root, where the reference
points, or in `m_ref_archives` when they lie in another entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, NamedTuple

from nomad_dask.pure.required import REF_ARCHIVES, Leaf, Node, Required

ELSEWHERE = re.compile(
    r"(?:^|/)(?:uploads/(?P<upload>[^/#]+)|upload)/archive/(?P<entry>[^/#]+)#?(?P<path>/.*)?$"
)


class _Place(NamedTuple):
    """A value and the archive that it lies in, where its local references are looked up."""

    value: Any
    archive: dict[str, Any]


def resolve(
    archive: dict[str, Any], required: Required, *, within: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The required parts of an archive, each reference that `required` walks through replaced by its target.

    Local references lead to places in `within`, the whole archive, where that is given, else in the answer itself. What
    cannot be resolved stays its string. What was only placed on the way is left out.
    """
    place = _Place(archive, archive if within is None else within)
    return _Walk(archive.get(REF_ARCHIVES) or {}).part(place, required.root, frozenset())


def merge(answers: Iterable[Any]) -> Any:
    """One archive from the answers to narrower trees (`required.split`): dicts by key, lists by position.

    Where answers differ in kind the fuller wins: a section over its reference's string, anything over null.
    """
    merged: Any = None
    for answer in answers:
        merged = _join(merged, answer)
    return merged


def _join(one: Any, other: Any) -> Any:
    if type(one) is dict and type(other) is dict:
        joined = dict(one)
        for key, value in other.items():
            joined[key] = _join(joined[key], value) if key in joined else value
        return joined
    if type(one) is list and type(other) is list:
        return [_join(a, b) for a, b in zip_longest(one, other)]
    return one if _fullness(one) >= _fullness(other) else other


def _fullness(value: Any) -> int:
    if value is None:
        return 0
    return 2 if type(value) in (dict, list) else 1


class _Walk:
    """One archive's walk: the archives of other entries that came with it."""

    def __init__(self, others: dict[str, Any]) -> None:
        self._others = others

    def part(self, place: _Place, node: Node, seen: frozenset[tuple[int, str]]) -> Any:
        """The required part of a value. `seen` holds the references followed to it, so that cycles end."""
        value, archive = place
        if isinstance(node, Leaf) and not node.resolved:
            return value
        if type(value) is dict:
            # A tree is as deep as it was written; only `include-resolved` could go round for ever.
            seen = seen if isinstance(node, Leaf) else frozenset()
            asked = ((key, item, node.child(key)) for key, item in value.items())
            return {
                key: self.part(_Place(item, archive), child, seen)
                for key, item, child in asked
                if child is not None
            }
        if type(value) is list:
            return [self.part(_Place(item, archive), node, seen) for item in value]
        if type(value) is str:
            return self._follow(place, node, seen)
        return value

    def _follow(self, place: _Place, node: Node, seen: frozenset[tuple[int, str]]) -> Any:
        reference, archive = place
        step = (id(archive), reference)
        target = self._target(reference, archive)
        if target is None or step in seen:
            return reference
        part = self.part(target, node, seen | {step})
        return reference if type(part) is not dict else part

    def _target(self, reference: str, archive: dict[str, Any]) -> _Place | None:
        """Where a reference leads; None when it is no reference, or to what did not come with the answer."""
        path: str | None = reference.removeprefix("#")
        remote = ELSEWHERE.search(reference)
        if remote is not None:
            path = remote["path"]
            other = self._other(remote["upload"], remote["entry"])
            if other is None:
                return None
            archive = other
        if not path or not path.startswith("/"):
            return None
        value: Any = archive
        for key in path.strip("/").split("/"):
            value = _step(value, key)
        return None if value is None else _Place(value, archive)

    def _other(self, upload: str | None, entry: str) -> dict[str, Any] | None:
        if upload is not None:
            return self._others.get(f"../uploads/{upload}/archive/{entry}")
        named = [other for key, other in self._others.items() if key.endswith(f"/archive/{entry}")]
        return named[0] if named else None


def _step(value: Any, key: str) -> Any:
    if type(value) is dict:
        return value.get(key)
    if type(value) is list and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    return None


def refers_elsewhere(archive: Any) -> bool:
    """Whether any string of an archive refers to an entry of another installation, by its url."""
    if isinstance(archive, str):
        return archive.startswith(("http://", "https://")) and "/archive/" in archive and "#/" in archive
    if isinstance(archive, dict):
        return any(map(refers_elsewhere, archive.values()))
    return isinstance(archive, list) and any(map(refers_elsewhere, archive))
