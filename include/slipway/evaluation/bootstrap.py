"""Confidence intervals by the paired bootstrap.

Examples are drawn with replacement, and the same draw is used for the variant and the original, so
that what both find hard cancels out of the drop. Ends are the percentiles of the resampled values
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The percentile interval
of a metric that no example spoils, such as an accuracy of exactly 1, has no width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.evaluation.facts import Interval, MetricFacts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from slipway.evaluation.metrics import Metric

_LARGE = 20_000
_LEAST_DEFINED = 0.5


def resamples_for(examples: int) -> int:
    """How many resamples: 1000, or 200 where so many examples make intervals narrow anyway."""
    return 1000 if examples <= _LARGE else 200


class Bootstrap:
    """Seeded resamples of a number of examples.

    Args:
        examples: How many examples there are.
        seed: The same seed gives the same intervals.
        confidence: Between 0 and 1, such as 0.95.
        resamples: How many resamples; by default by `resamples_for`.
    """

    def __init__(
        self, examples: int, seed: int, confidence: float, resamples: int | None = None
    ) -> None:
        self.examples = examples
        self.seed = seed
        self.confidence = confidence
        self.resamples = resamples or resamples_for(examples)

    def compare(
        self, metric: Metric, labels: np.ndarray, variant: Any, original: Any
    ) -> MetricFacts:
        """One metric of the variant and of the original, with intervals.

        Args:
            metric: The metric.
            labels: Of shape [examples, ...].
            variant: The variant's outputs, as the metric takes them.
            original: The original's outputs.

        Returns:
            The facts; `value` is NaN where the examples do not define the metric.
        """
        import numpy as np

        value, reference = metric.value(labels, variant), metric.value(labels, original)
        same = variant is original
        values, references = np.empty(self.resamples), np.empty(self.resamples)
        for number, draw in enumerate(self._draws()):
            drawn = labels[draw]
            values[number] = metric.value(drawn, _take(variant, draw))
            references[number] = (
                values[number] if same else metric.value(drawn, _take(original, draw))
            )
        sign = 1.0 if metric.lower_is_better else -1.0
        return MetricFacts(
            lower_is_better=metric.lower_is_better,
            value=value,
            interval=self._interval(values),
            original=reference,
            # Adding 0.0 turns -0.0 into 0.0.
            drop=sign * (value - reference) + 0.0,
            drop_interval=self._interval(sign * (values - references)),
        )

    def _draws(self) -> Iterator[np.ndarray]:
        """The same draws each time; made one by one, as all at once may not fit the memory."""
        import numpy as np

        generator = np.random.default_rng(self.seed)
        for _ in range(self.resamples):
            yield generator.integers(0, self.examples, self.examples, dtype=np.int32)

    def _interval(self, values: np.ndarray) -> Interval | None:
        import numpy as np

        defined = values[np.isfinite(values)]
        if len(defined) < _LEAST_DEFINED * len(values):
            return None
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        # Adding 0 makes 0.0 of -0.0.
        return Interval(low=float(low) + 0.0, high=float(high) + 0.0)


def _take(outputs: Any, draw: np.ndarray) -> Any:
    if isinstance(outputs, dict):
        return {name: values[draw] for name, values in outputs.items()}
    return outputs[draw]
