"""`required` of search documents: conversion between the API's `include` list and a tree.

A document has the members of an archive's `metadata` at its top level, next to `results`. It is requested by
names (`results.material.elements`), which may contain `*`, or by a tree as for archives, without slices::

    parse_include(["entry_name", "results.material.*"]).tree
    # {"entry_name": "*", "results": {"material": "*"}}
    include_of(parse_include({"results": {"material": "*"}}))
    # ["results.material*", "entry_id", "upload_id"]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from nomad_dask.common import paths
from nomad_dask.errors import RequiredError
from nomad_dask.metainfo.definitions import Definitions, Member, SubSection
from nomad_dask.request.required import IN_PLACE, Required, parse, prune, walk
from nomad_dask.text import shown

_OWN = frozenset(("entry_id", "upload_id"))  # part of every document, and of the row itself
_METADATA, _RESULTS = "metadata", "results"


def parse_include(given: Any) -> Required:
    """Parse `required` of documents: a list of names, or a tree; None and `'*'` mean the whole document.

    Raises RequiredError if it is invalid.
    """
    if isinstance(given, Required):
        return given if given.documents else parse_include(given.written)
    if isinstance(given, list | tuple):
        for name in given:
            if not isinstance(name, str) or not all(name.split(".")):
                raise RequiredError(
                    f"required: {shown(name)} is not the name of a quantity such as results.material.elements"
                )
        _refuse_metadata(name.split(".")[0] for name in given)
        tree = _tree_of([name for name in given if name not in _OWN])
        return Required(parse(tree).text, documents=True, include=tuple(given))
    if isinstance(given, str) and given not in ("*", "include", "include-resolved"):
        raise RequiredError(f"required: use a list for the names of documents: [{shown(given)}]")
    checked = parse(given)
    for keys, _ in walk(checked.tree):
        if keys[-1].endswith("]"):
            raise RequiredError(
                f"required: search documents do not support slices such as {paths.join(keys)}; "
                "remove it, or use source='archives'"
            )
    _refuse_metadata(checked.tree if isinstance(checked.tree, dict) else ())
    return Required(checked.text, documents=True)


def include_of(required: Required) -> list[str] | None:
    """The names to send; None for the whole document.

    They may select more than the tree (see `required_part`).
    The server accepts a name without `*` only if it is a quantity of its search documents, and rejects
    sections (422). A section is therefore sent as the pattern `results.material*`, which is not checked.
    """
    names = required.sent if required.sent is not None else _sent(required, None)
    return None if names is None else [*names, *sorted(_OWN)]


def with_sent_names(required: Required, definitions: Definitions | None) -> Required:
    """A copy with the names to send, which end at the first list according to the server's schema.

    The server drops empty sections from lists that it selects from, which changes the indexes of the others,
    so no name goes below a list. Without a schema, names end at the top level or below `results`.
    """
    names = _sent(required, definitions)
    return required if names is None else replace(required, sent=names)


def widen(
    required: Required, refused: str, definitions: Definitions | None, *, known: bool = False
) -> Required | None:
    """A copy with the section of a name that the server rejected in its place; None if the name is a mistake.

    The search does not know all quantities of the schema. `known` means that documents contain the name,
    which is a column's; otherwise a top-level name that the schema does not know is a mistake.
    """
    names = required.sent if required.sent is not None else _sent(required, None)
    if names is None or refused not in names:
        return None
    section, _, _ = refused.rpartition(".")
    if not section and not known and not (definitions and definitions.find(f"{_METADATA}.{refused}")):
        return None
    wider = (f"{section or refused}*" if name == refused else name for name in names)
    return replace(required, sent=_uncovered(wider))


def required_part(document: dict[str, Any], required: Required) -> dict[str, Any]:
    """The required part of a document, which may contain more; `entry_id` and `upload_id` are kept."""
    found = document
    # A tree cannot express a `*` that matches some of the names of a section.
    if any("*" in name.removesuffix(".*") and name != "*" for name in required.include or ()):
        found = _matching(document, "", _pattern(required.include or ()))
    if not required.is_whole:
        found = prune(found, required.root)
    own = {name: document[name] for name in sorted(_OWN & document.keys())}
    return found if found is document else own | found


def _sent(required: Required, definitions: Definitions | None) -> tuple[str, ...] | None:
    if required.include is not None:
        names = [name for name in required.include if name not in _OWN]
    elif isinstance(required.tree, dict):
        names = list(_names(required.tree, ()))
    else:
        return None
    sent = [_name_to_send(name.split("."), definitions) for name in names]
    return None if "*" in sent else _uncovered(sent)


def _uncovered(names: Iterable[str]) -> tuple[str, ...]:
    """The names without those that match a pattern among them."""
    once = tuple(dict.fromkeys(names))
    stems = [name[:-1] for name in once if name.endswith("*")]
    return tuple(
        name for name in once if not any(name.startswith(stem) and name != f"{stem}*" for stem in stems)
    )


def _name_to_send(keys: list[str], definitions: Definitions | None) -> str:
    """The name of a quantity, or the pattern of a section, of a list, or of the section around a `*`."""
    for n, key in enumerate(keys):
        if "*" in key:
            # Servers differ in what a `*` inside a name matches below the top level.
            return f"{'.'.join(keys[:n]) or key.partition('*')[0]}*"
        if n + 1 < len(keys) and not _is_single(keys[: n + 1], definitions):
            return f"{'.'.join(keys[: n + 1])}*"
    # Without a schema anything below `results` may be a section.
    member = _member(keys, definitions)
    is_section = keys[0] == _RESULTS if definitions is None else isinstance(member, SubSection)
    return ".".join(keys) + "*" * is_section


def _is_single(keys: list[str], definitions: Definitions | None) -> bool:
    member = _member(keys, definitions)
    single = isinstance(member, SubSection) and not member.repeats
    return keys == [_RESULTS] if definitions is None else single


def _member(keys: list[str], definitions: Definitions | None) -> Member | None:
    if definitions is None:
        return None
    name = paths.join(keys)
    return definitions.find(name) or definitions.find(f"{_METADATA}.{name}")


@lru_cache(maxsize=64)
def _pattern(include: tuple[str, ...]) -> re.Pattern[str]:
    """The pattern of all names of an `include` list; `*` also matches dots."""
    return re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in include))


def _matching(node: Any, above: str, pattern: re.Pattern[str]) -> Any:
    """The members of a document with a matching name, and everything below them."""
    if type(node) is list:
        return [_matching(item, above, pattern) for item in node]
    if type(node) is not dict:
        return node
    found = {}
    for key, below in node.items():
        name = f"{above}{key}"
        if pattern.fullmatch(name):
            found[key] = below
        elif type(below) is dict or (type(below) is list and any(type(item) is dict for item in below)):
            part = _matching(below, f"{name}.", pattern)
            if part and part != [{}] * len(part):
                found[key] = part
    return found


def without_empties(document: Any) -> Any:
    """A document without empty lists and sections, which the server drops from selected parts.

    Empty items of lists are kept, because they count for the indexes.
    """
    if type(document) is list:
        nests = any(type(item) in (dict, list) for item in document)
        return [without_empties(item) for item in document] if nests else document
    if type(document) is not dict:
        return document
    kept = ((key, without_empties(value)) for key, value in document.items())
    return {key: value for key, value in kept if value or type(value) not in (list, dict)}


def _tree_of(names: list[str]) -> Any:
    """The tree for a list of names; a `*` in a key selects the whole section around it."""
    tree: dict[str, Any] = {}
    for name in names:
        keys = name.split(".")
        starred = next((n for n, key in enumerate(keys) if "*" in key), len(keys))
        if not starred:
            return "*"
        node = tree
        for key in keys[: starred - 1]:
            node = node.setdefault(key, {})
            if node == "*":
                break
        else:
            node[keys[starred - 1]] = "*"
    return tree


def _names(tree: dict[str, Any], above: tuple[str, ...]) -> Iterator[str]:
    """The names of the leaves of a tree; the section around a leaf that has no name."""
    for key, below in tree.items():
        if key == IN_PLACE and not above:
            continue
        if key == "*" or "." in key:
            yield ".".join((*above, "*"))
        elif key.isdecimal():
            continue  # an index: list items have no names
        elif isinstance(below, dict) and below:
            inner = list(_names(below, (*above, key)))
            yield from inner or [".".join((*above, key, "*"))]
        elif below != "exclude":
            yield ".".join((*above, key))


def _refuse_metadata(names: Iterable[str]) -> None:
    if _METADATA in names:
        raise RequiredError(
            "required: search documents have the members of metadata at the top level; "
            "use entry_name for metadata.entry_name"
        )
