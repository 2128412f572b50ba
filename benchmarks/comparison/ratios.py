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
    """Return the ratio of ours to the other. Costs are per entry, because numbers of entries may differ."""
    if figure == "saved":
        return other[CPU] / ours[CPU]
    return ours[figure] / other[figure]


RATE, CPU, SAVED, PEAK = "entries_per_second", "cpu_ms_per_entry", "saved", "peak"
"""`saved` is the CPU time of the other per CPU time of ours."""


def _bars(small: float, large: float, recorded: float | None = None) -> dict[str, float]:
    return {"small": small, "large": large} | ({} if recorded is None else {"recorded": recorded})


BARS = (
    Bar("wide to Arrow / decode floor, CPU", "wide", "decode", CPU, _bars(0.7, 0.9, 4.0), True),
    Bar("nested to Arrow / decode floor, CPU", "nested", "decode", CPU, _bars(0.7, 0.65, 1.2), True),
    Bar("tables to Arrow / decode floor, CPU", "tables", "decode", CPU, _bars(0.8, 1.0), True),
    Bar("wide to Arrow against the script, times less CPU", "wide", "script", SAVED, _bars(3, 2)),
    Bar("download + frame against the script, times less CPU", "download", "script", SAVED, _bars(2, 1.5)),
    Bar(
        "download + frame against nomad-lab tuned, times less CPU",
        "download",
        "nomad-tuned",
        SAVED,
        _bars(6, 4),
    ),
    Bar("two processes to Parquet / dlt, arrays in cells, entries/s", "cluster", "dlt", RATE, _bars(8, 6)),
    Bar(
        "two processes to Parquet / dlt, a table of each list, entries/s",
        "cluster",
        "dlt-full",
        RATE,
        _bars(20, 40),
    ),
    Bar("download + frame / the script, peak memory", "download", "script", PEAK, _bars(0.6, 0.6), True),
    Bar(
        "download + frame / nomad-lab as documented, entries/s",
        "download",
        "nomad",
        RATE,
        _bars(80, 40),
    ),
    Bar(
        "at 20 requests/s: ours / nomad-lab as documented, entries/s",
        "cluster",
        "nomad",
        RATE,
        _bars(20, 10),
        limited=True,
    ),
    Bar(
        "download + frame / nomad-lab tuned, peak memory",
        "download",
        "nomad-tuned",
        PEAK,
        _bars(0.7, 0.7),
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
