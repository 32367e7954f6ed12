"""The built-in metrics against scikit-learn, and the errors of those that do not fit."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.definition import Definition
from slipway.errors import TerminalError
from slipway.evaluation import metrics

if TYPE_CHECKING:
    import numpy as np


def definition(**members: Any) -> Definition:
    module = ModuleType("definition")
    vars(module).update(members)
    return Definition(module, Path("digits.py"))


def classes(seed: int, count: int = 60, number: int = 4) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    rng = np.random.default_rng(seed)
    scores = rng.random((count, number)).round(1) + 0.01
    labels = np.concatenate([np.arange(number), rng.integers(0, number, count - number)])
    return labels, scores / scores.sum(axis=1, keepdims=True)


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_classes_are_measured_as_scikit_learn_measures_them(seed: int) -> None:
    import numpy as np
    from sklearn.metrics import log_loss, roc_auc_score

    labels, outputs = classes(seed)
    right = outputs.argmax(axis=1) == labels
    assert metrics.accuracy(labels, outputs) == pytest.approx(right.mean())
    assert metrics.log_loss(labels, outputs) == pytest.approx(log_loss(labels, outputs))
    auc = roc_auc_score(labels, outputs, multi_class="ovr")
    assert metrics.roc_auc(labels, outputs) == pytest.approx(auc)
    one_hot = np.eye(4)[labels]
    assert metrics.accuracy(one_hot, outputs) == metrics.accuracy(labels, outputs)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_one_probability_is_measured_as_scikit_learn_measures_it(seed: int, column: bool) -> None:
    import numpy as np
    from sklearn.metrics import log_loss, roc_auc_score

    rng = np.random.default_rng(seed)
    labels = np.concatenate([[0, 1], rng.integers(0, 2, 40)])
    outputs = rng.random(42).round(1)
    shaped = outputs[:, None] if column else outputs
    assert metrics.accuracy(labels, shaped) == pytest.approx(((outputs > 0.5) == labels).mean())
    clipped = np.clip(outputs, 1e-7, 1 - 1e-7)
    assert metrics.log_loss(labels, shaped) == pytest.approx(log_loss(labels, clipped), rel=1e-4)
    assert metrics.roc_auc(labels, shaped) == pytest.approx(roc_auc_score(labels, outputs))


def test_values_are_compared_whatever_the_last_dimension() -> None:
    import numpy as np

    labels, outputs = np.array([1.0, 2.0, 4.0]), np.array([[1.5], [2.0], [2.0]])
    assert metrics.mean_absolute_error(labels, outputs) == pytest.approx(2.5 / 3)
    assert metrics.mean_squared_error(labels, outputs) == pytest.approx(4.25 / 3)


def test_the_area_is_not_defined_with_one_class() -> None:
    import numpy as np

    assert math.isnan(metrics.roc_auc(np.zeros(5), np.linspace(0, 1, 5)))


def test_quantized_probabilities_that_do_not_quite_add_up_still_count() -> None:
    import numpy as np

    labels, outputs = classes(3)
    steps = np.round(outputs * 256) / 256
    assert metrics.log_loss(labels, steps) == pytest.approx(
        metrics.log_loss(labels, outputs), abs=0.03
    )


def test_logits_are_refused_where_probabilities_are_needed() -> None:
    import numpy as np

    logits = np.array([[3.0, -1.0], [0.5, 2.0]])
    assert metrics.accuracy(np.array([0, 1]), logits) == 1
    with pytest.raises(TerminalError, match="log_loss needs probabilities"):
        metrics.log_loss(np.array([0, 1]), logits)
    with pytest.raises(TerminalError, match="accuracy needs probabilities"):
        metrics.accuracy(np.array([0, 1]), np.array([-3.0, 2.0]))


def test_labels_that_do_not_fit_the_outputs_are_refused_with_both_shapes() -> None:
    import numpy as np

    with pytest.raises(TerminalError, match=r"shape \[3\].*shape \[3, 2\]"):
        metrics.mean_absolute_error(np.zeros(3), np.zeros((3, 2)))
    with pytest.raises(TerminalError, match="accuracy cannot compare"):
        metrics.accuracy(np.array([0.3, 1.7]), np.array([0.1, 0.2]))


def test_several_outputs_need_a_metric_of_the_definition() -> None:
    import numpy as np

    outputs = {"a": np.zeros(2), "b": np.zeros(2)}
    with pytest.raises(TerminalError, match="the signature has a, b"):
        metrics.accuracy(np.zeros(2), outputs)  # type: ignore[arg-type]  # what the error is for
    own = definition(METRICS={"both": lambda _, found: len(found)})
    [both] = metrics.find_metrics(["both"], own)
    assert both.value(np.zeros(2), outputs) == 2


def test_the_definition_says_of_which_own_metric_less_is_better() -> None:
    own = {"cost": lambda *_: 1.0, "gain": lambda *_: 1.0}
    found = metrics.find_metrics(
        ["cost", "gain", "log_loss", "accuracy"], definition(METRICS=own, LOWER_IS_BETTER=["cost"])
    )
    assert {metric.name: metric.lower_is_better for metric in found} == {
        "cost": True,
        "gain": False,
        "log_loss": True,
        "accuracy": False,
    }


def test_an_unknown_name_is_refused_wherever_it_stands() -> None:
    with pytest.raises(TerminalError, match=r"gates\.metrics.*'log_los'.*did you mean log_loss"):
        metrics.find_metrics(["log_los"], definition())
    with pytest.raises(TerminalError, match="LOWER_IS_BETTER in digits.py"):  # noqa: RUF043  # a file's name
        metrics.find_metrics(["accuracy"], definition(LOWER_IS_BETTER=["cost"]))


def test_a_metric_that_raises_is_named() -> None:
    import numpy as np

    def broken(_labels: Any, _outputs: Any) -> float:
        return 1 / 0

    [metric] = metrics.find_metrics(["broken"], definition(METRICS={"broken": broken}))
    with pytest.raises(TerminalError, match="broken of digits.py raised ZeroDivisionError"):  # noqa: RUF043  # as above
        metric.value(np.zeros(1), np.zeros(1))
