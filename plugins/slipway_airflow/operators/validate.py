"""Compares a variant with the original."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class ValidateOperator(StepOperator):
    """Compares a variant with the original on held-out data and in the model server."""
