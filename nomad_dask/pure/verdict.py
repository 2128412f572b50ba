"""Owns what is said of a finished report: what is there, what is not as it should be and what helps, what updates did."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from .amounts import count, counted, size
from .history import Run
from .report import Report


def closing(report: Report, place: str) -> str:
    """The last lines of a harvest: what is there, what the last update did, and what to do about the rest."""
    lines = [
        f"{_entries(report.rows)} in {place} ({size(report.n_bytes)} read in {counted(report.requests, 'request')}, "
        f"{counted(report.retries, 'retry', 'retries')}); {count(report.missing)} without archive, "
        f"{count(report.failed)} failed"
    ]
    if report.n_more:
        lines.append(f"{counted(report.n_more, 'value')} outside the schema: in the column _more")
    if report.update is not None and report.update.finished:
        lines.append(f"last update {report.update.begun}: {done_by(report.update)}")
    lines += [f"{words} `{command}`" if command else words for words, command in advice(report, place)]
    return "\n".join(lines)


def done_by(run: Run) -> str:
    """What an update did."""
    if not run.finished:
        return "not finished"
    gone = f"{count(run.pruned)} withdrawn and dropped" if run.prune else "withdrawn ones not looked for"
    return f"{count(run.added)} new, {count(run.changed)} reprocessed, {gone}"


def advice(report: Report, place: str) -> Sequence[tuple[str, str | None]]:
    """What is not as it should be, in words, each with the command that helps; nothing of a complete dataset."""
    place = shlex.quote(place)
    found: list[tuple[str, str | None]] = []
    if left := report.segments - report.done:
        told = f"{count(left)} of {counted(report.segments, 'segment')} still to do. If no harvest is running, go on with"
        found.append((told, f"nomad-dask resume {place}"))
    if report.failed:
        told = f"{_entries(report.failed)} failed: in failures.parquet with the reasons, not in the data. Ask again with"
        found.append((told, f"nomad-dask resume {place} --retry-failures"))
    if report.short:
        told = (
            f"{_entries(report.short)} of the plan not listed by the server when the turn came: withdrawn since, or "
            "another login's."
        )
        found.append((told, None))
    if report.update is not None and report.stopped:
        prune = " --prune" if report.update.prune else ""
        told = f"The update begun at {report.update.begun} was not finished. Go on with"
        found.append((told, f"nomad-dask update {place}{prune}"))
    return found


def _entries(n: int) -> str:
    return counted(n, "entry", "entries")
