"""The metrics: the built-in ones, those of a model definition, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from slipway.errors import SlipwayError, TerminalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np

    from slipway.definition import Definition

Task = Literal["classes", "binary", "values"]

_SMALLEST_PROBABILITY = 1e-7
# Quantized probabilities add up to 1 only within a step of 1/256 for each class.
_SUM_TOLERANCE = 0.05


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: As in the spec's gates.
        function: (labels, outputs) -> float. Outputs is the array of the signature's only output,
            or a dict of arrays by name where there are several; the first dimension is examples.
        lower_is_better: Whether less of it is better.
        where: Whose function it is, for messages.
    """

    name: str
    function: Callable[[np.ndarray, Any], float]
    lower_is_better: bool
    where: str

    def value(self, labels: np.ndarray, outputs: Any) -> float:
        """The metric's value; NaN where it is not defined.

        Raises:
            TerminalError: if the function raises.
        """
        try:
            return float(self.function(labels, outputs))
        except SlipwayError:
            raise
        except Exception as error:
            raise TerminalError(
                f"the metric {self.name} of {self.where} raised {type(error).__name__}: {error}",
                hint="a metric takes labels and outputs of equal length and returns one number",
                subject=self.name,
            ) from error


def find_metrics(names: Iterable[str], definition: Definition) -> list[Metric]:
    """The metrics that a spec names; a definition's own come before built-in ones.

    Raises:
        TerminalError: if one is unknown; the nearest known name is given.
    """
    own: dict[str, Any] = definition.get("METRICS", {})
    lower: set[str] = set(definition.get("LOWER_IS_BETTER", ()))
    file = definition.file.name
    _require_known(lower, {*own}, f"LOWER_IS_BETTER in {file}")
    names = list(names)
    _require_known(names, {*own, *BUILT_IN}, "gates.metrics")
    found = []
    for name in names:
        if name in own:
            found.append(Metric(name, own[name], name in lower, file))
        else:
            found.append(Metric(name, BUILT_IN[name], name in LOWER_IS_BETTER, "Slipway"))
    return found


def task_of(labels: np.ndarray, outputs: np.ndarray) -> Task:
    """What the outputs mean beside the labels.

    classes: a score a class, labels are class numbers or one-hot. binary: one probability, labels
    are 0 and 1. values: anything else.
    """
    import numpy as np

    if labels.dtype.kind not in "biuf":
        return "values"
    if outputs.ndim == 2 and outputs.shape[1] > 1:  # noqa: PLR2004  # [examples, classes]
        one_hot = labels.shape == outputs.shape and bool(np.all(labels.sum(axis=1) == 1))
        numbers = _flat(labels).ndim == 1 and bool(np.all(labels == np.round(labels)))
        return "classes" if one_hot or numbers else "values"
    is_binary = _flat(outputs).ndim == 1 and bool(np.isin(labels, (0, 1)).all())
    return "binary" if is_binary else "values"


def accuracy(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Share of examples with the right class: the highest score, or a probability over 0.5."""
    import numpy as np

    return float(np.mean(classes_of(labels, outputs, "accuracy") == _class_numbers(labels)))


def log_loss(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Mean of -log(probability of the right class), probabilities clipped at 1e-7."""
    import numpy as np

    task = _classification(labels, outputs, "log_loss")
    if task == "binary":
        positive = _probabilities(_flat(outputs), "log_loss")
        right = np.where(_flat(labels) == 1, positive, 1 - positive)
    else:
        rows = _probabilities(outputs, "log_loss")
        sums = rows.sum(axis=1, keepdims=True)
        if not np.allclose(sums, 1, atol=_SUM_TOLERANCE):
            raise _not_probabilities("log_loss")
        right = (rows / sums)[np.arange(len(rows)), _class_numbers(labels)]
    return float(-np.mean(np.log(np.clip(right, _SMALLEST_PROBABILITY, 1))))


def roc_auc(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Area under the ROC curve; NaN if only one class is there.

    The Mann-Whitney statistic with ties at half. With more than two classes it is the mean over
    the classes that are there, each against the rest.
    """
    import numpy as np

    if _classification(labels, outputs, "roc_auc") == "binary":
        return _auc(_flat(labels) == 1, _flat(outputs))
    numbers = _class_numbers(labels)
    if outputs.shape[1] == 2:  # noqa: PLR2004  # the second class is the positive one
        return _auc(numbers == 1, outputs[:, 1])
    present = np.unique(numbers)
    return float(np.mean([_auc(numbers == number, outputs[:, number]) for number in present]))


def mean_absolute_error(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Mean of |label - output|."""
    import numpy as np

    return float(np.mean(np.abs(_residuals(labels, outputs, "mean_absolute_error"))))


def mean_squared_error(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Mean of (label - output) squared."""
    import numpy as np

    return float(np.mean(_residuals(labels, outputs, "mean_squared_error") ** 2))


BUILT_IN: dict[str, Callable[[Any, Any], float]] = {
    "accuracy": accuracy,
    "log_loss": log_loss,
    "roc_auc": roc_auc,
    "mean_absolute_error": mean_absolute_error,
    "mean_squared_error": mean_squared_error,
}
LOWER_IS_BETTER = frozenset({"log_loss", "mean_absolute_error", "mean_squared_error"})


def classes_of(labels: np.ndarray, outputs: np.ndarray, metric: str) -> np.ndarray:
    """The class that each output names.

    Raises:
        TerminalError: if the outputs are no scores of classes, or one output is no probability.
    """
    if _classification(labels, outputs, metric) == "binary":
        found: np.ndarray = (_probabilities(_flat(outputs), metric) > 0.5).astype(int)  # noqa: PLR2004
        return found
    return outputs.argmax(axis=1)  # type: ignore[no-any-return]  # numpy types argmax as Any


def _classification(labels: np.ndarray, outputs: Any, metric: str) -> Task:
    _require_single(outputs, metric)
    task = task_of(labels, outputs)
    if task == "values":
        raise TerminalError(
            f"{metric} cannot compare labels of shape {list(labels.shape)} with outputs of shape "
            f"{list(outputs.shape)}",
            hint="it needs labels that are class numbers, one-hot rows or 0 and 1, and outputs of "
            "shape [examples, classes] or one probability; or define a metric in METRICS",
            subject=metric,
        )
    return task


def _residuals(labels: np.ndarray, outputs: Any, metric: str) -> np.ndarray:
    _require_single(outputs, metric)
    left, right = _flat(labels), _flat(outputs)
    if left.shape != right.shape:
        raise TerminalError(
            f"{metric} cannot compare labels of shape {list(labels.shape)} with outputs of shape "
            f"{list(outputs.shape)}",
            hint="give labels the shape of the outputs, or define a metric of your own in METRICS",
            subject=metric,
        )
    difference: np.ndarray = left.astype("float64") - right.astype("float64")
    return difference


def _require_single(outputs: Any, metric: str) -> None:
    if isinstance(outputs, dict):
        raise TerminalError(
            f"{metric} works on one output, but the signature has {', '.join(sorted(outputs))}",
            hint="define a metric of your own in METRICS; it is given all outputs by name",
            subject=metric,
        )


def _probabilities(values: np.ndarray, metric: str) -> np.ndarray:
    if values.min() < -_SMALLEST_PROBABILITY or values.max() > 1 + 1e-3:
        raise _not_probabilities(metric)
    return values


def _not_probabilities(metric: str) -> TerminalError:
    return TerminalError(
        f"{metric} needs probabilities, but the outputs are none",
        hint="end the signature in a softmax or sigmoid, or define a metric of your own in METRICS",
        subject=metric,
    )


def _class_numbers(labels: np.ndarray) -> np.ndarray:
    flat = _flat(labels)
    return flat.argmax(axis=1) if flat.ndim > 1 else flat.astype(int)


def _flat(values: np.ndarray) -> np.ndarray:
    """[examples, 1] as [examples]; other shapes stay."""
    if values.ndim == 2 and values.shape[1] == 1:  # noqa: PLR2004  # [examples, 1]
        return values[:, 0]
    return values


def _auc(positive: np.ndarray, scores: np.ndarray) -> float:
    import numpy as np

    count = int(positive.sum())
    others = len(positive) - count
    if count == 0 or others == 0:
        return float("nan")
    _, place, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    # The mean rank of equal scores: the ranks that they share, from 1.
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[place]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def _require_known(names: Iterable[str], known: set[str], field: str) -> None:
    for name in names:
        if name not in known:
            near = get_close_matches(name, sorted(known), n=1)
            guess = f"did you mean {near[0]}? " if near else ""
            raise TerminalError(
                f"{field} names the metric {name!r}, which does not exist",
                hint=f"{guess}known: {', '.join(sorted(known)) or 'none'}",
                subject=name,
            )
