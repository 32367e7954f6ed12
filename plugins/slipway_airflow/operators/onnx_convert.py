"""Makes a variant by conversion to ONNX."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class OnnxConvertOperator(StepOperator):
    """Converts a SavedModel to ONNX in one precision."""
