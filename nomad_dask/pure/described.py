"""Owns what a server's schema adds to a sampled one: units, descriptions, and types that the sample left open (SPEC 7).

Data wins: a type changes only to one that holds all that was seen, and means the same. So an integer where the
server says float becomes `double`; a column of nothing but nulls or empty lists gets the server's type instead of
JSON text; text stays text whatever the server says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nomad_dask.pure import types
from nomad_dask.pure.schema import Column, Schema
from nomad_dask.pure.sections import Definitions, Quantity


def described(
    schema: Schema,
    definitions: Definitions,
    *,
    seen: Mapping[str, str] | None = None,
    prefix: str = "",
    documents: bool = False,
) -> Schema:
    """The same columns with the server's units and descriptions, and its types where these hold what was seen.

    A column that no section knows stays as it is; units and descriptions that it has already stay too.

    Args:
        schema: the sampled schema.
        definitions: what the server says.
        seen: `idle` of what was found in the samples. Without it JSON text stays JSON text: a schema alone does not tell
            a column where nothing was seen from one whose values have no common type.
        prefix: the path that column names are relative to (a table's required path, SPEC 6).
        documents: names are those of search documents, where what archives have under `metadata` is at the top.
    """
    prefixes = (prefix, "metadata") if documents else (prefix,)
    found = ((column, _found(column, definitions, prefixes)) for column in schema.columns)
    return Schema(tuple(_described(column, quantity, seen or {}) for column, quantity in found))


def idle(kinds: Mapping[str, str]) -> dict[str, str]:
    """Of what `kinds_of` found, the columns in which the samples held nothing but nulls and empty lists."""
    return {name: kind for name, kind in kinds.items() if types.NULL in kind}


def _found(column: Column, definitions: Definitions, prefixes: tuple[str, ...]) -> Quantity | None:
    for prefix in prefixes:
        found = definitions.find(f"{prefix}.{column.name}" if prefix else column.name)
        if found is not None:
            return found if isinstance(found, Quantity) else None
    return None


def _kind(column: Column, seen: Mapping[str, str]) -> str:
    return seen.get(column.name, column.kind) if column.json else column.kind


def _described(column: Column, quantity: Quantity | None, seen: Mapping[str, str]) -> Column:
    if quantity is None:
        return column
    facts: dict[str, Any] = {
        "unit": column.unit or quantity.unit,
        "description": column.description or quantity.description,
    }
    served = quantity.type
    if served != types.JSON and types.join(_kind(column, seen), served) == served:
        facts |= {"type": served, "json": False}
    return replace(column, **facts)
