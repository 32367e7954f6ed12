"""The limits of a spec, held against what was measured of one variant. Pure.

A drop is judged on its point estimate; the interval beside it is for the reader. A slice with too
few examples is reported and not judged. A figure that a limit needs and that was not measured
breaks the limit: what is not known is not good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from slipway.contracts import Contract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.evaluation.facts import Evaluation, Measurement, MetricFacts
    from slipway.spec.gates import Gates, LatencyGate, Measure, SizeGate, SliceGate

ReasonKind = Literal[
    "step_failed",
    "metric_floor",
    "metric_ceiling",
    "metric_drop",
    "slice_drop",
    "agreement",
    "latency",
    "size",
    "server_mismatch",
    "not_measured",
]

_BY_ANSWERS = {"metric_floor", "metric_ceiling", "metric_drop", "slice_drop", "agreement"}

# Figures are compared as measured; this only keeps float arithmetic from deciding a tie.
_ROUNDING = 1e-9


class Reason(Contract):
    """Why a variant did not pass.

    Attributes:
        kind: What was broken.
        subject: The metric, slice, measure or step.
        measured: The figure, in the unit of `subject`; None if there is none.
        limit: What it had to keep to.
        text: All of it in words.
    """

    kind: ReasonKind
    subject: str
    measured: float | None = None
    limit: float | None = None
    text: str


@dataclass(frozen=True)
class VariantFacts:
    """Everything known of one variant.

    Attributes:
        name: The variant.
        required: Whether the build fails without it.
        tflite: Whether it is a TFLite model.
        unservable: Why the spec's model server cannot serve it, in one clause; None if it can.
        failure: The step that failed and how, in one line; None if none did.
        evaluation: Its validation; None if that is missing.
        measurement: Its benchmark; None if that is missing.
        weakest: Where its making lost most, in one clause for people; empty if that is not known.
    """

    name: str
    required: bool = False
    tflite: bool = False
    unservable: str | None = None
    failure: str | None = None
    evaluation: Evaluation | None = None
    measurement: Measurement | None = None
    weakest: str = ""


def broken_limits(
    facts: VariantFacts, original: VariantFacts | None, gates: Gates
) -> Iterator[Reason]:
    """Every limit that a variant breaks, in the order in which the spec has them.

    The first that is broken by what it answers says too where the answers became worse.

    Args:
        facts: The variant.
        original: What ratios refer to.
        gates: The limits.
    """
    weakest = facts.weakest
    for reason in _broken(facts, original, gates):
        if weakest and reason.kind in _BY_ANSWERS:
            yield reason.model_copy(update={"text": f"{reason.text}; {weakest}"})
            weakest = ""
        else:
            yield reason


def _broken(facts: VariantFacts, original: VariantFacts | None, gates: Gates) -> Iterator[Reason]:
    if facts.failure is not None or facts.evaluation is None:
        text = facts.failure or "it was not validated"
        yield Reason(kind="step_failed", subject=facts.name, text=text)
        return
    evaluation = facts.evaluation
    yield from _metric_reasons(evaluation, gates)
    if gates.slices is not None:
        yield from _slice_reasons(evaluation, gates, gates.slices)
    if gates.smallest_agreement is not None:
        yield from _agreement_reasons(evaluation, gates.smallest_agreement)
    if gates.latency is not None:
        yield from _latency_reasons(facts, original, gates.latency)
    if gates.size is not None:
        yield from _size_reasons(evaluation, original, gates.size)
    for problem in evaluation.server.problems[:1]:
        more = len(evaluation.server.problems) - 1
        text = f"{problem}{f' (and {more} more)' if more else ''}"
        yield Reason(kind="server_mismatch", subject="model server", text=text)


def _metric_reasons(evaluation: Evaluation, gates: Gates) -> Iterator[Reason]:
    for name, gate in gates.metrics.items():
        facts = evaluation.metrics.get(name)
        if facts is None:
            yield _not_measured(name)
            continue
        if gate.floor is not None and facts.value < gate.floor - _ROUNDING:
            text = f"{name} {facts.value:.4g} is below the floor {gate.floor:g}"
            yield _reason("metric_floor", name, facts.value, gate.floor, text)
        if gate.ceiling is not None and facts.value > gate.ceiling + _ROUNDING:
            text = f"{name} {facts.value:.4g} is above the ceiling {gate.ceiling:g}"
            yield _reason("metric_ceiling", name, facts.value, gate.ceiling, text)
        if gate.largest_drop is not None and facts.drop > gate.largest_drop + _ROUNDING:
            text = f"{name} {_worse(facts, gate.largest_drop)}"
            yield _reason("metric_drop", name, facts.drop, gate.largest_drop, text)


def _slice_reasons(evaluation: Evaluation, gates: Gates, gate: SliceGate) -> Iterator[Reason]:
    for name, found in evaluation.slices.items():
        if found.examples < gate.minimum_examples:
            continue
        for metric in gates.metrics:
            if metric in found.lost:
                text = (
                    f"{metric} on slice {name} ({found.examples} examples) has no value, "
                    "though the original's answers have one"
                )
                yield Reason(kind="not_measured", subject=name, text=text)
            facts = found.metrics.get(metric)
            if facts is not None and facts.drop > gate.largest_drop + _ROUNDING:
                text = (
                    f"{metric} on slice {name} ({found.examples} examples) "
                    f"{_worse(facts, gate.largest_drop)}"
                )
                yield _reason("slice_drop", name, facts.drop, gate.largest_drop, text)


def _agreement_reasons(evaluation: Evaluation, smallest: float) -> Iterator[Reason]:
    if evaluation.agreement < smallest - _ROUNDING:
        text = (
            f"it agrees with the original on {evaluation.agreement:.1%} of the examples, "
            f"{smallest:.1%} are needed"
        )
        yield _reason("agreement", "agreement", evaluation.agreement, smallest, text)


def _latency_reasons(
    facts: VariantFacts, original: VariantFacts | None, gate: LatencyGate
) -> Iterator[Reason]:
    p50, p99 = measure_of(facts, "latency_p50_ms"), measure_of(facts, "latency_p99_ms")
    yield from _within("latency", "p50", p50, gate.largest_p50_ms, "ms")
    yield from _within("latency", "p99", p99, gate.largest_p99_ms, "ms")
    reference = measure_of(original, "latency_p50_ms") if original else None
    ratio = p50 / reference if p50 is not None and reference else None
    yield from _within("latency", "p50 beside the original's", ratio, gate.largest_ratio, "times")


def _size_reasons(
    evaluation: Evaluation, original: VariantFacts | None, gate: SizeGate
) -> Iterator[Reason]:
    size = float(evaluation.size_bytes)
    yield from _within("size", "size", size, gate.largest_bytes, "bytes")
    reference = measure_of(original, "size_bytes") if original else None
    ratio = size / reference if reference else None
    yield from _within("size", "size beside the original's", ratio, gate.largest_ratio, "times")


def _within(
    kind: ReasonKind, subject: str, measured: float | None, limit: float | None, unit: str
) -> Iterator[Reason]:
    if limit is None:
        return
    if measured is None:
        yield _not_measured(subject)
    elif measured > limit * (1 + _ROUNDING):
        text = f"{subject} {_figure(measured)} {unit} is above {_figure(limit)} {unit}"
        yield _reason(kind, subject, measured, limit, text)


def measure_of(facts: VariantFacts, measure: Measure) -> float | None:
    """A measure by its name in the spec; None if not measured."""
    if measure in {"size_bytes", "compressed_bytes"}:
        return getattr(facts.evaluation, measure) if facts.evaluation else None
    if facts.measurement is None:
        return None
    times = facts.measurement.single_thread
    return times.p50_ms if measure == "latency_p50_ms" else times.p99_ms


def _reason(kind: ReasonKind, subject: str, measured: float, limit: float, text: str) -> Reason:
    return Reason(kind=kind, subject=subject, measured=measured, limit=limit, text=text)


def _not_measured(subject: str) -> Reason:
    text = f"{subject} has a limit and was not measured"
    return Reason(kind="not_measured", subject=subject, text=text)


def _worse(facts: MetricFacts, limit: float) -> str:
    interval = facts.drop_interval
    shown = f" (interval {interval.low:.4g} to {interval.high:.4g})" if interval else ""
    return f"is {facts.drop:.4g}{shown} worse than the original's, at most {limit:g} is allowed"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"  # noqa: PLR2004  # width
