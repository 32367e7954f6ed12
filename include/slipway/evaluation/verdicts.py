"""From what was measured to a verdict for each variant, and to the winner. Pure.

A drop is judged on its point estimate; the interval beside it is for the reader. A slice with too
few examples is reported and not judged. A figure that a limit needs and that was not measured
rejects the variant: what is not known is not good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from slipway.contracts import Contract

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slipway.evaluation.facts import Evaluation, Measurement, MetricFacts
    from slipway.spec.gates import Gates, LatencyGate, Measure, Objective, SizeGate, SliceGate

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
Verdict = Literal["passed", "rejected", "failed"]

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
        failure: The step that failed and how, in one line; None if none did.
        evaluation: Its validation; None if that is missing.
        measurement: Its benchmark; None if that is missing.
    """

    name: str
    required: bool = False
    tflite: bool = False
    failure: str | None = None
    evaluation: Evaluation | None = None
    measurement: Measurement | None = None


class Judgement(Contract):
    """A variant's verdict.

    Attributes:
        variant: Its name.
        required: Whether the build fails without it.
        verdict: passed: it keeps every limit. rejected: it breaks at least one. failed: it could
            not be made, or not be validated.
        reasons: Why it did not pass, worst first in the order of the limits; empty if it passed.
        not_eligible: Why it cannot win although it passed; None if it can.
    """

    variant: str
    required: bool
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    not_eligible: str | None = None

    @property
    def can_win(self) -> bool:
        """Whether it is in the race."""
        return self.verdict == "passed" and self.not_eligible is None


def judge_all(
    variants: Iterable[VariantFacts],
    original: str,
    gates: Gates,
    objective: Objective,
    *,
    prefer_tflite_model: bool,
) -> list[Judgement]:
    """A verdict for every variant, in the order given.

    Args:
        variants: All of them, the original too.
        original: Name of the one that ratios refer to.
        gates: The limits.
        objective: What the winner must have measured.
        prefer_tflite_model: Whether the server can serve TFLite.
    """
    variants = list(variants)
    reference = next((facts for facts in variants if facts.name == original), None)
    judged = []
    for facts in variants:
        reasons = tuple(_reasons(facts, reference, gates))
        failed = any(reason.kind == "step_failed" for reason in reasons)
        judged.append(
            Judgement(
                variant=facts.name,
                required=facts.required,
                verdict="failed" if failed else "rejected" if reasons else "passed",
                reasons=reasons,
                not_eligible=_not_eligible(facts, objective, prefer_tflite_model),
            )
        )
    return judged


def breaks_the_build(judgement: Judgement, original: str) -> bool:
    """Whether a required variant did not pass.

    The original is the yardstick: it must exist and keep the metrics' floors and ceilings, but may
    be too slow or too large, which is what the other variants are made for.
    """
    if not judgement.required or judgement.verdict == "passed":
        return False
    if judgement.variant != original or judgement.verdict == "failed":
        return True
    return any(reason.kind not in {"latency", "size"} for reason in judgement.reasons)


def choose(
    variants: Iterable[VariantFacts], judged: Iterable[Judgement], objective: Objective
) -> str | None:
    """The winner: best by the objective, then smaller, then first by name; None if none is left.

    `maximise` of a metric of which less is better takes the least of it.
    """
    eligible = {judgement.variant for judgement in judged if judgement.can_win}
    ranked = []
    for facts in variants:
        figure = objective_figure(facts, objective)
        if facts.name in eligible and facts.evaluation is not None and figure is not None:
            ranked.append((figure, facts.evaluation.size_bytes, facts.name))
    return min(ranked)[2] if ranked else None


def objective_figure(facts: VariantFacts, objective: Objective) -> float | None:
    """What the objective compares, turned so that less is better; None if not measured."""
    if objective.minimise is not None:
        return measure_of(facts, objective.minimise)
    metric = _metrics(facts).get(objective.maximise or "")
    if metric is None:
        return None
    return metric.value if metric.lower_is_better else -metric.value


def measure_of(facts: VariantFacts, measure: Measure) -> float | None:
    """A measure by its name in the spec; None if not measured."""
    if measure in {"size_bytes", "compressed_bytes"}:
        return getattr(facts.evaluation, measure) if facts.evaluation else None
    if facts.measurement is None:
        return None
    times = facts.measurement.single_thread
    return times.p50_ms if measure == "latency_p50_ms" else times.p99_ms


def _reasons(facts: VariantFacts, original: VariantFacts | None, gates: Gates) -> Iterator[Reason]:
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


def _not_eligible(facts: VariantFacts, objective: Objective, prefer_tflite: bool) -> str | None:
    if facts.evaluation is None:
        return "it was not validated"
    if facts.tflite and not prefer_tflite:
        return "a TFLite model is served only with serve.prefer_tflite_model"
    if facts.evaluation.other_interface is not None:
        return f"clients of the original cannot ask it: {facts.evaluation.other_interface}"
    if objective_figure(facts, objective) is None:
        return f"{objective.minimise or objective.maximise} was not measured"
    return None


def _metrics(facts: VariantFacts) -> Mapping[str, MetricFacts]:
    return facts.evaluation.metrics if facts.evaluation else {}


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
