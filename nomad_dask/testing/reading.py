"""The `required` engine of the server: selection of parts of an archive, and resolution of references."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from nomad_dask.metainfo.definitions import ROOT, Definitions, Member, sections_of
from nomad_dask.testing.refused import Refused, invalid, unexpected

Json = dict[str, Any]
FetchArchive = Callable[[str, str], Json | None]
"""A function from upload id and entry id to the archive; None if it does not exist or is not visible."""

_KEY = re.compile(r"([^\[\]]+)(?:\[(-?\d*)(?:(:)(-?\d*))?\])?")
_OUTSIDE = re.compile(r"\.\./upload(?:s/([^/#]+))?/archive/([^/#]+)#?(/.*)?")
_REMOTE = re.compile(r"https?://.+/uploads?/[^#]+#/.+")
_LOCAL = re.compile(r"#?/\w[^#]*")
_WHOLE = ("*", "include")
_NOTHING = object()


class RequiredKey(NamedTuple):
    """A parsed key of a `required` tree."""

    name: str
    cut: Callable[[list[Any]], list[Any]] | None
    """A function that applies the index or slice to a list; None for the whole property."""


def parse_key(key: str) -> RequiredKey:
    """Parse `name`, `name[i]` or `name[a:b]`. ValueError for anything else."""
    match = _KEY.fullmatch(key)
    if not match or (match[2] == "" and not match[3]):
        raise ValueError(key)
    name, start, colon, end = match.groups()
    if start is None:
        return RequiredKey(name, None)
    if not colon:
        return RequiredKey(name, lambda items: _cut(items, int(start), int(start)))
    return RequiredKey(name, lambda items: _cut(items, int(start or 0), int(end) if end else None))


def _cut(items: list[Any], start: int, end: int | None) -> list[Any]:
    """Return a slice like the server: never empty if its start is in the list, and negative indices stop at
    0."""
    n = len(items)
    first = max(start + n, 0) if start < 0 else start
    last = n if end is None else max(end + n, 0) if end < 0 else end
    return items[first : max(last, first + 1)]


@dataclass(frozen=True)
class RequiredReader:
    """A checked `required`."""

    tree: Any
    in_place: bool = False

    @classmethod
    def parse(cls, required: Any) -> "RequiredReader":
        """Parse `required`.

        Raises `Refused` 422 if it is malformed. Directives are checked by `read`, as in NOMAD.
        """
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
class _Position:
    """The archive in which local references are resolved, and the parts they add to the answer."""

    archive: Json
    upload_id: str
    at: str = ""
    """`../uploads/UPLOAD/archive/ENTRY` of another entry, empty for the entry that is read."""
    root: Json = field(default_factory=dict)


def read(
    required: RequiredReader,
    archive: Json,
    upload_id: str,
    fetch: FetchArchive,
    definitions: Definitions | None = None,
) -> Json:
    """Return the requested part of an archive. The result may share parts with `archive`: do not modify it.

    `fetch` is called for the archives of other entries if `required` follows a reference to one. With
    `definitions`, the target of a reference contains only what the type of the reference, or the target's
    `m_def`, defines.
    """
    return _ArchiveReader(required.in_place, fetch, definitions).read(
        required.tree, _Position(archive, upload_id)
    )


class _ArchiveReader:
    """Reads one archive for one answer."""

    def __init__(self, in_place: bool, fetch: FetchArchive, definitions: Definitions | None) -> None:
        self._in_place = in_place
        self._fetch = fetch
        self._definitions = definitions
        self._others: dict[str, _Position] = {}
        self._on_the_way: list[tuple[str, str]] = []

    def read(self, tree: Any, place: _Position) -> Json:
        result = self._apply(tree, place.archive, place, ROOT)
        others = {
            at: other.root | {"m_def": "nomad.datamodel.EntryArchive"}
            for at, other in self._others.items()
            if other.root
        }
        # Parts named by `required` replace, key by key, parts that references put at the root.
        return {**place.root, **result, "m_ref_archives": others}

    def _apply(
        self, tree: Any, item: Any, place: _Position, kind: str | None, *, is_target: bool = False
    ) -> Any:
        """Apply a tree to an item.

        `kind` is the section that the schema declares, or the type of the reference.
        """
        if isinstance(tree, str):
            if tree in _WHOLE:
                return item
            if tree == "include-resolved":
                return self._resolved(item, place)
            raise Refused(400, f"unknown directive {tree}")
        if not isinstance(tree, dict):
            raise unexpected("AssertionError")
        if isinstance(item, list):
            parts = []
            for one in item:
                parts.append(self._apply(tree, one, place, kind))
                if parts[-1] is _NOTHING:
                    # one unresolvable reference removes the whole list
                    return _NOTHING
            return parts
        if isinstance(item, str):
            return self._follow(tree, item, place, kind)
        return self._section(tree, item, place, kind, is_target) if isinstance(item, dict) else item

    def _section(
        self, tree: dict[RequiredKey, Any], item: Json, place: _Position, kind: str | None, is_target: bool
    ) -> Json:
        result: Json = {"m_def": item["m_def"]} if "m_def" in item else {}
        kind = str(item["m_def"]).partition("@")[0] if "m_def" in item else kind
        section = self._definitions.section(kind) if self._definitions and kind is not None else None
        for name, key, below in _named(tree, item):
            member = section.get(name) if section else None
            if is_target and section and member is None:
                continue
            part = self._child(key, below, item[name], place, _declared(member))
            if part is not _NOTHING:
                result[name] = part
        return result

    def _child(self, key: RequiredKey, below: Any, child: Any, place: _Position, kind: str | None) -> Any:
        if key.cut is not None:
            if not isinstance(child, list):
                raise Refused(400, f"cannot use list key on none list {key.name}")
            child = key.cut(child)
            if not child:
                return _NOTHING
        return self._apply(below, child, place, kind)

    def _resolved(self, item: Any, place: _Position) -> Any:
        """Return a whole part with all references in it resolved."""
        if isinstance(item, dict):
            return {name: self._resolved(child, place) for name, child in item.items()}
        if isinstance(item, list):
            if item and isinstance(item[0], (int, float)):
                return item
            return [self._resolved(child, place) for child in item]
        if isinstance(item, str) and item[:1] in ("#", "/", ".", "h"):
            target = self._follow("include-resolved", item, place, None)
            return item if target is _NOTHING else target
        return item

    def _follow(self, tree: Any, reference: str, place: _Position, kind: str | None) -> Any:
        """Resolve a reference that `tree` follows. Returns its target, a path, the string, or `_NOTHING`."""
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
            return reference
        shown = f"{at}#{path}" if outside else path
        if (at, path) in self._on_the_way:
            return shown
        target = _walk(place.archive, path)
        if target is None:
            return _NOTHING
        self._on_the_way.append((at, path))
        part = self._apply(tree, target, place, kind, is_target=True)
        self._on_the_way.pop()
        if self._in_place or part is _NOTHING:
            return part
        _put(place.root, path, part)
        return shown

    def _other(self, at: str, upload_id: str, entry_id: str) -> _Position | None:
        if at not in self._others:
            found = self._fetch(upload_id, entry_id)
            if found is None:
                return None
            self._others[at] = _Position(found, upload_id, at)
        return self._others[at]


def _declared(member: Member | None) -> str | None:
    """Return the section that the schema declares for a member."""
    return next(iter(sections_of(member)), None) if member is not None else None


def _named(tree: dict[RequiredKey, Any], item: Json) -> Iterator[tuple[str, RequiredKey, Any]]:
    """Yield the properties of a section that a tree names, with the key and the subtree."""
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
    """Put a part at a path. Creates missing parents, and pads lists with nulls."""
    node: Any = root
    keys: list[Any] = [int(key) if key.isdigit() else key for key in path.strip("/").split("/")]
    for key, following in pairwise(keys):
        below = _get(node, key)
        # a copy, because an existing value may be part of an archive
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
