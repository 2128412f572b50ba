"""Owns what identifies a job: the question, and the manifest that a dataset carries (SPEC 9). No secret in either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import DatasetError
from .flatten import OnNew
from .limits import BatchSize
from .required import Required, parse
from .schema import Schema
from .segments import Plan


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: who may see (`owner`), which entries (`query`), and which parts of them (`required`)."""

    owner: str
    query: dict[str, Any]
    required: Required
    resolve_references: bool = True


def identity(
    url: str, question: Question, after: str, results_max: int | None, logged_in: bool
) -> dict[str, Any]:
    """What makes two jobs the same: all that decides which rows and columns come out, as plain JSON."""
    return {
        "url": url,
        "logged_in": logged_in,
        "owner": question.owner,
        "query": question.query,
        "required": question.required.tree,
        "resolve_references": question.resolve_references,
        "after": after,
        "results_max": results_max,
    }


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a dataset holds and how it was planned; written before any data and never changed."""

    id: str
    url: str
    question: Question
    after: str
    results_max: int | None
    logged_in: bool
    """Whether the visitor was somebody: an anonymous one sees fewer entries. Who it was is not kept."""
    plan: Plan
    schema: Schema
    on_new: OnNew = "more"
    batch: BatchSize = BatchSize()
    """The batch size to begin with."""
    versions: tuple[tuple[str, str], ...] = ()
    created: str = ""

    def identity(self) -> dict[str, Any]:
        """What makes two jobs the same."""
        return identity(self.url, self.question, self.after, self.results_max, self.logged_in)

    def asked(self) -> dict[str, Any]:
        """The arguments of the query object that asks the same."""
        return {k: v for k, v in self.identity().items() if k not in ("resolve_references", "logged_in")}

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
                "on_new": self.on_new,
                "layout": "wide",
                "batch": {"size": self.batch.size, "fixed": self.batch.fixed},
                "created": self.created,
                "versions": dict(self.versions),
                "schema": self.schema.to_json(),
                "plan": self.plan.to_json(),
            }
        )

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Manifest:
        """A manifest from what `to_json` gave."""
        question = Question(tree["owner"], tree["query"], parse(tree["required"]), tree["resolve_references"])
        return cls(
            tree["id"],
            tree["url"],
            question,
            tree["after"],
            tree["results_max"],
            tree["logged_in"],
            Plan.from_json(tree["plan"]),
            Schema.from_json(tree["schema"]),
            tree["on_new"],
            BatchSize(**tree["batch"]),
            tuple(tree["versions"].items()),
            tree["created"],
        )
