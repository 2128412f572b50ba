"""The server's `required` engine: which parts of an archive an answer holds, and where references lead."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from nomad_dask.testing.refused import Refused, invalid, unexpected

Json = dict[str, Any]
FetchArchive = Callable[[str, str], Json | None]
"""(upload, entry) -> the archive of that entry; None if it is absent or not to be seen."""

_KEY = re.compile(r"([^\[\]]+)(?:\[(-?\d*)(?:(:)(-?\d*))?\])?")
_OUTSIDE = re.compile(r"\.\./upload(?:s/([^/#]+))?/archive/([^/#]+)#?(/.*)?")
_REMOTE = re.compile(r"https?://.+/uploads?/[^#]+#/.+")
_LOCAL = re.compile(r"#?/\w[^#]*")
_WHOLE = ("*", "include")
_NOTHING = object()


class Key(NamedTuple):
    """One key of a `required` tree, taken apart."""

    name: str
    cut: Callable[[list[Any]], list[Any]] | None
    """What an index or a slice leaves of a list; None: the whole property."""


def parse_key(key: str) -> Key:
    """Takes `name`, `name[i]`, `name[a:b]` apart. Raises ValueError for anything else."""
    match = _KEY.fullmatch(key)
    if not match or (match[2] == "" and not match[3]):
        raise ValueError(key)
    name, start, colon, end = match.groups()
    if start is None:
        return Key(name, None)
    if not colon:
        return Key(name, lambda items: _cut(items, int(start), int(start)))
    return Key(name, lambda items: _cut(items, int(start or 0), int(end) if end else None))


def _cut(items: list[Any], start: int, end: int | None) -> list[Any]:
    """A slice as the server takes it: counted from the end it stops at the first, and it is never empty
    while its start is in the list."""
    n = len(items)
    first = max(start + n, 0) if start < 0 else start
    last = n if end is None else max(end + n, 0) if end < 0 else end
    return items[first : max(last, first + 1)]


@dataclass(frozen=True)
class Required:
    """A checked `required`, ready to be read with."""

    tree: Any
    in_place: bool = False

    @classmethod
    def parse(cls, required: Any) -> "Required":
        """Raises `Refused` 422 for a bad form; directives are looked at while reading, as the server does."""
        if required is None:
            return cls("*")
        if isinstance(required, str):
            return cls(required)
        if not isinstance(required, dict):
            raise Refused(
                422,
                invalid(
                    "string_type", ["body", "required", "str"], "Input should be a valid string", required
                ).detail
                + invalid(
                    "dict_type",
                    ["body", "required", "dict[str,any]"],
                    "Input should be a valid dictionary",
                    required,
                ).detail,
            )
        in_place = required.get("resolve-inplace", False)
        if not isinstance(in_place, bool):
            loc = ["required", "resolve-inplace"]
            raise Refused(422, [{"msg": "resolve-inplace is not a bool", "loc": loc}])
        return cls(_parse_tree({k: v for k, v in required.items() if k != "resolve-inplace"}, []), in_place)


def _parse_tree(tree: Any, loc: list[str]) -> Any:
    if not isinstance(tree, dict):
        return tree
    parsed = {}
    for key, below in tree.items():
        try:
            parsed[parse_key(key)] = _parse_tree(below, [*loc, key])
        except ValueError:
            raise Refused(422, [{"msg": "invalid required key", "loc": [*loc, key]}]) from None
    return parsed


@dataclass(slots=True)
class _Place:
    """The archive in which references without a file are looked up, and what they add to its root."""

    archive: Json
    upload_id: str
    at: str = ""
    """`../uploads/UPLOAD/archive/ENTRY` of another entry, empty for the entry that is read."""
    root: Json = field(default_factory=dict)


def read(required: Required, archive: Json, upload_id: str, fetch: FetchArchive) -> Json:
    """What the answer holds of one archive. The result may share parts with `archive`: do not change it.

    `fetch` is asked for the archives of other entries when `required` walks over a reference to one.
    """
    return _Reader(required.in_place, fetch).read(required.tree, _Place(archive, upload_id))


class _Reader:
    """Reads one archive for one answer."""

    def __init__(self, in_place: bool, fetch: FetchArchive) -> None:
        self._in_place = in_place
        self._fetch = fetch
        self._others: dict[str, _Place] = {}
        self._on_the_way: list[tuple[str, str]] = []

    def read(self, tree: Any, place: _Place) -> Json:
        result = self._apply(tree, place.archive, place)
        others = {
            at: other.root | {"m_def": "nomad.datamodel.EntryArchive"}
            for at, other in self._others.items()
            if other.root
        }
        # What required names itself replaces, key by key, what references put at the root.
        return {**place.root, **result, "m_ref_archives": others}

    def _apply(self, tree: Any, item: Any, place: _Place) -> Any:
        if isinstance(tree, str):
            if tree in _WHOLE:
                return item
            if tree == "include-resolved":
                return self._resolved(item, place)
            raise Refused(400, f"unknown directive {tree}")
        if not isinstance(tree, dict):
            raise unexpected("AssertionError")
        if isinstance(item, list):
            parts = (self._apply(tree, x, place) for x in item)
            return [part for part in parts if part is not _NOTHING]
        if isinstance(item, str):
            return self._follow(tree, item, place)
        return self._section(tree, item, place) if isinstance(item, dict) else item

    def _section(self, tree: dict[Key, Any], item: Json, place: _Place) -> Json:
        result: Json = {"m_def": item["m_def"]} if "m_def" in item else {}
        for name, key, below in _named(tree, item):
            part = self._child(key, below, item[name], place)
            if part is not _NOTHING:
                result[name] = part
        return result

    def _child(self, key: Key, below: Any, child: Any, place: _Place) -> Any:
        if key.cut is not None:
            if not isinstance(child, list):
                raise Refused(400, f"cannot use list key on none list {key.name}")
            child = key.cut(child)
            if not child:
                return _NOTHING
        return self._apply(below, child, place)

    def _resolved(self, item: Any, place: _Place) -> Any:
        """The whole of a part, with every reference in it followed."""
        if isinstance(item, dict):
            return {name: self._resolved(child, place) for name, child in item.items()}
        if isinstance(item, list):
            if item and isinstance(item[0], (int, float)):
                return item
            return [self._resolved(child, place) for child in item]
        if isinstance(item, str) and item[:1] in ("#", "/", ".", "h"):
            target = self._follow("include-resolved", item, place)
            return item if target is _NOTHING else target
        return item

    def _follow(self, tree: Any, reference: str, place: _Place) -> Any:
        """What a reference that `tree` walks through becomes: its target, a path, the string, or nothing."""
        if _REMOTE.fullmatch(reference):
            if self._in_place:
                raise Refused(400, f"resolvable reference to remote archive not implemented: {reference}")
            return reference
        outside = _OUTSIDE.fullmatch(reference)
        if outside:
            upload_id = outside[1] or place.upload_id
            at = f"../uploads/{upload_id}/archive/{outside[2]}"
            path = outside[3] or ""
            other = self._other(at, upload_id, outside[2])
            if other is None:
                return f"{at}#{path}"
            place = other
        elif _LOCAL.fullmatch(reference):
            at, path = place.at, reference.removeprefix("#")
        else:
            return _NOTHING
        shown = f"{at}#{path}" if outside else path
        if (at, path) in self._on_the_way:
            return shown
        target = _walk(place.archive, path)
        if target is None:
            return _NOTHING
        self._on_the_way.append((at, path))
        part = self._apply(tree, target, place)
        self._on_the_way.pop()
        if self._in_place or part is _NOTHING:
            return part
        _put(place.root, path, part)
        return shown

    def _other(self, at: str, upload_id: str, entry_id: str) -> _Place | None:
        if at not in self._others:
            found = self._fetch(upload_id, entry_id)
            if found is None:
                return None
            self._others[at] = _Place(found, upload_id, at)
        return self._others[at]


def _named(tree: dict[Key, Any], item: Json) -> Iterator[tuple[str, Key, Any]]:
    """The properties of a section that a tree names, with the key and the tree below it."""
    excluded = {key.name for key, directive in tree.items() if directive == "exclude"}
    for key, below in tree.items():
        if key.name == "*":
            yield from ((name, key, below) for name in item if name not in excluded)
        elif below != "exclude" and key.name in item:
            yield key.name, key, below


def _walk(archive: Any, path: str) -> Any:
    for key in path.strip("/").split("/"):
        if isinstance(archive, dict):
            archive = archive.get(key)
        elif isinstance(archive, list) and key.isdigit() and int(key) < len(archive):
            archive = archive[int(key)]
        else:
            return None
    return archive


def _put(root: Json, path: str, part: Any) -> None:
    """Puts a part at a path, making what lies on the way, with nulls before it in lists."""
    node: Any = root
    keys: list[Any] = [int(key) if key.isdigit() else key for key in path.strip("/").split("/")]
    for key, following in pairwise(keys):
        below = _get(node, key)
        # A copy, since what was put there before may be part of an archive.
        _set(node, key, ([] if isinstance(following, int) else {}) if below is None else below.copy())
        node = _get(node, key)
    _set(node, keys[-1], part)


def _get(node: Any, key: Any) -> Any:
    if isinstance(node, list):
        return node[key] if key < len(node) else None
    return node.get(key)


def _set(node: Any, key: Any, value: Any) -> None:
    if isinstance(node, list):
        node.extend([None] * (key + 1 - len(node)))
    node[key] = value
