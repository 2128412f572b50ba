"""Owns what a job says of itself: failures, receipts of segments, and the report that adds them up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from .history import Run
from .segments import Plan


class Ref(NamedTuple):
    """An entry's two names, as listed."""

    entry_id: str
    upload_id: str


class Failure(NamedTuple):
    """An entry that was listed and could not be delivered."""

    entry_id: str
    upload_id: str
    status: int | None
    """The server's last status; None where no whole answer came."""
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one finished segment gave and cost. Written last: what has no receipt did not happen (SPEC 9)."""

    segment: int
    after: str
    upto: str
    rows: int
    """Entries delivered, those without archive included: of wide and nested tables the rows."""
    first: str | None = None
    """The least and the greatest entry id of the rows; None in an empty part."""
    last: str | None = None
    missing: tuple[Ref, ...] = ()
    """Entries without archive: rows of nulls."""
    failures: tuple[Failure, ...] = ()
    """Entries that failed: not among the rows."""
    n_more: int = 0
    """Values outside the schema, in `_more`."""
    n_bytes: int = 0
    """Of answers, uncompressed."""
    seconds: float = 0.0
    requests: int = 0
    retries: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    """Answers by status, and faults by kind."""
    batch_sizes: tuple[int, ...] = ()
    """Entries that each request for archives asked for."""
    concurrency: tuple[int, ...] = ()
    """How many requests the whole job might have under way, each time that it changed."""
    finished: str = ""
    """When, in UTC (ISO 8601)."""
    dataset: str = ""
    """The id of the manifest that it belongs to."""
    parts: dict[str, int] = field(default_factory=dict)
    """The part's files below `data/`, with their sizes: a file of another size is not the one that was written."""

    bare: tuple[str, ...] = ()
    """Entries with an archive and without a row: in the layout tables, where no table has anything of them."""
    run: int = 0
    """The update that wrote it (`history.Run`); 0: the harvest."""
    added: int = 0
    changed: int = 0
    pruned: int = 0
    """What updates did since the last one that was finished, as in `history.Run`."""
    planned: int | None = None
    """How many entries there should be, where an update moved that from the plan's number."""
    seen: dict[str, str] = field(default_factory=dict)
    """Times of entries that an update read, by id, as long as the next one may list them again."""

    @property
    def listed(self) -> int:
        """Entries that the server listed: delivered or failed."""
        return self.rows + len(self.failures)

    def stands(self, sizes: Mapping[str, int]) -> bool:
        """Whether the part's files are there as they were written, going by the sizes of what is there."""
        return all(sizes.get(name) == size for name, size in self.parts.items())

    def joined(self, later: Receipt) -> Receipt:
        """This receipt after a later try of its failed entries: rows and costs are those of both."""
        return replace(
            self,
            rows=self.rows + later.rows,
            first=min(filter(None, (self.first, later.first)), default=None),
            last=max(filter(None, (self.last, later.last)), default=None),
            missing=tuple(sorted({*self.missing, *later.missing})),
            failures=later.failures,
            bare=tuple(sorted({*self.bare, *later.bare})),
            n_more=self.n_more + later.n_more,
            **self.costs(later),
            finished=later.finished,
        )

    def costs(self, later: Receipt) -> dict[str, Any]:
        """What this try and a later one took together."""
        statuses = {
            k: self.statuses.get(k, 0) + later.statuses.get(k, 0) for k in {*self.statuses, *later.statuses}
        }
        return {
            "n_bytes": self.n_bytes + later.n_bytes,
            "seconds": round(self.seconds + later.seconds, 3),
            "requests": self.requests + later.requests,
            "retries": self.retries + later.retries,
            "statuses": statuses,
            "batch_sizes": self.batch_sizes + later.batch_sizes,
            "concurrency": self.concurrency + later.concurrency,
        }

    def to_json(self) -> dict[str, Any]:
        """The receipt as plain JSON; `Receipt.from_json` gives it back."""
        return asdict(self) | {
            "missing": [list(m) for m in self.missing],
            "failures": [f._asdict() for f in self.failures],
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Receipt:
        """A receipt from what `to_json` gave."""
        return cls(
            **tree
            | {
                "missing": tuple(Ref(*m) for m in tree["missing"]),
                "failures": tuple(Failure(**f) for f in tree["failures"]),
                "batch_sizes": tuple(tree["batch_sizes"]),
                "concurrency": tuple(tree.get("concurrency", ())),
                "bare": tuple(tree.get("bare", ())),
            }
        )


def span(ids: Sequence[str]) -> dict[str, Any]:
    """A receipt's account of sorted entry ids: how many, the least, the greatest."""
    return {"rows": len(ids), "first": ids[0] if ids else None, "last": ids[-1] if ids else None}


@dataclass(frozen=True, slots=True)
class Report:
    """How far a dataset is: the sum of its receipts against its plan."""

    segments: int
    """Of the plan."""
    total: int
    """Entries of the plan (an estimate where the plan is one)."""
    done: int = 0
    """Segments with a receipt."""
    rows: int = 0
    missing: int = 0
    failed: int = 0
    short: int = 0
    """Entries of an exact plan that the server did not list when their segments were read."""
    n_more: int = 0
    n_bytes: int = 0
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0
    """Of this run, by the clock; 0 where none is running."""
    update: Run | None = None
    """The last update of the dataset, if there was one."""

    @property
    def stopped(self) -> bool:
        """Whether the last update was not finished."""
        return self.update is not None and not self.update.finished

    @property
    def complete(self) -> bool:
        """Whether every segment is done, no update was stopped, and no entry failed or is short of an exact plan."""
        return self.done == self.segments and not self.stopped and not self.failed and not self.short

    @property
    def entries(self) -> int:
        """Entries dealt with so far: delivered, without archive, or failed."""
        return self.rows + self.failed

    def _repr_html_(self) -> str:
        """The report in a notebook."""
        from .cards import report_card

        return report_card(self)

    def plus(self, receipt: Receipt, planned: int | None = None) -> Report:
        """The report with one more receipt; `planned`: how many entries its segment holds, where that is exact."""
        due = planned if receipt.planned is None else receipt.planned
        return replace(
            self,
            total=self.total + ((due or 0) - (planned or 0)),
            short=self.short + max(0, (due or 0) - receipt.listed),
            done=self.done + 1,
            rows=self.rows + receipt.rows,
            missing=self.missing + len(receipt.missing),
            failed=self.failed + len(receipt.failures),
            n_more=self.n_more + receipt.n_more,
            n_bytes=self.n_bytes + receipt.n_bytes,
            requests=self.requests + receipt.requests,
            retries=self.retries + receipt.retries,
        )

    @classmethod
    def of(cls, plan: Plan, receipts: Iterable[Receipt], update: Run | None = None) -> Report:
        """The report of a plan, the receipts so far, and the last update."""
        report = cls(len(plan), plan.total, update=update)
        for receipt in receipts:
            report = report.plus(receipt, plan.exact_size(receipt.segment))
        return report
