"""Owns the exit codes (SPEC 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..pure.report import Report

DONE = 0
"""All entries were delivered."""
UNFINISHED = 1
"""The server or the target kept failing: run again."""
WRONG = 2
"""A user's error."""
FAILED = 3
"""Some entries failed, or are not listed any more."""
INTERRUPTED = 130
"""By Ctrl-C, or by a polite kill."""

MEANINGS = {
    DONE: "every entry was delivered",
    UNFINISHED: "not finished: run the same command again",
    WRONG: "what was asked for cannot be done: change it as the message says",
    FAILED: "some entries failed, or are not listed any more",
    INTERRUPTED: "interrupted: run the same command again to go on",
}


def meaning(code: int) -> dict[str, Any]:
    """An exit code and what it means, for programs."""
    return {"exit_code": code, "meaning": MEANINGS[code]}


def exit_code(report: Report) -> int:
    """How the command ends that leaves a dataset so."""
    return FAILED if report.failed or report.short else DONE if report.complete else UNFINISHED
