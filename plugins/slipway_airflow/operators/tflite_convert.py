"""Makes a variant by conversion to TFLite."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class TFLiteConvertOperator(StepOperator):
    """Converts a SavedModel to TFLite in one precision."""
