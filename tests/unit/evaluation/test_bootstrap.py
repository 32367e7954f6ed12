"""Bootstrap intervals: known coverage, pairing, repeatability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.evaluation.bootstrap import Bootstrap, resamples_for
from slipway.evaluation.metrics import Metric, mean_absolute_error, roc_auc

if TYPE_CHECKING:
    import numpy as np

MEAN = Metric("mean", lambda _, outputs: outputs.mean(), lower_is_better=False, where="test")
LOSS = Metric("loss", mean_absolute_error, lower_is_better=True, where="test")


@settings(max_examples=5, deadline=None)
@given(st.sampled_from([0.5, 0.8, 0.9]), st.integers(0, 1000))
def test_intervals_cover_the_true_share_as_often_as_they_claim(share: float, seed: int) -> None:
    import numpy as np

    rng = np.random.default_rng(seed)
    trials, covered = 100, 0
    for trial in range(trials):
        right = (rng.random(200) < share).astype(float)
        interval = Bootstrap(200, trial, 0.9, 200).compare(MEAN, right, right, right).interval
        assert interval is not None
        covered += interval.low <= share <= interval.high
    # 90 expected, standard deviation 3; the percentile interval falls a little short of its claim.
    assert 76 <= covered <= 100


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 0.99))
def test_an_interval_holds_its_value_and_grows_with_confidence(
    seed: int, confidence: float
) -> None:
    import numpy as np

    values = np.random.default_rng(seed).normal(size=80)
    narrow = Bootstrap(80, seed, confidence, 200).compare(MEAN, values, values, values)
    wide = Bootstrap(80, seed, 0.995, 200).compare(MEAN, values, values, values)
    assert narrow.interval is not None
    assert wide.interval is not None
    assert wide.interval.low <= narrow.interval.low <= narrow.interval.high <= wide.interval.high
    assert wide.interval.low < narrow.value < wide.interval.high


def _pair() -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    original = np.random.default_rng(0).normal(size=200)
    return original, original - 0.1


def test_pairing_cancels_what_both_find_hard() -> None:
    original, variant = _pair()
    found = Bootstrap(200, 1, 0.95).compare(MEAN, original, variant, original)
    assert found.drop == pytest.approx(0.1)
    assert found.drop_interval is not None
    assert found.drop_interval.low == pytest.approx(0.1)
    assert found.drop_interval.high == pytest.approx(0.1)
    assert found.interval is not None
    assert found.interval.high - found.interval.low > 0.2


def test_a_drop_is_worse_whichever_way_is_better() -> None:
    original, variant = _pair()
    found = Bootstrap(200, 1, 0.95, 50).compare(LOSS, original, variant, original)
    assert found.value > found.original
    assert found.drop == pytest.approx(0.1)


def test_the_same_seed_gives_the_same_intervals_and_another_does_not() -> None:
    original, variant = _pair()
    first = Bootstrap(200, 1, 0.95, 100).compare(MEAN, original, variant, original)
    again = Bootstrap(200, 1, 0.95, 100).compare(MEAN, original, variant, original)
    other = Bootstrap(200, 2, 0.95, 100).compare(MEAN, original, variant, original)
    assert first == again
    assert first.interval != other.interval


def test_there_is_no_interval_where_most_resamples_define_no_value() -> None:
    import numpy as np

    area = Metric("roc_auc", roc_auc, lower_is_better=False, where="test")
    labels, scores = np.array([1, 0]), np.array([0.9, 0.1])
    found = Bootstrap(2, 1, 0.95, 400).compare(area, labels, scores, scores)
    assert found.value == 1
    assert found.interval is None or found.interval.low == 1
    alone = Bootstrap(2, 1, 0.95, 400).compare(area, np.array([1, 1]), scores, scores)
    assert alone.interval is None


def test_many_examples_need_fewer_resamples() -> None:
    assert resamples_for(20_000) == 1000
    assert resamples_for(20_001) == 200
