from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.evaluation.bootstrap import Bootstrap
from slipway.evaluation.compare import compare_slices
from slipway.evaluation.metrics import Metric

if TYPE_CHECKING:
    import numpy as np


def _precision(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Not a number where nothing is predicted to be 1."""
    said = outputs[:, 0] > 0.5
    return float(labels[said].mean()) if said.any() else float("nan")


def test_a_metric_that_only_the_variant_has_no_value_for_is_lost_on_the_slice() -> None:
    import numpy as np

    labels = np.array([1, 0, 1, 0])
    original = {"score": np.array([[0.9], [0.8], [0.9], [0.1]])}
    silent = {"score": np.zeros((4, 1))}
    metric = Metric("precision", _precision, lower_is_better=False, where="the test")
    masks = {"all": np.ones(4, dtype=bool), "none": np.zeros(4, dtype=bool)}
    draws = Bootstrap(4, seed=1, confidence=0.95, resamples=50)
    found = compare_slices(masks, [metric], labels, silent, original, draws)
    assert found["all"].lost == ("precision",)
    assert found["all"].metrics == {}
    assert found["none"].lost == ()
    same = compare_slices(masks, [metric], labels, original, original, draws)
    assert same["all"].lost == ()
