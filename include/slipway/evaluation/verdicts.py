"""From what was measured to a verdict for each variant, and to the winner. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from slipway.contracts import Contract
from slipway.evaluation.limits import Reason, broken_limits, measure_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slipway.evaluation.facts import MetricFacts
    from slipway.evaluation.limits import VariantFacts
    from slipway.spec.gates import Gates, Objective

Verdict = Literal["passed", "rejected", "failed"]


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
        reasons = tuple(broken_limits(facts, reference, gates))
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


def _not_eligible(facts: VariantFacts, objective: Objective, prefer_tflite: bool) -> str | None:
    if facts.evaluation is None:
        return "it was not validated"
    if facts.unservable is not None:
        return facts.unservable
    if facts.tflite and not prefer_tflite:
        return "a TFLite model is served only with serve.prefer_tflite_model"
    if facts.evaluation.other_interface is not None:
        return f"clients of the original cannot ask it: {facts.evaluation.other_interface}"
    if objective_figure(facts, objective) is None:
        return f"{objective.minimise or objective.maximise} was not measured"
    return None


def _metrics(facts: VariantFacts) -> Mapping[str, MetricFacts]:
    return facts.evaluation.metrics if facts.evaluation else {}
