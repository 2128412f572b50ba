"""Owns projection: the narrowest `required` tree that still gives some of a frame's columns exactly (SPEC 8).

A column's name is walked along the tree as it was written, and of each level what it passes is kept: keys with their
slices, so that no section changes its number; `*` gives way to the key that it stood for. Below a leaf the name itself
says what to ask for::

    {"run[-1]": "*", "results": "*"}, results.material.n_elements  ->  {"results": {"material": {"n_elements": "*"}}}

What a tree asks for must not only be enough, it must come as before. A dict under a reference resolves it, where `*`
leaves its string; so below a leaf a name is followed through sections alone. A key is no section where a column ends at
it (somewhere it holds a value, perhaps a reference) or where the server's schema says otherwise. A column that ends
above the leaves, a reference that could not be resolved, keeps all that was asked for in its place. A number in a name
never becomes a slice: a list that holds anything but dicts would look like another one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from nomad_dask.pure import paths
from nomad_dask.pure.errors import UserError
from nomad_dask.pure.layouts import AnySchema, TablesSchema
from nomad_dask.pure.near import hint, near
from nomad_dask.pure.nested import NestedSchema
from nomad_dask.pure.required import IN_PLACE, Required, parse
from nomad_dask.pure.schema import MORE, RESERVED, Schema
from nomad_dask.pure.sections import Definitions, Member, SubSection

NOTHING = parse({})
"""Asks for no part of an archive."""

MOST_TEXT = 2**13
"""How long a narrowed tree may be, since it goes with every request; past it names are followed less deep."""

_DEEPEST = 1_000

Keys: TypeAlias = tuple[str, ...]

_SPELLED = re.compile(r"[^\[\]]+")


def narrow(
    required: Required, columns: Iterable[str], schema: AnySchema, *, definitions: Definitions | None = None
) -> Required:
    """The part of `required` that gives these columns the same values as the whole of it.

    `entry_id` and `upload_id` need nothing of the archives (`NOTHING`), `_more` the whole tree. Pure, and linear in the
    names given; the answer may hold more than the columns, so a table is built with the whole schema and then cut.

    Args:
        required: what the frame asks for.
        columns: names of the frame's columns; in the tables layout the required paths whose tables are needed, each
            whole, since its rows are the occurrences of its path.
        schema: the frame's.
        definitions: the server's own schema, where it serves one. Without it the columns alone tell where sections are,
            and `include-resolved` is left whole.

    Raises:
        UserError: a column that the frame does not have.
    """
    asked = tuple(columns)
    known = _known(schema)
    for name in asked:
        if name not in known and name not in RESERVED:
            raise UserError(f"no column {name!r}{hint(near(name, known))}")
    if MORE in asked and MORE not in known:
        return required
    names = [known[name] for name in asked if name in known]
    if not names:
        return required.like({})
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
    """The part of `required` that gives these columns of these tables, by required path; None: a table whole.

    Rows are occurrences, and the server sends a section also where it has nothing of what was asked for in it; so a
    table's columns are narrowed as those of the wide layout. Search documents leave such sections out: there, and where
    none of its columns holds values, a table is asked for whole. Errors as of `narrow`.
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
        found = _like(required, _Wide(ends, definitions, deepest).tree(required.tree, names))
        if len(found.text) <= max(MOST_TEXT, len(required.text)):
            break
    return found


def _like(required: Required, narrower: Any) -> Required:
    """A part of a tree as a value, resolved where the whole is."""
    if narrower == required.tree:
        return required
    if isinstance(narrower, dict) and isinstance(required.tree, dict) and IN_PLACE in required.tree:
        narrower = {IN_PLACE: required.tree[IN_PLACE], **narrower}
    return required.like(narrower)


def _known(schema: AnySchema) -> Mapping[str, Keys]:
    """The columns' names, and their keys: as they are for wide, as written in `required` for the others."""
    if isinstance(schema, NestedSchema):
        return {name: paths.split(c.path) for name, c in zip(schema.names, schema.columns, strict=True)}
    if isinstance(schema, TablesSchema):
        return {path: paths.split(path) for path in schema.by_path}
    return {name: paths.split(name) for name in schema.names}


def _paths_of(tree: Any, wanted: Collection[Keys]) -> Any:
    """The tree with some of its paths; what `*` stands for leaves out the keys that were named beside it."""
    if not isinstance(tree, dict):
        return tree
    kept: dict[str, Any] = {}
    for key, below in tree.items():
        further = [keys[1:] for keys in wanted if keys[:1] == (key,)]
        if further:
            kept[key] = _paths_of(below, further)
    if "*" in tree and any(isinstance(below, dict) for key, below in kept.items() if key != "*"):
        kept["*"] = tree["*"]  # as below: beside `*` a reference may stay its string
    if "*" in kept:
        kept |= {key: "exclude" for key in tree if key not in kept and key != IN_PLACE}
    return kept


def _ends(schema: Schema) -> frozenset[Keys]:
    """Where columns end, by their keys less the numbers."""
    return frozenset(_unnumbered(paths.split(name)) for name in schema.names)


def _unnumbered(keys: Iterable[str]) -> Keys:
    return tuple(key for key in keys if not key.isdecimal())


@dataclass(frozen=True)
class _Wide:
    """Narrowing for names of the wide layout."""

    ends: frozenset[Keys]
    definitions: Definitions | None
    deepest: int
    """How many keys below a leaf are asked for by name."""

    def tree(self, tree: Any, names: Collection[Keys], above: Keys = ()) -> Any:
        """The part of a tree that names need. `above` are the keys that lead to it, slices and numbers left out."""
        if () in names:
            return tree
        if not isinstance(tree, dict):
            return self._below_leaf("*" if tree is None else tree, names, above, self.deepest)
        written = {_plain(key): key for key in tree if above or key != IN_PLACE}
        kept: dict[str, Any] = {}
        rest = False
        for key, further in _by_key(names, is_root=not above).items():
            held = written.get(key, "*")
            # A number may be that of a section in a list, though no key of the tree has that name.
            if held not in tree or tree[held] == "exclude":
                continue
            if held == "*" and not _is_spelled(key):
                rest = True
                continue
            below = self.tree(tree[held], further, (*above, key))
            if below != {} or () in further:
                kept[key if held == "*" else held] = below
            # Beside `*` the server leaves the string of a reference that cannot be resolved, which it else leaves out.
            if held != "*" and "*" in tree and type(tree[held]) is dict:
                rest = rest or not self._is_told((*above, key))
        if rest:
            kept = {key: below for key, below in kept.items() if key in tree}
            kept["*"] = tree["*"]
            kept |= {key: "exclude" for key in tree if key not in kept and key != IN_PLACE}
        return {key: kept[key] for key in sorted(kept, key=_order(tree))}

    def _below_leaf(self, directive: str, names: Collection[Keys], above: Keys, deepest: int) -> Any:
        if () in names or not deepest or (above and not self._is_section(directive, above)):
            return directive
        found = _by_key(names, is_root=not above, repeats=self._repeats(above))
        if not all(_is_spelled(key) for key in found):
            return directive
        return {
            key: self._below_leaf(directive, further, (*above, key), deepest - 1)
            for key, further in sorted(found.items())
        }

    def _is_section(self, directive: str, keys: Keys) -> bool:
        """Whether only sections, or lists of them, stand under keys below a leaf."""
        if _unnumbered(keys) in self.ends:
            return False
        if self.definitions is None:
            return directive != "include-resolved"
        return self._is_told(keys)

    def _is_told(self, keys: Keys) -> bool:
        """Whether the server's schema says that sections stand there."""
        return isinstance(self._member(keys), SubSection)

    def _repeats(self, keys: Keys) -> bool:
        member = self._member(keys)
        return isinstance(member, SubSection) and member.repeats

    def _member(self, keys: Keys) -> Member | None:
        """What the server's schema has under keys, where it has any."""
        return self.definitions.find(paths.join(keys)) if self.definitions and keys else None


def _by_key(names: Iterable[Keys], *, is_root: bool, repeats: bool = False) -> dict[str, set[Keys]]:
    """What follows each next key. A number may be a list's, then the key after it counts, or a key itself."""
    found: dict[str, set[Keys]] = {}
    for name in names:
        if is_root or not name[0].isdecimal() or not repeats:
            found.setdefault(name[0], set()).add(name[1:])
        if not is_root and name[0].isdecimal() and len(name) > 1:
            found.setdefault(name[1], set()).add(name[2:])
    return found


def _plain(key: str) -> str:
    return key[: key.index("[")] if key.endswith("]") else key


def _is_spelled(key: str) -> bool:
    """Whether `required` can name the key."""
    return key not in ("*", IN_PLACE) and _SPELLED.fullmatch(key) is not None


def _order(tree: Mapping[str, Any]) -> Any:
    """The tree's own order, what `*` stood for last."""
    places = {key: place for place, key in enumerate(tree)}
    return lambda key: (places.get(key, len(places)), key)
