"""Values outside the schema: their names in the column `_more`, and what would give them a column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from nomad_dask.text import json_text, one_line
from nomad_dask.text.humanize import counted

Outside: TypeAlias = Mapping[str, tuple[str, int]]
"""Type and number of the values by name, for the names with the most values.

In the layout nested the type is empty: a name is a part of a column.
"""

MAX_NAMES = 20
_MAX_SHOWN = 3


def merged(one: Outside, other: Outside) -> Outside:
    """The sums of two counts, for the names with the most values."""
    if not one or not other:
        return one or other
    found = dict(one)
    for name, (kind, n) in other.items():
        before, n_before = found.get(name, (kind, 0))
        found[name] = joined(before, kind), n_before + n
    return most_frequent(found)


def most_frequent(found: Outside) -> Outside:
    """The `MAX_NAMES` names with the most values."""
    return dict(sorted(found.items(), key=lambda item: (-item[1][1], item[0]))[:MAX_NAMES])


def named(found: Outside) -> str:
    """The names with the most values, after a colon, for messages; empty if there are none."""
    if not found:
        return ""
    shown = [f"{one_line(name)} ({counted(n, 'value')})" for name, (_, n) in [*found.items()][:_MAX_SHOWN]]
    rest = len(found) - len(shown)
    return ": " + ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def joined(one: str, other: str) -> str:
    """The type of two kinds of values; empty if one is unknown."""
    from nomad_dask.common import types  # imports Arrow, which commands that print reports need not

    return types.join(one, other) if one and other else ""


def schema_line(found: Outside) -> str:
    """The argument that gives these names a column in another harvest; empty if there is none."""
    from nomad_dask.common import types

    kinds = {name: types.final_type(kind) for name, (kind, _) in [*found.items()][:_MAX_SHOWN] if kind}
    return f"schema={json_text(kinds)}" if kinds else ""


def is_outside(value: object) -> bool:
    """True for the JSON of such counts."""
    return isinstance(value, dict) and all(_is_count(item) for item in value.values())


def _is_count(item: object) -> bool:
    return isinstance(item, list) and [*map(type, item)] == [str, int] and item[1] > 0


def from_json(value: Mapping[str, Iterable[object]]) -> Outside:
    """The counts from their JSON."""
    return {name: tuple(item) for name, item in value.items()}  # type: ignore[misc]
