"""Makes a variant with TensorRT engines."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class TensorRTBuildOperator(StepOperator):
    """Builds a TensorRT engine from an ONNX graph, or engines inside a SavedModel by TF-TRT."""
