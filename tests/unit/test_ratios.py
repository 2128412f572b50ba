"""What the comparison makes of its runs (`benchmarks/comparison/ratios.py`): medians, ratios, and which
promises hold.
"""

from typing import Any

import pytest
from benchmark import module


@pytest.fixture(scope="module")
def ratios() -> Any:
    return module("comparison/ratios.py")


def ran(entries: int, seconds: float, peak: float = 1e8) -> dict[str, Any]:
    return {
        "entries": entries,
        "seconds": seconds,
        "cpu": seconds / 2,
        "peak": peak,
        "requests": 10,
        "n_bytes": 1e6,
        "starting": 1.0,
    }


def test_figures_are_medians_and_keep_the_extremes(ratios: Any) -> None:
    found = ratios.figures([ran(100, 1.0), ran(100, 50.0), ran(100, 2.0)])
    assert found["seconds"] == 2.0 and found["entries_per_second"] == 50.0 and found["runs"] == 3
    assert (found["slowest"], found["fastest"]) == (2.0, 100.0)


def test_who_did_fewer_entries_is_compared_by_the_cost_of_one(ratios: Any) -> None:
    ours, other = ratios.figures([ran(1000, 2.0)]), ratios.figures([ran(10, 2.0)])
    assert ratios.ratio(ours, other, ratios.RATE) == pytest.approx(100)
    assert ratios.ratio(ours, other, ratios.CPU) == pytest.approx(0.01)
    assert ratios.ratio(ours, other, ratios.SAVED) == pytest.approx(100)


def test_a_promise_holds_at_its_bar_and_not_beyond(ratios: Any) -> None:
    bar = ratios.Bar("", "a", "b", ratios.CPU, {"small": 2.0}, at_most=True)
    assert bar.holds("small", 2.0) and not bar.holds("small", 2.01)
    bar = ratios.Bar("", "a", "b", "peak", {"small": 2.0})
    assert bar.holds("small", 2.0) and not bar.holds("small", 1.99)


def test_what_was_not_measured_does_not_hold(ratios: Any) -> None:
    made = ratios.verdicts({}, {})
    assert len(made) == sum(len(bar.bars) for bar in ratios.BARS) and not any(one.holds for one in made)
    assert all("FAIL" in str(one) and "not measured" in str(one) for one in made)


def test_limited_promises_are_judged_by_the_limited_runs(ratios: Any) -> None:
    fast, slow = ratios.figures([ran(1000, 1.0)]), ratios.figures([ran(1000, 100.0)])
    names = {bar.ours for bar in ratios.BARS} | {bar.other for bar in ratios.BARS}
    same = dict.fromkeys(names, fast)
    limited = {"small": {"cluster": fast, "nomad": slow}}
    held = [one for one in ratios.verdicts({"small": same}, limited) if "20 requests" in one.said]
    assert [(one.workload, one.holds) for one in held] == [("small", True), ("large", False)]
    assert held[0].ratio == pytest.approx(100)
