"""Facts of variants as validation and benchmark would report them, for tests of what follows."""

from __future__ import annotations

from typing import Any

from slipway.evaluation.facts import (
    Evaluation,
    Interval,
    Measurement,
    MetricFacts,
    Quantiles,
    ServerFacts,
    SliceFacts,
    TensorFacts,
)


def metric(value: float, original: float, *, lower_is_better: bool = False) -> MetricFacts:
    drop = (value - original) * (1 if lower_is_better else -1)
    return MetricFacts(
        lower_is_better=lower_is_better,
        value=value,
        interval=Interval(low=value - 0.01, high=min(1.0, value + 0.008)),
        original=original,
        drop=drop,
        drop_interval=Interval(low=drop - 0.006, high=drop + 0.007),
    )


def evaluation(variant: str = "original", accuracy: float = 0.98, **changes: Any) -> Evaluation:
    reference = changes.pop("original_accuracy", 0.98)
    facts: dict[str, Any] = {
        "model": "digits",
        "variant": variant,
        "examples": 450,
        "confidence": 0.95,
        "resamples": 1000,
        "metrics": {"accuracy": metric(accuracy, reference)},
        "slices": {
            f"digit_{digit}": SliceFacts(
                examples=45 if digit else 12,
                metrics={"accuracy": metric(accuracy - 0.01 * (digit % 3), reference)},
            )
            for digit in range(10)
        },
        "agreement": 0.99,
        "agreement_rule": "the same class",
        "largest_difference": 0.04,
        "size_bytes": 1_000_000,
        "compressed_bytes": 900_000,
        "inputs": {"image": TensorFacts(dtype="float32", shape=(-1, 8, 8, 1))},
        "outputs": {"probabilities": TensorFacts(dtype="float32", shape=(-1, 10))},
        "other_interface": None,
        "server": ServerFacts(requests=8, largest_difference=0.0),
    }
    return Evaluation(**{**facts, **changes})


def measurement(p50_ms: float = 0.1, **changes: Any) -> Measurement:
    times = Quantiles(p50_ms=p50_ms, p90_ms=p50_ms * 1.2, p99_ms=p50_ms * 2, samples=3000)
    facts: dict[str, Any] = {
        "single_thread": times,
        "all_threads": times,
        "single_thread_throughput_per_second": 16_000 / p50_ms / 4,
        "all_threads_throughput_per_second": 32_000 / p50_ms / 4,
        "batch": 32,
        "peak_memory_bytes": 20_000_000,
    }
    return Measurement(**{**facts, **changes})
