"""Costs by size: points, the slope of their line on log axes, and a table of all curves."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

BAR = 1.05
"""A cost with a steeper slope grows faster than the work."""
UPPER = 100
"""Factor of the upper sizes, whose slope is also given because fixed costs flatten the whole line."""


@dataclass(frozen=True, slots=True)
class Point:
    """The cost of one size."""

    size: int
    cpu: float
    """CPU seconds of all our processes."""
    wall: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The costs of one kind of work at each size."""

    name: str
    unit: str
    """The unit of the sizes."""
    points: tuple[Point, ...]

    def slope(self, cost: str, *, upper: bool = False) -> float | None:
        """Return the slope of `cpu` or `wall`, over all sizes or the upper two decades; None below two
        points."""
        least = max(point.size for point in self.points) / UPPER if upper else 0
        return slope([(p.size, getattr(p, cost)) for p in self.points if p.size >= least])

    def slopes(self) -> dict[str, float | None]:
        """Return all four slopes."""
        return {
            f"{cost}{'_upper' if upper else ''}": self.slope(cost, upper=upper)
            for cost in ("cpu", "wall")
            for upper in (False, True)
        }

    def steep(self) -> bool:
        """True if CPU seconds grow faster than the work, over all sizes or the upper ones."""
        found = (self.slope("cpu"), self.slope("cpu", upper=True))
        return any(one is not None and one > BAR for one in found)

    def to_json(self) -> dict[str, Any]:
        """Return the curve as JSON."""
        return {"name": self.name, "unit": self.unit, "slopes": self.slopes()} | {
            "points": [asdict(point) for point in self.points]
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> "Curve":
        """Return a curve from the JSON of `to_json`."""
        return cls(tree["name"], tree["unit"], tuple(Point(**point) for point in tree["points"]))


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """Return the slope of the least-squares line through points on log axes; None for fewer than two
    sizes."""
    places = [(math.log(size), math.log(cost)) for size, cost in points]
    if len({x for x, _ in places}) < 2:
        return None
    mean_x, mean_y = (sum(values) / len(places) for values in zip(*places, strict=True))
    over = sum((x - mean_x) * (y - mean_y) for x, y in places)
    return over / sum((x - mean_x) ** 2 for x, _ in places)


def table(curves: Iterable[Curve]) -> str:
    """Return the slopes and ends of all curves as Markdown; slopes steeper than the bar are bold."""
    head = [
        "| cost | sizes | CPU slope (upper two decades) | wall slope (upper two decades) | CPU, first to last size | wall |",  # noqa: E501
        "|---|---:|---:|---:|---:|---:|",
    ]
    return "\n".join(head + [_row(curve) for curve in curves])


def _row(curve: Curve) -> str:
    first, last = curve.points[0], curve.points[-1]
    cells = [
        curve.name,
        f"{first.size:,} to {last.size:,} {curve.unit}",
        *(_both(curve, cost) for cost in ("cpu", "wall")),
        f"{_seconds(first.cpu)} to {_seconds(last.cpu)}",
        f"{_seconds(first.wall)} to {_seconds(last.wall)}",
    ]
    return f"| {' | '.join(cells)} |"


def _both(curve: Curve, cost: str) -> str:
    whole = _figure(curve.slope(cost))
    if curve.points[0].size * UPPER >= curve.points[-1].size:
        return whole
    return f"{whole} ({_figure(curve.slope(cost, upper=True))})"


def _figure(found: float | None) -> str:
    if found is None:
        return ""
    return f"**{found:.2f}**" if found > BAR else f"{found:.2f}"


def _seconds(value: float) -> str:
    return (
        f"{value * 1e3:.2g} ms" if value < 0.0995 else f"{value:.2g} s" if value < 9.95 else f"{value:.0f} s"
    )
