"""Owns what identifies a job: the question, and the manifest that a dataset carries (SPEC 9). No secret in either."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from .errors import DatasetError, UserError
from .flatten import OnNew
from .history import Run
from .include import parse_include
from .layouts import AnySchema, Layout, layout
from .limits import BatchSize
from .required import Required, parse
from .segments import Plan

Source = Literal["archives", "documents"]
"""What is read of each entry: its archive, or its search document (SPEC 8)."""


def required_of(source: Source, given: Any) -> Required:
    """What is required of a source, checked. RequiredError for a mistake in it, UserError for a source that is none."""
    if source == "documents":
        return parse_include(given)
    if source != "archives":
        raise UserError(f"source is 'archives' or 'documents', not {source!r}")
    return parse(given)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: who may see (`owner`), which entries (`query`), and which parts of them (`required`)."""

    owner: str
    query: dict[str, Any]
    required: Required
    resolve_references: bool = True

    @property
    def source(self) -> Source:
        """What is read of each entry."""
        return "documents" if self.required.documents else "archives"


def identity(
    url: str, question: Question, chosen: Layout, after: str, results_max: int | None, logged_in: bool
) -> dict[str, Any]:
    """What makes two jobs the same: all that decides which rows and columns come out, as plain JSON."""
    return {
        "url": url,
        "logged_in": logged_in,
        "owner": question.owner,
        "query": question.query,
        "source": question.source,
        "required": question.required.written,
        "resolve_references": question.resolve_references,
        "layout": chosen.name,
        "after": after,
        "results_max": results_max,
    }


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a dataset holds and how it was planned; written before any data. Updates add to its history and change
    nothing else."""

    id: str
    url: str
    question: Question
    after: str
    results_max: int | None
    logged_in: bool
    """Whether the visitor was somebody: an anonymous one sees fewer entries. Who it was is not kept."""
    plan: Plan
    layout: Layout
    schema: AnySchema
    on_new: OnNew = "more"
    batch: BatchSize = BatchSize()
    """The batch size to begin with."""
    versions: tuple[tuple[str, str], ...] = ()
    created: str = ""
    """When it was planned, by the server's clock."""
    history: tuple[Run, ...] = ()
    """Its updates, in their order."""

    @property
    def last_run(self) -> Run | None:
        """The last update, finished or not."""
        return self.history[-1] if self.history else None

    def identity(self) -> dict[str, Any]:
        """What makes two jobs the same."""
        return identity(self.url, self.question, self.layout, self.after, self.results_max, self.logged_in)

    def asked(self) -> dict[str, Any]:
        """The arguments of the query object that asks the same."""
        mine = self.identity()
        return {k: mine[k] for k in ("url", "owner", "query", "source", "required", "after", "results_max")}

    def must_match(self, other: dict[str, Any], place: str) -> None:
        """DatasetError, naming what differs, unless `other` is this manifest's identity."""
        mine = self.identity()
        if different := [name for name in mine if mine[name] != other[name]]:
            told = "; ".join(f"{name} is {mine[name]!r} there and {other[name]!r} here" for name in different)
            raise DatasetError(f"{place} holds another query: {told}; choose another folder, or ask the same")

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain JSON; `Manifest.from_json` gives it back."""
        return (
            {"id": self.id}
            | self.identity()
            | {
                "sent": self.question.required.sent,
                "on_new": self.on_new,
                "batch": {"size": self.batch.size, "fixed": self.batch.fixed, "ceiling": self.batch.ceiling},
                "created": self.created,
                "versions": dict(self.versions),
                "history": [run.to_json() for run in self.history],
                "schema": self.layout.schema_to_json(self.schema),
                "plan": self.plan.to_json(),
            }
        )

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Manifest:
        """A manifest from what `to_json` gave."""
        required = required_of(tree["source"], tree["required"])
        if tree.get("sent") is not None:
            required = replace(required, sent=tuple(tree["sent"]))
        question = Question(tree["owner"], tree["query"], required, tree["resolve_references"])
        chosen = layout(tree["layout"])
        return cls(
            tree["id"],
            tree["url"],
            question,
            tree["after"],
            tree["results_max"],
            tree["logged_in"],
            Plan.from_json(tree["plan"]),
            chosen,
            chosen.schema_from_json(tree["schema"]),
            tree["on_new"],
            BatchSize(**tree["batch"]),
            tuple(tree["versions"].items()),
            tree["created"],
            tuple(Run.from_json(run) for run in tree.get("history", ())),
        )
