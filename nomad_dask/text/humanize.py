"""Amounts for display: numbers, bytes, durations, times, shares."""

from __future__ import annotations

from datetime import UTC, datetime


def count(n: int) -> str:
    """An integer with thousands separators: `19,000,000`."""
    return f"{n:,}"


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number of things: `1 entry`, `2,000 entries`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def number(value: float) -> str:
    """A number with about three digits: `0.042`, `1.5`, `412`, `12,400`."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.3g}"


def size(n_bytes: float) -> str:
    """Bytes in a decimal unit: `850 bytes`, `1.5 MB`, `3.2 GB`."""
    unit = 0
    while n_bytes >= 999.5 and unit < len(_UNITS) - 1:
        n_bytes, unit = n_bytes / 1000, unit + 1
    return f"{number(n_bytes)} {_UNITS[unit]}"


_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def duration(seconds: float) -> str:
    """Seconds in a suitable unit: `8.4 s`, `12 s`, `4 min`, `3.5 h`, `2.1 days`."""
    if seconds < 120:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def share(part: float, whole: float) -> str:
    """A share in percent; `0%` and `100%` are exact."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%".replace(".0%", "%")


def moment(iso: str) -> str:
    """An ISO 8601 time in UTC, to the minute: `2026-11-23 02:17 UTC`; other text is returned unchanged."""
    try:
        found = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return found.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if found.tzinfo else iso
