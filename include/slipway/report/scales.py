"""The geometry of the report's plots: axes, ticks and labels that do not cover each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_CHARACTER = 6.4
_LINE = 13.0
_GAP = 12.0
_RINGS = (1.0, 1.8, 2.8, 4.0, 5.4, 7.0)


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels.

    Attributes:
        low: Value at `start`.
        high: Value at `end`.
        start: Pixel.
        end: Pixel; smaller than `start` where the axis points up.
        logarithmic: Whether equal ratios are equally far apart.
        ticks: Values to mark.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The pixel of a value, kept on the axis."""
        turn: Callable[[float], float] = math.log10 if self.logarithmic else float
        inside = min(max(value, self.low), self.high)
        share = (turn(inside) - turn(self.low)) / (turn(self.high) - turn(self.low))
        return self.start + share * (self.end - self.start)


def linear_axis(values: Iterable[float], start: float, end: float) -> Axis:
    """An axis around all values, with about five round ticks."""
    values = list(values)
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) * 0.1 or 1.0
    step = _round_step(spread / 6)
    low, high = low - 0.06 * spread, high + 0.06 * spread
    first = math.ceil(low / step)
    ticks = tuple(round(number * step, 10) for number in range(first, math.floor(high / step) + 1))
    return Axis(low, high, start, end, logarithmic=False, ticks=ticks)


def log_axis(values: Iterable[float], start: float, end: float) -> Axis:
    """A logarithmic axis around all values, which are positive, ticks at 1, 2 and 5."""
    values = list(values)
    low, high = min(values) / 1.25, max(values) * 1.25
    ticks = [
        digit * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digit in (1, 2, 5)
    ]
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) > 8:  # noqa: PLR2004  # more would run into each other
        inside = [tick for tick in inside if f"{tick:e}".startswith("1")]
    return Axis(low, high, start, end, logarithmic=True, ticks=tuple(inside))


@dataclass(frozen=True)
class Label:
    """A label beside a point: its left end, its base line, and whether a line leads to it."""

    x: float
    y: float
    leader: bool


def place_labels(
    points: Sequence[tuple[float, float, str]], width: float, height: float, left: float, top: float
) -> list[Label]:
    """Puts each label where it covers the fewest points and labels, as near as possible.

    Args:
        points: x, y and text.
        width: Right end of the room.
        height: Lower end of the room.
        left: Left end of the room.
        top: Upper end of the room.
    """
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y, _ in points]
    labels = []
    for x, y, text in points:
        best: tuple[float, Label, tuple[float, float, float, float]] | None = None
        for label in _places(x, y, len(text) * _CHARACTER):
            end = label.x + len(text) * _CHARACTER
            box = (label.x, label.y - _LINE + 2, end, label.y + 3)
            outside = box[0] < left or box[2] > width or box[1] < top or box[3] > height
            cost = sum(_overlap(box, other) for other in taken) + (1e6 if outside else 0)
            cost += math.hypot(label.x - x, label.y - y) * 0.05
            if best is None or cost < best[0]:
                best = (cost, label, box)
        if best is not None:
            labels.append(best[1])
            taken.append(best[2])
    return labels


def _places(x: float, y: float, width: float) -> Iterable[Label]:
    for ring in _RINGS:
        gap = _GAP * ring
        leader = ring > 1.5  # noqa: PLR2004  # beside the point it needs none
        yield Label(x + gap, y + 4, leader)
        yield Label(x - gap - width, y + 4, leader)
        yield Label(x - width / 2, y - gap, leader)
        yield Label(x - width / 2, y + gap + _LINE - 3, leader)
        yield Label(x + gap * 0.8, y - gap * 0.8, leader)
        yield Label(x + gap * 0.8, y + gap * 0.8 + 8, leader)
        yield Label(x - gap * 0.8 - width, y - gap * 0.8, leader)
        yield Label(x - gap * 0.8 - width, y + gap * 0.8 + 8, leader)


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= step * 0.999)
