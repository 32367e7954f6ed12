"""How figures are written for people."""

from __future__ import annotations

import math

_NOTHING = "–"  # noqa: RUF001  # an en dash stands for a missing figure
_KILO = 1000.0


def number(value: float | None) -> str:
    """Four significant digits."""
    return _NOTHING if value is None else f"{value:.4g}"


def percent(value: float | None) -> str:
    """A share, rounded down to one decimal: all of it only if it is all."""
    if value is None:
        return _NOTHING
    return f"{math.floor(value * 1000 + 1e-6) / 10:g}%"


def milliseconds(value: float | None) -> str:
    """Milliseconds, or microseconds below one."""
    if value is None:
        return _NOTHING
    if value < 1:
        return f"{value * 1000:.3g} µs"
    return f"{value:.3g} ms"


def size(value: float | None) -> str:
    """Bytes with a decimal prefix."""
    if value is None:
        return _NOTHING
    amount, unit = float(value), "B"
    for larger in ("kB", "MB", "GB"):
        if abs(amount) < _KILO:
            break
        amount, unit = amount / _KILO, larger
    return f"{amount:.3g} {unit}" if amount < _KILO else f"{amount:,.0f} {unit}"


def rate(value: float | None) -> str:
    """A number a second."""
    return _NOTHING if value is None else f"{value:,.0f}"


def times(value: float | None, reference: float | None) -> str:
    """How a figure stands beside the original's, as in 3.1x less."""
    if not value or not reference:
        return ""
    if value <= reference:
        return f"{reference / value:.3g}× less"  # noqa: RUF001  # the sign for times
    return f"{value / reference:.3g}× more"  # noqa: RUF001  # as above


def signed(value: float | None) -> str:
    """A drop with its sign; zero has none."""
    if value is None:
        return _NOTHING
    return "0" if abs(value) < 5e-5 else f"{value:+.4f}"  # noqa: PLR2004  # what is shown as 0
