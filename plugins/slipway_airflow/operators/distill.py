"""Makes a variant by distillation."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class DistillOperator(StepOperator):
    """Trains a student on the answers of a teacher."""
