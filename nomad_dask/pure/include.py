"""Owns what is required of search documents: the api's `include` list, as the tree that frames are made along (SPEC 8).

A document has what an archive has under `metadata` at its top, beside `results`. It is asked for by names
(`results.material.elements`), of which `*` may be a part; or by the tree that would be asked of archives, less its slices::

    parse_include(["entry_name", "results.material.*"]).tree == {"entry_name": "*", "results": {"material": "*"}}
    include_of(parse_include({"results": {"material": "*"}})) == ["results.material"]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from nomad_dask.pure import paths
from nomad_dask.pure.errors import RequiredError
from nomad_dask.pure.required import IN_PLACE, Required, parse
from nomad_dask.pure.sections import Definitions, SubSection

_OWN = frozenset(("entry_id", "upload_id"))
"""They come with every document, and are the row's own."""


def parse_include(given: Any) -> Required:
    """Check what is required of documents: a list of names, or a tree; None and `'*'` mean the whole document.

    Raises RequiredError, naming the mistake.
    """
    if isinstance(given, Required):
        return given if given.documents else parse_include(given.written)
    if isinstance(given, list | tuple):
        for name in given:
            if not isinstance(name, str) or not all(name.split(".")):
                raise RequiredError(
                    f"required: {name!r} is no name of a quantity, such as results.material.elements"
                )
        _refuse_metadata(name.split(".")[0] for name in given)
        tree = _tree_of([name for name in given if name not in _OWN])
        return replace(Required(parse(tree).text, documents=True), include=tuple(given))
    if isinstance(given, str) and given not in ("*", "include", "include-resolved"):
        raise RequiredError(f"required: names of documents come as a list: [{given!r}]")
    checked = parse(given)
    _refuse_slices(checked.tree, ())
    _refuse_metadata(checked.tree if isinstance(checked.tree, dict) else ())
    return Required(checked.text, documents=True)


def include_of(required: Required) -> list[str] | None:
    """The names to send; None for the whole document. They may ask for more than the tree, never for less."""
    if required.sent is not None:
        return [*required.sent, *sorted(_OWN)]
    names = _sent(required, None)
    return None if names is None else [*names, *sorted(_OWN)]


def settled(required: Required, definitions: Definitions | None) -> Required:
    """The same with the names to send: each as far as the server's schema says that no list is on the way.

    A server leaves empty sections out of the lists that it selects from, which gives all others new numbers; so nothing
    below a list is ever named. Without a schema, names end at the top, or below `results`.
    """
    names = _sent(required, definitions)
    return required if names is None else replace(required, sent=names)


def _sent(required: Required, definitions: Definitions | None) -> tuple[str, ...] | None:
    if required.include is not None:
        names = [name for name in required.include if name not in _OWN]
    elif isinstance(required.tree, dict):
        names = list(_names(required.tree, ()))
    else:
        return None
    cut = dict.fromkeys(_before_lists(name.split("."), definitions) for name in names if name)
    if "" in names or "*" in cut:
        return None
    return tuple(name for name in cut if not any(name.startswith(f"{other}.") for other in cut))


def _before_lists(keys: list[str], definitions: Definitions | None) -> str:
    """The longest beginning of a name that passes single sections only, and no `*` but at the top."""
    for n, key in enumerate(keys):
        if "*" in key:
            return ".".join(keys[:n] or keys[:1])
        if n + 1 < len(keys) and not _is_single(keys[: n + 1], definitions):
            return ".".join(keys[: n + 1])
    return ".".join(keys)


def _is_single(keys: list[str], definitions: Definitions | None) -> bool:
    """Whether a section stands there, and no list of them."""
    if definitions is None:
        return keys == ["results"]
    name = paths.join(keys)
    member = definitions.find(name) or definitions.find(f"metadata.{name}")
    return isinstance(member, SubSection) and not member.repeats


def without_empties(document: Any) -> Any:
    """A document less the empty lists and sections in its sections, which servers leave out as soon as they select.

    Those in lists stay, since they count.
    """
    if type(document) is list:
        nests = any(type(item) in (dict, list) for item in document)
        return [without_empties(item) for item in document] if nests else document
    if type(document) is not dict:
        return document
    kept = ((key, without_empties(value)) for key, value in document.items())
    return {key: value for key, value in kept if value or type(value) not in (list, dict)}


def _tree_of(names: list[str]) -> Any:
    """The tree that keeps what the names stand for; a `*` in a key stands for all that is beside it."""
    tree: dict[str, Any] = {}
    for name in names:
        keys = name.split(".")
        starred = next((place for place, key in enumerate(keys) if "*" in key), len(keys))
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
    """Names of all that a tree asks for; where it cannot be spelled, the name of the section around it."""
    for key, below in tree.items():
        if key == IN_PLACE and not above:
            continue
        if key == "*" or "." in key:
            yield ".".join(above)
        elif key.isdecimal():
            continue  # of a list, whose sections have no names of their own
        elif isinstance(below, dict) and below:
            inner = list(_names(below, (*above, key)))
            yield from inner or [".".join((*above, key))]
        elif below != "exclude":
            yield ".".join((*above, key))


def _refuse_metadata(names: Iterable[str]) -> None:
    if "metadata" in names:
        raise RequiredError(
            "required: search documents have at their top what archives have under metadata; "
            "write entry_name for metadata.entry_name"
        )


def _refuse_slices(tree: Any, above: tuple[str, ...]) -> None:
    for key, below in tree.items() if isinstance(tree, dict) else ():
        if key.endswith("]"):
            raise RequiredError(
                f"required: search documents have no slices, as {paths.join((*above, key))} has; leave it out, "
                "or read archives"
            )
        _refuse_slices(below, (*above, key))
