"""Receipts of finished segments, the report that sums them up, and its summaries as text and HTML."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nomad_dask.common import stored_fields as stored
from nomad_dask.dataset import outside
from nomad_dask.dataset.history import Run, is_time
from nomad_dask.dataset.outside import Outside, merged
from nomad_dask.progress.progress import CardState, Progress, WorkDone, progress_card
from nomad_dask.request import Failure, Ref
from nomad_dask.request.segments import Cap, Plan
from nomad_dask.text.html import Html, facts_card, tag
from nomad_dask.text.humanize import count, counted, size


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of one finished segment. Written after its part: a segment without a receipt is not done."""

    segment: int
    after: str
    upto: str
    rows: int
    """Number of entries delivered, including those without archive."""
    first: str | None = None
    """The smallest entry id; None if there are no rows."""
    last: str | None = None
    missing: tuple[Ref, ...] = ()
    """Entries without archive. They have rows of nulls."""
    failures: tuple[Failure, ...] = ()
    """Entries that failed. They have no rows."""
    n_more: int = 0
    """Number of values outside the schema, stored in the column `_more`."""
    outside: Outside = field(default_factory=dict)
    """Their names."""
    n_bytes: int = 0
    """Uncompressed size of all answers."""
    seconds: float = 0.0
    requests: int = 0
    retries: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    """Number of answers by HTTP status, and of transport errors by kind."""
    batch_sizes: tuple[int, ...] = ()
    """Number of entries in each request for archives."""
    concurrency: tuple[int, ...] = ()
    """The limit of concurrent requests of the whole job, at each change."""
    finished: str = ""
    """Time in UTC (ISO 8601)."""
    dataset: str = ""
    """Id of the manifest."""
    core: str = ""
    """What built the tables: `compiled`, or `Python` with the reason."""
    parts: dict[str, int] = field(default_factory=dict)
    """Sizes of the part's files, by name relative to `data/`."""
    bare: tuple[str, ...] = ()
    """Entries that have an archive but no row in any table. Only in the layout "tables"."""
    run: int = 0
    """Number of the update that wrote it (`history.Run`); 0 for the harvest."""
    added: int = 0
    """Like `changed` and `pruned`: count of the updates since the last finished one, as in `history.Run`."""
    changed: int = 0
    pruned: int = 0
    planned: int | None = None
    """Expected number of entries, if an update changed it from that of the plan."""
    seen: dict[str, str] = field(default_factory=dict)
    """Timestamps of entries that an update read, by id, as long as the next update may list them again."""

    @property
    def listed(self) -> int:
        """Number of entries that the server listed: delivered or failed."""
        return self.rows + len(self.failures)

    def work_done(self) -> WorkDone:
        """The work done for the segment, as progress counts it."""
        return WorkDone(self.listed, len(self.failures), self.n_bytes, self.requests, 1)

    def has_parts(self, sizes: Mapping[str, int]) -> bool:
        """True if the part's files exist with the sizes they were written with. `sizes` are those found."""
        return all(sizes.get(name) == size for name, size in self.parts.items())

    def fits(self, plan: Plan, runs: int) -> bool:
        """True if the receipt can belong to a segment of the plan of a dataset with this many updates."""
        if not 0 <= self.segment < len(plan) or self.run > runs:
            return False
        segment = plan.segments[self.segment]
        ends = (self.first, self.last) if self.rows else ()
        return (self.after, self.upto) == (segment.after, segment.upto) and all(
            end is not None and end in segment for end in ends
        )

    def merged(self, other: Receipt) -> Receipt:
        """Return this receipt merged with that of other entries of the segment, read later."""
        return replace(
            self,
            rows=self.rows + other.rows,
            first=min(filter(None, (self.first, other.first)), default=None),
            last=max(filter(None, (self.last, other.last)), default=None),
            missing=tuple(sorted({*self.missing, *other.missing})),
            failures=tuple(sorted({*self.failures, *other.failures}, key=lambda failure: failure[:2])),
            bare=tuple(sorted({*self.bare, *other.bare})),
            n_more=self.n_more + other.n_more,
            outside=merged(self.outside, other.outside),
            **self.costs(other),
            finished=other.finished,
        )

    def costs(self, later: Receipt) -> dict[str, Any]:
        """Return the sums of bytes, seconds, requests and so on of this attempt and a later one."""
        return {
            "n_bytes": self.n_bytes + later.n_bytes,
            "seconds": round(self.seconds + later.seconds, 3),
            "requests": self.requests + later.requests,
            "retries": self.retries + later.retries,
            "statuses": dict(Counter(self.statuses) + Counter(later.statuses)),
            "batch_sizes": self.batch_sizes + later.batch_sizes,
            "concurrency": self.concurrency + later.concurrency,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the receipt as JSON, for `Receipt.from_json`."""
        return asdict(self) | {
            "missing": [list(ref) for ref in self.missing],
            "failures": [failure._asdict() for failure in self.failures],
        }

    @classmethod
    def from_json(cls, tree: Any) -> Receipt:
        """Return a receipt from the JSON of `to_json`. FieldError if it is invalid."""
        values = stored.json_object(tree, "the receipt")
        for name, value in values.items():
            is_valid = _CHECKS.get(name)
            if is_valid is None or not is_valid(value):
                stored.refuse(value, name, "a value of a receipt")
        if missing := _REQUIRED - values.keys():
            raise stored.FieldError(f"{min(missing)} is missing")
        lists = {name: tuple(values.get(name, ())) for name in ("batch_sizes", "concurrency", "bare")}
        lists["missing"] = tuple(Ref(*ref) for ref in values["missing"])
        lists["failures"] = tuple(Failure(**failure) for failure in values["failures"])
        names = outside.from_json(values.get("outside", {}))
        receipt = cls(**values | lists | {"outside": names})
        if receipt.rows and not (receipt.first and receipt.last):
            raise stored.FieldError("first or last is missing although there are rows")
        return receipt


def span(ids: Sequence[str]) -> dict[str, Any]:
    """Return `rows`, `first` and `last` of a receipt for sorted entry ids."""
    return {"rows": len(ids), "first": ids[0] if ids else None, "last": ids[-1] if ids else None}


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_id(value: Any) -> bool:
    return value is None or (type(value) is str and value != "")


def _is_planned(value: Any) -> bool:
    return value is None or _is_whole(value)


def _are_whole(values: Collection[Any]) -> bool:
    return not values or ({*map(type, values)} == {int} and min(values) >= 0)


def _is_list(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and all(map(check, value))


def _is_ref(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and all(map(_is_text, value))


def _is_failure(value: Any) -> bool:
    if type(value) is not dict or value.keys() != {*Failure._fields}:
        return False
    texts = all(type(value[name]) is str for name in ("entry_id", "upload_id", "reason"))
    return texts and _is_planned(value["status"]) and _is_whole(value["attempts"])


_REQUIRED = {"segment", "after", "upto", "rows", "missing", "failures"}
_COUNTS = ("segment", "rows", "n_more", "n_bytes", "requests", "retries", "run", "added", "changed", "pruned")
_CHECKS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("after", "upto", "dataset", "core"), _is_text),
    **dict.fromkeys(_COUNTS, _is_whole),
    **dict.fromkeys(("first", "last"), _is_id),
    **dict.fromkeys(("batch_sizes", "concurrency"), lambda value: type(value) is list and _are_whole(value)),
    **dict.fromkeys(("statuses", "parts"), lambda value: type(value) is dict and _are_whole(value.values())),
    "finished": lambda value: value == "" or is_time(value),
    "seconds": lambda value: type(value) in (int, float) and 0 <= value < 1e15,
    "planned": _is_planned,
    "bare": _is_list(_is_text),
    "outside": outside.is_outside,
    "seen": lambda value: type(value) is dict and all(map(_is_text, value.values())),
    "missing": _is_list(_is_ref),
    "failures": _is_list(_is_failure),
}
"""A check for each field of a receipt's JSON. Fast, as a dataset may have hundreds of thousands of them."""


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """Progress of a dataset: the sum of its receipts, compared with its plan."""

    segments: int
    """Number of segments in the plan."""
    total: int
    """Number of entries in the plan. An estimate unless the plan is exact."""
    done: int = 0
    """Number of finished segments."""
    rows: int = 0
    """Number of entries delivered, including those without archive."""
    missing: int = 0
    """Number of entries without archive."""
    failed: int = 0
    """Number of entries that failed."""
    short: int = 0
    """Number of entries of an exact plan that the server did not list when their segments were read."""
    n_more: int = 0
    outside: Outside = field(default_factory=dict)
    """The names of the values in `_more`."""
    n_bytes: int = 0
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0
    """Duration of the current run; 0 if none is running."""
    update: Run | None = None
    """The last update of the dataset, if any."""
    left_out: int = 0
    """Number of columns beyond the limit (`max_columns`). Their values are in `_more`."""
    cap: Cap | None = None
    """The maximum number of entries (`results_max`), if more entries match the query."""

    @property
    def stopped(self) -> bool:
        """True if the last update was not finished."""
        return self.update is not None and not self.update.finished

    @property
    def complete(self) -> bool:
        """True if the plan and the last update are finished, and no entry failed or is no longer listed."""
        return self.done == self.segments and not self.stopped and not self.failed and not self.short

    @property
    def entries(self) -> int:
        """Number of entries processed so far: delivered, without archive, or failed."""
        return self.rows + self.failed

    def __repr__(self) -> str:
        left = self.segments - self.done
        state = "complete" if self.complete else "not finished" if left or self.stopped else "not complete"
        without = f", {count(self.missing)} of them without archive" if self.missing else ""
        short = f", {count(self.short)} no longer listed" if self.short else ""
        cap = f"; {self.cap}" if self.cap else ""
        return (
            f"<Report: {state}, {_entries(self.rows)} delivered{without}, "
            f"{count(self.failed)} failed{short}; "
            f"{count(self.done)} of {counted(self.segments, 'segment')} done{cap}>"
        )

    def _repr_html_(self) -> str:
        """Return an HTML card with the progress and counts, for notebooks."""
        return _card(self)

    def work_done(self) -> WorkDone:
        """The work done so far, as progress counts it."""
        return WorkDone(self.entries, self.failed, self.n_bytes, self.requests, self.done)

    def progress(self, before: Report | None = None) -> Progress:
        """Return the progress of the harvest. `before` is the report at the start of this run."""
        earlier = before.work_done() if before is not None else WorkDone()
        return Progress(self.work_done(), self.total, self.segments, self.seconds, earlier)

    def plus(self, receipt: Receipt, planned: int | None = None) -> Report:
        """Return the report with one more receipt. `planned` is the exact size of its segment, if known."""
        expected = planned if receipt.planned is None else receipt.planned
        return replace(
            self,
            total=self.total + ((expected or 0) - (planned or 0)),
            short=self.short + max(0, (expected or 0) - receipt.listed),
            done=self.done + 1,
            rows=self.rows + receipt.rows,
            missing=self.missing + len(receipt.missing),
            failed=self.failed + len(receipt.failures),
            n_more=self.n_more + receipt.n_more,
            outside=merged(self.outside, receipt.outside),
            n_bytes=self.n_bytes + receipt.n_bytes,
            requests=self.requests + receipt.requests,
            retries=self.retries + receipt.retries,
        )

    @classmethod
    def of(cls, plan: Plan, receipts: Iterable[Receipt], update: Run | None = None) -> Report:
        """Return the report of a plan, its receipts, and the last update."""
        report = cls(len(plan), plan.total, update=update, left_out=plan.left_out, cap=plan.cap)
        for receipt in receipts:
            report = report.plus(receipt, plan.exact_size(receipt.segment))
        return report


def closing(report: Report, path: str) -> str:
    """Return the final lines of a harvest: what was delivered, the last update, and what to do next."""
    lines = [
        f"{_entries(report.rows)} in {path} ({size(report.n_bytes)} read in "
        f"{counted(report.requests, 'request')}, {counted(report.retries, 'retry', 'retries')}); "
        f"{count(report.missing)} without archive, {count(report.failed)} failed"
    ]
    if report.cap:
        lines.append(str(report.cap))
    if report.n_more:
        beyond = f"; {counted(report.left_out, 'column')} beyond max_columns" if report.left_out else ""
        more = f"{counted(report.n_more, 'value')} outside the schema: in the column _more{beyond}"
        lines.append(more + outside.named(report.outside))
    if report.update is not None and report.update.finished:
        lines.append(f"last update {report.update.begun}: {done_by(report.update)}")
    lines += [f"{words} `{command}`" if command else words for words, command in advice(report, path)]
    return "\n".join(lines)


def done_by(run: Run) -> str:
    """Return the counts of an update as text."""
    if not run.finished:
        return "not finished"
    pruned = f"{count(run.pruned)} withdrawn and dropped" if run.prune else "withdrawn entries not checked"
    return f"{count(run.added)} new, {count(run.changed)} reprocessed, {pruned}"


def advice(report: Report, path: str) -> Sequence[tuple[str, str | None]]:
    """Return what is incomplete, each as a text and a command that helps, if any."""
    path = shlex.quote(f"./{path}" if path.startswith("-") else path)  # "-" would start an option
    found: list[tuple[str, str | None]] = []
    if left := report.segments - report.done:
        text = (
            f"{count(left)} of {counted(report.segments, 'segment')} still to do. "
            "If no harvest is running, continue with"
        )
        found.append((text, f"nomad-dask resume {path}"))
    if report.failed:
        text = (
            f"{_entries(report.failed)} failed: not in the data, "
            "listed with reasons in failures.parquet. Retry with"
        )
        found.append((text, f"nomad-dask resume {path} --retry-failures"))
    if report.short:
        text = (
            f"{_entries(report.short)} of the plan no longer listed by the server when their segments "
            "were read: withdrawn in the meantime, or visible only with another login."
        )
        found.append((text, None))
    if report.update is not None and report.stopped:
        prune = " --prune" if report.update.prune else ""
        text = f"The update started at {report.update.begun} was not finished. Continue with"
        found.append((text, f"nomad-dask update {path}{prune}"))
    line = outside.schema_line(report.outside)
    if line and not report.left_out:
        found.append((f"Values in _more get columns in a new harvest with to_parquet(..., {line}).", None))
    return found


def _entries(n: int) -> str:
    return counted(n, "entry", "entries")


def _card(report: Report) -> Html:
    if report.complete:
        title = "Complete"
    elif report.done < report.segments or report.stopped:
        title = "Not finished: repeat the call to continue"
    else:
        title = "Finished, but some entries are missing"
    failed, more = count(report.failed), counted(report.n_more, "value")
    names = outside.named(report.outside)
    facts = {
        "delivered": _entries(report.rows),
        "maximum": str(report.cap) if report.cap else None,
        "without archive": count(report.missing),
        "failed": f"{failed}, listed with reasons in failures.parquet" if report.failed else "0",
        "no longer listed": count(report.short) if report.short else None,
        "outside the schema": f"{more}, in the column _more{names}" if report.n_more else None,
        "requests": f"{count(report.requests)}, including {counted(report.retries, 'retry', 'retries')}",
        "segments": f"{count(report.done)} of {count(report.segments)}",
        "last update": f"{report.update.begun}: {done_by(report.update)}" if report.update else None,
    }
    state = CardState.DONE if report.complete else CardState.STOPPED
    return tag("div", progress_card(title, report.progress(), state), facts_card("", facts))
