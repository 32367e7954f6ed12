"""A variant's answers beside the original's: metrics, slices, agreement and differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.evaluation.bootstrap import Bootstrap
from slipway.evaluation.facts import MetricFacts, SliceFacts
from slipway.evaluation.metrics import classes_of, task_of
from slipway.evaluation.runner import match_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from slipway.definition import Definition, Examples
    from slipway.evaluation.facts import TensorFacts
    from slipway.evaluation.metrics import Metric

    Arrays = Mapping[str, np.ndarray]

# Two values count as the same answer within this share of the original's standard deviation.
_CLOSE = 0.05


@dataclass(frozen=True)
class Agreement:
    """How alike two sets of answers are.

    Attributes:
        share: Of examples with the same answer.
        rule: What counts as the same, in words.
        largest_difference: Between two numbers at one place; 0 if no output is a number.
    """

    share: float
    rule: str
    largest_difference: float


def compare_metrics(
    metrics: Iterable[Metric],
    labels: np.ndarray,
    variant: Arrays,
    original: Arrays,
    bootstrap: Bootstrap,
) -> dict[str, MetricFacts]:
    """Every metric of the variant and the original; those that are not defined are left out."""
    return _defined(_compare_all(metrics, labels, variant, original, bootstrap))


def _compare_all(
    metrics: Iterable[Metric],
    labels: np.ndarray,
    variant: Arrays,
    original: Arrays,
    bootstrap: Bootstrap,
) -> dict[str, MetricFacts]:
    ours = as_metrics_see(variant)
    theirs = ours if variant is original else as_metrics_see(original)
    return {metric.name: bootstrap.compare(metric, labels, ours, theirs) for metric in metrics}


def _defined(found: Mapping[str, MetricFacts]) -> dict[str, MetricFacts]:
    return {
        name: facts
        for name, facts in found.items()
        if math.isfinite(facts.value) and math.isfinite(facts.original)
    }


def require_defined(
    variant: str, metrics: Iterable[Metric], found: Mapping[str, MetricFacts]
) -> None:
    """Raise if a metric has no value on the whole test split.

    Raises:
        TerminalError: naming the metric.
    """
    for metric in metrics:
        if metric.name not in found:
            raise TerminalError(
                f"{variant}: the metric {metric.name} is not a finite number on the test split",
                hint="check that the split has every class, and the metric's own function",
                subject=metric.name,
            )


def compare_slices(
    masks: Mapping[str, np.ndarray],
    metrics: Iterable[Metric],
    labels: np.ndarray,
    variant: Arrays,
    original: Arrays,
    bootstrap: Bootstrap,
) -> dict[str, SliceFacts]:
    """The metrics on each slice; an empty slice has none."""
    metrics = list(metrics)
    same = variant is original
    found = {}
    for name, mask in masks.items():
        count = int(mask.sum())
        facts: dict[str, MetricFacts] = {}
        if count:
            ours = {key: values[mask] for key, values in variant.items()}
            theirs = ours if same else {key: values[mask] for key, values in original.items()}
            draws = Bootstrap(count, bootstrap.seed, bootstrap.confidence, bootstrap.resamples)
            facts = _compare_all(metrics, labels[mask], ours, theirs, draws)
        lost = [
            metric
            for metric, each in facts.items()
            if math.isfinite(each.original) and not math.isfinite(each.value)
        ]
        found[name] = SliceFacts(examples=count, metrics=_defined(facts), lost=tuple(lost))
    return found


def slice_masks(definition: Definition, examples: Examples) -> dict[str, np.ndarray]:
    """The definition's slices, checked.

    Raises:
        TerminalError: if a slice is not a boolean for each example.
    """
    import numpy as np

    if not definition.has("slices"):
        return {}
    masks: dict[str, np.ndarray] = {}
    for name, mask in definition.call("slices", examples).items():
        array = np.asarray(mask)
        if array.dtype != np.bool_ or array.shape != (len(examples),):
            raise TerminalError(
                f"slice {name!r} of {definition.file.name} is {array.dtype} of shape "
                f"{list(array.shape)}, not bool of shape [{len(examples)}]",
                hint="return {name: bool array of shape [examples]} from slices",
                subject=name,
            )
        masks[name] = array
    return masks


def align_outputs(variant: str, answers: Arrays, original: Arrays) -> dict[str, np.ndarray]:
    """The variant's outputs under the original's names.

    Raises:
        TerminalError: one is missing or has another shape.
    """
    names = match_names(original, answers, f"{variant}: output", "it has")
    for name, values in original.items():
        got = answers[names[name]]
        if got.shape != values.shape:
            raise TerminalError(
                f"{variant}: output {names[name]} has shape {_shape(got)}, the original's "
                f"{_shape(values)}",
                hint="a variant must answer in the original's shape",
                subject=names[name],
            )
    return {name: answers[names[name]] for name in original}


def agreement(labels: np.ndarray, variant: Arrays, original: Arrays) -> Agreement:
    """How alike the answers are; an example counts if all of its outputs are the same."""
    import numpy as np

    same = np.ones(len(labels), dtype=bool)
    rules: list[str] = []
    largest = 0.0
    for name, values in original.items():
        outcome, rule = _same_answers(labels, variant[name], values)
        same &= outcome
        rules.append(rule)
        if values.dtype.kind in "biuf":
            apart = np.abs(variant[name].astype("float64") - values.astype("float64"))
            largest = max(largest, float(apart.max()))
    return Agreement(float(same.mean()), "; ".join(dict.fromkeys(rules)), largest)


def other_interface(
    variant: tuple[Mapping[str, TensorFacts], Mapping[str, TensorFacts]],
    original: tuple[Mapping[str, TensorFacts], Mapping[str, TensorFacts]],
) -> str | None:
    """How inputs and outputs differ in name or type from the original's; None if they do not."""
    changes: list[str] = []
    for role, ours, theirs in zip(("input", "output"), variant, original, strict=True):
        if sorted(ours) != sorted(theirs):
            changes.append(
                f"{role}s {', '.join(sorted(ours))} instead of {', '.join(sorted(theirs))}"
            )
            continue
        changes += [
            f"{role} {name} is {ours[name].dtype} instead of {facts.dtype}"
            for name, facts in theirs.items()
            if ours[name].dtype != facts.dtype
        ]
    return "; ".join(changes) or None


def as_metrics_see(outputs: Arrays) -> Any:
    """The array of an only output, or all outputs by name."""
    return next(iter(outputs.values())) if len(outputs) == 1 else dict(outputs)


def _same_answers(
    labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray
) -> tuple[np.ndarray, str]:
    import numpy as np

    rows = len(labels)
    if theirs.dtype.kind != "f":
        return (ours == theirs).reshape(rows, -1).all(axis=1), "equal"
    if task_of(labels, theirs) == "classes":
        return ours.argmax(axis=1) == theirs.argmax(axis=1), "the same class"
    is_probability = float(theirs.min()) >= 0 and float(theirs.max()) <= 1
    if task_of(labels, theirs) == "binary" and is_probability:
        left, right = (classes_of(labels, values, "agreement") for values in (ours, theirs))
        return left == right, "the same side of 0.5"
    limit = _CLOSE * float(np.std(theirs))
    close = np.abs(ours - theirs).reshape(rows, -1).max(axis=1) <= limit
    return close, f"within {_CLOSE:.0%} of the standard deviation of the original's answers"


def _shape(values: np.ndarray) -> list[int]:
    return [-1, *values.shape[1:]]
