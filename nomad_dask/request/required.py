"""The `required` tree: parsing, validation, and the parts of an archive that it selects.

`parse` rejects an invalid tree, naming the path of the mistake, and returns a `Required`, a plain value. Its
`root` is the tree as nodes: a `RequiredSection` for each level, and the leaves `KEEP` (`*`, `include`) and
`KEEP_RESOLVED` (`include-resolved`). Nodes have no slices: the server returns only the selected items, so
`run[-1]` is under `run`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from nomad_dask.common import paths
from nomad_dask.common.json_rules import MAX_LEVELS
from nomad_dask.errors import RequiredError
from nomad_dask.text import shown

IN_PLACE = "resolve-inplace"
REF_ARCHIVES = "m_ref_archives"
_WHOLE = ("*", "include", "include-resolved")
_DIRECTIVES = (*_WHOLE, "exclude")
_CHOICES = "'*', 'include', 'include-resolved' or 'exclude'"
_TOP_CHOICES = "'*', 'include' or 'include-resolved'"
_KEY = re.compile(r"(?P<name>[^\[\]]+)(?P<slice>\[(?:-?\d+|(?:-?\d+)?:(?:-?\d+)?)\])?")


@dataclass(frozen=True)
class Link:
    """A reference that a required tree follows (see `links`)."""

    path: str  # the path of the reference, as written
    is_open: bool = False  # True if its type is a base section without some of the requested members

    @cached_property
    def written(self) -> tuple[str, ...]:
        """The keys of the path as written."""
        return paths.split(self.path)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys of the path without slices."""
        return tuple(map(paths.without_slice, self.written))

    @cached_property
    def probe(self) -> dict[str, Any]:
        """The tree that requests the reference as its string."""
        return _nested([*self.written[:-1]], {self.written[-1]: "*"})

    def below(self, tree: Any) -> Any:
        """The subtree of a required tree for the target; None if it does not follow this reference."""
        for key in self.written:
            tree = tree.get(key) if isinstance(tree, dict) else None
        return tree if isinstance(tree, dict) else None

    def __reduce__(self) -> tuple[Any, ...]:
        return Link, (self.path, self.is_open)


@dataclass(frozen=True)
class RequiredLeaf:
    """A leaf of the tree: everything at and below it is required."""

    resolved: bool = False  # True for `include-resolved`: references below the leaf are followed too

    def child(self, key: str) -> Node | None:
        """The node of a key below: the leaf itself."""
        return self


@dataclass(frozen=True)
class RequiredSection:
    """An inner node of the tree."""

    named: dict[str, Node | None] = field(default_factory=dict)  # nodes of the named keys; None: `exclude`
    rest: Node | None = None  # the node of all other keys (the key `*`)

    def child(self, key: str) -> Node | None:
        """The node of a key; None if it is not required."""
        return self.named.get(key, self.rest)


Node = RequiredLeaf | RequiredSection

KEEP = RequiredLeaf()
KEEP_RESOLVED = RequiredLeaf(resolved=True)


@dataclass(frozen=True)
class Required:
    """A valid `required` tree, compared, hashed and pickled by its JSON text in the order as written."""

    text: str
    documents: bool = False  # True for a tree of search documents (`request.include`)
    include: tuple[str, ...] | None = None  # the `include` list as written, if there is one
    sent: tuple[str, ...] | None = None  # the names to send for it, set by `include.with_sent_names`
    links: tuple[Link, ...] | None = None  # references that it follows; None before the schema is read

    @property
    def written(self) -> Any:
        """`required` as the user wrote it: a JSON tree, or the `include` list."""
        return self.tree if self.include is None else [*self.include]

    def with_tree(self, tree: Any) -> Required:
        """A copy with another tree."""
        return Required(orjson.dumps(tree).decode(), self.documents, links=self.links)

    @cached_property
    def tree(self) -> Any:
        """The JSON tree as the user wrote it."""
        return orjson.loads(self.text)

    @cached_property
    def root(self) -> RequiredSection:
        """The tree as nodes, without the names that are added to responses."""
        tree = self.tree
        node = _node("*" if tree is None else tree)
        if isinstance(node, RequiredSection):
            return RequiredSection({**node.named, **self._extra}, node.rest)
        return RequiredSection({**self._extra}, node)

    @property
    def _extra(self) -> dict[str, None]:
        """Names that the server or we add to a response, as excluded keys: never part of `required`."""
        return dict.fromkeys(("entry_id", "upload_id") if self.documents else (REF_ARCHIVES,))

    @cached_property
    def is_whole(self) -> bool:
        """True if the whole archive is required."""
        return self.root.named == self._extra and isinstance(self.root.rest, RequiredLeaf)

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The required paths as written, in the tree's order; `('*',)` for the whole archive."""
        if self.tree is None or isinstance(self.tree, str):
            return ("*",)
        leaves = (keys for keys, below in walk(self.tree) if isinstance(below, str) and below != "exclude")
        return tuple(map(paths.join, leaves))

    def request(self, in_place: bool) -> Any:
        """The tree to send; `in_place` makes the server resolve references."""
        if self.tree is None:
            return "*"
        if isinstance(self.tree, str):
            return self.tree
        plain = {key: value for key, value in self.tree.items() if key != IN_PLACE}
        return {IN_PLACE: True, **plain} if in_place else plain

    def reaches(self, name: str) -> bool:
        """True if a column of that name may contain required values; list indexes in it are ignored."""
        node: Node | None = self.root
        for key in paths.split(name):
            if isinstance(node, RequiredLeaf):
                return True
            below = node.child(key) if node is not None else None
            if below is None and not key.isdecimal():
                return False
            node = below or node
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        return Required, (self.text, self.documents, self.include, self.sent, self.links)


def parse(required: Any) -> Required:
    """Parse a `required` tree; None, `'*'` and `'include'` mean the whole archive, `{}` nothing.

    Raises RequiredError, with the path of the mistake.
    """
    if isinstance(required, Required):
        return required
    try:
        if required is not None:
            _check(required, ())
        return Required(orjson.dumps(required).decode())
    except (RecursionError, TypeError) as error:
        raise RequiredError(f"required must be a JSON tree, not nested too deep: {error}") from error


def split(required: Required) -> tuple[Required, ...]:
    """Split a tree at its first level with several keys into trees that together select the same parts.

    `references.merge` merges their responses. A tree without such a level is returned unchanged; splitting a
    piece again goes one level deeper.
    """
    if not isinstance(required.tree, dict):
        return (required,)
    above: list[str] = []
    level = required.request(in_place=False)
    while isinstance(level, dict) and len(level) == 1:
        above.extend(level)
        level = level[above[-1]]
    if not isinstance(level, dict):
        return (required,)
    pieces = [piece for piece in _pieces(level) if piece]
    if len(pieces) < 2:
        return (required,)
    flag = {IN_PLACE: required.tree[IN_PLACE]} if IN_PLACE in required.tree else {}
    return tuple(required.with_tree({**flag, **_nested(above, piece)}) for piece in pieces)


def prune(value: Any, node: Node | None) -> Any:
    """The part of a JSON value at and below the leaves; scalars above a leaf (references) are kept."""
    if isinstance(node, RequiredLeaf):
        return value
    if type(value) is list:
        return [prune(item, node) for item in value]
    if type(value) is not dict or node is None:
        return value
    kept = ((key, item, node.child(key)) for key, item in value.items())
    return {key: prune(item, child) for key, item, child in kept if child is not None}


def excluding(part: dict[str, Any], level: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a level of the tree; with a `*` in it, the other keys of the level are excluded."""
    if "*" not in part:
        return part
    return part | {key: "exclude" for key in level if key not in part and key != IN_PLACE}


def _pieces(level: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One tree for each key; the tree for `*` excludes the named keys."""
    for key, value in level.items():
        if key == "*":
            yield excluding({key: value}, level)
        elif value != "exclude":
            yield {key: value}


def _nested(above: list[str], piece: dict[str, Any]) -> dict[str, Any]:
    for key in reversed(above):
        piece = {key: piece}
    return piece


def _node(tree: Any) -> Node | None:
    if isinstance(tree, str):
        if tree == "exclude":
            return None
        return KEEP_RESOLVED if tree == "include-resolved" else KEEP
    named = {
        paths.without_slice(key): _node(value) for key, value in tree.items() if key not in ("*", IN_PLACE)
    }
    return RequiredSection(named, _node(tree.get("*", "exclude")))


def walk(tree: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The keys of each place in a tree, and what is below it."""
    for key, below in tree.items() if isinstance(tree, dict) else ():
        if above or key != IN_PLACE:
            yield (*above, key), below
            yield from walk(below, (*above, key))


def _check(tree: Any, above: tuple[str, ...]) -> None:
    if len(above) > MAX_LEVELS:
        begin = paths.join(map(str, above[:3]))
        raise RequiredError(f"required: nested deeper than {MAX_LEVELS} levels, below {begin}")
    where = f"at {paths.join(above)}" if above else "at the top"
    use = _CHOICES if above else _TOP_CHOICES
    if isinstance(tree, str):
        if tree not in (_DIRECTIVES if above else _WHOLE):
            raise RequiredError(f"required: unknown directive {shown(tree)} {where}; use {use}")
    elif isinstance(tree, dict):
        _check_keys(tree, above, where)
        for key, value in tree.items():
            if above or key != IN_PLACE:
                _check(value, (*above, key))
    else:
        hint = "; a list of names needs source='documents'" if type(tree) is list and not above else ""
        raise RequiredError(f"required: {_kind(tree)} {where}; use a dict of keys or {use}{hint}")


def _check_keys(level: dict[Any, Any], above: tuple[str, ...], where: str) -> None:
    written: dict[str, str] = {}
    for key, value in level.items():
        if not isinstance(key, str):
            raise RequiredError(f"required: the key {shown(key)} {where} must be a string")
        if key == IN_PLACE and not above:
            if not isinstance(value, bool):
                raise RequiredError(
                    f"required: {IN_PLACE!r} at the top must be true or false (got {shown(value)})"
                )
            continue
        match = _KEY.fullmatch(key)
        if match is None or (match["name"] == "*" and match["slice"]):
            raise RequiredError(
                f"required: invalid key {shown(key)} {where}; "
                "use 'name', 'name[i]', 'name[-1]', 'name[a:b]' or '*'"
            )
        name = match["name"]
        if name in written:
            # The server silently ignores the first of the two.
            raise RequiredError(
                f"required: {written[name]!r} and {shown(key)} {where} name the same list, and the server "
                "returns only one; use one slice that spans both, or two queries"
            )
        written[name] = key


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {list: "a list", tuple: "a list", bool: "a bool", int: "a number", float: "a number"}
    name = names.get(type(value))
    return f"{name} ({shown(value)})" if name else f"a {type(value).__name__}"


def sliced(required: Required) -> frozenset[str]:
    """The dotted names of lists with a slice that does not begin at the first section.

    The server returns only the selected sections, so list indexes in references do not apply to these lists.
    """
    return frozenset(
        ".".join(map(paths.without_slice, keys))
        for keys, _ in walk(required.tree)
        if "[" in keys[-1] and not re.search(r"\[0?(:|\])", keys[-1])
    )
