"""Makes a variant by storing weights in half of the bits."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class CastOperator(StepOperator):
    """Stores the weights of a SavedModel as float16 or bfloat16."""
