"""What the benchmark of growing work makes of its points (`benchmarks/scaling/slopes.py`): slopes on log
axes, the bar.
"""

from collections.abc import Callable
from typing import Any

import pytest
from benchmark import module

SIZES = (1, 10, 100, 1_000, 10_000)


@pytest.fixture(scope="module")
def slopes() -> Any:
    return module("scaling/slopes.py")


def curve(slopes: Any, cpu: Callable[[int], float], wall: Callable[[int], float] = float) -> Any:
    return slopes.Curve("some", "things", tuple(slopes.Point(n, cpu(n), wall(n)) for n in SIZES))


@pytest.mark.parametrize("power", [-1.0, 0.0, 1.0, 2.0])
def test_the_slope_of_a_power_is_its_exponent(slopes: Any, power: float) -> None:
    assert slopes.slope([(n, 3e-6 * n**power) for n in SIZES]) == pytest.approx(power)


def test_the_line_is_that_of_least_squares_on_log_axes(slopes: Any) -> None:
    # By hand: x = 0, 1, 2 and y = 0, 0, 3 decades; the line that misses by the least squares rises by 3/2.
    assert slopes.slope([(1, 1), (10, 1), (100, 1_000)]) == pytest.approx(1.5)


def test_one_size_has_no_slope(slopes: Any) -> None:
    assert slopes.slope([(10, 1.0)]) is None


def test_fixed_costs_flatten_the_whole_and_not_the_upper_decades(slopes: Any) -> None:
    found = curve(slopes, lambda n: 100 + n)
    assert found.slope("cpu") < 0.6 < 0.8 < found.slope("cpu", upper=True) < 1
    assert found.slope("wall") == pytest.approx(1.0)


def test_a_cost_is_steep_where_the_upper_decades_alone_are(slopes: Any) -> None:
    assert curve(slopes, lambda n: n**1.06).steep() and not curve(slopes, lambda n: n**1.04).steep()
    late = curve(slopes, lambda n: 1_000 + n**1.6)
    assert late.slope("cpu") < 1.05 < late.slope("cpu", upper=True) and late.steep()


def test_the_table_prints_what_is_steep_in_bold(slopes: Any) -> None:
    steep, even = slopes.table([curve(slopes, lambda n: n**1.2), curve(slopes, float)]).splitlines()[2:]
    assert "**1.20** (**1.20**)" in steep and "**" not in even and "1 to 10,000 things" in even


def test_a_kept_curve_comes_back(slopes: Any) -> None:
    one = curve(slopes, lambda n: 2.0 * n)
    assert slopes.Curve.from_json(one.to_json()) == one
    assert one.to_json()["slopes"] == pytest.approx(
        {"cpu": 1.0, "cpu_upper": 1.0, "wall": 1.0, "wall_upper": 1.0}
    )
