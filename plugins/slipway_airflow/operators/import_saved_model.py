"""Brings in a SavedModel that was exported elsewhere."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class ImportSavedModelOperator(StepOperator):
    """Takes an exported SavedModel as the original, instead of training one."""
