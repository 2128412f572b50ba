"""Bodies of requests to the API of NOMAD, as its web page shows them under "API".

A body has the keys `owner`, `query` and `required`, which select entries and their parts, and others such as
`pagination` and `aggregations`, which a query in bulk does not need. `required` is a tree for archives, and
``{"include": [names]}`` or ``{"exclude": [names]}`` for search documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from nomad_dask.common.validate import API_KEYS, USE_FROM_API
from nomad_dask.errors import UserError
from nomad_dask.text import hint, near, shown

_USED = ("owner", "query", "required")
BODY_KEYS = (*_USED, *API_KEYS)


@dataclass(frozen=True, slots=True)
class ApiBody:
    """The parts of a body that select entries and what to read of them."""

    owner: str
    query: dict[str, Any]
    required: Any
    """A tree, a list of names for search documents, or None for everything."""
    source: str
    left_out: tuple[str, ...]
    """What is not used."""

    @property
    def note(self) -> str:
        """A message about what is not used; empty if nothing is left out."""
        if not self.left_out:
            return ""
        advice = "; results_max limits the number of entries" if "pagination" in self.left_out else ""
        return f"left out of the API body: {', '.join(self.left_out)}{advice}"

    def arguments(self) -> dict[str, Any]:
        """The arguments of an `ArchiveQuery`, and options of the command line."""
        return {name: getattr(self, name) for name in ("owner", "query", "required", "source")}


def is_body(tree: Any) -> bool:
    """True if a JSON value is certainly a body, not a query, and not the options of a job file."""
    if not isinstance(tree, dict):
        return False
    selects = isinstance(tree.get("query"), dict) or isinstance(tree.get("owner"), str)
    if "prefix" in tree or not selects:
        return False
    return not tree.keys().isdisjoint(API_KEYS) or _names_of(tree.get("required")) is not None


def read_body(given: Any) -> ApiBody:
    """Read a body: a dict, or JSON text. UserError if it is not one, or has unknown keys."""
    tree = _parsed(given)
    if not isinstance(tree, dict):
        raise UserError(f"an API body must be an object with query and required (got {shown(tree)})")
    if tree.keys().isdisjoint({*_USED, *API_KEYS}):
        raise UserError(
            f"an API body has the keys {', '.join(_USED)} (got {shown(list(tree), max_length=100)}); "
            "for a search expression, use ArchiveQuery(query=...)"
        )
    for key in tree:
        if key not in _USED and (alike := near(key, (*_USED, *API_KEYS))) and alike[0] not in tree:
            raise UserError(f"the API body has an unknown key {key!r}{hint(key, alike)}")
    query = {} if tree.get("query") is None else tree["query"]
    if not isinstance(query, dict):
        raise UserError(f"query of the API body must be an object (got {shown(query)})")
    required, left_out = tree.get("required"), [key for key in tree if key not in _USED]
    names = _names_of(required)
    if names is not None:
        included, excluded = names
        if excluded:
            left_out.append("required.exclude")
        return ApiBody(_owner(tree), query, included, "documents", tuple(left_out))
    return ApiBody(_owner(tree), query, required, "archives", tuple(left_out))


def refuse_body(query: Any, required: Any) -> None:
    """UserError if a query or a `required` tree is a body, or the `required` of a search request."""
    if is_body(query):
        raise UserError(f"query must be the search expression only; {USE_FROM_API}")
    if _names_of(required) is not None:
        raise UserError(
            "required: include and exclude select parts of search documents: use source='documents' with "
            f"required=[names]; {USE_FROM_API}"
        )


def _owner(tree: dict[str, Any]) -> str:
    """The owner; its default in the API is `public`."""
    owner = tree.get("owner") or "public"
    if not isinstance(owner, str):
        raise UserError(f"owner of the API body must be a string (got {shown(owner)})")
    return owner


def _names_of(required: Any) -> tuple[list[str] | None, list[str]] | None:
    """The names that a `required` of search documents includes and excludes; None for other trees."""
    if not isinstance(required, dict) or not required or not required.keys() <= {"include", "exclude"}:
        return None
    lists = {key: value for key, value in required.items() if value is not None}
    if not lists or not all(_are_names(value) for value in lists.values()):
        return None
    return lists.get("include"), lists.get("exclude", [])


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _parsed(given: Any) -> Any:
    if not isinstance(given, str | bytes):
        return given
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError as error:
        raise UserError(
            f"the API body is malformed JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from error
