"""Medians of runs, and the promised ratios between contenders. Pure: no clock, no files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

Figures = Mapping[str, float]
"""Figures of one contender on one workload: `entries_per_second`, `peak` and so on."""

MEDIANS = ("seconds", "cpu", "peak", "requests", "n_bytes", "starting")


def figures(runs: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the median of each figure over the runs of one contender, including rates."""
    runs = list(runs)
    found = {name: float(median(run[name] for run in runs)) for name in MEDIANS}
    return found | {
        "entries": runs[0]["entries"],
        "runs": len(runs),
        "entries_per_second": median(run["entries"] / run["seconds"] for run in runs),
        "mb_per_second": median(run["n_bytes"] / run["seconds"] / 1e6 for run in runs),
        "cpu_ms_per_entry": median(1e3 * run["cpu"] / run["entries"] for run in runs),
        "fastest": max(run["entries"] / run["seconds"] for run in runs),
        "slowest": min(run["entries"] / run["seconds"] for run in runs),
    }


@dataclass(frozen=True, slots=True)
class Bar:
    """A promised ratio of two contenders, with its bound on each workload."""

    said: str
    ours: str
    other: str
    figure: str
    bars: Mapping[str, float]
    """By workload."""
    at_most: bool = False
    limited: bool = False
    """True if it is measured with a limit of 20 requests per second and a latency."""

    def ratio(self, found: Mapping[str, Figures]) -> float | None:
        """Return the ratio of ours to the other; None if one was not measured."""
        if self.ours not in found or self.other not in found:
            return None
        return ratio(found[self.ours], found[self.other], self.figure)

    def holds(self, workload: str, value: float) -> bool:
        """True if a ratio meets the bound."""
        return value <= self.bars[workload] if self.at_most else value >= self.bars[workload]


def ratio(ours: Figures, other: Figures, figure: str) -> float:
    """Return the ratio of ours to the other. Times are per entry, because numbers of entries may differ."""
    if figure == "time":
        return other["entries_per_second"] / ours["entries_per_second"]
    return ours[figure] / other[figure]


RATE = "entries_per_second"
BARS = (
    Bar("wide to Arrow / decode floor, time", "wide", "decode", "time", {"small": 2.0, "large": 2.0}, True),
    Bar(
        "nested to Arrow / decode floor, time", "nested", "decode", "time", {"small": 1.6, "large": 1.5}, True
    ),
    Bar("two processes to Parquet / dlt, entries/s", "cluster", "dlt", RATE, {"small": 15.0, "large": 20.0}),
    Bar(
        "download + frame / nomad-lab tuned, entries/s",
        "download",
        "nomad-tuned",
        RATE,
        {"small": 4.0, "large": 4.0},
    ),
    Bar(
        "download + frame / nomad-lab as documented, entries/s",
        "download",
        "nomad",
        RATE,
        {"small": 80.0, "large": 40.0},
    ),
    Bar(
        "at 20 requests/s: ours / nomad-lab as documented, entries/s",
        "cluster",
        "nomad",
        RATE,
        {"small": 20.0, "large": 10.0},
        limited=True,
    ),
    Bar(
        "download + frame / nomad-lab tuned, peak memory",
        "download",
        "nomad-tuned",
        "peak",
        {"small": 0.7, "large": 0.7},
        True,
    ),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one promise on one workload."""

    said: str
    workload: str
    ratio: float | None
    bar: float
    at_most: bool
    holds: bool

    def __str__(self) -> str:
        sign, value = (
            "<=" if self.at_most else ">=",
            "not measured" if self.ratio is None else f"{self.ratio:.2f}",
        )
        return f"{'PASS' if self.holds else 'FAIL'}  {self.workload:6} {self.said:60} {value:>12}  {sign} {self.bar:g}"  # noqa: E501


def verdicts(
    found: Mapping[str, Mapping[str, Figures]], limited: Mapping[str, Mapping[str, Figures]]
) -> list[Verdict]:
    """Compare all promises with the measurements. A promise that was not measured does not hold."""
    made = []
    for bar in BARS:
        for workload, value in bar.bars.items():
            got = bar.ratio((limited if bar.limited else found).get(workload, {}))
            holds = got is not None and bar.holds(workload, got)
            made.append(Verdict(bar.said, workload, got, value, bar.at_most, holds))
    return made
