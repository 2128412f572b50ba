"""Owns the `required` tree: what may stand in it, what it names, what of an archive it asks for (SPEC 6).

`parse` refuses a malformed tree, naming the path of the mistake, and gives a `Required`, a plain value. Its
`root` is the same tree as the rest of the package walks it: a `Section` for each level and one of the two leaves
`KEEP` (`*`, `include`) and `KEEP_RESOLVED` (`include-resolved`). Slices are gone there: lists come compact
from the server, so `run[-1]` is found under the plain key `run`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from nomad_dask.pure import paths
from nomad_dask.pure.errors import RequiredError

IN_PLACE = "resolve-inplace"
REF_ARCHIVES = "m_ref_archives"
_ADDED = (REF_ARCHIVES,)
_OF_DOCUMENTS = ("entry_id", "upload_id")
"""What the server, or we, ask for besides: never part of what was required."""

_WHOLE = ("*", "include", "include-resolved")
_DIRECTIVES = (*_WHOLE, "exclude")
_SAID = "'*', 'include', 'include-resolved' or 'exclude'"
_KEY = re.compile(r"(?P<name>[^\[\]]+)(?P<slice>\[(?:-?\d+|(?:-?\d+)?:(?:-?\d+)?)\])?")


@dataclass(frozen=True)
class Leaf:
    """A required leaf: everything at and below it was asked for."""

    resolved: bool = False
    """True for `include-resolved`: references below it are followed too."""

    def child(self, key: str) -> Node | None:
        """What is required of `key` below here: all of it."""
        return self


@dataclass(frozen=True)
class Section:
    """A level of the tree above the leaves."""

    named: dict[str, Node | None] = field(default_factory=dict)
    """What is required of each key that is named; None for `exclude`."""
    rest: Node | None = None
    """What is required of every other key (the key `*`)."""

    def child(self, key: str) -> Node | None:
        """What is required of `key`; None where it was not asked for."""
        return self.named.get(key, self.rest)


Node = Leaf | Section

KEEP = Leaf()
KEEP_RESOLVED = Leaf(resolved=True)


@dataclass(frozen=True)
class Required:
    """A checked `required` tree. Equal, hashed and pickled by its JSON text, in the order as written."""

    text: str
    documents: bool = False
    """Whether the tree is of search documents (`pure.include`), where the entry's own names stand at the top."""
    include: tuple[str, ...] | None = None
    """The `include` list as the user wrote it, where that is one."""
    sent: tuple[str, ...] | None = None
    """The names that are sent for it, once it is known where documents have lists."""

    @property
    def written(self) -> Any:
        """What the user wrote, as JSON: a tree, or the `include` list."""
        return self.tree if self.include is None else [*self.include]

    def like(self, tree: Any) -> Required:
        """Another tree over the same things."""
        return Required(orjson.dumps(tree).decode(), self.documents)

    @cached_property
    def tree(self) -> Any:
        """The JSON tree as the user wrote it."""
        return orjson.loads(self.text)

    @cached_property
    def root(self) -> Section:
        """The tree as archives are walked along it. What was added on the way is never part of it."""
        tree = self.tree
        node = _node("*" if tree is None else tree)
        if isinstance(node, Section):
            return Section({**node.named, **self._added}, node.rest)
        return Section({**self._added}, node)

    @property
    def _added(self) -> dict[str, None]:
        """The server's own `m_ref_archives`; a document's names, which are the row's."""
        return dict.fromkeys(_OF_DOCUMENTS if self.documents else _ADDED)

    @cached_property
    def is_whole(self) -> bool:
        """True where the whole archive is asked for."""
        return self.root.named == self._added and isinstance(self.root.rest, Leaf)

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The required paths, keys joined by dots as written, in the tree's order; `('*',)` for the whole."""
        if self.tree is None or isinstance(self.tree, str):
            return ("*",)
        return tuple(paths.join(keys) for keys in _paths(self.tree, ()))

    def request(self, in_place: bool) -> Any:
        """The tree to send: references resolved in place by the server, or left for `references.resolve`."""
        if self.tree is None:
            return "*"
        if isinstance(self.tree, str):
            return self.tree
        plain = {key: value for key, value in self.tree.items() if key != IN_PLACE}
        return {IN_PLACE: True, **plain} if in_place else plain

    def reaches(self, name: str) -> bool:
        """Whether a column of that name may hold something that is required; numbers of sections are passed over."""
        node: Node | None = self.root
        for key in paths.split(name):
            if isinstance(node, Leaf):
                return True
            below = node.child(key) if node is not None else None
            if below is None and not key.isdecimal():
                return False
            node = below or node
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        return Required, (self.text, self.documents, self.include, self.sent)


def parse(required: Any) -> Required:
    """Check a `required` tree: None, `'*'` and `'include'` mean the whole archive, `{}` nothing.

    Raises RequiredError, naming the path of the mistake.
    """
    if isinstance(required, Required):
        return required
    if required is not None:
        _check(required, ())
    return Required(orjson.dumps(required).decode())


def split(required: Required) -> tuple[Required, ...]:
    """Narrower trees, cut at the first level that branches, which together ask for the same parts.

    Answers to them join by `references.merge`. A tree that does not branch comes back alone; cutting each
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
    return tuple(required.like({**flag, **_nested(above, piece)}) for piece in pieces)


def prune(value: Any, node: Node | None) -> Any:
    """The part of a JSON value at and below the required leaves; scalars above a leaf (references) stay."""
    if isinstance(node, Leaf):
        return value
    if type(value) is list:
        return [prune(item, node) for item in value]
    if type(value) is not dict or node is None:
        return value
    kept = ((key, item, node.child(key)) for key, item in value.items())
    return {key: prune(item, child) for key, item, child in kept if child is not None}


def _pieces(level: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One piece for each key; what `*` stands for is asked for in one piece that excludes the named keys."""
    for key, value in level.items():
        if key == "*":
            yield {key: value, **{other: "exclude" for other in level if other != "*"}}
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
    named = {_plain(key): _node(value) for key, value in tree.items() if key not in ("*", IN_PLACE)}
    return Section(named, _node(tree.get("*", "exclude")))


def _plain(key: str) -> str:
    """The key less its slice."""
    return key[: key.index("[")] if key.endswith("]") else key


def _paths(tree: Any, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if above or key != IN_PLACE:
                yield from _paths(value, (*above, key))
    elif tree != "exclude":
        yield above


def _check(tree: Any, above: tuple[str, ...]) -> None:
    where = f"at {paths.join(above)}" if above else "at the top"
    if isinstance(tree, str):
        if tree not in (_DIRECTIVES if above else _WHOLE):
            use = _SAID if above else _TOP
            raise RequiredError(f"required: unknown directive {tree!r} {where}; use {use}")
    elif isinstance(tree, dict):
        _check_keys(tree, above, where)
        for key, value in tree.items():
            if above or key != IN_PLACE:
                _check(value, (*above, key))
    else:
        use = _SAID if above else _TOP
        hint = "; a list of names goes with source='documents'" if type(tree) is list and not above else ""
        raise RequiredError(f"required: {_kind(tree)} {where}; use a dict of keys or {use}{hint}")


_TOP = "'*', 'include' or 'include-resolved'"


def _check_keys(level: dict[Any, Any], above: tuple[str, ...], where: str) -> None:
    seen: dict[str, str] = {}
    for key, value in level.items():
        if not isinstance(key, str):
            raise RequiredError(f"required: the key {key!r} {where} is no text")
        if key == IN_PLACE and not above:
            if not isinstance(value, bool):
                raise RequiredError(f"required: {IN_PLACE!r} at the top is true or false, not {value!r}")
            continue
        match = _KEY.fullmatch(key)
        if match is None or (match["name"] == "*" and match["slice"]):
            raise RequiredError(
                f"required: bad key {key!r} {where}; use 'name', 'name[i]', 'name[-1]', 'name[a:b]' or '*'"
            )
        name = match["name"]
        if name in seen:
            # The server answers only the later of the two, without a word.
            raise RequiredError(
                f"required: {seen[name]!r} and {key!r} {where} name the same list, and the server answers "
                "only one; ask for one slice that spans both, or make two queries"
            )
        seen[name] = key


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {list: "a list", tuple: "a list", bool: "a bool", int: "a number", float: "a number"}
    name = names.get(type(value))
    return f"{name} ({value!r})" if name else f"a {type(value).__name__}"


def sliced(required: Required) -> frozenset[str]:
    """The lists, by their names joined by dots, whose answers begin elsewhere than at their first section.

    Lists come compact (`nomad_api.md`), so a number that a reference holds is not the number in such an answer.
    """
    return frozenset(".".join(keys) for keys in _sliced(required.tree, ()))


def _sliced(tree: Any, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, below in tree.items() if isinstance(tree, dict) else ():
        match = _KEY.fullmatch(key)
        if match is None:
            continue
        keys = (*above, match["name"])
        if match["slice"] and not re.match(r"\[0?(:|\])", match["slice"]):
            yield keys
        yield from _sliced(below, keys)
