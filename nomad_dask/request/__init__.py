"""Requests as plain values: queries, `required` trees, references and segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from nomad_dask.errors import UserError
from nomad_dask.request.include import parse_include
from nomad_dask.request.required import Required, parse
from nomad_dask.text import shown

Source = Literal["archives", "documents"]


def required_of(source: Source, given: Any) -> Required:
    """Parse `required` for a source. Raises RequiredError or, for an unknown source, UserError."""
    if source == "documents":
        return parse_include(given)
    if source != "archives":
        raise UserError(f"source must be 'archives' or 'documents' (got {shown(source)})")
    return parse(given)


@dataclass(frozen=True, slots=True)
class QuerySpec:
    """The scope (`owner`), the entries (`query`), and the parts of them (`required`) that are requested."""

    owner: str
    query: dict[str, Any]
    required: Required
    resolve_references: bool = True

    @property
    def source(self) -> Source:
        """The kind of data that is read for each entry."""
        return "documents" if self.required.documents else "archives"


class Ref(NamedTuple):
    """An entry's id and its upload's id."""

    entry_id: str
    upload_id: str


class Failure(NamedTuple):
    """An entry that was listed but could not be downloaded."""

    entry_id: str
    upload_id: str
    status: int | None
    """The status of the last response; None if there was no complete one."""
    reason: str
    attempts: int
