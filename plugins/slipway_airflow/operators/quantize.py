"""Makes a variant by quantization-aware training."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class QuantizeOperator(StepOperator):
    """Fine-tunes a Keras model with quantization in the loop."""
