"""Owns the rule of flattening: which names and values an archive has in the wide layout (SPEC 6).

Dict keys join with dots. A list made only of dicts is numbered; any other list is one cell. An empty dict and
an empty list give nothing, as in NOMAD's own conversion (an empty list is numbered to nothing). Only what lies at and below a required leaf counts; above one, a value that
is neither dict nor null is a reference that could not be resolved, and stays where it stands.

This is the rule in its readable form, for tests and the schema's inference; `flatten` is the same rule, fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nomad_dask.pure import paths
from nomad_dask.pure.required import Leaf, Node, Required, prune


def leaves(archive: Mapping[str, Any], required: Required) -> Iterator[tuple[str, Any]]:
    """Each name of the wide layout that the archive has, with its value: a scalar, null, or a list cell."""
    return _below(archive, required.root, "")


def _below(section: Mapping[str, Any], node: Node, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        child = node.child(key)
        if child is not None:
            yield from _leaves_of(value, child, prefix + paths.escape(key))


def _leaves_of(value: Any, node: Node, name: str) -> Iterator[tuple[str, Any]]:
    if type(value) is dict:
        yield from _below(value, node, name + ".")
    elif is_numbered(value):
        for number, section in enumerate(value):
            yield from _below(section, node, f"{name}.{number}.")
    elif value == []:
        return
    elif isinstance(node, Leaf):
        yield name, value
    elif not is_void(value):
        yield name, prune(value, node)


def is_numbered(value: Any) -> bool:
    """True for a list made only of dicts, at least one: a repeating section."""
    return type(value) is list and set(map(type, value)) == _DICTS


_DICTS = {dict}


def is_void(value: Any) -> bool:
    """True for what says nothing above a required leaf: null, and lists of nothing else."""
    return value is None or (type(value) is list and all(item is None for item in value))
