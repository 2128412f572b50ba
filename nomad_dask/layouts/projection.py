"""Projection: the narrowest `required` tree that gives the same values for some columns of a frame.

The name of a column is followed in the tree, and the keys on its path are kept: with their slices, so that
sections keep their numbers, and with `*` replaced by the key that it matches. Below a leaf the name gives the
keys to request::

    {"run[-1]": "*", "results": "*"} and results.material.elements
    ->  {"results": {"material": {"elements": "*"}}}

Values must also come in the same form. A dict below a reference resolves it, while `*` returns its string; so
below a leaf names are followed through sections only. A key is not a section if a column ends at it (it has a
value somewhere, perhaps a reference) or if the server's schema declares something else. A column that ends
above the leaves is an unresolved reference, and keeps the whole tree below it. A number in a name never
becomes a slice, because a list with anything but dicts would then look different.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from nomad_dask.common import paths
from nomad_dask.errors import UserError
from nomad_dask.layouts.layouts import AnySchema, TablesSchema
from nomad_dask.layouts.nested import NestedSchema
from nomad_dask.layouts.schema import MORE, RESERVED, Schema
from nomad_dask.metainfo.definitions import Definitions, Member, SubSection
from nomad_dask.request.required import IN_PLACE, Required, excluding, parse
from nomad_dask.text import hint, near

NOTHING = parse({})
"""Requires no part of an archive."""

MOST_TEXT = 2**13
"""Maximum length of a narrowed tree, which is part of every request; longer trees are narrowed to fewer
levels."""

_DEEPEST = 16
"""Maximum number of keys to follow below a leaf. A number may be in a list or a key, so each doubles the
paths."""

Keys: TypeAlias = tuple[str, ...]

_VALID_KEY = re.compile(r"[^\[\]]+")


def narrow(
    required: Required, columns: Iterable[str], schema: AnySchema, *, definitions: Definitions | None = None
) -> Required:
    """The part of `required` that gives the same values for these columns.

    `entry_id` and `upload_id` need no archives (`NOTHING`); `_more` needs the whole tree. Cost: linear in the
    number of names. Answers may contain more than the columns, so tables are built with the whole schema and
    then cut.

    `columns` are names of columns of the frame; in the tables layout, required paths whose whole tables are
    needed. Without `definitions`, the server's schema, sections are known from the columns only, and
    `include-resolved` is not narrowed. Raises UserError if the frame does not have a column.
    """
    requested = tuple(columns)
    known = _known(schema)
    for name in requested:
        if name not in known and name not in RESERVED:
            raise UserError(f"no column {name!r}{hint(name, near(name, known))}")
    if MORE in requested and MORE not in known:
        return required
    names = [known[name] for name in requested if name in known]
    if not names:
        return required.with_tree({})
    if not isinstance(schema, Schema):
        return _like(required, _paths_of(required.tree, names))
    return _walked(required, names, _ends(schema), definitions)


def narrow_tables(
    required: Required,
    wanted: Mapping[str, Iterable[str] | None],
    schema: TablesSchema,
    *,
    definitions: Definitions | None = None,
) -> Required:
    """The part of `required` that gives these columns of these tables, by required path; None for a whole
    table.

    Rows are occurrences, and archives contain a section even if nothing required is in it; so columns are
    narrowed as in the wide layout. Search documents omit such sections: for them, and for a table without
    value columns, the whole table is requested. Raises the errors of `narrow`.
    """
    if required.documents or all(columns is None for columns in wanted.values()):
        return narrow(required, wanted, schema, definitions=definitions)
    names: list[Keys] = []
    for path, columns in wanted.items():
        table = schema.by_path[path]
        whole = dict(zip(table.names(), table.values.names, strict=True))
        values = [whole[name] for name in columns or () if name in whole]
        if not values or MORE in (columns or ()):
            values = [table.end] if table.end else []
        names += [paths.split(name) for name in values] or [()]
    ends = frozenset(_unnumbered(paths.split(n)) for table in schema.tables for n in table.values.names)
    return _walked(required, names, ends, definitions)


def _walked(
    required: Required, names: Collection[Keys], ends: frozenset[Keys], definitions: Definitions | None
) -> Required:
    for deepest in (_DEEPEST, 4, 3, 2, 1, 0):
        found = _like(required, _WideProjection(ends, definitions, deepest).tree(required.tree, names))
        if len(found.text) <= max(MOST_TEXT, len(required.text)):
            break
    return found


def _like(required: Required, narrower: Any) -> Required:
    """A `Required` for a narrower tree, with the same `resolve-inplace`."""
    if narrower == required.tree:
        return required
    if isinstance(narrower, dict) and isinstance(required.tree, dict) and IN_PLACE in required.tree:
        narrower = {IN_PLACE: required.tree[IN_PLACE], **narrower}
    return required.with_tree(narrower)


def _known(schema: AnySchema) -> Mapping[str, Keys]:
    """The keys of each column by name; for nested and tables the keys of its required path."""
    if isinstance(schema, NestedSchema):
        return {name: paths.split(c.path) for name, c in zip(schema.names, schema.columns, strict=True)}
    if isinstance(schema, TablesSchema):
        return {path: paths.split(path) for path in schema.by_path}
    return {name: paths.split(name) for name in schema.names}


def _paths_of(tree: Any, wanted: Collection[Keys]) -> Any:
    """The tree with some of its paths only."""
    if not isinstance(tree, dict):
        return tree
    kept: dict[str, Any] = {}
    for key, below in tree.items():
        further = [keys[1:] for keys in wanted if keys[:1] == (key,)]
        if further:
            kept[key] = _paths_of(below, further)
    if "*" in tree and any(isinstance(below, dict) for key, below in kept.items() if key != "*"):
        kept["*"] = tree["*"]  # as in `tree` below: next to `*` a reference may stay a string
    return excluding(kept, tree)


def _ends(schema: Schema) -> frozenset[Keys]:
    """The keys of all columns, without numbers."""
    return frozenset(_unnumbered(paths.split(name)) for name in schema.names)


def _unnumbered(keys: Iterable[str]) -> Keys:
    return tuple(key for key in keys if not key.isdecimal())


@dataclass(frozen=True)
class _WideProjection:
    """Narrowing for names of the wide layout."""

    ends: frozenset[Keys]
    definitions: Definitions | None
    deepest: int
    """Maximum number of keys to follow below a leaf."""

    def tree(self, tree: Any, names: Collection[Keys], above: Keys = ()) -> Any:
        """The part of a tree needed for names. `above` are the keys of the tree, without slices and
        numbers."""
        if () in names:
            return tree
        if not isinstance(tree, dict):
            return self._below_leaf("*" if tree is None else tree, names, above, self.deepest)
        written = {paths.without_slice(key): key for key in tree if above or key != IN_PLACE}
        kept: dict[str, Any] = {}
        rest = False
        for key, further in _by_key(names, is_root=not above).items():
            held = written.get(key, "*")
            # A number may be that of a section in a list: then the tree has no such key.
            if held not in tree or tree[held] == "exclude":
                continue
            if held == "*" and not _is_valid_key(key):
                rest = True
                continue
            below = self.tree(tree[held], further, (*above, key))
            if below != {} or () in further:
                kept[key if held == "*" else held] = below
            # With `*` at the same level the server returns an unresolved reference as a string; else it omits
            # it.
            if held != "*" and "*" in tree and type(tree[held]) is dict:
                rest = rest or not self._is_declared((*above, key))
        if rest:
            kept = {key: below for key, below in kept.items() if key in tree}
            kept = excluding({**kept, "*": tree["*"]}, tree)
        return {key: kept[key] for key in sorted(kept, key=_order(tree))}

    def _below_leaf(self, directive: str, names: Collection[Keys], above: Keys, deepest: int) -> Any:
        if () in names or not deepest or (above and not self._is_section(directive, above)):
            return directive
        found = _by_key(names, is_root=not above, repeats=self._repeats(above))
        if not all(_is_valid_key(key) for key in found):
            return directive
        return {
            key: self._below_leaf(directive, further, (*above, key), deepest - 1)
            for key, further in sorted(found.items())
        }

    def _is_section(self, directive: str, keys: Keys) -> bool:
        """True if keys below a leaf have only sections, or lists of sections."""
        if _unnumbered(keys) in self.ends:
            return False
        if self.definitions is None:
            return directive != "include-resolved"
        return self._is_declared(keys)

    def _is_declared(self, keys: Keys) -> bool:
        """True if the server's schema declares a section at keys."""
        return isinstance(self._member(keys), SubSection)

    def _repeats(self, keys: Keys) -> bool:
        member = self._member(keys)
        return isinstance(member, SubSection) and member.repeats

    def _member(self, keys: Keys) -> Member | None:
        """The server's definition at keys, if there is one."""
        return self.definitions.find(paths.join(keys)) if self.definitions and keys else None


def _by_key(names: Iterable[Keys], *, is_root: bool, repeats: bool = False) -> dict[str, set[Keys]]:
    """The remaining keys by next key. A number may be in a list, and is then skipped, or a key itself."""
    found: dict[str, set[Keys]] = {}
    for name in names:
        if is_root or not name[0].isdecimal() or not repeats:
            found.setdefault(name[0], set()).add(name[1:])
        if not is_root and name[0].isdecimal() and len(name) > 1:
            found.setdefault(name[1], set()).add(name[2:])
    return found


def _is_valid_key(key: str) -> bool:
    """True if the key can be written in `required`."""
    return key not in ("*", IN_PLACE) and _VALID_KEY.fullmatch(key) is not None


def _order(tree: Mapping[str, Any]) -> Any:
    """Sort key: the order of the tree, then keys matched by `*`."""
    places = {key: place for place, key in enumerate(tree)}
    return lambda key: (places.get(key, len(places)), key)
