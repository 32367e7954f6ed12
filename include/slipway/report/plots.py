"""The report's plots as plain geometry, which the template draws as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from slipway.report.figures import milliseconds, number, signed, size
from slipway.report.scales import Axis, Label, linear_axis, log_axis, place_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.evaluation.facts import MetricFacts
    from slipway.report.content import Report, ReportedVariant

WIDTH, HEIGHT = 560.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 16.0, 18.0, 48.0
_ROW = 26.0
_NAMES = 150.0


@dataclass(frozen=True)
class Point:
    """One variant in a scatter plot, in pixels; low and high are the ends of its interval."""

    variant: str
    state: str
    winner: bool
    x: float
    y: float
    low: float | None
    high: float | None
    label: Label
    tip: str


@dataclass(frozen=True)
class Scatter:
    """Quality against a cost that is better the smaller it is.

    Attributes:
        title: Of the plot.
        x_title: Of the horizontal axis.
        y_title: Of the vertical axis; better is always up.
        x: The horizontal axis.
        y: The vertical axis.
        x_text: How a horizontal tick is written.
        points: The variants.
        limits: Pixel and text of each limit on quality.
    """

    title: str
    x_title: str
    y_title: str
    x: Axis
    y: Axis
    x_text: Callable[[float], str]
    points: tuple[Point, ...]
    limits: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class DropRow:
    """One variant's drop with its interval, in pixels."""

    variant: str
    state: str
    y: float
    x: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Drops:
    """Every variant's drop against the original.

    Attributes:
        x: The axis; less is better.
        rows: The variants that have an interval.
        zero: Pixel of no drop.
        limit: Pixel of the largest drop allowed; None without a limit.
        height: Of the plot.
    """

    x: Axis
    rows: tuple[DropRow, ...]
    zero: float
    limit: float | None
    height: float


def scatter(report: Report, cost: Literal["latency", "size"]) -> Scatter | None:
    """Quality against p50 latency or size; None if no variant has both."""
    found = [
        (variant, value)
        for variant in report.variants
        if variant.evaluation is not None
        and report.metric in variant.evaluation.metrics
        and (value := _cost(variant, cost)) is not None
    ]
    if not found:
        return None
    gate = report.gates.metrics.get(report.metric)
    bounds = [bound for bound in (gate.floor, gate.ceiling) if bound is not None] if gate else []
    qualities = [
        end for variant, _ in found for end in (*_ends(variant, report), _value(variant, report))
    ]
    lower = _facts(found[0][0], report).lower_is_better
    bottom, top = HEIGHT - BOTTOM, TOP
    y = linear_axis([*qualities, *bounds], *((top, bottom) if lower else (bottom, top)))
    x = log_axis([value for _, value in found], LEFT, WIDTH - RIGHT)
    spots = [(x.at(value), y.at(_value(variant, report)), variant.name) for variant, value in found]
    labels = place_labels(spots, WIDTH - 2, bottom, LEFT + 4, 2)
    points = tuple(
        _point(report, variant, (x.at(value), y), label)
        for (variant, value), label in zip(found, labels, strict=True)
    )
    by_latency = cost == "latency"
    return Scatter(
        title=f"{report.metric} against {'latency' if by_latency else 'size'}",
        x_title="p50 of one request, single thread" if by_latency else "size on disk",
        y_title=f"{report.metric}{', less is better' if lower else ''}",
        x=x,
        y=y,
        x_text=milliseconds if by_latency else size,
        points=points,
        limits=tuple((y.at(bound), f"limit {number(bound)}") for bound in bounds),
    )


def drops(report: Report) -> Drops | None:
    """The drop of every variant but the original; None if there is none."""
    found = [
        variant
        for variant in report.variants
        if variant.name != report.original
        and variant.evaluation is not None
        and report.metric in variant.evaluation.metrics
    ]
    if not found:
        return None
    gate = report.gates.metrics.get(report.metric)
    limit = gate.largest_drop if gate else None
    values = [0.0, *([limit] if limit is not None else [])]
    for variant in found:
        facts = _facts(variant, report)
        interval = facts.drop_interval
        values += [facts.drop, *((interval.low, interval.high) if interval else ())]
    x = linear_axis(values, _NAMES, WIDTH * 2 - 150)
    rows = []
    for index, variant in enumerate(found):
        facts = _facts(variant, report)
        interval = facts.drop_interval
        low, high = (interval.low, interval.high) if interval else (facts.drop, facts.drop)
        text = signed(facts.drop)
        rows.append(
            DropRow(
                variant.name,
                state_of(variant),
                34 + index * _ROW,
                x.at(facts.drop),
                x.at(low),
                x.at(high),
                text,
            )
        )
    height = 34 + len(rows) * _ROW + 24
    return Drops(x, tuple(rows), x.at(0), None if limit is None else x.at(limit), height)


def state_of(variant: ReportedVariant) -> str:
    """The verdict, as the colour of a mark."""
    return variant.judgement.verdict


def _point(
    report: Report, variant: ReportedVariant, place: tuple[float, Axis], label: Label
) -> Point:
    x, y = place
    facts = _facts(variant, report)
    low, high = (
        (y.at(facts.interval.low), y.at(facts.interval.high)) if facts.interval else (None, None)
    )
    return Point(
        variant=variant.name,
        state=state_of(variant),
        winner=variant.winner,
        x=x,
        y=y.at(facts.value),
        low=low,
        high=high,
        label=label,
        tip=_tip(report, variant),
    )


def _tip(report: Report, variant: ReportedVariant) -> str:
    facts = _facts(variant, report)
    lines = [f"{variant.name}: {variant.judgement.verdict}", f"{report.metric} {facts.value:.4f}"]
    if facts.interval:
        lines[-1] += f" ({facts.interval.low:.4f} to {facts.interval.high:.4f})"
    if variant.measurement:
        times = variant.measurement.single_thread
        lines.append(f"p50 {milliseconds(times.p50_ms)}, p99 {milliseconds(times.p99_ms)}")
    if variant.evaluation:
        lines.append(
            f"{size(variant.evaluation.size_bytes)}, "
            f"compressed {size(variant.evaluation.compressed_bytes)}"
        )
    return "\n".join(lines)


def _cost(variant: ReportedVariant, cost: str) -> float | None:
    if cost == "latency":
        return variant.measurement.single_thread.p50_ms if variant.measurement else None
    return float(variant.evaluation.size_bytes) if variant.evaluation else None


def _facts(variant: ReportedVariant, report: Report) -> MetricFacts:
    """Its first metric; only asked of variants that have it."""
    metrics = variant.evaluation.metrics if variant.evaluation else {}
    return metrics[report.metric]


def _value(variant: ReportedVariant, report: Report) -> float:
    return _facts(variant, report).value


def _ends(variant: ReportedVariant, report: Report) -> tuple[float, ...]:
    interval = _facts(variant, report).interval
    return (interval.low, interval.high) if interval else ()
