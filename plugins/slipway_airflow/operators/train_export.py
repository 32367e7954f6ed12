"""Trains the original and exports it as a SavedModel."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class TrainExportOperator(StepOperator):
    """Trains the original as its definition says and exports it with its signatures."""
