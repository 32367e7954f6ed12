"""Measures all variants side by side."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class BenchmarkOperator(StepOperator):
    """Measures latency, throughput and memory of every variant that was made, interleaved."""
